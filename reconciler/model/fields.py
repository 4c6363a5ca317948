"""The table of an account's fields: everything that differs from field to field."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping


class Field(NamedTuple):
    """One field of an account.

    Attributes:
        title: What an editor calls it.
        description: What it means, in one sentence.
        type: The type of its value, in the manifest and in the server's JSON.
        choices: All allowed values; empty if any value of the type will do.
        smallest: The smallest allowed number.
        largest: The largest allowed number.
        optional: Whether it may be null, which clears it.
        spellings: Its names in the server's JSON, the vendor's examples first; empty if it has its own name there.
        secret: Whether its value is never shown, nor written to a file.
        caseless: Whether two spellings of one address or host are the same value.
        destination: Whether it decides where the stored password is sent, and how well it is protected on the way.
        exported: Whether an export writes its value. A default account and a password are exported in another way.
        wire_order: Its place in a request, as on the vendor's page. Fields with one number follow in the table's order.
        examples: Values that an editor offers.
    """

    title: str
    description: str
    type: type[str | int | bool] = str
    choices: tuple[str, ...] = ()
    smallest: int = 0
    largest: int = 0
    optional: bool = False
    spellings: tuple[str, ...] = ()
    secret: bool = False
    caseless: bool = False
    destination: bool = False
    exported: bool = True
    wire_order: int = 3
    examples: tuple[str | int, ...] = ()


FIELDS: Final[Mapping[str, Field]] = MappingProxyType(
    {
        "email": Field("Address", "The identity of the account, in any spelling.", caseless=True, wire_order=2),
        "name": Field("Name", "The display name.", wire_order=1, examples=("Certificates",)),
        "default": Field(
            "Default account",
            "Whether this is the server's default account; at most one is.",
            bool,
            exported=False,
            wire_order=0,
        ),
        "service": Field(
            "Service",
            "The provider. other needs smtp_server.",
            choices=("gmail", "outlook", "other"),
            destination=True,
        ),
        "has_auth": Field(
            "Authenticates",
            "Whether the account logs in. If it is omitted and a password is declared, it is true.",
            bool,
            spellings=("hash_auth", "has_auth"),
        ),
        "password": Field(
            "Password",
            "The SMTP password; use a reference to a secret. If it is omitted, the server keeps the one it has.",
            optional=True,
            secret=True,
            exported=False,
        ),
        "smtp_server": Field(
            "SMTP server",
            "Host name or IP address, without a port.",
            optional=True,
            caseless=True,
            destination=True,
        ),
        "smtp_port": Field(
            "SMTP port",
            "Usually 587 for starttls, 465 for ssl-tls, 25 for none.",
            int,
            smallest=1,
            largest=65535,
            optional=True,
            destination=True,
            examples=(587, 465),
        ),
        "smtp_crypt": Field(
            "Encryption",
            "How the connection to the SMTP server is protected.",
            choices=("none", "ssl-tls", "starttls"),
            optional=True,
            destination=True,
        ),
        "smtp_auth_mechanism": Field(
            "Mechanism",
            "How the account logs in to the SMTP server.",
            choices=("plain", "login", "cram-md5"),
            optional=True,
        ),
    }
)
"""Every field by its name, in the order in which reports show them. Source: the vendor's page on email accounts."""

SECRET_FIELDS: Final = frozenset(name for name, field in FIELDS.items() if field.secret)
CASELESS_FIELDS: Final = frozenset(name for name, field in FIELDS.items() if field.caseless)
DESTINATION_FIELDS: Final = tuple(name for name, field in FIELDS.items() if field.destination)
SPELLINGS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {name: field.spellings or (name,) for name, field in FIELDS.items()}
)
"""The names of each field in the server's JSON. Which of several a server uses is learned from its responses."""

WIRE_ORDER: Final = tuple(sorted(FIELDS, key=lambda name: FIELDS[name].wire_order))
"""The fields in the order of the vendor's examples of requests."""
