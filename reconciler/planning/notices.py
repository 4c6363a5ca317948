"""What a reviewer should look at, although nothing is wrong with the plan."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.errors import Kind, Problem
from reconciler.model.secret import UNKNOWN
from reconciler.planning.fields import is_hidden
from reconciler.planning.requirements import folded

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from reconciler.model.account import Account, Fields, Globs
    from reconciler.model.desired import DesiredAccount
    from reconciler.model.plan import Change, FieldChange


def password_notes(
    current: Account, after: Account, managed: Fields, changes: Sequence[FieldChange]
) -> tuple[str, ...]:
    """What an update does to a password that the server hides, where its fields do not say so."""
    if is_hidden(managed.get("password")):
        return () if any(change.field == "password" for change in changes) else ("its password is not compared",)
    if current.fields.get("password") is not UNKNOWN or any(change.field == "password" for change in changes):
        return ()
    if "password" not in managed:
        if after.fields.get("has_auth") is True:
            return ()  # that is an error of the plan, which says more
        return (
            "the server hides its password, which is not sent and may be lost; nothing needs it without `has_auth`",
        )
    if managed["password"] is None:
        return ("the server hides its password; the declaration clears it",)
    return ("the server hides its password; the declared one is sent along",)


def unmatched_only_warning(only: Globs) -> Problem:
    """``--only`` means no account at all, which looks like success."""
    return Problem(
        kind=Kind.ONLY_MEANS_NOTHING,
        message=f"--only {' --only '.join(only.patterns)}: no account has such an address",
        hint="check the spelling; quote `*`, so that the shell leaves it alone",
    )


def hidden_password_warning(count: int) -> Iterator[Problem]:
    """Declared passwords of unchanged accounts that could not be compared."""
    if count:
        yield Problem(
            kind=Kind.PASSWORD_HIDDEN,
            message=f"the server hides {count} declared password{'s' if count > 1 else ''}: counted as unchanged",
            hint="`--rotate-passwords` sends what is declared",
        )


def uncompared_passwords(count: int) -> Iterator[Problem]:
    """Declared passwords of accounts that are unchanged otherwise, and that may differ all the same."""
    if count:
        yield Problem(
            kind=Kind.PASSWORDS_NOT_COMPARED,
            message=f"{count} declared password{'s' if count > 1 else ''} of unchanged accounts: not compared",
            hint="`apply` sends the passwords that differ; a plan without --no-secrets shows which",
        )


def default_kept(desired: DesiredAccount, successor: str) -> Problem:
    """The old default account is in the scope of ``--only``, and the new one is not."""
    return Problem(
        kind=Kind.DEFAULT_OUTSIDE_ONLY,
        message=f"{desired.account.email} stays the default account, as --only leaves out {successor}",
        hint=f"name {successor} with `--only` too",
        address=desired.account.email,
    )


def default_account(
    current: Sequence[Account], changes: Sequence[Change], others: Sequence[Account]
) -> Iterator[Problem]:
    """The system's default account is about to get lost, or to have company.

    Args:
        current: All accounts on the server.
        changes: What is to be done.
        others: The accounts that do not change.
    """
    was = [account.email for account in current if account.is_default]
    after = [change.after for change in changes if change.after]
    will = sorted(account.email for account in (*after, *others) if account.is_default)
    if was and not will:
        yield Problem(
            kind=Kind.NO_DEFAULT,
            message=f"no account will be the default one; now it is {', '.join(was)}",
            hint="declare one account with `default: true`",
        )
    elif len(will) > 1 and len(will) > len(was):
        yield Problem(
            kind=Kind.SEVERAL_DEFAULTS,
            message=f"more than one account will be the default one: {', '.join(will)}",
            hint="what is ignored, protected, unmanaged or outside `--only` is left alone",
        )


def taken_name_warnings(changes: Sequence[Change], kept: Sequence[Account]) -> Iterator[Problem]:
    """Accounts that are given a name which another account has, and keeps."""
    holders = {folded(account.name): account for account in reversed(kept) if folded(account.name)}
    for change in changes if holders else ():
        after = folded(change.after.name) if change.after else ""
        if after == (folded(change.before.name) if change.before else ""):
            continue
        if change.after and (holder := holders.get(after)):
            yield Problem(
                kind=Kind.DUPLICATE_NAME,
                message=f"the name {change.after.name!r} of {change.address} is that of {holder.email}, too",
                hint="the server may not allow it; give each account its own name",
                address=change.address,
            )
