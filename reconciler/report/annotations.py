"""What a build server shows beside the lines of a file: problems and outcomes, with their positions in the YAML."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, TypeAlias

from reconciler.errors import Problem
from reconciler.model.display import display_address, display_sentence
from reconciler.model.outcome import FailureKind, Status
from reconciler.report.folding import fold_placed_problems
from reconciler.report.server_names import servers_phrase
from reconciler.report.view import password_words

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from reconciler.errors import Position
    from reconciler.model.outcome import Outcome, Report
    from reconciler.model.plan import Plan
    from reconciler.model.server import Server
    from reconciler.report.formats import PlanInput, ReportInput, ValidationInput

Level: TypeAlias = Literal["error", "warning", "notice"]

_LEVELS: Final[tuple[Level, ...]] = ("error", "warning", "notice")

_NO_FAILURE: Final = frozenset({Status.SKIPPED, Status.NOT_ATTEMPTED, Status.APPLIED})
"""Warnings, not errors: what was not started or skipped, and what was applied and has been changed since."""


class Annotation(NamedTuple):
    """A problem or an outcome that a build server shows.

    Attributes:
        kind: A stable identifier, such as ``unknown_key`` or ``update_failed``.
        message: What is wrong, safe to show.
        hint: What to do about it, safe to show; may be empty.
        position: Where in the YAML it is, if it is there.
        servers: On which servers, in words, safe to show; empty if there is only one.
    """

    level: Level
    kind: str
    message: str
    hint: str = ""
    position: Position | None = None
    servers: str = ""


def annotate_validation(subject: ValidationInput) -> list[Annotation]:
    """What is wrong with the YAML."""
    return [
        *(_annotation("error", one) for one in subject.errors),
        *(_annotation("warning", one) for one in subject.warnings),
    ]


def annotate_plan(subject: PlanInput) -> list[Annotation]:
    """Why the plans cannot be applied, and what a reviewer should look at."""
    return [
        *(_annotation("error", one) for one in subject.errors),
        *_annotate_servers((plan.server, _of_plan(plan)) for plan in subject.plans),
    ]


def annotate_report(subject: ReportInput) -> list[Annotation]:
    """Why a run did not start, or what did not come out as planned."""
    return [
        *(_annotation("error", one) for one in subject.errors),
        *_annotate_servers((report.server, _of_report(report)) for report in subject.reports),
    ]


def _of_plan(plan: Plan) -> Iterator[tuple[Level, Problem]]:
    """The position of an account's problem is that of its entry."""
    positions = {change.address: change.position for change in plan.changes if change.position}
    levels: tuple[tuple[Level, tuple[Problem, ...]], ...] = (
        ("error", (*plan.refusals, *plan.errors)),
        ("warning", plan.warnings),
    )
    for level, problems in levels:
        for one in problems:
            yield level, replace(one, position=one.position or positions.get(one.address or ""))
    for change in plan.changes:
        if change.password_from and (words := password_words(change)):
            message = f"{display_address(change.address)}: password  {words}"
            yield "notice", Problem(kind="password_source", message=message, position=change.position)


def _of_report(report: Report) -> Iterator[tuple[Level, Problem]]:
    for problem in report.errors:
        yield "error", problem
    for outcome in report.outcomes:
        if needs_attention(outcome):
            action, status = _failed_part(outcome)
            reason = failure_reason(outcome)
            message = f"{display_address(outcome.address)}: {failure_words(outcome)}" + (
                f": {reason}" if reason else ""
            )
            level: Level = "warning" if status in _NO_FAILURE else "error"
            yield level, Problem(kind=f"{action}_{status}", message=message, position=outcome.position)


def _annotate_servers(found: Iterable[tuple[Server, Iterable[tuple[Level, Problem]]]]) -> Iterator[Annotation]:
    """The problems of a server, in their order; those of several servers are folded.

    In a file that several servers share, each position is folded by itself. If each server has a file of its own, equal
    problems are one annotation in the first of these files: build servers show only a few annotations.
    """
    servers = [(server, list(problems)) for server, problems in found]
    if len(servers) == 1:
        yield from (_annotation(level, problem) for level, problem in servers[0][1])
        return
    files = Counter(
        file for _, problems in servers for file in {one.position.file for _, one in problems if one.position}
    )
    groups: dict[tuple[Level, Position | None], dict[Server, list[Problem]]] = {}
    for server, problems in servers:
        for level, problem in problems:
            is_shared = problem.position is not None and files[problem.position.file] > 1
            group = groups.setdefault((level, problem.position if is_shared else None), {})
            group.setdefault(server, []).append(problem)
    for level, position in sorted(groups, key=lambda one: _LEVELS.index(one[0])):
        for folded in fold_placed_problems(groups[level, position].items()):
            yield _annotation(level, folded.item, servers_phrase(folded.servers))


def _annotation(level: Level, problem: Problem, servers: str = "") -> Annotation:
    return Annotation(
        level=level,
        kind=problem.kind,
        message=display_sentence(problem.message),
        hint=display_sentence(problem.hint),
        position=problem.position,
        servers=servers,
    )


def needs_attention(outcome: Outcome) -> bool:
    """Whether a change, or its test, did not come out as planned, or did not last."""
    return not outcome.succeeded or outcome.changed_since


def failure_words(outcome: Outcome) -> str:
    """What did not come out as planned: ``update failed``, or ``test failed`` for an applied change."""
    action, status = _failed_part(outcome)
    return f"{action} {'outcome unknown' if status is Status.UNKNOWN else status.replace('_', ' ')}"


def failure_position(outcome: Outcome) -> str:
    """The position in the YAML, safe to show, of an account that needs attention."""
    if not needs_attention(outcome) or outcome.position is None:
        return ""
    return display_sentence(str(outcome.position))


def failure_reason(outcome: Outcome) -> str:
    """Why it did not come out as planned, safe to show."""
    is_reported = outcome.action == "test" or outcome.kind is FailureKind.DELIVERY_TEST
    words = [outcome.error, outcome.test.error if outcome.test and not is_reported else None, outcome.note]
    return "; ".join(display_sentence(one) for one in words if one)


def _failed_part(outcome: Outcome) -> tuple[str, Status]:
    """The action or the test that did not come out as planned, and how it ended."""
    if outcome.status is Status.APPLIED and outcome.test and not outcome.succeeded:
        return "test", outcome.test.status
    return outcome.action, outcome.status
