"""A plan or a run in numbers, and in one line."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from reconciler.model.outcome import Status

if TYPE_CHECKING:
    from collections.abc import Iterable

    from reconciler.model.outcome import Outcome, Report
    from reconciler.model.plan import Plan

CHANGING: Final = ("create", "update", "delete")
STILL: Final = ("unchanged", "ignored", "protected", "unmanaged")
"""The classes of accounts in ``Counts``: those that change, and those that stay as they are."""


def summary_line(plan: Plan) -> str:
    """A plan in one line, which scripts and people look for at its end."""
    if not plan.changes and not plan.errors:
        return "No changes."
    counts = plan.counts
    return f"Plan: {counts.create} to create, {counts.update} to update, {counts.delete} to delete."


def outcome_counts(outcomes: Iterable[Outcome]) -> dict[str, int]:
    """How many outcomes have which status, and how many tests passed and failed.

    A test that passed is no change that was applied. A test without a clear outcome has not passed, and counts as
    failed, unless it was sent for its own sake: then it is ``unknown``.
    """
    outcomes = list(outcomes)
    statuses = Counter(one.status for one in outcomes)
    tests = Counter(one.test.passed for one in outcomes if one.test and not is_unclear_test(one))
    return {
        **{status.value: statuses[status] for status in Status if status is not Status.PASSED},
        "tests_passed": tests[True],
        "tests_failed": tests[False],
    }


def is_unclear_test(outcome: Outcome) -> bool:
    """Whether an account was only tested, and it is unknown how that ended."""
    return outcome.action == "test" and outcome.status is Status.UNKNOWN


def is_test_run(report: Report) -> bool:
    """Whether the accounts were only tested, and nothing was to be written."""
    return bool(report.outcomes) and report.outcomes[0].action == "test"


def result_line(report: Report) -> str:
    """A run in one line."""
    if not report.outcomes:
        return "Nothing to do." if not report.interrupted else "Interrupted. Nothing was written."
    counts = outcome_counts(report.outcomes)
    passed, failed = counts.pop("tests_passed"), counts.pop("tests_failed")
    tests = f"tests: {passed} passed, {failed} failed"
    if is_test_run(report):
        others = [f", {counts[name]} {name.replace('_', ' ')}" for name in ("unknown", "not_attempted") if counts[name]]
        return f"{'Interrupted; ' if report.interrupted else ''}{tests}{''.join(others)}.".capitalize()
    words = [f"{count} {name.replace('_', ' ')}" for name, count in counts.items() if count or name == "applied"]
    if in_place := sum(one.status is Status.APPLIED and not one.written for one in report.outcomes):
        words[0] += f" ({in_place} in place already)"
    ending = f"; {tests}" if passed or failed else ""
    return f"{'Interrupted' if report.interrupted else 'Done'}: {', '.join(words)}{ending}."
