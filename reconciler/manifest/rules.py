"""The rules within an account and among all accounts."""

from __future__ import annotations

from dataclasses import replace
from itertools import groupby
from typing import TYPE_CHECKING, Final

from reconciler.errors import Kind
from reconciler.manifest.issues import Issue
from reconciler.model.account import Globs, identity, nfc
from reconciler.model.display import shorten

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Mapping, Sequence

    from reconciler.manifest.issues import NodeRef
    from reconciler.manifest.parsed_file import Entry

_MOST_PATTERNS: Final = 3
"""The patterns of ``policy.own`` that a message lists."""


def check_rules(entries: Sequence[Entry], ignore: Globs) -> Iterator[Issue]:
    """Everything that the rules find about one server, in no particular order."""
    yield from _within(entries)
    yield from _twice(entries)
    yield from _shared_pins(entries)
    yield from _several_defaults(entries)
    yield from _same_origin(entries)
    if ignore:
        yield from _ignored(entries, ignore)
    yield from _outside_own(entries)


def duplicate_name_warnings(entries: Sequence[Entry]) -> Iterator[Issue]:
    """Warnings for accounts that share a name, which the server may not allow."""
    for first, others in _groups(entries, [_name(entry) for entry in entries]):
        for other in others:
            yield _issue(
                other,
                Kind.DUPLICATE_NAME,
                f'the name "{shorten(other.desired.account.name or "", 60)}" is used by another account, too',
                "the server may not allow it; give each account its own name",
                first=first,
                field="name",
            )


def unusual_setting_warnings(entries: Sequence[Entry]) -> Iterator[Issue]:
    """Warnings for settings that servers rarely have, and for a password that is not used."""
    for entry in entries:
        fields = entry.desired.account.fields
        usual = _USUAL.get((fields.get("smtp_port"), fields.get("smtp_crypt")))
        if usual is not None:
            port, crypt = fields["smtp_port"], fields["smtp_crypt"]
            message = f"port {port} with smtp_crypt: {crypt} is unusual: servers expect {usual} there"
            field = "smtp_crypt" if "smtp_crypt" in entry.given else "smtp_port"
            hint = f"write smtp_crypt: {usual}, or the port that goes with {crypt}"
            yield _issue(entry, Kind.PORT_MISMATCH, message, hint, field=field)
        if fields.get("has_auth") is False and fields.get("password") is not None:
            message = "has_auth: false: the password beside it is not used to log in"
            hint = "remove the password, or write has_auth: true"
            yield _issue(entry, Kind.PASSWORD_UNUSED, message, hint, field="has_auth")


_USUAL: Final[Mapping[object, str]] = {
    (465, "starttls"): "ssl-tls",
    (465, "none"): "ssl-tls",
    (587, "ssl-tls"): "starttls",
    (25, "ssl-tls"): "starttls",
}
"""Ports with encryptions that do not match them (RFC 8314, section 3.3), and the encryption that does."""


def _within(entries: Sequence[Entry]) -> Iterator[Issue]:
    for entry in entries:
        fields, bad = entry.desired.account.fields, entry.bad
        if None in bad:
            continue
        for field in ("name", "service"):
            if field not in fields and field not in bad:
                hint = "every account has one, of its own or from the defaults"
                yield _issue(entry, Kind.MISSING_KEY, f'"{field}" is missing', hint)
        if fields.get("service") == "other" and fields.get("smtp_server") is None and "smtp_server" not in bad:
            yield _issue(entry, Kind.MISSING_SMTP_SERVER, "service: other needs smtp_server", "declare smtp_server")
        if fields.get("has_auth") is True and "password" in fields and fields["password"] is None:
            message = "has_auth: true needs a password, and password: null clears it"
            hint = "declare the password, leave the key out to keep the server's, or write has_auth: false"
            yield _issue(entry, Kind.PASSWORD_NEEDED, message, hint, field="password")
        former = entry.desired.renamed_from
        if former is not None and identity(former) == entry.desired.account.key:
            yield _issue(
                entry,
                Kind.RENAMED_TO_ITSELF,
                "renamed_from is the account's own address",
                "write the former address, or remove renamed_from",
                field="renamed_from",
            )


def _twice(entries: Sequence[Entry]) -> Iterator[Issue]:
    for first, others in _groups(entries, [entry.desired.account.key for entry in entries]):
        if all(entry.desired.account.id is not None for entry in (first, *others)):
            continue
        for other in others:
            yield _issue(
                other,
                Kind.DUPLICATE_ACCOUNT,
                "this account is declared twice" + _other_spelling(first, other),
                _DUPLICATE_OF_BASE if _is_inherited(first, other) else _DUPLICATE,
                first=first,
                field="email",
            )


_DUPLICATE: Final = "keep one of the two; if the server holds the address twice, pin each with its id"
_DUPLICATE_OF_BASE: Final = "write override: true to change the inherited account, or remove: true to leave it out"


def _is_inherited(first: Entry, other: Entry) -> bool:
    """Whether the first of two entries is in a base of the other's file."""
    return first.file is other.file and first.node().source is not other.node().source


def _other_spelling(first: Entry, other: Entry) -> str:
    first_email, other_email = first.desired.account.email, other.desired.account.email
    return "" if first_email == other_email else f", also as {shorten(first_email, 60)}"


def _shared_pins(entries: Sequence[Entry]) -> Iterator[Issue]:
    for first, others in _groups(entries, [entry.desired.account.id for entry in entries]):
        for other in others:
            message = f"the id {other.desired.account.id} is pinned twice"
            hint = "an id belongs to one account"
            yield _issue(other, Kind.DUPLICATE_ID, message, hint, first=first, field="id")


def _several_defaults(entries: Sequence[Entry]) -> Iterator[Issue]:
    hint = "set default: true on one account only"
    found: dict[NodeRef, list[Entry]] = {}
    for entry in entries:
        if entry.desired.account.is_default:
            found.setdefault(entry.node("default"), []).append(entry)
    groups = [*found.values()]
    for other in groups[1:]:
        message = "there can be one default account"
        yield _issue(other[0], Kind.SEVERAL_DEFAULTS, message, hint, first=groups[0][0], field="default")
    for same in groups:
        if len(same) > 1:
            message = f"this makes {len(same)} accounts the default account, and only one can be"
            yield _issue(same[0], Kind.SEVERAL_DEFAULTS, message, hint, field="default")


def _same_origin(entries: Sequence[Entry]) -> Iterator[Issue]:
    formers = [entry.desired.renamed_from for entry in entries]
    for first, others in _groups(entries, [former and identity(former) for former in formers]):
        for other in others:
            message = "two accounts cannot have the same renamed_from"
            hint = "only one of them can be the renamed account"
            yield _issue(other, Kind.DUPLICATE_RENAMED_FROM, message, hint, first=first, field="renamed_from")


def _ignored(entries: Sequence[Entry], ignore: Globs) -> Iterator[Issue]:
    for entry in entries:
        desired = entry.desired
        for field, address in (("email", desired.account.email), ("renamed_from", desired.renamed_from)):
            if address is not None and (pattern := ignore.match(address)) is not None:
                message = f'{shorten(address, 60)} matches "{shorten(pattern, 60)}" of policy.ignore: it is not ours'
                hint = "remove the account, or narrow the pattern"
                yield _issue(entry, Kind.IGNORED_ACCOUNT, message, hint, field=field)


def _outside_own(entries: Sequence[Entry]) -> Iterator[Issue]:
    for _, group in groupby(entries, lambda entry: id(entry.file)):
        of_file = list(group)
        patterns = of_file[0].file.block("policy").get("own")
        if patterns is None:
            continue
        own = Globs(tuple(patterns))
        outside = f"no pattern of policy.own, which limits this file to {_listed(patterns)}"
        for entry in of_file:
            desired = entry.desired
            for field, address in (("email", desired.account.email), ("renamed_from", desired.renamed_from)):
                if address is not None and address not in own:
                    message = f"{shorten(address, 60)} matches {outside}"
                    hint = "declare the account in another file, or widen policy.own"
                    issue = _issue(entry, Kind.NOT_OWN, message, hint, field=field)
                    yield replace(issue, other=entry.file.node("policy", "own"), other_name="policy.own")


def _listed(patterns: Sequence[str]) -> str:
    words = [f'"{shorten(pattern, 60)}"' for pattern in patterns[:_MOST_PATTERNS]]
    rest = len(patterns) - len(words)
    return ", ".join(words) + (f" and {rest} more" if rest else "")


def _name(entry: Entry) -> str | None:
    name = entry.desired.account.name
    return None if name is None else nfc(name)


def _groups(entries: Sequence[Entry], keys: Sequence[Hashable]) -> Iterator[tuple[Entry, list[Entry]]]:
    """Accounts that share a key other than ``None``: the first one, and the others."""
    given = [key for key in keys if key is not None]
    if len(set(given)) == len(given):
        return
    firsts: dict[Hashable, Entry] = {}
    shared: dict[Hashable, list[Entry]] = {}
    for entry, value in zip(entries, keys, strict=True):
        if value is not None and firsts.setdefault(value, entry) is not entry:
            shared.setdefault(value, []).append(entry)
    for value, others in shared.items():
        yield firsts[value], others


def _issue(
    entry: Entry, kind: str, message: str, hint: str, *, field: str | None = None, first: Entry | None = None
) -> Issue:
    keys = () if field is None else (field,)
    other = None if first is None else first.node(*keys)
    return Issue(
        kind=kind,
        message=message,
        hint=hint,
        node=entry.node(*keys),
        other=other,
        address=entry.desired.account.email,
    )
