"""What a reviewer must know besides the changes: why a plan is unsafe, and what to look at even if it is safe."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from reconciler.errors import Kind, Problem
from reconciler.model.account import name_key
from reconciler.model.desired import DeliveryTestWhen
from reconciler.model.display import shorten
from reconciler.model.fields import DESTINATION_FIELDS
from reconciler.model.secret import UNKNOWN
from reconciler.model.trust import smtp_servers_of
from reconciler.planning.fields import is_hidden

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from reconciler.model.account import Account, Fields, Globs
    from reconciler.model.desired import Desired, DesiredAccount
    from reconciler.model.plan import Change, FieldChange, Plan
    from reconciler.model.trust import Trust

_STRENGTH: Final = {"plain": 0, "login": 0, "cram-md5": 1}
_UNKNOWN_STRENGTH: Final = 2
"""The strength of an unknown mechanism: any other may be weaker."""

_LONGEST_NAME: Final = 60
_MOST_NAMES: Final = 3


def password_problems(
    desired: DesiredAccount, current: Account | None, after: Account, changes: Sequence[FieldChange]
) -> Iterator[Problem]:
    """Yields why the settings ``after`` cannot be written: no password, an unknown one, or one that would go elsewhere.

    Args:
        desired: The declaration.
        current: The account on the server, if it exists.
        after: ``current`` with the declared fields written over it.
        changes: What differs.
    """
    declared = "password" in desired.account.fields
    password = after.fields.get("password")
    if declared and password:
        return
    authenticates = after.fields.get("has_auth") is True
    if authenticates and not password:
        yield problem_at(
            desired,
            Kind.PASSWORD_MISSING,
            f"{after.email} authenticates, but there is no password: none is declared, and the server shows none",
            "declare `password`, or `has_auth: false`",
        )
    if current is None or declared:
        return
    moved = [change.field for change in changes if change.field in DESTINATION_FIELDS or _weakens(change)]
    if moved and password:
        yield problem_at(
            desired,
            Kind.SECRET_DESTINATION,
            f"{after.email}: {', '.join(moved)} changes while the password is not declared; the stored password would"
            " be sent to a server that its owner never approved",
            "declare `password` too (or `password: null` to remove it)",
        )
    if changes and loses_password(after, desired.account.fields):
        hint = "declare `password`" if authenticates else "declare `password`, or `password: null` to remove it"
        if current.mask is not None:
            hint += "; if what the server returns is no mask but the password, write `policy.passwords: shown`"
        yield problem_at(
            desired,
            Kind.PASSWORD_UNKNOWN,
            f"{after.email} has to be written as a whole, but the server hides its password and none is declared",
            hint,
        )


def _weakens(change: FieldChange) -> bool:
    """Whether a login that does not reveal the password becomes one that does, or may.

    Only a mechanism that the server shows can be compared: one that is not set promises nothing.
    """
    if change.field != "smtp_auth_mechanism":
        return False
    strength = [
        _STRENGTH.get(str(value or "plain").lower(), _UNKNOWN_STRENGTH) for value in (change.before, change.after)
    ]
    return strength[1] < strength[0]


def loses_password(after: Account, managed: Fields) -> bool:
    """Whether writing ``after`` would lose a password that only the server knows.

    A write replaces the whole account, so a hidden password that is not declared is gone afterwards. Only a declared
    ``has_auth: false`` means that it is no longer needed.
    """
    return after.fields.get("password") is UNKNOWN and managed.get("has_auth") is not False


def destination_problems(desired: DesiredAccount, after: Fields, trust: Trust) -> Iterator[Problem]:
    """Yields the SMTP servers of a planned account that are not trusted with its password.

    They count even if the server has them already.
    """
    password = after.get("password")
    if not password or (password is UNKNOWN and after.get("has_auth") is False):
        return
    for field, host in smtp_servers_of(after):
        if not trust.lists_smtp_server(host):
            yield problem_at(
                desired,
                Kind.NOT_TRUSTED,
                f"{desired.account.email} has a password and would log in at {host!r} ({field}), which is not listed in"
                f" {trust.file}",
                "list the SMTP server in the trust file if this is meant, or declare another one",
            )


def recipient_problems(without_recipient: Sequence[DesiredAccount]) -> Iterator[Problem]:
    """Yields a problem if accounts need a delivery test, but no recipient is set."""
    if not without_recipient:
        return
    first, *others = without_recipient
    who = f"{first.account.email} is" if not others else f"{first.account.email} and {len(others)} more are"
    message = f"{who} to be tested, but there is no address to send to"
    hint = "set `policy.test.to_email`, the account's `test.to_email`, or `--to-email`"
    yield problem_at(first, Kind.TEST_WITHOUT_ADDRESS, message, hint)


def identity_problems(current: Sequence[Account]) -> tuple[Problem, ...]:
    """Why no plan can be made from the server's list: accounts without an id, or with the id of another one."""
    found = []
    seen: set[int] = set()
    for account in current:
        if account.id is None or account.id in seen:
            what = "no id" if account.id is None else f"the id of another account ({account.id})"
            message = (
                f"the server lists {account.email} with {what}: it is ambiguous which account a write would change"
            )
            hint = "report it to the server's vendor; nothing can be planned on such a list"
            found.append(Problem(kind=Kind.BAD_IDENTITY, message=message, hint=hint, address=account.email))
        else:
            seen.add(account.id)
    return tuple(found)


def taken_addresses(changes: Sequence[Change], untouched: Sequence[Account]) -> Iterator[Problem]:
    """Yields the changes that give an account the address of another one, which stays as it is."""
    holders = {account.key: account for account in untouched}
    for change in changes:
        if change.after is None or (change.before and change.before.key == change.after.key):
            continue
        if holder := holders.get(change.after.key):
            yield Problem(
                kind=Kind.ADDRESS_TAKEN,
                message=f"{change.after.email} is the address of an account that stays as it is (id {holder.id})",
                hint="declare that account too, or choose another address",
                address=change.address,
                position=change.position,
            )


def password_notes(current: Account, after: Account, managed: Fields, changes: Sequence[FieldChange]) -> Iterator[str]:
    """Yields what an update does to a password that cannot be compared, if its fields do not show it."""
    if any(change.field == "password" for change in changes):
        return
    if is_hidden(managed.get("password")):
        yield "its password is not compared"
    elif current.fields.get("password") is not UNKNOWN:
        return
    elif "password" in managed:
        what = "the declaration clears it" if managed["password"] is None else "the declared one is sent along"
        yield f"the server hides its password; {what}"
    elif after.fields.get("has_auth") is not True:  # otherwise it is an error of the plan, which explains more
        yield "the server hides its password, which is not sent and may be lost; nothing needs it without `has_auth`"


def masked_notes(current: Account) -> Iterator[str]:
    """Yields what a write does to fields that this program does not know, if the server hides them."""
    if current.masked_extra:
        names = [shorten(name, _LONGEST_NAME) for name in current.masked_extra]
        more = len(names) - _MOST_NAMES
        listed = ", ".join(names[:_MOST_NAMES]) + (f" and {more} more" if more > 0 else "")
        yield f"the server hides {listed}, which {'is' if len(names) == 1 else 'are'} not sent and may be lost"


def undeclared_only_warning(only: Globs, servers: Iterable[Desired]) -> Iterator[Problem]:
    """Warns if ``--only`` matches no account that is declared for any of the servers."""
    if only and not any(entry.in_scope(only) for desired in servers for entry in desired.accounts):
        yield unmatched_only_warning(only, "declared account")


def unused_recipient_warning(to_email: str | None, plans: Iterable[Plan]) -> Iterator[Problem]:
    """Warns if ``--to-email`` was given and accounts are written, but none is tested: no mail will be sent."""
    written = [change for plan in plans for change in plan.changes if change.after] if to_email else []
    if written and all(change.test.when in (None, DeliveryTestWhen.OFF) for change in written):
        yield Problem(
            kind=Kind.TO_EMAIL_NOT_USED,
            message="--to-email is not used: nothing is tested",
            hint="add `--test before` or `--test after`",
        )


def unmatched_only_warning(only: Globs, what: str = "account") -> Problem:
    """Warns that ``--only`` matches no account at all, which would look like success."""
    return Problem(
        kind=Kind.ONLY_MEANS_NOTHING,
        message=f"--only {' --only '.join(only.patterns)}: no {what} has such an address",
        hint="check the spelling; quote `*`, so that the shell leaves it alone",
    )


def suspension(reason: str, what: str) -> Problem:
    """Nothing is written to a suspended server; ``what`` says that of the present case."""
    message = f"the server is suspended: {reason}; {what}"
    return Problem(kind=Kind.SUSPENDED, message=message, hint="remove server.suspended when the reason is gone")


def hidden_password_warning(count: int) -> Iterator[Problem]:
    """Warns about declared passwords of unchanged accounts that could not be compared."""
    if count:
        yield Problem(
            kind=Kind.PASSWORD_HIDDEN,
            message=f"the server hides {count} declared password{'s' if count > 1 else ''}: counted as unchanged",
            hint="`--rotate-passwords` sends what is declared",
        )


def uncompared_password_warning(count: int) -> Iterator[Problem]:
    """Warns about declared passwords of otherwise unchanged accounts that were not resolved."""
    if count:
        yield Problem(
            kind=Kind.PASSWORDS_NOT_COMPARED,
            message=f"{count} declared password{'s' if count > 1 else ''} of unchanged accounts: not compared",
            hint="`apply` sends the passwords that differ; a plan without --no-secrets shows which",
        )


def default_outside_only_warning(desired: DesiredAccount, successor: str) -> Problem:
    """Warns that the former default account is in the scope of ``--only``, and the new one is not."""
    return Problem(
        kind=Kind.DEFAULT_OUTSIDE_ONLY,
        message=f"{desired.account.email} stays the default account, as --only leaves out {successor}",
        hint=f"name {successor} with `--only` too",
        address=desired.account.email,
    )


def default_account_warning(
    current: Sequence[Account], changes: Sequence[Change], others: Sequence[Account]
) -> Iterator[Problem]:
    """Warns if the server would lose its default account, or get more than one.

    Args:
        current: All accounts on the server.
        changes: The changes of the plan.
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


def taken_name_warnings(changes: Sequence[Change], untouched: Sequence[Account]) -> Iterator[Problem]:
    """Yields the changes that give an account the name of another one, which keeps it."""
    holders = {name_key(account.name): account for account in reversed(untouched) if name_key(account.name)}
    for change in changes if holders else ():
        after = name_key(change.after.name) if change.after else ""
        if after == (name_key(change.before.name) if change.before else ""):
            continue
        if change.after and (holder := holders.get(after)):
            yield Problem(
                kind=Kind.DUPLICATE_NAME,
                message=f"{change.address} gets the name {change.after.name!r}, which {holder.email} has too",
                hint="the server may not allow it; give each account its own name",
                address=change.address,
            )


def problem_at(desired: DesiredAccount, kind: str, message: str, hint: str) -> Problem:
    """A problem with a declaration, with its position in the YAML."""
    return Problem(kind=kind, message=message, hint=hint, address=desired.account.email, position=desired.position)
