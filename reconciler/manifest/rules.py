"""The rules that hold within an account and among all accounts of the set."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from reconciler.errors import Kind
from reconciler.manifest.issues import Issue
from reconciler.model.account import identity, nfc
from reconciler.model.display import shorten

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence

    from reconciler.manifest.accounts import Declared
    from reconciler.manifest.issues import NodeRef
    from reconciler.model.account import Globs


def check_rules(accounts: Sequence[Declared], ignore: Globs) -> Iterator[Issue]:
    """Everything that the rules find, in no particular order."""
    for account in accounts:
        yield from _within(account)
    yield from _twice(accounts)
    yield from _shared_pins(accounts)
    yield from _several_defaults(accounts)
    yield from _same_origin(accounts)
    if ignore:
        yield from _ignored(accounts, ignore)


def duplicate_name_warnings(accounts: Sequence[Declared]) -> Iterator[Issue]:
    """Warnings for accounts of one name: the server may or may not allow it."""
    for first, others in _groups(accounts, _name):
        for other in others:
            yield _issue(
                other,
                Kind.DUPLICATE_NAME,
                f'the name "{shorten(other.desired.account.name or "", 60)}" is used by another account, too',
                "the server may not allow it; give each account its own name",
                first=first,
                field="name",
            )


def unusual(accounts: Sequence[Declared]) -> Iterator[Issue]:
    """Warnings for settings that servers seldom have, and for a password that is not used."""
    for account in accounts:
        fields = account.desired.account.fields
        usual = _USUAL.get((fields.get("smtp_port"), fields.get("smtp_crypt")))
        if usual is not None:
            port, crypt = fields["smtp_port"], fields["smtp_crypt"]
            message = f"port {port} with smtp_crypt: {crypt} is unusual: servers expect {usual} there"
            field = "smtp_crypt" if "smtp_crypt" in account.row.given else "smtp_port"
            hint = f"write smtp_crypt: {usual}, or the port that goes with {crypt}"
            yield _issue(account, Kind.PORT_MISMATCH, message, hint, field=field)
        if fields.get("has_auth") is False and fields.get("password") is not None:
            message = "has_auth: false: the password beside it is not used to log in"
            hint = "remove the password, or write has_auth: true"
            yield _issue(account, Kind.PASSWORD_UNUSED, message, hint, field="has_auth")


_USUAL: Final[Mapping[object, str]] = {
    (465, "starttls"): "ssl-tls",
    (465, "none"): "ssl-tls",
    (587, "ssl-tls"): "starttls",
    (25, "ssl-tls"): "starttls",
}
"""Ports with encryptions that do not go with them (RFC 8314, section 3.3), and the encryption that does."""


def _within(account: Declared) -> Iterator[Issue]:
    fields, bad = account.desired.account.fields, account.bad
    if "*" in bad:
        return
    for field in ("name", "service"):
        if field not in fields and field not in bad:
            hint = "every account has one, of its own or from the defaults"
            yield _issue(account, Kind.MISSING_KEY, f'"{field}" is missing', hint)
    if fields.get("service") == "other" and fields.get("smtp_server") is None and "smtp_server" not in bad:
        yield _issue(account, Kind.MISSING_SMTP_SERVER, "service: other needs smtp_server", "declare smtp_server")
    if fields.get("has_auth") is True and "password" in fields and fields["password"] is None:
        message = "has_auth: true needs a password, and password: null clears it"
        hint = "declare the password, leave the key out to keep the server's, or write has_auth: false"
        yield _issue(account, Kind.PASSWORD_NEEDED, message, hint, field="password")
    former = _former(account)
    if former is not None and former == account.desired.account.key:
        yield _issue(
            account,
            Kind.RENAMED_TO_ITSELF,
            "renamed_from is the account's own address",
            "write the former address, or remove renamed_from",
            field="renamed_from",
        )


def _twice(accounts: Sequence[Declared]) -> Iterator[Issue]:
    for first, others in _groups(accounts, lambda account: account.desired.account.key):
        if all(account.desired.account.id is not None for account in (first, *others)):
            continue
        for other in others:
            yield _issue(
                other,
                Kind.DUPLICATE_ACCOUNT,
                "this account is declared twice" + _other_spelling(first, other),
                "keep one of the two; if the server holds the address twice, pin each with its id",
                first=first,
                field="email",
            )


def _other_spelling(first: Declared, other: Declared) -> str:
    one, two = first.desired.account.email, other.desired.account.email
    return "" if one == two else f", also as {shorten(one, 60)}"


def _shared_pins(accounts: Sequence[Declared]) -> Iterator[Issue]:
    for first, others in _groups(accounts, lambda account: account.desired.account.id):
        for other in others:
            message = f"the id {other.desired.account.id} is pinned twice"
            hint = "an id belongs to one account"
            yield _issue(other, Kind.DUPLICATE_ID, message, hint, first=first, field="id")


def _several_defaults(accounts: Sequence[Declared]) -> Iterator[Issue]:
    hint = "write default: true at one account alone"
    found: dict[NodeRef, list[Declared]] = {}
    for account in accounts:
        if account.desired.account.is_default:
            found.setdefault(account.spot("default"), []).append(account)
    said = [*found.values()]
    for other in said[1:]:
        message = "there can be one default account"
        yield _issue(other[0], Kind.SEVERAL_DEFAULTS, message, hint, first=said[0][0], field="default")
    for same in said:
        if len(same) > 1:
            message = f"the defaults make {len(same)} accounts the default one, and there can be one"
            yield _issue(same[0], Kind.SEVERAL_DEFAULTS, message, hint, field="default")


def _same_origin(accounts: Sequence[Declared]) -> Iterator[Issue]:
    for first, others in _groups(accounts, _former):
        for other in others:
            message = "two accounts cannot have the same renamed_from"
            hint = "only one of them can be the renamed account"
            yield _issue(other, Kind.DUPLICATE_RENAMED_FROM, message, hint, first=first, field="renamed_from")


def _ignored(accounts: Sequence[Declared], ignore: Globs) -> Iterator[Issue]:
    for account in accounts:
        desired = account.desired
        for field, address in (("email", desired.account.email), ("renamed_from", desired.renamed_from)):
            if address is not None and (pattern := ignore.match(address)) is not None:
                message = f'{shorten(address, 60)} matches "{shorten(pattern, 60)}" of policy.ignore: it is not ours'
                hint = "remove the account, or narrow the pattern"
                yield _issue(account, Kind.IGNORED_ACCOUNT, message, hint, field=field)


def _name(account: Declared) -> str | None:
    name = account.desired.account.name
    return None if name is None else nfc(name)


def _former(account: Declared) -> str | None:
    former = account.desired.renamed_from
    return None if former is None else identity(former)


def _groups(
    accounts: Sequence[Declared], key: Callable[[Declared], Hashable]
) -> Iterator[tuple[Declared, list[Declared]]]:
    """Accounts that share a key other than ``None``: the first one, and the others."""
    keys = [value for value in map(key, accounts) if value is not None]
    if len(set(keys)) == len(keys):
        return
    firsts: dict[Hashable, Declared] = {}
    shared: dict[Hashable, list[Declared]] = {}
    for account in accounts:
        value = key(account)
        if value is not None and firsts.setdefault(value, account) is not account:
            shared.setdefault(value, []).append(account)
    for value, others in shared.items():
        yield firsts[value], others


def _issue(
    account: Declared, kind: str, message: str, hint: str, *, field: str | None = None, first: Declared | None = None
) -> Issue:
    keys = () if field is None else (field,)
    other = None if first is None else first.spot(*keys)
    return Issue(
        kind=kind,
        message=message,
        hint=hint,
        spot=account.spot(*keys),
        other=other,
        address=account.desired.account.email,
    )
