"""Saved plans: written by ``plan --save``, held against a fresh plan by ``apply --plan``."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from reconciler.errors import Kind, Problem, ReconcilerError, StalePlanError
from reconciler.model.account import Account
from reconciler.model.desired import DeliveryTestSettings, DeliveryTestWhen
from reconciler.model.fields import SECRET_FIELDS
from reconciler.model.outcome import Outcome
from reconciler.model.plan import Action, Change
from reconciler.planning.saved import account_in_place, compare
from reconciler.report.formats import Format
from reconciler.report.to_comparison import comparison_text, comparison_words
from reconciler.report.to_json import FORMAT_VERSION, digest, plan_document, said_test, to_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconciler.commands.invocation import Invocation
    from reconciler.model.plan import Plan
    from reconciler.planning.saved import Difference

_LARGEST = 256 * 1024 * 1024
"""Bytes; a plan for 100,000 accounts is about half of that."""


@dataclass(frozen=True, slots=True)
class SavedPlan:
    """A plan file that is whole: it parses, and its digest is that of its changes."""

    path: str
    url: str
    changes: Sequence[dict[str, Any]]
    uncompared: Sequence[dict[str, Any]] | None = None


def save(plan: Plan, path: str, invocation: Invocation) -> None:
    """Writes the plan document to ``path``. A plan that cannot be applied is not saved."""
    if not plan.applicable:
        invocation.print_note(f"{path} was not written: the plan cannot be applied.")
        return
    invocation.write_file(path, to_json(plan_document(plan, created_at=invocation.started_at)))


def read(path: str) -> SavedPlan:
    """Reads a saved plan.

    Raises:
        ReconcilerError: The file cannot be read, or is not a plan as ``plan --save`` wrote it.
    """
    from reconciler.manifest.files import read_bytes

    try:
        document = json.loads(read_bytes(path, _LARGEST, allow_pipe=True))
        (server,) = document["servers"]
        changes = document["resource_changes"]
        uncompared = document.get("not_compared")
        everything = [*changes, *(uncompared or ())]
        intact = document["digest"] == digest(everything) and all(map(_is_change, everything))
        complete = document["format_version"] == FORMAT_VERSION and document["applyable"] is True
        url = str(server["url"])
    except OSError as error:
        raise _unusable(path, f"cannot be read: {error.strerror}") from error
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise _unusable(path, "is not a saved plan, or was cut short") from error
    if not complete:
        raise _unusable(path, "holds a plan that cannot be applied")
    if not intact:
        raise _unusable(path, "was changed after it was saved")
    return SavedPlan(path, url, changes, uncompared)


class Done(NamedTuple):
    """A reviewed change that was in place before the run, as a change whose outcome can be checked at the end of it."""

    change: Change
    outcome: Outcome


def check(saved: SavedPlan, plan: Plan, invocation: Invocation, test: DeliveryTestSettings) -> tuple[Done, ...]:
    """Makes sure that the fresh plan does nothing but what was reviewed.

    Args:
        saved: What was reviewed.
        plan: The fresh plan.
        invocation: Shows the differences.
        test: What the command line says about delivery tests, over what was reviewed.

    Returns:
        The reviewed changes that are in place already, whoever has made them.

    Raises:
        StalePlanError: It would do something else. Nothing was written.
    """
    if saved.url != plan.server.url:
        message = f"{saved.path} is a plan for {saved.url}, not for {plan.server.url}; nothing was written"
        raise StalePlanError(Problem(kind=Kind.STALE_PLAN, message=message, hint="plan and review again"))
    fresh = plan_document(plan, created_at=invocation.started_at)["resource_changes"]
    reviewed, uncompared = (
        None if some is None else [_with_test(one, test) for one in some] for some in (saved.changes, saved.uncompared)
    )
    found = compare(reviewed or (), fresh, plan, uncompared)
    if found.differences:
        invocation.print_error_text(comparison_text(found.differences, invocation.style_of(sys.stderr)))
        count = len(found.differences)
        message = (
            f"the plan is not the reviewed one: {count} account{'s differ' if count > 1 else ' differs'};"
            " nothing was written"
        )
        summary = Problem(kind=Kind.STALE_PLAN, message=message, hint="plan and review again")
        raise StalePlanError(summary, *([] if invocation.format is Format.TEXT else map(_in_words, found.differences)))
    return tuple(_done(one, plan) for one in found.done)


def _done(reviewed: dict[str, Any], plan: Plan) -> Done:
    what = reviewed["change"]
    action, address, account_id = Action(what["actions"][0]), reviewed["name"], reviewed["id"]
    if action is Action.DELETE:
        gone = Account({"email": what["before"]["email"]}, account_id)
        change = Change(action=action, address=address, before=gone, after=None)
    else:
        there = account_in_place(reviewed, plan)
        values = {name: what["after"][name] for name in reviewed["fields"] if name not in SECRET_FIELDS}
        change = Change(action=action, address=address, before=there, after=there, managed=values)
        account_id = there.id if there else account_id
    return Done(change, replace(Outcome.in_place(change), id=account_id))


def _with_test(change: dict[str, Any], given: DeliveryTestSettings) -> dict[str, Any]:
    """A reviewed change with what the command line says about its test."""
    if not (given.when or given.to_email) or change["change"]["after"] is None:
        return change
    was = change.get("test") or {}
    test = given.over(
        DeliveryTestSettings(DeliveryTestWhen(was["when"]) if "when" in was else None, was.get("to_email"))
    )
    return {**change, "test": said_test(test) or None}


def _in_words(difference: Difference) -> Problem:
    """A difference for a document, which has no place for a table."""
    return Problem(kind=Kind.STALE_PLAN, message=comparison_words(difference), address=difference.address)


def _is_change(entry: dict[str, Any]) -> bool:
    """Whether an entry is as the planner makes them: a digest can be computed by anybody."""
    what = entry["change"]
    (action,) = what["actions"]
    before, after = (what[side] for side in ("before", "after"))
    return (
        action in tuple(Action)
        and (before is None) == (action == Action.CREATE)
        and (after is None) == (action == Action.DELETE)
        and all(side is None or isinstance(side["email"], str) for side in (before, after))
        and all(isinstance(text, str) for text in (entry["address"], entry["name"], *entry["fields"]))
        and isinstance(entry.get("password_from", ""), str)
        and _is_test(entry.get("test", {}))
    )


def _is_test(test: dict[str, Any]) -> bool:
    return DeliveryTestWhen(test.get("when", "off")) in DeliveryTestWhen and isinstance(test.get("to_email", ""), str)


def _unusable(path: str, what: str) -> ReconcilerError:
    return ReconcilerError(
        Problem(
            kind=Kind.BAD_PLAN_FILE,
            message=f"{path or repr(path)} {what}",
            hint="make a new one with `reconciler plan --save`",
        )
    )
