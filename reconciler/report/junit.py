"""Results as JUnit XML: what build servers show as tests.

The parts used are those that GitLab, Jenkins and Azure read alike: https://github.com/testmoapp/junitxml lists them.
"""

from __future__ import annotations

from html import escape as xml_escape
from typing import TYPE_CHECKING

from reconciler.model.display import display_address, display_sentence, escape
from reconciler.model.outcome import Status
from reconciler.report.annotations import failure_position, failure_reason, failure_words, needs_attention

if TYPE_CHECKING:
    from reconciler.errors import Position
    from reconciler.model.outcome import Outcome
    from reconciler.report.formats import RenderContext, ReportInput

_ELEMENTS = {
    Status.APPLIED: "failure",  # its test failed
    Status.PASSED: "",
    Status.FAILED: "failure",
    Status.UNKNOWN: "error",
    Status.SKIPPED: "skipped",
    Status.NOT_ATTEMPTED: "skipped",
}


def render_report(subject: ReportInput, context: RenderContext) -> str:
    """One test case for each change or test, and an error for each problem of the run as a whole."""
    report = subject.report
    moments = report or context
    cases: list[tuple[str, str]] = []
    server = "no server"
    if report:
        server = report.server.name
        cases = [_case(one, context) for one in report.outcomes]
    for one in subject.problems:
        opening = _opening("run", one.kind, None, context)
        cases.append(
            ("error", _element(opening, "error", _joined(display_sentence(str(one)), display_sentence(one.hint))))
        )
    moment = moments.started_at.isoformat(timespec="seconds")
    kinds = [kind for kind, _ in cases]
    numbers = (
        f'tests="{len(cases)}" failures="{kinds.count("failure")}" errors="{kinds.count("error")}"'
        f' skipped="{kinds.count("skipped")}" time="{(moments.finished_at - moments.started_at).total_seconds():.3f}"'
    )
    return "\n".join(
        (
            '<?xml version="1.0" encoding="UTF-8"?>',
            f'<testsuites name="reconciler" {numbers}>',
            f'  <testsuite name="{xml_escape(display_sentence(server))}" timestamp="{moment}" {numbers}>',
            *(text for _, text in cases),
            "  </testsuite>",
            "</testsuites>\n",
        )
    )


def _case(outcome: Outcome, context: RenderContext) -> tuple[str, str]:
    opening = _opening(outcome.action, display_address(outcome.address), outcome.position, context)
    if needs_attention(outcome):
        kind = _ELEMENTS[outcome.status]
        parts = (failure_position(outcome), failure_words(outcome), failure_reason(outcome))
        message = ": ".join(part for part in parts if part)
        return kind, _element(opening, kind, message)
    return "", f"    {opening}/>"


def _element(opening: str, kind: str, message: str) -> str:
    return f'    {opening}>\n      <{kind} message="{xml_escape(message)}"/>\n    </testcase>'


def _opening(group: str, name: str, position: Position | None, context: RenderContext) -> str:
    place = f' file="{xml_escape(escape(context.ci.path(position.file)))}" line="{position.line}"' if position else ""
    return f'<testcase classname="reconciler.{xml_escape(group)}" name="{xml_escape(name)}"{place}'


def _joined(message: str, hint: str) -> str:
    return f"{message} ({hint})" if hint else message
