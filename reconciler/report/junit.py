"""Results as JUnit XML: what build servers show as tests.

The parts used are those that GitLab, Jenkins and Azure read alike: https://github.com/testmoapp/junitxml lists them.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from html import escape as xml_escape
from typing import TYPE_CHECKING

from reconciler.model.display import display_address, display_sentence, escape
from reconciler.model.outcome import ServerStatus, Status
from reconciler.report.annotations import failure_position, failure_reason, failure_words, needs_attention

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from reconciler.errors import Position, Problem
    from reconciler.model.outcome import Report
    from reconciler.report.formats import RenderContext, ReportInput

_ELEMENTS = {
    Status.APPLIED: "failure",  # its test failed
    Status.PASSED: "",
    Status.FAILED: "failure",
    Status.UNKNOWN: "error",
    Status.SKIPPED: "skipped",
    Status.NOT_ATTEMPTED: "skipped",
}


@dataclass(frozen=True, slots=True)
class _Suite:
    """The test cases of a server. Each is the kind of its failure, empty if there is none, and its XML."""

    name: str
    started_at: datetime
    finished_at: datetime
    cases: list[tuple[str, str]]

    def numbers(self) -> str:
        kinds = Counter(kind for kind, _ in self.cases)
        seconds = (self.finished_at - self.started_at).total_seconds()
        return (
            f'tests="{len(self.cases)}" failures="{kinds["failure"]}" errors="{kinds["error"]}"'
            f' skipped="{kinds["skipped"]}" time="{seconds:.3f}"'
        )

    def lines(self) -> Iterator[str]:
        moment = self.started_at.isoformat(timespec="seconds")
        name = xml_escape(display_sentence(self.name))
        yield f'  <testsuite name="{name}" timestamp="{moment}" {self.numbers()}>'
        yield from (text for _, text in self.cases)
        yield "  </testsuite>"


def render_report(subject: ReportInput, context: RenderContext) -> str:
    """A suite for each server: a case for each change or test, and an error for each problem of the server."""
    if subject.of_fleet:
        suites = [_suite(report, context) for report in subject.reports]
        moments: Report | RenderContext = context
    elif subject.report:
        moments = subject.report
        cases = [*_cases(moments, context), *(_problem(one, context) for one in subject.problems)]
        suites = [_Suite(moments.server.name, moments.started_at, moments.finished_at, cases)]
    else:
        moments = context
        cases = [_problem(one, context) for one in subject.problems]
        suites = [_Suite("no server", context.started_at, context.finished_at, cases)]
    every = _Suite("", moments.started_at, moments.finished_at, [case for suite in suites for case in suite.cases])
    return "\n".join(
        (
            '<?xml version="1.0" encoding="UTF-8"?>',
            f'<testsuites name="reconciler" {every.numbers()}>',
            *(line for suite in suites for line in suite.lines()),
            "</testsuites>\n",
        )
    )


def _suite(report: Report, context: RenderContext) -> _Suite:
    """The suite of one of several servers. It has at least one case, because some readers omit empty suites."""
    server, status = report.server.name, report.status
    kind = "skipped" if status is ServerStatus.NOT_ATTEMPTED else "error"
    cases = [*_cases(report, context, server), *(_problem(one, context, server, kind) for one in report.errors)]
    cases = cases or [("", f"    {_opening('run', status, None, context, server)}/>")]
    return _Suite(server, report.started_at, report.finished_at, cases)


def _problem(problem: Problem, context: RenderContext, server: str = "", kind: str = "error") -> tuple[str, str]:
    opening = _opening("run", problem.kind, None, context, server)
    hint = f" ({display_sentence(problem.hint)})" if problem.hint else ""
    return kind, _element(opening, kind, display_sentence(str(problem)) + hint)


def _cases(report: Report, context: RenderContext, server: str = "") -> Iterator[tuple[str, str]]:
    for outcome in report.outcomes:
        opening = _opening(outcome.action, display_address(outcome.address), outcome.position, context, server)
        if needs_attention(outcome):
            kind = _ELEMENTS[outcome.status]
            parts = (failure_position(outcome), failure_words(outcome), failure_reason(outcome))
            yield kind, _element(opening, kind, ": ".join(part for part in parts if part))
        else:
            yield "", f"    {opening}/>"


def _element(opening: str, kind: str, message: str) -> str:
    return f'    {opening}>\n      <{kind} message="{xml_escape(message)}"/>\n    </testcase>'


def _opening(group: str, name: str, position: Position | None, context: RenderContext, server: str = "") -> str:
    """The beginning of a case. Readers identify it by class and name, so that the class of a fleet has the server."""
    place = f' file="{xml_escape(escape(context.ci.path(position.file)))}" line="{position.line}"' if position else ""
    words = ".".join(part for part in ("reconciler", display_sentence(server), group) if part)
    return f'<testcase classname="{xml_escape(words)}" name="{xml_escape(name)}"{place}'
