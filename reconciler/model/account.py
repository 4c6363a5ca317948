"""The neutral account: desired and current are the same type, so that they can be compared."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple, TypeAlias

from reconciler.model.secret import UNKNOWN, Secret, SecretReference, Unknown

Value: TypeAlias = str | int | bool | Secret | SecretReference | Unknown | None
"""A field's value. ``SecretReference`` occurs in a desired account only, until secrets are resolved; ``UNKNOWN`` in a
current one only."""

Fields: TypeAlias = Mapping[str, Value]

FIELDS: Final = (
    "email",
    "name",
    "default",
    "service",
    "has_auth",
    "password",
    "smtp_server",
    "smtp_port",
    "smtp_crypt",
    "smtp_auth_mechanism",
)
"""Every field there is, in the order in which reports show them."""

SENSITIVE: Final = frozenset({"password"})
CASELESS: Final = frozenset({"email", "smtp_server"})
"""Fields in which a difference of letter case alone is none."""

DESTINATION: Final = ("service", "smtp_server", "smtp_port", "smtp_crypt")
"""Fields that decide where, and how well protected, the stored password travels."""

NO_FIELDS: Final[Fields] = MappingProxyType({})
NO_EXTRA: Final[Mapping[str, object]] = MappingProxyType({})


class Account(NamedTuple):
    """An email account, declared or on the server.

    Attributes:
        fields: What is known, by the names in ``FIELDS``. In a desired account an absent field is not managed and
            ``None`` clears; in a current one an absent field was not in the server's answer. ``email`` is always there.
        id: The server's id; in a desired account the pin.
        extra: Fields of the server's answer that this program does not know. They go back unchanged in a PUT, which
            replaces the whole account.
        created_at: When the server made it, as the server writes it; ``None`` if it does not say.
        updated_at: When somebody last changed it, likewise. Neither is a field: they are never planned, sent or shown,
            and only tell whether an account is still the one that was read before.
    """

    fields: Fields
    id: int | None = None
    extra: Mapping[str, object] = NO_EXTRA
    created_at: str | None = None
    updated_at: str | None = None

    @property
    def key(self) -> str:
        """The address for comparing: letter case does not count."""
        email: str = self.fields["email"]  # type: ignore[assignment]  # asked for often: a call would cost more
        key = email.casefold()
        return email if key == email else key  # mostly alike, and then in memory once

    @property
    def email(self) -> str:
        """The address, as written."""
        return str(self.fields["email"])

    @property
    def name(self) -> str | None:
        """The display name, where known."""
        value = self.fields.get("name")
        return None if value is None else str(value)

    @property
    def is_default(self) -> bool:
        """Is this (to be) the system's default account."""
        return self.fields.get("default") is True

    def overlaid(self, fields: Fields) -> Account:
        """This account with ``fields`` written over it; the rest stays."""
        return Account({**self.fields, **fields}, *self[1:])


NEW_ACCOUNT: Final = Account({"default": False, "has_auth": False})
"""What an account has that exists nowhere yet: the values that the server insists on, where nothing is declared."""


def known(fields: Fields) -> Fields:
    """The fields without those whose value nobody knows: what may be written."""
    return {name: value for name, value in fields.items() if value is not UNKNOWN}


def same(field_name: str, one: Value, other: Value) -> bool:
    """Whether two values of a field mean the same. An empty text and none are the same."""
    one = None if one == "" else one
    other = None if other == "" else other
    if field_name in CASELESS and isinstance(one, str) and isinstance(other, str):
        return one.casefold() == other.casefold()
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def label(email: str, account_id: int | None, *, ambiguous: bool) -> str:
    """How reports name an account: the address, with ``#id`` where the address alone is ambiguous."""
    return f"{email}#{account_id}" if ambiguous and account_id is not None else email
