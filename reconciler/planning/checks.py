"""What must hold for an account's settings before they may be written or tried: its password's whereabouts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from reconciler.errors import Kind, Position, Problem
from reconciler.model.fields import DESTINATION_FIELDS
from reconciler.model.secret import UNKNOWN
from reconciler.model.trust import smtp_servers_of

_STRENGTH: Final = {"plain": 0, "login": 0, "cram-md5": 1}
_OTHER: Final = 2
"""Of a mechanism that this program does not know: whatever takes its place may be weaker."""

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconciler.model.account import Account, Fields
    from reconciler.model.desired import DesiredAccount
    from reconciler.model.plan import Change, FieldChange
    from reconciler.model.trust import Trust


def password_problems(
    desired: DesiredAccount, current: Account | None, after: Account, changes: Sequence[FieldChange]
) -> list[Problem]:
    """Why the settings ``after`` cannot be written: no password, an unknown one, or one that would travel elsewhere.

    Args:
        desired: The declaration.
        current: The account on the server, if it exists.
        after: ``current`` with the declared fields written over it.
        changes: What differs.
    """
    found: list[Problem] = []
    declared = "password" in desired.account.fields
    password = after.fields.get("password")
    if declared and password:
        return found
    authenticates = after.fields.get("has_auth") is True
    if authenticates and not password:
        found.append(
            problem_at(
                desired,
                Kind.PASSWORD_MISSING,
                f"{after.email} authenticates, but there is no password: none is declared, and the server shows none",
                "declare `password`, or `has_auth: false`",
            )
        )
    if current is None or declared:
        return found
    moved = [change.field for change in changes if change.field in DESTINATION_FIELDS or _weakens(change)]
    if moved and password:
        found.append(
            problem_at(
                desired,
                Kind.SECRET_DESTINATION,
                f"{after.email}: {', '.join(moved)} changes while the password is not declared; the stored password"
                " would be sent to a place that its owner never approved",
                "declare `password` too (or `password: null` to remove it)",
            )
        )
    if changes and loses_password(after, desired.account.fields):
        hint = "declare `password`" if authenticates else "declare `password`, or `password: null` to remove it"
        if current.mask is not None:
            hint += "; if what the server returns is no mask but the password, write `policy.passwords: shown`"
        found.append(
            problem_at(
                desired,
                Kind.PASSWORD_UNKNOWN,
                f"{after.email} has to be written as a whole, but the server hides its password and none is declared",
                hint,
            )
        )
    return found


def _weakens(change: FieldChange) -> bool:
    """Whether a login that keeps the password to itself becomes one that sends it, or may send it.

    Only a mechanism that the server shows can be compared: one that is not set never promised anything.
    """
    if change.field != "smtp_auth_mechanism":
        return False
    strength = [_STRENGTH.get(str(value or "plain").lower(), _OTHER) for value in (change.before, change.after)]
    return strength[1] < strength[0]


def destination_problems(desired: DesiredAccount, after: Fields, trust: Trust) -> list[Problem]:
    """Why an account as planned must not log in where it would, values that are on the server already included."""
    password = after.get("password")
    if not password or (password is UNKNOWN and after.get("has_auth") is False):
        return []
    return [
        problem_at(
            desired,
            Kind.NOT_TRUSTED,
            f"{desired.account.email} has a password and would log in at {host!r} ({field}), which is not listed in"
            f" {trust.file}",
            "list the SMTP server in the trust file if this is meant, or declare another one",
        )
        for field, host in smtp_servers_of(after)
        if not trust.lists_smtp_server(host)
    ]


def loses_password(after: Account, managed: Fields) -> bool:
    """Whether writing ``after`` would lose a password that nobody here knows.

    A write replaces the whole account, so a hidden password that is not declared is gone afterwards. Only a declared
    ``has_auth: false`` says that it is not needed any more.
    """
    return after.fields.get("password") is UNKNOWN and managed.get("has_auth") is not False


def test_problems(unaddressed: Sequence[DesiredAccount]) -> list[Problem]:
    """Why accounts cannot be tested for which nobody said to whom the mail goes."""
    if not unaddressed:
        return []
    first, *others = unaddressed
    who = f"{first.account.email} is" if not others else f"{first.account.email} and {len(others)} more are"
    message = f"{who} to be tested, but there is no address to send to"
    hint = "set `policy.test.to_email`, the account's `test.to_email`, or `--to-email`"
    return [problem_at(first, Kind.TEST_WITHOUT_ADDRESS, message, hint)]


def identity_problems(current: Sequence[Account]) -> tuple[Problem, ...]:
    """Why the server's list cannot be planned on: accounts without an id, or with the id of another one."""
    found = []
    holders: dict[int | None, Account] = {}
    for account in current:
        if account.id is None or account.id in holders:
            what = "no id" if account.id is None else f"the id of another account ({account.id})"
            message = f"the server lists {account.email} with {what}: nobody can say which account a write would hit"
            hint = "report it to the server's vendor; nothing can be planned on such a list"
            found.append(Problem(kind=Kind.BAD_IDENTITY, message=message, hint=hint, address=account.email))
        holders.setdefault(account.id, account)
    return tuple(found)


def taken_addresses(changes: Sequence[Change], kept: Sequence[Account]) -> list[Problem]:
    """Why accounts cannot have the addresses declared for them: other accounts hold them, and stay."""
    holders = {account.key: account for account in kept}
    found = []
    for change in changes:
        if change.after is None or (change.before and change.before.key == change.after.key):
            continue
        if holder := holders.get(change.after.key):
            message = f"{change.after.email} is the address of an account that stays as it is (id {holder.id})"
            hint = "declare that account too, or choose another address"
            found.append(_problem(change.address, change.position, Kind.ADDRESS_TAKEN, message, hint))
    return found


def problem_at(desired: DesiredAccount, kind: str, message: str, hint: str) -> Problem:
    """A problem with a declaration, with its place in the YAML."""
    return _problem(desired.account.email, desired.position, kind, message, hint)


def _problem(address: str, position: Position | None, kind: str, message: str, hint: str) -> Problem:
    return Problem(kind=kind, message=message, hint=hint, address=address, position=position)
