"""Which server is meant: its name and URL, its configuration, and the kinds of credentials."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING, Final, TypeAlias
from urllib.parse import urlsplit

from reconciler.errors import InvalidValueError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reconciler.errors import Position
    from reconciler.model.secret import Secret, SecretReference

_REMEMBERED_URLS: Final = 256
"""A run on a server asks several times, and goes through the whole of a URL with a port or an IP address."""

DEFAULT_PORTS: Final = {"http": 80, "https": 443}

_LABEL: Final = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOST: Final = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*")


@lru_cache(_REMEMBERED_URLS)
def normal_url(text: str) -> str:
    """The normal form of a server's URL: lower case, without the scheme's own port and without a trailing slash.

    Raises:
        InvalidValueError: It is not the URL of a server. Neither message nor hint shows what may be a secret.
    """
    scheme, _, rest = text.partition("://")
    if scheme in DEFAULT_PORTS and rest.islower() and is_host_name(rest):
        return text
    hint = "write it as https://fw.example.com"
    if "@" in text:
        raise InvalidValueError("a server's URL contains no user name or password", "give them under server.auth")
    try:
        parts = urlsplit(text)
        port, host = parts.port, parts.hostname or ""
    except ValueError:
        raise InvalidValueError("this is not a URL", hint) from None
    if parts.scheme not in DEFAULT_PORTS:
        raise InvalidValueError("the URL must begin with https:// or http://", hint)
    origin = f"{parts.scheme}://{f'[{compressed(host)}]' if ':' in host else host}"
    if port not in {None, DEFAULT_PORTS[parts.scheme]}:
        origin += f":{port}"
    extra = "path" if parts.path not in {"", "/"} else "query" if "?" in text else "fragment" if "#" in text else None
    if extra and host:
        raise InvalidValueError(f"the URL contains a {extra}", f"end it after host and port: {origin}")
    is_host = is_host_name(host.removesuffix(".")) or parse_ip(host) is not None
    if not text.isprintable() or " " in text or not is_host or port == 0:
        raise InvalidValueError("this is not the URL of a host", hint)
    return origin


def is_host_name(text: str) -> bool:
    """Whether this is a host name in ASCII, without a trailing dot."""
    return _HOST.fullmatch(text) is not None


def parse_ip(text: str) -> IPv4Address | IPv6Address | None:
    """An IP address without brackets; ``None`` if it is not one. ``::ffff:192.0.2.1`` is 192.0.2.1."""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def is_loopback(host: str) -> bool:
    """Whether ``host`` is this machine: ``localhost``, 127.0.0.0/8 or ::1."""
    address = parse_ip(host)
    return host == "localhost" or (address is not None and address.is_loopback)


def compressed(host: str) -> str:
    """The normal form of an IPv6 address; anything else as it is."""
    try:
        return str(IPv6Address(host))
    except ValueError:
        return host


@dataclass(frozen=True, slots=True)
class Server:
    """A server as reports name it.

    Attributes:
        labels: For selection.
        variables: What its manifests substitute, by name; for reports that show several servers at once.
    """

    name: str
    url: str
    labels: Mapping[str, str] = field(default_factory=dict, compare=False)
    variables: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)


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


def parts_of(credentials: Credentials | None) -> dict[str, Secret | SecretReference]:
    """The secrets, or references to them, that credentials consist of, by field."""
    return {} if credentials is None else {name: getattr(credentials, name) for name in credentials.__slots__}


def with_parts(credentials: Credentials, parts: Mapping[str, Secret]) -> Credentials:
    """The credentials with some of their parts replaced, by field."""
    return type(credentials)(**{**parts_of(credentials), **parts})


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """A certificate that identifies this client to the server.

    Attributes:
        cert: Path of the certificate in PEM form.
        key: Path of its private key; ``None`` if the key is in the certificate's file.
    """

    cert: str
    key: str | None = None


class Passwords(StrEnum):
    """Whether the server's responses show passwords: detected, always, or never."""

    AUTO = "auto"
    SHOWN = "shown"
    HIDDEN = "hidden"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerConfig:
    """The YAML's ``server:`` block.

    Attributes:
        url: Scheme, host and port, without a trailing slash; ``None`` if it is left to options and environment.
        name: Label in reports; ``None`` if it is not given.
        auth: Credentials, still with references.
        ca_file: Path of the private CA, resolved against the YAML file's folder.
        client_cert: Certificate for servers that ask for one; its paths likewise.
        passwords: Whether the server shows passwords, as ``policy.passwords`` declares.
        labels: For selection.
        suspended: Why nothing is written to the server; ``None`` if it is not suspended.
        queue: The workers that process the server; ``None`` for the default queue.
        variables: What the manifests substitute for this server, by name.
        position: Where the URL is written; ``None`` if no file names it.
    """

    url: str | None = None
    name: str | None = None
    auth: Credentials | None = None
    ca_file: str | None = None
    client_cert: ClientCertificate | None = None
    passwords: Passwords = Passwords.AUTO
    labels: Mapping[str, str] = field(default_factory=dict)
    suspended: str | None = None
    queue: str | None = None
    variables: Mapping[str, str] = field(default_factory=dict)
    position: Position | None = field(default=None, compare=False)

    def as_server(self, url: str) -> Server:
        """The server as reports name it. Its name is the URL's host unless one is given."""
        return Server(self.name or urlsplit(url).hostname or url, url, self.labels, self.variables)
