"""What the YAML asks for."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from reconciler.model.account import glob_forms, identity, readable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reconciler.errors import Position, Problem
    from reconciler.model.account import Account
    from reconciler.model.secret import Secret, SecretReference


class DeliveryTestWhen(StrEnum):
    """When ``apply`` sends an account's settings through the test endpoint."""

    __test__ = False

    OFF = "off"
    BEFORE = "before"
    AFTER = "after"


@dataclass(frozen=True, slots=True)
class DeliveryTestSettings:
    """Whether, when and to whom an account's settings are tried. A field that is ``None`` was not said."""

    __test__ = False

    when: DeliveryTestWhen | None = None
    to_email: str | None = None

    def over(self, base: DeliveryTestSettings) -> DeliveryTestSettings:
        """These settings, with what they leave open taken from ``base``."""
        return DeliveryTestSettings(self.when or base.when, self.to_email or base.to_email)


NO_DELIVERY_TEST = DeliveryTestSettings()


@dataclass(frozen=True, slots=True)
class DeleteLimit:
    """The most accounts one run may delete: a number, or a percentage of the managed accounts on the server."""

    amount: int
    percent: bool

    def allows(self, deletes: int, managed: int) -> bool:
        """Whether ``deletes`` out of ``managed`` accounts pass. A single delete passes unless the limit is zero."""
        if self.amount > 0 and deletes < 2:  # noqa: PLR2004 - "two or more" is the rule itself
            return True
        return deletes * 100 <= self.amount * managed if self.percent else deletes <= self.amount

    def exceeds(self, other: DeleteLimit) -> bool:
        """Whether this allows more than ``other``, for certain: a number and a percentage only compare in a plan."""
        return self.percent == other.percent and self.amount > other.amount

    def __str__(self) -> str:
        return f"{self.amount}%" if self.percent else str(self.amount)


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
    for_key, for_shown = _glob_forms(pattern)
    if fnmatchcase(key, for_key):
        return True
    # Most addresses and patterns have one form.
    return (shown != key or for_shown != for_key) and fnmatchcase(shown, for_shown)


_glob_forms = lru_cache(maxsize=1024)(glob_forms)


NO_GLOBS = Globs()


class Passwords(StrEnum):
    """Whether the server's responses show passwords: to be found out, or always, or never."""

    AUTO = "auto"
    SHOWN = "shown"
    HIDDEN = "hidden"


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How the declared set is to be treated."""

    prune: bool = True
    max_deletes: DeleteLimit = DeleteLimit(30, percent=True)
    protect: Globs = Globs()
    ignore: Globs = Globs()
    test: DeliveryTestSettings = DeliveryTestSettings()


class DesiredAccount(NamedTuple):
    """One entry of ``accounts:``, with its file's defaults merged in."""

    account: Account
    position: Position
    renamed_from: str | None = None
    test: DeliveryTestSettings = DeliveryTestSettings()


@dataclass(frozen=True, slots=True)
class AccessToken:
    """Credentials: a short-lived token, used as it is."""

    token: Secret | SecretReference


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """Credentials: the integrator's key, exchanged for access tokens."""

    token: Secret | SecretReference


@dataclass(frozen=True, slots=True)
class Login:
    """Credentials: user name and password, exchanged for access tokens."""

    username: Secret | SecretReference
    password: Secret | SecretReference


Credentials: TypeAlias = AccessToken | RefreshToken | Login


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """A certificate that shows the server who is asking.

    Attributes:
        cert: Path of the certificate in PEM form.
        key: Path of its private key; ``None`` if the key is in the certificate's file.
    """

    cert: str
    key: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerConfig:
    """The YAML's ``server:`` block.

    Attributes:
        url: Scheme, host and port, without a trailing slash; ``None`` where it is left to flags and environment.
        name: Label in reports; ``None`` where not given.
        auth: Credentials, still with references.
        ca_file: Path of the private CA, made absolute against the YAML file's folder.
        client_cert: Certificate for servers that ask for one; its paths likewise.
        passwords: Whether the server shows passwords, as ``policy.passwords`` has it.
        file: The YAML file that names the URL, for messages.
    """

    url: str | None = None
    name: str | None = None
    auth: Credentials | None = None
    ca_file: str | None = None
    client_cert: ClientCertificate | None = None
    passwords: Passwords = Passwords.AUTO
    file: str | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Desired:
    """The whole declared set for one server.

    Attributes:
        settings: In which file each setting of ``server`` and ``policy`` stands, by its path.
    """

    accounts: tuple[DesiredAccount, ...]
    policy: Policy = Policy()
    server: ServerConfig = ServerConfig()
    warnings: tuple[Problem, ...] = field(default=())
    settings: Mapping[tuple[str | int, ...], str] = field(default_factory=dict, compare=False)
