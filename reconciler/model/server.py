"""Which server is meant: its name and URL, its configuration, and the kinds of credentials."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from reconciler.model.secret import Secret, SecretReference


@dataclass(frozen=True, slots=True)
class Server:
    """A server as reports name it."""

    name: str
    url: str


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


class Passwords(StrEnum):
    """Whether the server's responses show passwords: to be found out, or always, or never."""

    AUTO = "auto"
    SHOWN = "shown"
    HIDDEN = "hidden"


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
