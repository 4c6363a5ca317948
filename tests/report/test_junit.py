from __future__ import annotations

from dataclasses import replace
from xml.etree import ElementTree as ET

from reconciler.errors import Problem
from reconciler.model.outcome import Outcome, Status
from reconciler.report.formats import Format, ReportInput, renderer
from tests.report.plans import CONTEXT, HOSTILE, result


def parsed(subject: ReportInput) -> ET.Element:
    return ET.fromstring(renderer("report", Format.JUNIT)(subject, CONTEXT))  # noqa: S314 - our own text


def test_the_counts_match_the_test_cases() -> None:
    suites = parsed(ReportInput(reports=(result(),)))
    suite = suites[0]
    counts = {
        "tests": len(suite),
        "failures": len(suite.findall("testcase/failure")),
        "errors": len(suite.findall("testcase/error")),
        "skipped": len(suite.findall("testcase/skipped")),
    }
    assert counts == {"tests": 11, "failures": 4, "errors": 2, "skipped": 2}
    assert {name: int(suites.attrib[name]) for name in counts} == counts
    assert {name: int(suite.attrib[name]) for name in counts} == counts
    assert suite.attrib["timestamp"] == "2026-03-04T05:06:07+00:00"
    assert suites.attrib["time"] == "1.911"


def test_hostile_text_stays_text() -> None:
    outcomes = [Outcome(address=text, action="create", status=Status.FAILED, error=text) for text in HOSTILE]
    suite = parsed(ReportInput(reports=(replace(result(), outcomes=tuple(outcomes), errors=()),)))[0]
    assert [[one.tag for one in case] for case in suite] == [["failure"]] * len(HOSTILE)
    assert suite[5].attrib["name"] == '"<script>alert(1)</script>"'


def test_a_run_that_did_not_start_is_an_error() -> None:
    suite = parsed(ReportInput(errors=(Problem(kind="unreachable", message="nobody answers"),)))[0]
    assert ET.tostring(suite[0], encoding="unicode").strip() == (
        '<testcase classname="reconciler.run" name="unreachable">\n'
        '      <error message="nobody answers" />\n    </testcase>'
    )
