"""Compares the changes of a reviewed plan with those of a fresh one: only what was reviewed may be written.

A saved plan holds no secret, so a password that was changed since the review goes unnoticed. Its source is compared,
and so are delivery tests.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from reconciler.model.account import label_key
from reconciler.model.fields import SECRET_FIELDS
from reconciler.model.plan import Action
from reconciler.planning.fields import normalized

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconciler.model.account import Account
    from reconciler.model.plan import Change, Plan


@dataclass(frozen=True, slots=True)
class PlanDifference:
    """A change that differs from what was reviewed; one of the two sides may be missing."""

    address: str
    reviewed: Change | None
    fresh: Change | None


@dataclass(frozen=True, slots=True)
class PlanComparison:
    """How a fresh plan relates to the reviewed one.

    Attributes:
        in_place: Reviewed changes that are in place already, with the accounts as they are, so that they can be checked
            at the end of a run.
        differences: Changes that are new, different, or not planned any more.
    """

    in_place: tuple[Change, ...]
    differences: tuple[PlanDifference, ...]


def compare(reviewed: Sequence[Change], plan: Plan, uncompared: Sequence[Change] | None = None) -> PlanComparison:
    """Compares change by change.

    Args:
        reviewed: The saved plan's changes.
        plan: The fresh plan.
        uncompared: Changes of passwords that may be planned too, because the reviewed plan did not compare passwords;
            ``None`` if it did.
    """
    core = _core if uncompared is None else _core_without_passwords
    now = {label_key(change.address): change for change in plan.changes}
    then = {label_key(change.address): change for change in reviewed}
    possible = {label_key(change.address): change for change in uncompared or ()}
    in_place, differences = [], []
    for key, change in then.items():
        if key not in now and (done := _in_place(change, plan)):
            in_place.append(done)
        elif key not in now or core(now[key]) != core(change):
            differences.append(PlanDifference(change.address, change, now.get(key)))
    for key, change in now.items():
        if key not in then and (key not in possible or _core(possible[key]) != _core(change)):
            differences.append(PlanDifference(change.address, possible.get(key), change))
    in_order = sorted(differences, key=lambda difference: label_key(difference.address))
    return PlanComparison(tuple(in_place), tuple(in_order))


def _core(change: Change) -> tuple[Any, ...]:
    """What a reviewer has agreed to; the reason may by now name another line of the file."""
    names = sorted(field_change.field for field_change in change.fields)
    states = (_state(change.before), _state(change.after))
    return (change.id, change.action, *states, change.password_from, change.test.described(), names)


def _core_without_passwords(change: Change) -> tuple[Any, ...]:
    """The same, for a plan that did not compare the declared password."""
    *others, names = _core(change)
    is_declared = change.password_from is not None
    return (*others, [name for name in names if name != "password" or not is_declared])


def _state(account: Account | None) -> dict[str, object] | None:
    """An account without secrets, and without the spelling of addresses, which needs no agreement."""
    if account is None:
        return None
    fields = account.fields.items()
    state = {name: None if name in SECRET_FIELDS else normalized(name, value) for name, value in fields}
    return {**state, "id": account.id}


def _in_place(reviewed: Change, plan: Plan) -> Change | None:
    """The change, if it no longer needs a write; with the account that the fresh plan finds as declared."""
    if reviewed.action is Action.DELETE:
        return reviewed if all(account.id != reviewed.id for account in plan.current) else None
    found = [
        account
        for account in plan.unchanged
        if reviewed.after and account.key == reviewed.after.key and reviewed.id in (None, account.id)
    ]
    if not found:
        return None
    managed = {changed.field: changed.after for changed in reviewed.fields if changed.field not in SECRET_FIELDS}
    return replace(reviewed, before=found[0], after=found[0], managed=managed)
