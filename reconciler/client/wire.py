"""Reads the server's JSON: tolerant of what is unknown or oddly typed, strict where a mistake could lose an account.

An answer whose every field has the type that it should have is taken as it is. Any other one goes to the models in
``forms``, which tolerate some of it and refuse the rest; they take longer to import than most answers to read.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

from reconciler.client.failure import UnreadableError
from reconciler.model.account import NO_EXTRA, Account
from reconciler.model.fields import FIELDS
from reconciler.model.secret import UNKNOWN, Secret, looks_masked
from reconciler.model.server import Passwords

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reconciler.client.forms import WireAccount, WireToken
    from reconciler.model.account import Value

SPELLINGS: Final = ("hash_auth", "has_auth")
"""How servers spell ``has_auth``: the vendor's examples use the first, its table of fields the second."""

_PLAIN: Final = tuple(name for name in FIELDS if name not in {"has_auth", "password"})
_KNOWN: Final = frozenset({*FIELDS, *SPELLINGS, "id", "created_at", "updated_at"})

_NONE: Final = type(None)
_TYPES: Final[Mapping[str, tuple[type, ...]]] = {
    "id": (int,),
    "email": (str,),
    **dict.fromkeys(("default", *SPELLINGS), (bool, _NONE)),
    **dict.fromkeys(("name", "service", "password", "smtp_server", "smtp_crypt", "smtp_auth_mechanism"), (str, _NONE)),
    "smtp_port": (int, _NONE),
}
"""The types that the models leave as they are."""

_REQUIRED: Final = frozenset({"id", "email"})

_FORMS: Final[set[tuple[object, ...]]] = set()
"""Names and types of accounts that were found to be plain: those of a server are nearly all alike."""

_MOST_FORMS: Final = 256

_TOKEN: Final = ("access_token", "refresh_token", "expires_in")

_EXACT: Final = 2**53
"""Below this, a whole number and the same one with a fraction are equal."""

_SCALARS: Final = (str, bool, int, float, _NONE)

_HALF_CHARACTER: Final = re.compile(rb"\\u[dD][89a-fA-F]")
"""An escape that may be half of a character without the other half, which the models refuse."""


def read_list(body: bytes) -> list[WireAccount]:
    """The answer of the list call. Raises ``UnreadableError`` for anything but accounts, each with an id of its own."""
    found = _plain_json(body)
    if type(found) is list and all(map(_is_plain, found)):
        entries = cast("list[WireAccount]", found)
    else:
        from reconciler.client import forms

        entries = forms.read(forms.LIST, body)
    if len({entry["id"] for entry in entries}) != len(entries):
        raise UnreadableError("the answer lists the same id twice")
    return entries


def read_one(body: bytes) -> WireAccount:
    """An answer that is one account. Raises ``UnreadableError``."""
    found = _plain_json(body)
    if _is_plain(found):
        return cast("WireAccount", found)
    from reconciler.client import forms

    return forms.read(forms.ONE, body)


def read_token(body: bytes) -> WireToken:
    """The answer of a token exchange. Raises ``UnreadableError``."""
    found = _plain_json(body)
    if isinstance(found, dict) and found.get("access_token") and _is_plain_token(found):
        return cast("WireToken", {name: found[name] for name in _TOKEN if name in found})
    from reconciler.client import forms

    return forms.read(forms.TOKEN, body)


def _plain_json(body: bytes) -> object:
    """What the JSON says; ``None`` also where it cannot be read, or not for certain as the models read it."""
    if _HALF_CHARACTER.search(body):
        return None
    try:
        return json.loads(body.decode())
    except (ValueError, RecursionError):
        return None


def _is_plain(found: object) -> bool:
    """Whether the models would take this account as it is."""
    if type(found) is not dict:
        return False
    form = (*found, *map(type, found.values()))
    if form not in _FORMS:
        if not _has_plain_form(found):
            return False
        if len(_FORMS) < _MOST_FORMS:
            _FORMS.add(form)
    return 0 <= _number(found["id"]) < 2**63


def _has_plain_form(found: Mapping[str, object]) -> bool:
    return found.keys() >= _REQUIRED and all(type(value) in _TYPES.get(name, _SCALARS) for name, value in found.items())


def _is_plain_token(found: Mapping[str, object]) -> bool:
    if type(found.get("access_token")) is not str or type(found.get("refresh_token", "")) not in (str, _NONE):
        return False
    return found.get("expires_in") is None or 0 <= _number(found["expires_in"]) < _EXACT


def _number(value: object) -> int:
    return value if type(value) is int else -1


def to_account(wire: WireAccount, passwords: Passwords = Passwords.AUTO) -> Account:
    """``wire`` in the neutral form; fields that it lacks are absent, passwords that it hides are ``UNKNOWN``.

    Where ``hash_auth`` and ``has_auth`` contradict each other, true wins: then a password that is not shown counts as
    unknown and is never overwritten.
    """
    raw: Mapping[str, Any] = wire
    fields: dict[str, Value] = {name: raw[name] for name in _PLAIN if name in raw}
    spoken = [raw[name] for name in SPELLINGS if name in raw]
    if spoken:
        fields["has_auth"] = any(spoken) or (False if False in spoken else None)
    authenticates = fields.get("has_auth") is True
    password, mask = raw.get("password"), None
    if passwords is Passwords.AUTO and password and looks_masked(password):
        fields["password"], mask = UNKNOWN, Secret(password)
    elif authenticates or "password" in raw:
        returned = passwords is Passwords.SHOWN and "password" in raw
        fields["password"] = _password(password, passwords, hides=authenticates and not returned)
    times = (_moment(raw.get("created_at")), _moment(raw.get("updated_at")))
    if raw.keys() <= _KNOWN:
        return Account(fields, wire["id"], NO_EXTRA, *times, mask)
    extra = {name: value for name, value in raw.items() if name not in _KNOWN}
    if passwords is not Passwords.SHOWN:
        extra = {name: value for name, value in extra.items() if not _holds_mask(value)}
    return Account(fields, wire["id"], extra, *times, mask)


def _moment(value: object) -> str | None:
    """A time as the server writes it; an empty one says nothing."""
    return value if type(value) is str and value else None if value in (None, "") else str(value)


def _password(value: str | None, passwords: Passwords, *, hides: bool) -> Value:
    """A password that is no mask; ``hides`` tells whether an empty one hides what the account has."""
    if value:
        return UNKNOWN if passwords is Passwords.HIDDEN else Secret(value)
    return UNKNOWN if hides else None


def _holds_mask(value: object) -> bool:
    """Whether a field of an unknown meaning is, or holds, a mask: sent back, it would replace what it hides."""
    if isinstance(value, str):
        return looks_masked(value)
    if isinstance(value, dict):
        return any(map(_holds_mask, value.values()))
    return isinstance(value, list) and any(map(_holds_mask, value))


class VendorError(NamedTuple):
    """One entry of the vendor's error format; a part that is missing is empty."""

    type: str
    field: str
    msg: str


def read_errors(body: bytes) -> tuple[VendorError, ...]:
    """The entries of ``{"errors": [{"field", "type", "msg"}]}``; empty where the body is anything else."""
    from pydantic_core import from_json

    try:
        document = from_json(body)
    except ValueError:
        return ()
    listed = document.get("errors") if isinstance(document, dict) else None
    if not isinstance(listed, list):
        return ()
    entries = (entry for entry in listed if isinstance(entry, dict))
    errors = (VendorError(*(_text(entry.get(part)) for part in VendorError._fields)) for entry in entries)
    return tuple(error for error in errors if any(error))


def says_no(body: bytes) -> bool:
    """Whether the body of a call that ends without a result says that it was refused, whatever the status."""
    found = _plain_json(body)
    if isinstance(found, dict):
        return found.get("success") is False or bool(found.get("errors") or found.get("error"))
    return found is False


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
