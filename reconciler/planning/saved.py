"""Compares the changes of a reviewed plan with those of a fresh one: only what was reviewed may be written.

A saved plan holds no secret. Of a password, it binds the source; where the server hides passwords, the time of the
account's last change shows that it may be another one now. Delivery tests are compared too.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from reconciler.model.account import label_key
from reconciler.model.fields import FIELDS, SECRET_FIELDS
from reconciler.model.secret import UNKNOWN
from reconciler.planning.fields import TIMES, changed_since, is_different, is_recreated

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from reconciler.model.account import Account
    from reconciler.model.plan import Change, Plan


@dataclass(frozen=True, slots=True)
class PlanDifference:
    """A change that differs from what was reviewed; one of the two sides may be missing."""

    address: str
    reviewed: Change | None
    fresh: Change | None

    @property
    def in_account(self) -> tuple[str, ...]:
        """The fields and times that are not the same in the accounts of both sides, whether they change or not."""
        return _account_differences(self.reviewed, self.fresh) if self.reviewed and self.fresh else ()


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
    unchanged: defaultdict[str, list[Account]] = defaultdict(list)
    for account in plan.unchanged if then.keys() - now.keys() else ():
        unchanged[account.key].append(account)
    in_place, differences = [], []
    for key, change in then.items():
        fresh = now.get(key)
        if fresh is None and (done := _in_place(change, plan, unchanged)):
            in_place.append(done)
        elif fresh is None or core(fresh) != core(change) or _account_differences(change, fresh):
            differences.append(PlanDifference(change.address, change, fresh))
    for key, change in now.items():
        expected = possible.get(key)
        is_expected = expected and _core(expected) == _core(change) and not _account_differences(expected, change)
        if key not in then and not is_expected:
            differences.append(PlanDifference(change.address, expected, change))
    in_order = sorted(differences, key=lambda difference: label_key(difference.address))
    return PlanComparison(tuple(in_place), tuple(in_order))


def _core(change: Change) -> tuple[Any, ...]:
    """What a reviewer has agreed to, besides the account; the reason may by now name another line of the file."""
    names = sorted(field_change.field for field_change in change.fields)
    return (change.id, change.action, change.password_from, change.test.described(), names)


def _core_without_passwords(change: Change) -> tuple[Any, ...]:
    """The same, for a plan that did not compare the declared password."""
    *others, names = _core(change)
    is_declared = change.password_from is not None
    return (*others, [name for name in names if name != "password" or not is_declared])


def _account_differences(reviewed: Change, fresh: Change) -> tuple[str, ...]:
    """The fields and times that are not as reviewed, in the account as it is or as it will be.

    Some servers set the time of the last change although nothing has changed. It counts only if a password that the
    server hides would be lost.
    """
    sides = ((reviewed.before, fresh.before), (reviewed.after, fresh.after))
    found = {name for one, other in sides if one and other for name in changed_since(one, other)}
    found -= SECRET_FIELDS
    if all(
        change.before is None or change.before.fields.get("password") is not UNKNOWN for change in (reviewed, fresh)
    ):
        found.discard("updated_at")
    return tuple(name for name in (*FIELDS, *TIMES) if name in found)


def _in_place(reviewed: Change, plan: Plan, unchanged: Mapping[str, Sequence[Account]]) -> Change | None:
    """The change, if it no longer needs a write; with the account that the fresh plan finds as declared."""
    if reviewed.after is None:
        return reviewed if all(account.id != reviewed.id for account in plan.current) else None
    for account in unchanged.get(reviewed.after.key, ()):
        if _is_made(reviewed, account, plan):
            managed = {changed.field: account.fields.get(changed.field) for changed in reviewed.fields}
            return replace(reviewed, before=account, after=account, managed=managed)
    return None


def _is_made(reviewed: Change, account: Account, plan: Plan) -> bool:
    """Whether an account has every value that the change gives it; one that cannot be compared is not proved to be."""
    if reviewed.before and (reviewed.id != account.id or is_recreated(reviewed.before, account)):
        return False
    values = {changed.field: changed.after for changed in reviewed.fields}
    if is_different(account, {name: value for name, value in values.items() if name not in SECRET_FIELDS}):
        return False
    if "password" not in values:
        return True
    if reviewed.password_from is None:
        return not account.fields.get("password")
    if reviewed.before and account.fields.get("password") is UNKNOWN:
        return False  # whether the declared password was sent cannot be seen
    return plan.password_sources.get(account.id) == reviewed.password_from
