"""A plan or a run in numbers, and in one line."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from reconciler.model.outcome import Status

if TYPE_CHECKING:
    from collections.abc import Iterable

    from reconciler.model.change import Plan
    from reconciler.model.outcome import Outcome, Report

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
    """How many outcomes have which status, and how many tests passed and failed."""
    outcomes = list(outcomes)
    statuses = Counter(one.status for one in outcomes)
    tests = Counter(one.test.passed for one in outcomes if one.test)
    return {
        **{status.value: statuses[status] for status in Status},
        "tests_passed": tests[True],
        "tests_failed": tests[False],
    }


def result_line(report: Report) -> str:
    """A run in one line."""
    if not report.outcomes:
        return "Nothing to do." if not report.interrupted else "Interrupted. Nothing was written."
    counts = outcome_counts(report.outcomes)
    tests = {name: counts.pop(name) for name in ("tests_passed", "tests_failed")}
    if report.outcomes[0].action == "test":
        words = [f"{counts['not_attempted']} not attempted"] if counts["not_attempted"] else []
    else:
        words = [f"{count} {name.replace('_', ' ')}" for name, count in counts.items() if count or name == "applied"]
        if in_place := sum(one.in_place for one in report.outcomes):
            words[0] += f" ({in_place} in place already)"
    if any(tests.values()):
        words.append(f"tests: {tests['tests_passed']} passed, {tests['tests_failed']} failed")
    return f"{'Interrupted' if report.interrupted else 'Done'}: {', '.join(words)}."
