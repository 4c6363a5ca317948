"""Where the page is served, under which names, and who may read it."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

from reconciler.errors import InvalidValueError, Kind, ReconcilerError
from reconciler.model.display import display_path
from reconciler.model.server import is_host_name, is_loopback, parse_ip
from reconciler.token_file import read_token, secret_from_string

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from reconciler.model.secret import Secret

TOKEN_VARIABLE: Final = "RECONCILER_PAGE_TOKEN"  # noqa: S105 - a name
HOOK_VARIABLE: Final = "RECONCILER_HOOK_SECRET"
SHORTEST_SECRET: Final = 16
"""Characters. A shorter secret could be guessed by trying."""

_GENERATE: Final = "make one with `openssl rand -hex 32`"
_LARGEST_PORT: Final = 65535


@dataclass(frozen=True, slots=True, kw_only=True)
class PageOptions:
    """What the page's server needs to know.

    Attributes:
        host: The address or the name to listen on.
        port: 0 for any free port.
        names: The host names that requests may be for, besides loopback's and the address itself.
        token: What readers have to give; ``None`` if everybody on this machine may read.
        hook_secret: What hooks are signed with; ``None`` if there are none.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    names: tuple[str, ...] = ()
    token: Secret | None = None
    hook_secret: Secret | None = None

    @property
    def secrets(self) -> tuple[Secret, ...]:
        """What must never be shown."""
        return tuple(secret for secret in (self.token, self.hook_secret) if secret is not None)


def page_options(
    listen: str,
    names: Iterable[str],
    environ: Mapping[str, str],
    *,
    token_file: str | None = None,
    hook_secret_file: str | None = None,
) -> PageOptions:
    """The options for a value of ``--listen``, those of ``--host``, and the secrets in the environment or in files.

    Raises:
        InvalidValueError: ``listen`` is not an address with a port, or a name is not a host name.
        SecretError: A secret is empty, too short, or cannot be a secret.
        ReconcilerError: Other machines could read the page without a token.
    """
    host, port = _address(listen)
    token = _secret(TOKEN_VARIABLE, environ, token_file)
    if token is None and not is_loopback(host):
        raise ReconcilerError.of(
            f"other machines can reach {listen}, and no token protects the page",
            kind=Kind.PAGE_TOKEN,
            hint=f"set {TOKEN_VARIABLE} or --page-token-file, and {_GENERATE}; or listen on 127.0.0.1",
        )
    own = [socket.gethostname()] if _is_wildcard(host) else [host]
    checked = (*own, *map(_host_name, names))
    return PageOptions(
        host=host,
        port=port,
        names=tuple(dict.fromkeys(checked)),
        token=token,
        hook_secret=_secret(HOOK_VARIABLE, environ, hook_secret_file),
    )


def _address(listen: str) -> tuple[str, int]:
    host, colon, port = listen.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    is_port = port.isascii() and port.isdecimal() and int(port) <= _LARGEST_PORT
    is_address = ":" in bare and parse_ip(bare) is not None if bare != host else is_host_name(bare)
    if not (colon and is_port and is_address):
        raise InvalidValueError("this is not an address with a port", "write 127.0.0.1:8080, or [::1]:8080")
    return bare.lower(), int(port)


def _host_name(name: str) -> str:
    if is_host_name(name.removesuffix(".")) or parse_ip(name.strip("[]")) is not None:
        return name
    raise InvalidValueError("this is not a host name", "write only the name, such as watch.example.com")


def _is_wildcard(host: str) -> bool:
    return parse_ip(host) is not None and ip_address(host).is_unspecified


def _secret(variable: str, environ: Mapping[str, str], file: str | None) -> Secret | None:
    """The secret in a file or a variable. One that is set but empty is an error: it looks protected and is not."""
    if file is not None:
        name, secret = display_path(file), read_token(file)
    elif variable in environ:
        name, secret = variable, secret_from_string(variable, environ[variable])
    else:
        return None
    if len(secret.encoded()) < SHORTEST_SECRET:
        raise ReconcilerError.of(
            f"{name} has fewer than {SHORTEST_SECRET} characters, so that it could be guessed",
            kind=Kind.BAD_SECRET,
            hint=_GENERATE,
        )
    return secret
