"""Every format of every document, compared whole. ``UPDATE_GOLDEN=1 pytest tests/report`` rewrites the files."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from reconciler.report.formats import PLAN_FORMATS, RESULT_FORMATS, Format, PlanInput, ReportInput, renderer
from reconciler.version import VERSION
from tests.report.fleets import reports, small
from tests.report.plans import CONTEXT, GOLDEN_PLANS, result, run_of_tests

GOLDEN = Path(__file__).with_name("golden")
SUFFIXES = {
    Format.TEXT: "txt",
    Format.JSON: "json",
    Format.MARKDOWN: "md",
    Format.HTML: "html",
    Format.GITHUB: "github.txt",
    Format.GITLAB: "gitlab.json",
    Format.JUNIT: "xml",
    Format.TFPLAN: "tfplan.json",
}


def compare(name: str, chosen: Format, text: str) -> None:
    """Compares ``text``, without the version, with a file."""
    for words in ('"version": "{}"', "reconciler {}"):
        text = text.replace(words.format(VERSION), words.format("VERSION"))
    if name == "fleet":
        # Style and script are tested in a browser.
        text = re.sub(r"<(style|script)>.*?</", r"<\1>...</", text, flags=re.DOTALL)
        text = re.sub(r"sha256-[^']+", "sha256-...", text)
    file = GOLDEN / f"{name}.{SUFFIXES[chosen]}"
    if os.environ.get("UPDATE_GOLDEN"):
        file.write_text(text, encoding="utf-8", newline="")
    assert text == file.read_text(encoding="utf-8")


@pytest.mark.parametrize("chosen", PLAN_FORMATS)
@pytest.mark.parametrize("name", GOLDEN_PLANS)
def test_a_plan_equals_its_golden_file(name: str, chosen: Format) -> None:
    compare(name, chosen, renderer("plan", chosen)(PlanInput(plans=(GOLDEN_PLANS[name](),)), CONTEXT))


@pytest.mark.parametrize("chosen", RESULT_FORMATS)
def test_a_report_equals_its_golden_file(chosen: Format) -> None:
    compare("result", chosen, renderer("report", chosen)(ReportInput(reports=(result(),)), CONTEXT))


@pytest.mark.parametrize("chosen", RESULT_FORMATS)
def test_a_report_of_tests_equals_its_golden_file(chosen: Format) -> None:
    compare("tests", chosen, renderer("report", chosen)(ReportInput(reports=(run_of_tests(),)), CONTEXT))


@pytest.mark.parametrize("chosen", PLAN_FORMATS)
def test_a_fleet_plan_equals_its_golden_file(chosen: Format) -> None:
    compare("fleet", chosen, renderer("plan", chosen)(PlanInput(plans=small(), of_fleet=True), CONTEXT))


@pytest.mark.parametrize("chosen", RESULT_FORMATS)
def test_a_fleet_report_equals_its_golden_file(chosen: Format) -> None:
    compare(
        "fleet_result",
        chosen,
        renderer("report", chosen)(ReportInput(reports=reports(small()), of_fleet=True), CONTEXT),
    )
