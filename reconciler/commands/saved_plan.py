"""Saved plans: written by ``plan --save``, compared with a fresh plan by ``apply --plan``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from reconciler.errors import Kind, Problem, StalePlanError
from reconciler.model.outcome import Outcome
from reconciler.planning.saved import compare
from reconciler.report.formats import Format, PlanInput
from reconciler.report.json import plan_document, to_json
from reconciler.report.plan_file import parse_plan, parse_unfinished, unusable_plan, unusable_result
from reconciler.report.server_text import comparison_text, difference_problem

if TYPE_CHECKING:
    from collections.abc import Callable

    from reconciler.commands.invocation import Invocation
    from reconciler.errors import ReconcilerError
    from reconciler.model.desired import DeliveryTestSettings
    from reconciler.model.plan import Change, Plan
    from reconciler.report.plan_file import SavedPlan

_LARGEST = 256 * 1024 * 1024
"""Bytes; a plan for 100,000 accounts is about half of that."""


def save(subject: PlanInput, path: str, invocation: Invocation) -> None:
    """Writes the plan document to ``path``. A plan that cannot be applied on any server is not saved."""
    if not any(plan.applicable for plan in subject.plans):
        invocation.print_note(f"{path} was not written: the plan cannot be applied.")
        return
    invocation.write_file(path, to_json(plan_document(subject, created_at=invocation.started_at)))


def read(path: str) -> SavedPlan:
    """Reads a saved plan.

    Raises:
        ReconcilerError: The file cannot be read, or is not a plan as ``plan --save`` wrote it.
    """
    return parse_plan(_read(path, unusable_plan), path)


def read_unfinished(path: str) -> frozenset[str] | None:
    """The names of the servers that did not succeed in an earlier result; ``None`` for all.

    Raises:
        ReconcilerError: The file cannot be read, or is not a result.
    """
    return parse_unfinished(_read(path, unusable_result), path)


def _read(path: str, unusable: Callable[[str, str], ReconcilerError]) -> bytes:
    from reconciler.manifest.files import read_bytes

    try:
        return read_bytes(path, _LARGEST, allow_pipe=True)
    except OSError as error:
        raise unusable(path, f"cannot be read: {error.strerror}") from error


def check(
    saved: SavedPlan, plan: Plan, invocation: Invocation, test: DeliveryTestSettings
) -> tuple[tuple[Change, Outcome], ...]:
    """Makes sure that the fresh plan does nothing but what was reviewed.

    Args:
        saved: The reviewed plan.
        plan: The fresh plan.
        invocation: Shows the differences.
        test: The command line's setting for delivery tests; it overrides the reviewed one.

    Returns:
        The reviewed changes that are in place already, with their outcomes.

    Raises:
        StalePlanError: The fresh plan does something else. Nothing was written.
    """
    found_plan = saved.servers.get(plan.server.url)
    if found_plan is None:
        message = (
            f"{saved.path} is a plan for {', '.join(saved.servers)}, not for {plan.server.url}; nothing was written"
        )
        raise StalePlanError(Problem(kind=Kind.STALE_PLAN, message=message, hint="plan and review again"))
    reviewed = found_plan.with_test(test)
    found = compare(reviewed.changes, plan, reviewed.uncompared)
    if found.differences:
        invocation.print_error_text(comparison_text(found.differences, invocation.style_of(sys.stderr)))
        count = len(found.differences)
        message = (
            f"the plan is not the reviewed one: {count} account{'s differ' if count > 1 else ' differs'};"
            " nothing was written"
        )
        summary = Problem(kind=Kind.STALE_PLAN, message=message, hint="plan and review again")
        unseen = () if invocation.format is Format.TEXT else found.differences  # a document shows no table
        raise StalePlanError(summary, *map(difference_problem, unseen))
    return tuple((change, Outcome.in_place(change)) for change in found.in_place)
