"""Holds a reviewed plan against a fresh one: only what was reviewed may be written.

Both come as the ``resource_changes`` of the plan document. A secret's value is in neither, so that a password that was
changed since the review cannot be told from the one that was reviewed. Where it comes from is in both, and so is where
delivery tests go.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from reconciler.model.account import identity, label_key
from reconciler.planning.fields import normalized

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from reconciler.model.account import Account
    from reconciler.model.plan import Plan

ResourceChange = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Difference:
    """A change that is not what was reviewed; one of the two sides may be missing."""

    address: str
    reviewed: ResourceChange | None
    fresh: ResourceChange | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """How a fresh plan relates to the reviewed one.

    Attributes:
        done: Reviewed changes that somebody has made already.
        differences: Whatever is new, different, or not to be done any more.
    """

    done: tuple[ResourceChange, ...]
    differences: tuple[Difference, ...]


def compare(
    reviewed: Sequence[ResourceChange],
    fresh: Sequence[ResourceChange],
    plan: Plan,
    uncompared: Sequence[ResourceChange] | None = None,
) -> Comparison:
    """Compares change by change.

    Args:
        reviewed: The saved plan's changes.
        fresh: The fresh plan's changes.
        plan: The fresh plan, for telling a change that was made already from one that is no longer planned.
        uncompared: Changes of passwords that may be planned too, because the reviewed plan did not compare passwords;
            ``None`` if it did.
    """
    core = _core if uncompared is None else _core_without_passwords
    now = {_key(one): one for one in fresh}
    then = {_key(one): one for one in reviewed}
    possible = {_key(one): one for one in uncompared or ()}
    done, differences = [], []
    for key, one in then.items():
        if key not in now and _is_done(one, plan):
            done.append(one)
        elif key not in now or core(now[key]) != core(one):
            differences.append(Difference(one["name"], one, now.get(key)))
    for key, one in now.items():
        if key not in then and (key not in possible or _core(possible[key]) != _core(one)):
            differences.append(Difference(one["name"], possible.get(key), one))
    return Comparison(tuple(done), tuple(sorted(differences, key=lambda one: label_key(one.address))))


def _key(change: Mapping[str, Any]) -> tuple[str, str]:
    """Tells changes apart; addresses that occur twice have their ids in them."""
    return label_key(change["name"])


def _core(change: Mapping[str, Any]) -> tuple[Any, ...]:
    """What a reviewer has agreed to; the reason may name another line of the file by now."""
    what = change["change"]
    before, after = _state(what["before"]), _state(what["after"])
    secret = (change.get("password_from"), change.get("test"))
    return (change["id"], what["actions"], before, after, *secret, sorted(change["fields"]))


def _core_without_passwords(change: Mapping[str, Any]) -> tuple[Any, ...]:
    """The same, for a plan that does not say whether the declared password differs."""
    *others, fields = _core(change)
    is_declared = change.get("password_from") is not None
    return (*others, [name for name in fields if name != "password" or not is_declared])


def _state(fields: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """An account without the spelling of its addresses, which is nothing to agree to."""
    return None if fields is None else {name: normalized(name, value) for name, value in fields.items()}


def _is_done(reviewed: Mapping[str, Any], plan: Plan) -> bool:
    (action,) = reviewed["change"]["actions"]
    if action == "delete":
        return all(account.id != reviewed["id"] for account in plan.current)
    return account_in_place(reviewed, plan) is not None


def account_in_place(reviewed: Mapping[str, Any], plan: Plan) -> Account | None:
    """The account that a reviewed create or update asks for, if the fresh plan finds it as it is declared."""
    wanted, account_id = identity(reviewed["change"]["after"]["email"]), reviewed["id"]
    found = (account for account in plan.unchanged if account.key == wanted)
    return next((account for account in found if account_id is None or account.id == account_id), None)
