"""Results as JUnit XML: what build servers show as tests.

The parts used are those that GitLab, Jenkins and Azure read alike: https://github.com/testmoapp/junitxml lists them.
"""

from __future__ import annotations

from html import escape as xml_escape
from typing import TYPE_CHECKING

from reconciler.model.display import display_address, display_sentence, escape
from reconciler.model.outcome import Status
from reconciler.report.findings import needs_attention, place_of, result_of, why

if TYPE_CHECKING:
    from reconciler.errors import Position
    from reconciler.model.outcome import Outcome
    from reconciler.report.subject import ResultSubject, Setting

_ELEMENTS = {
    Status.APPLIED: "failure",  # its test failed
    Status.PASSED: "",
    Status.FAILED: "failure",
    Status.UNKNOWN: "error",
    Status.SKIPPED: "skipped",
    Status.NOT_ATTEMPTED: "skipped",
}


def result(subject: ResultSubject, setting: Setting) -> str:
    """One test case for each change or test; an error for whatever kept the run from starting."""
    report = subject.report
    started_at, finished_at = setting.started_at, setting.finished_at
    cases: list[tuple[str, str]] = []
    server = "no server"
    errors = subject.errors
    if report:
        started_at, finished_at, server = report.started_at, report.finished_at, report.server.name
        errors = (*errors, *report.errors)
        cases = [_case(one, setting) for one in report.outcomes]
    for one in errors:
        opening = _opening("run", one.kind, None, setting)
        cases.append(
            ("error", _element(opening, "error", _joined(display_sentence(str(one)), display_sentence(one.hint))))
        )
    moment = started_at.isoformat(timespec="seconds")
    kinds = [kind for kind, _ in cases]
    numbers = (
        f'tests="{len(cases)}" failures="{kinds.count("failure")}" errors="{kinds.count("error")}"'
        f' skipped="{kinds.count("skipped")}" time="{(finished_at - started_at).total_seconds():.3f}"'
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


def _case(outcome: Outcome, setting: Setting) -> tuple[str, str]:
    opening = _opening(outcome.action, display_address(outcome.address), outcome.position, setting)
    if needs_attention(outcome):
        kind = _ELEMENTS[outcome.status]
        message = ": ".join(part for part in (place_of(outcome), result_of(outcome), why(outcome)) if part)
        return kind, _element(opening, kind, message)
    return "", f"    {opening}/>"


def _element(opening: str, kind: str, message: str) -> str:
    return f'    {opening}>\n      <{kind} message="{xml_escape(message)}"/>\n    </testcase>'


def _opening(group: str, name: str, position: Position | None, setting: Setting) -> str:
    place = (
        f' file="{xml_escape(escape(setting.forge.path(position.file)))}" line="{position.line}"' if position else ""
    )
    return f'<testcase classname="reconciler.{xml_escape(group)}" name="{xml_escape(name)}"{place}'


def _joined(message: str, hint: str) -> str:
    return f"{message} ({hint})" if hint else message
