"""An account and its identity. Desired and current accounts are the same type, so that they can be compared."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from reconciler.model.secret import UNKNOWN, Secret, SecretReference, Unknown

if TYPE_CHECKING:
    from collections.abc import Iterable

Value: TypeAlias = str | int | bool | Secret | SecretReference | Unknown | None
"""A field's value. ``SecretReference`` occurs in a desired account only, until secrets are resolved; ``UNKNOWN`` in a
current one only."""

Fields: TypeAlias = Mapping[str, Value]

NO_FIELDS: Final[Fields] = MappingProxyType({})
NO_EXTRA: Final[Mapping[str, object]] = MappingProxyType({})


_DOTS: Final = "[.\N{IDEOGRAPHIC FULL STOP}\N{FULLWIDTH FULL STOP}\N{HALFWIDTH IDEOGRAPHIC FULL STOP}]"
"""What separates the labels of a domain: RFC 3490, section 3.1."""

_ACE_PREFIX: Final = "xn--"
_LONGEST_DOMAIN: Final = 255
"""No label of any domain is longer. Punycode takes quadratic time, so longer labels are not encoded."""


def identity(text: str) -> str:
    """The canonical form of an address or a host name: equal for two spellings exactly if they mean the same.

    The local part becomes NFC and lower case. Every label of the domain, which is what follows the last ``@`` (all of
    ``text`` if there is none), becomes lower case, NFC and ASCII. Never fails, whatever ``text`` is.
    """
    if text.isascii():
        return text.lower()
    local, at, domain = text.rpartition("@")
    return f"{_folded(local)}{at}{'.'.join(map(_a_label, re.split(_DOTS, domain)))}"


@lru_cache(maxsize=1024)
def glob_forms(pattern: str) -> tuple[str, str]:
    """The two forms of an address pattern: one to match identities, one to match ``readable`` addresses.

    A label of the domain that holds a wildcard cannot be converted. It matches as it is written.
    """
    local, at, domain = pattern.rpartition("@")
    labels = re.split(_DOTS, domain)
    identities = [_folded(label) if _WILDCARD.search(label) else _a_label(label) for label in labels]
    folded = f"{_folded(local)}{at}"
    return f"{folded}{'.'.join(identities)}", f"{folded}{'.'.join(map(_u_label, labels))}"


def readable(address_identity: str) -> str:
    """An identity with the ``xn--`` labels of its domain decoded."""
    if _ACE_PREFIX not in address_identity:
        return address_identity
    local, at, domain = address_identity.rpartition("@")
    return f"{local}{at}{'.'.join(map(_u_label, domain.split('.')))}"


_WILDCARD: Final = re.compile(r"[*?\[\]]")


@lru_cache(maxsize=4096)
def _a_label(label: str) -> str:
    """A label in lower case and ASCII. IDNA 2008 defines which labels are allowed, and encodes those with punycode.

    This encodes the others with punycode too, so it need not check which ones are allowed.
    """
    folded = _folded(label)
    if folded.isascii() or len(folded) > _LONGEST_DOMAIN:
        return folded
    return f"{_ACE_PREFIX}{folded.encode('punycode').decode('ascii')}"


@lru_cache(maxsize=4096)
def _u_label(label: str) -> str:
    """A label in lower case, decoded if it is the ASCII form of another."""
    folded = _folded(label)
    if not folded.startswith(_ACE_PREFIX) or len(folded) > _LONGEST_DOMAIN:
        return folded
    try:
        decoded = folded.removeprefix(_ACE_PREFIX).encode("ascii").decode("punycode")
    except ValueError:  # includes the Unicode errors
        return folded
    return decoded if _a_label(decoded) == folded else folded


def _folded(text: str) -> str:
    """Lower case and NFC. Not ``casefold``: that makes "straße" and "strasse" equal."""
    if text.isascii():
        return text.lower()
    # NFC first, because some capitals have no lower case until then; and again, because lower case can be longer.
    return nfc(nfc(text).lower())


def nfc(text: str) -> str:
    """``text`` with composed characters, so that two strings that look alike are equal."""
    if text.isascii():
        return text
    from unicodedata import normalize

    return normalize("NFC", text)


def name_key(name: str | None) -> str:
    """A name as a strict server might compare it: names that differ may have equal keys."""
    return nfc(nfc(name or "").strip().casefold())


class Account(NamedTuple):
    """An email account, declared or on the server.

    Attributes:
        fields: What is known, by the names in ``FIELDS``. In a desired account an absent field is not managed and
            ``None`` clears; in a current one an absent field was not in the response. ``email`` is always there.
        id: The server's id; in a desired account the pin.
        extra: Fields of the server's response that this program does not know. They go back unchanged in a PUT, which
            replaces the whole account.
        created_at: When it was created, as the server writes it; ``None`` if unknown.
        updated_at: When it was last changed, likewise. Neither is a field: they are never planned or sent. They show
            whether an account is still the one that was read before.
        mask: The password in the server's response, if it looks like a mask; the field ``password`` is unknown then.
        masked_extra: The names of further such fields that are, or contain, masks. A mask is never sent back.
    """

    fields: Fields
    id: int | None = None
    extra: Mapping[str, object] = NO_EXTRA
    created_at: str | None = None
    updated_at: str | None = None
    mask: Secret | None = None
    masked_extra: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """The identity of the account: two addresses with the same key are the same mailbox."""
        email: str = self.fields["email"]  # type: ignore[assignment]  # asked for often: a call would cost more
        key = identity(email)
        return email if key == email else key  # usually equal, and then kept in memory once

    @property
    def email(self) -> str:
        """The address, as written."""
        return str(self.fields["email"])

    @property
    def name(self) -> str | None:
        """The display name, if known."""
        value = self.fields.get("name")
        return None if value is None else str(value)

    @property
    def is_default(self) -> bool:
        """Whether this is the server's default account."""
        return self.fields.get("default") is True

    def with_fields(self, fields: Fields) -> Account:
        """This account with ``fields`` written over its own."""
        return Account({**self.fields, **fields}, *self[1:])

    def unmasked(self, managed: Fields) -> Account:
        """This account with its password, if what looks like a mask is the declared password itself."""
        if self.mask is None or managed.get("password") != self.mask:
            return self
        return self.with_fields({"password": self.mask})


ACCOUNT_DEFAULTS: Final = Account({"default": False, "has_auth": False})
"""The fields that a new account needs even if they are not declared."""


def writable_fields(fields: Fields) -> Fields:
    """The fields that may be written: those with a known value."""
    return {name: value for name, value in fields.items() if value is not UNKNOWN}


def label(email: str, account_id: int | None, *, ambiguous: bool) -> str:
    """How reports name an account: the address, with ``#id`` if the address alone is ambiguous."""
    return f"{email}#{account_id}" if ambiguous and account_id is not None else email


def label_key(account_label: str) -> tuple[str, str]:
    """The identity that a ``label`` names, and the id in it; empty if there is none."""
    address, mark, account_id = account_label.rpartition("#")
    return (identity(address), account_id) if mark and account_id.isdecimal() else (identity(account_label), "")


@dataclass(frozen=True, slots=True)
class Globs:
    """Address patterns (``*``, ``?``, ``[…]``); it does not matter how pattern or address are spelled."""

    patterns: tuple[str, ...] = ()

    def __contains__(self, address: object) -> bool:
        return isinstance(address, str) and self.match(address) is not None

    def __bool__(self) -> bool:
        return bool(self.patterns)

    def match(self, address: str) -> str | None:
        """The first pattern that ``address`` matches."""
        key = identity(address)
        shown = readable(key)
        return next((pattern for pattern in self.patterns if _matches(key, shown, pattern)), None)


def _matches(key: str, shown: str, pattern: str) -> bool:
    for_key, for_shown = glob_forms(pattern)
    if fnmatchcase(key, for_key):
        return True
    # Most addresses and patterns have one form.
    return (shown != key or for_shown != for_key) and fnmatchcase(shown, for_shown)


class Addresses(Globs):
    """Exactly these addresses, however they are spelled. Thousands of them are looked up as fast as one."""

    __slots__ = ("_keys",)
    _keys: frozenset[str]

    def __init__(self, addresses: Iterable[str]) -> None:
        object.__setattr__(self, "patterns", tuple(addresses))
        object.__setattr__(self, "_keys", frozenset(map(identity, self.patterns)))

    def match(self, address: str) -> str | None:
        """The address, if it is one of these."""
        return address if identity(address) in self._keys else None


NO_GLOBS = Globs()
