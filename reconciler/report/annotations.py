"""What a build server shows beside the lines of a file: problems and outcomes, with their positions in the YAML."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from reconciler.model.display import display_address, display_sentence
from reconciler.model.outcome import FailureKind, Status
from reconciler.report.view import password_words

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from reconciler.errors import Position, Problem
    from reconciler.model.outcome import Outcome
    from reconciler.report.formats import PlanInput, ReportInput, ValidationInput

_NO_FAILURE: Final = frozenset({Status.SKIPPED, Status.NOT_ATTEMPTED, Status.APPLIED})
"""Warnings, not errors: what was not started or skipped, and what was applied and has been changed since."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotation:
    """A problem or an outcome that a build server shows.

    Attributes:
        kind: A stable identifier, such as ``unknown_key`` or ``update_failed``.
        message: What is wrong, safe to show.
        hint: What to do about it, safe to show; may be empty.
        position: Where in the YAML it is, if it is there.
    """

    level: Literal["error", "warning", "notice"]
    kind: str
    message: str
    hint: str = ""
    position: Position | None = None


def annotate_validation(subject: ValidationInput) -> list[Annotation]:
    """What is wrong with the YAML."""
    return [*_annotate(subject.errors, "error"), *_annotate(subject.warnings, "warning")]


def annotate_plan(subject: PlanInput) -> list[Annotation]:
    """Why the plan cannot be applied, and what a reviewer should look at."""
    plan = subject.plan
    if plan is None:
        return _annotate(subject.errors, "error")
    positions = {change.address: change.position for change in plan.changes if change.position}
    return [
        *_annotate((*plan.refusals, *plan.errors), "error", positions),
        *_annotate(plan.warnings, "warning", positions),
        *(
            Annotation(
                level="notice",
                kind="password_source",
                message=f"{display_address(change.address)}: password  {words}",
                position=change.position,
            )
            for change in plan.changes
            if change.password_from and (words := password_words(change))
        ),
    ]


def annotate_report(subject: ReportInput) -> list[Annotation]:
    """Why the run did not start, or what did not come out as planned."""
    report = subject.report
    if report is None:
        return _annotate(subject.problems, "error")
    outcomes = [_annotate_outcome(one) for one in report.outcomes if needs_attention(one)]
    return [*_annotate(subject.problems, "error"), *outcomes]


def _annotate(
    problems: Iterable[Problem], level: Literal["error", "warning"], positions: Mapping[str, Position] | None = None
) -> list[Annotation]:
    """Problems as annotations; the position of an account's problem is that of its entry."""
    return [
        Annotation(
            level=level,
            kind=one.kind,
            message=display_sentence(one.message),
            hint=display_sentence(one.hint),
            position=one.position or (positions or {}).get(one.address or ""),
        )
        for one in problems
    ]


def _annotate_outcome(outcome: Outcome) -> Annotation:
    action, status = _failed_part(outcome)
    reason = failure_reason(outcome)
    return Annotation(
        level="warning" if status in _NO_FAILURE else "error",
        kind=f"{action}_{status}",
        message=f"{display_address(outcome.address)}: {failure_words(outcome)}" + (f": {reason}" if reason else ""),
        position=outcome.position,
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
