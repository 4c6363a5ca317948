"""Tells drift from commits: whether an account differs because the server changed, or because its declaration did.

The account as it last matched its declaration decides. A field that still has its value of then on the server was
changed in the declaration; one that has another value was changed on the server. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from reconciler.model.fields import SECRET_FIELDS
from reconciler.model.plan import Action
from reconciler.model.secret import source_of
from reconciler.planning.fields import normalized
from reconciler.report.view import public_fields
from reconciler.watch.records import Origin, VerifiedAccount

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from reconciler.model.account import Account
    from reconciler.model.desired import Desired
    from reconciler.model.plan import Change, Plan

WHOLE_ACCOUNT: Final = ""
"""Stands for all fields in ``Difference.drifted``: the account was created or deleted on the server."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Why an account differs.

    Attributes:
        drifted: The fields that were changed on the server.
    """

    origin: Origin
    drifted: tuple[str, ...] = ()


_MADE_OR_LOST: Final = Difference(Origin.DRIFT, (WHOLE_ACCOUNT,))


def difference(change: Change, verified: Mapping[str, VerifiedAccount] | None) -> Difference:
    """Why an account differs from its declaration.

    Args:
        change: What would make it match.
        verified: The server's accounts when it last matched. Without that, a create counts as a commit, and an update
            or a delete as drift.
    """
    # Somebody may have changed the address: then the account is known by the one that is declared.
    keys = [account.key for account in (change.before, change.after) if account]
    known = next((found for key in keys if (found := (verified or {}).get(key))), None)
    if change.action is Action.CREATE:
        return _MADE_OR_LOST if known and known.declared else Difference(Origin.COMMIT)
    drifted = tuple(_changed_on_server(change, known))
    if change.action is Action.DELETE:
        if known is None:
            return _MADE_OR_LOST
        return Difference(Origin.BOTH if drifted else Origin.COMMIT, drifted)
    if known is None:
        names = tuple(one.field for one in change.fields)
        return Difference(Origin.DRIFT if verified is None else Origin.BOTH, names)
    if not drifted:
        return Difference(Origin.COMMIT)
    return Difference(Origin.BOTH if _changed_in_declaration(change, known, drifted) else Origin.DRIFT, drifted)


def _changed_on_server(change: Change, known: VerifiedAccount | None) -> Iterable[str]:
    """The fields with which the server no longer has the value of then."""
    before = change.before
    if known is None or before is None:
        return
    now = public_fields(before)
    names = [one.field for one in change.fields] if change.action is Action.UPDATE else [*now]
    for name in names:
        if name in SECRET_FIELDS:
            if (before.fields[name] is not None or change.after) and _password_may_have_changed(before, known):
                yield name
        elif normalized(name, now.get(name)) != normalized(name, known.fields.get(name)):
            yield name


def _password_may_have_changed(before: Account, known: VerifiedAccount) -> bool:
    """Whether the password on the server may be another one. Only the time of the last change can show that."""
    return before.updated_at is None or before.updated_at != known.updated_at


def _changed_in_declaration(change: Change, known: VerifiedAccount, drifted: Iterable[str]) -> bool:
    """Whether the declaration has changed too: it wants what it did not want then."""
    after = public_fields(change.after) if change.after else {}
    for one in change.fields:
        if one.field in SECRET_FIELDS:
            # Its value of then is not kept. If neither time nor source is evidence, both may have changed.
            has_time = change.before is not None and change.before.updated_at is not None
            if one.field not in drifted or not has_time or change.password_from != known.password_from:
                return True
        elif normalized(one.field, after.get(one.field)) != normalized(one.field, known.fields.get(one.field)):
            return True
    return not known.declared


def verified_accounts(
    plan: Plan, desired: Desired, earlier: Mapping[str, VerifiedAccount] | None
) -> Mapping[str, VerifiedAccount]:
    """The accounts to compare with from now on: those that match as they are, the others as they last matched.

    Args:
        plan: A fresh plan, with the accounts that stay as they are.
        desired: The declaration that it was made from.
        earlier: What was known before.
    """
    sources = {one.account.key: source_of(one.account.fields.get("password")) for one in desired.accounts}
    found = dict(earlier or {})
    differing = {account.key for change in plan.changes for account in (change.before, change.after) if account}
    for change in plan.changes if earlier is None else ():
        if change.before and change.after:  # it counts as drift from now on, as it does without a state
            wanted = change.after._replace(updated_at=None)
            found[change.before.key] = _verified(wanted, declared=True, password_from=change.password_from)
    for account in plan.untouched:
        found[account.key] = _verified(account, declared=False)
    for account in plan.unchanged:
        found[account.key] = _verified(account, declared=True, password_from=sources.get(account.key))
    current = {account.key for account in plan.current}
    return {key: one for key, one in found.items() if key in current or key in differing}


def after_write(
    verified: Mapping[str, VerifiedAccount], change: Change, written: Account | None
) -> Mapping[str, VerifiedAccount]:
    """The accounts to compare with after a change was made.

    Args:
        verified: What was known before.
        change: The change.
        written: The account as the server has it now, if that is known.
    """
    gone = {account.key for account in (change.before, change.after) if account}
    found = {key: one for key, one in verified.items() if key not in gone}
    if account := written or change.after:
        found[account.key] = _verified(account, declared=True, password_from=change.password_from)
    return found


def _verified(account: Account, *, declared: bool, password_from: str | None = None) -> VerifiedAccount:
    return VerifiedAccount(
        declared=declared, fields=public_fields(account), updated_at=account.updated_at, password_from=password_from
    )
