"""What a build server points at: everything that went wrong, or may, with its place in the YAML."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from reconciler.model.display import display_address, display_sentence
from reconciler.model.outcome import FailureKind, Status
from reconciler.report.rows import password_words

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from reconciler.errors import Position, Problem
    from reconciler.model.outcome import Outcome
    from reconciler.model.plan import Plan
    from reconciler.report.subject import PlanInput, ResultSubject, ValidationInput

_HARMLESS = frozenset({Status.SKIPPED, Status.NOT_ATTEMPTED, Status.APPLIED})
"""What was not done because of something else, which is a finding of its own; and what somebody changed since."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing to look at.

    Attributes:
        kind: A stable identifier, such as ``unknown_key`` or ``update_failed``.
        message: What is the matter, safe to show.
        hint: What to do about it, safe to show; may be empty.
        position: Where in the YAML it is, if it is there.
    """

    level: Literal["error", "warning", "notice"]
    kind: str
    message: str
    hint: str = ""
    position: Position | None = None


def of_validation(subject: ValidationInput) -> list[Finding]:
    """What is wrong with the YAML."""
    return [*_of_problems(subject.errors, "error"), *_of_problems(subject.warnings, "warning")]


def of_plan(subject: PlanInput) -> list[Finding]:
    """Why the plan cannot be applied, or what a reviewer should look at. An account's place is that of its entry."""
    plan = subject.plan
    if plan is None:
        return _of_problems(subject.errors, "error")
    positions = {change.address: change.position for change in plan.changes if change.position}
    return [
        *_of_problems((*plan.refusals, *plan.errors), "error", positions),
        *_of_problems(plan.warnings, "warning", positions),
        *_of_passwords(plan),
    ]


def of_result(subject: ResultSubject) -> list[Finding]:
    """Why nothing was begun, or what did not come out as planned."""
    report = subject.report
    if report is None:
        return _of_problems(subject.errors, "error")
    outcomes = [one for one in report.outcomes if needs_attention(one)]
    return [*_of_problems((*subject.errors, *report.errors), "error"), *map(_of_outcome, outcomes)]


def needs_attention(outcome: Outcome) -> bool:
    """Whether a change, or its test, did not come out as planned, or did not last."""
    return not outcome.succeeded or outcome.changed_since


def result_of(outcome: Outcome) -> str:
    """What did not come out as planned, in a few words: ``update failed``, or ``test failed`` for an applied change."""
    action, status = _failed_part(outcome)
    return f"{action} {'outcome unknown' if status is Status.UNKNOWN else status.replace('_', ' ')}"


def _failed_part(outcome: Outcome) -> tuple[str, Status]:
    """The action or the test that did not come out as planned, and how it ended."""
    if outcome.status is Status.APPLIED and outcome.test and not outcome.succeeded:
        return "test", outcome.test.status
    return outcome.action, outcome.status


def place_of(outcome: Outcome) -> str:
    """The entry in the YAML, safe to show, of an account whose change or test did not come out as planned."""
    if not needs_attention(outcome) or outcome.position is None:
        return ""
    return display_sentence(str(outcome.position))


def why(outcome: Outcome) -> str:
    """Why it did not come out as planned, safe to show."""
    told = outcome.action == "test" or outcome.kind is FailureKind.DELIVERY_TEST
    words = [outcome.error, outcome.test.error if outcome.test and not told else None, outcome.note]
    return "; ".join(display_sentence(one) for one in words if one)


def _of_problems(
    problems: Iterable[Problem], level: Literal["error", "warning"], positions: Mapping[str, Position] | None = None
) -> list[Finding]:
    found = []
    for one in problems:
        position = one.position or (positions or {}).get(one.address or "")
        message, hint = display_sentence(one.message), display_sentence(one.hint)
        found.append(Finding(level=level, kind=one.kind, message=message, hint=hint, position=position))
    return found


def _of_passwords(plan: Plan) -> list[Finding]:
    """Where the declared passwords come from that the plan would send."""
    return [
        Finding(
            level="notice",
            kind="password_source",
            message=f"{display_address(change.address)}: password  {words}",
            position=change.position,
        )
        for change in plan.changes
        if (words := password_words(change))
    ]


def _of_outcome(outcome: Outcome) -> Finding:
    words = result_of(outcome)
    action, status = _failed_part(outcome)
    reason = why(outcome)
    return Finding(
        level="warning" if status in _HARMLESS else "error",
        kind=f"{action}_{status}",
        message=f"{display_address(outcome.address)}: {words}" + (f": {reason}" if reason else ""),
        position=outcome.position,
    )
