"""What holds for every format alike."""

from __future__ import annotations

import subprocess
import sys
from typing import Literal

import pytest

from reconciler.report.formats import (
    PLAN_FORMATS,
    RESULT_FORMATS,
    VALIDATION_FORMATS,
    Format,
    PlanInput,
    ReportInput,
    ValidationInput,
    renderer,
)
from tests.report.plans import CONTEXT, CURRENT_SECRET, DECLARED_SECRET, PLANS, result

VERBOSE = CONTEXT._replace(verbose=True)


@pytest.mark.parametrize("chosen", PLAN_FORMATS)
@pytest.mark.parametrize("name", PLANS)
def test_no_plan_holds_a_secret(name: str, chosen: Format) -> None:
    plan = PLANS[name]()
    passwords = {repr(account.fields.get("password")) for one in plan.changes for account in (one.after,) if account}
    assert passwords <= {"Secret(***)", "None", "UNKNOWN"}
    text = renderer("plan", chosen)(PlanInput(plans=(plan,)), VERBOSE)
    assert CURRENT_SECRET not in text
    assert DECLARED_SECRET not in text
    assert "Secret(" not in text


DOCUMENTS = [("plan", one) for one in PLAN_FORMATS] + [("report", one) for one in RESULT_FORMATS]


@pytest.mark.parametrize(("kind", "chosen"), DOCUMENTS)
def test_every_document_is_valid_unicode_and_ends_with_a_line_break(
    kind: Literal["plan", "report"], chosen: Format
) -> None:
    subjects = {"plan": PlanInput(plans=(PLANS["hostile"](),)), "report": ReportInput(reports=(result(),))}
    text = renderer(kind, chosen)(subjects[kind], VERBOSE)
    assert text.encode().endswith(b"\n")
    assert not set(text) & set("\x00\x07\x1b\x7f\r\u202e\u2028\u2029\ufeff\U000e0041")


@pytest.mark.parametrize("chosen", VALIDATION_FORMATS)
def test_every_validation_has_a_document(chosen: Format) -> None:
    assert renderer("validation", chosen)(ValidationInput(accounts=3), CONTEXT).endswith("\n")


@pytest.mark.parametrize("chosen", [one for one in PLAN_FORMATS if one is not Format.HTML])
def test_a_format_imports_only_the_libraries_it_needs(chosen: Format) -> None:
    program = (
        "import sys\n"
        "from reconciler.report.formats import Format, renderer\n"
        f"renderer('plan', Format({chosen.value!r}))\n"
        "print(*sorted({'jinja2', 'rich', 'pydantic_core', 'httpx', 'yaml', 'deepdiff'} & set(sys.modules)))\n"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "\n"
