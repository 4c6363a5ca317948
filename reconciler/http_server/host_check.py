"""Which requests a server accepts at all: those to its own names, and none from another site's page.

A web page cannot open a connection of its own, but it can make its visitor's browser send requests. If the page's name
is made to resolve to this machine (DNS rebinding), the browser even lets the page read the responses. Only the `Host`
and `Origin` headers distinguish such a request from the user's own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Final

from starlette.datastructures import Headers

from reconciler.model.server import is_loopback, parse_ip

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.types import Scope

_HOST: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\s:/?#@\[\]\\]{1,255})(:\d{0,5})?")
"""RFC 9110, section 7.2: a name or an address, perhaps with a port. A tunnel may have another port than the server."""


class HostFault(Enum):
    """Why a request is not accepted."""

    INVALID = auto()
    """It has no ``Host`` header, several, or one that is not a host."""
    OTHER_HOST = auto()
    """It is for a host of another name."""
    OTHER_ORIGIN = auto()
    """A browser sent it for a page of another site."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A request that is not accepted; ``name`` is the host that it is for, if that is known."""

    fault: HostFault
    name: str = ""


class HostCheck:
    """Knows the names of a server."""

    def __init__(self, names: Iterable[str]) -> None:
        """``names`` are accepted besides the names and addresses of loopback, and the address that was connected to."""
        self._names = set(map(_normal_name, names))

    def refusal(self, scope: Scope, *, checks_origin: bool = True) -> Refusal | None:
        """Why a request is not accepted; ``None`` if it is."""
        headers = Headers(scope=scope)
        hosts = headers.getlist("host")
        host = _HOST.fullmatch(hosts[0]) if len(hosts) == 1 else None
        if not host:
            return Refusal(HostFault.INVALID)
        name = _normal_name(host[1])
        if not self._is_own(name, scope):
            return Refusal(HostFault.OTHER_HOST, name)
        own_origin = f"http://{hosts[0]}".lower()
        if checks_origin and any(origin.lower() != own_origin for origin in headers.getlist("origin")):
            return Refusal(HostFault.OTHER_ORIGIN, name)
        return None

    def _is_own(self, name: str, scope: Scope) -> bool:
        connected_to, _port = scope.get("server") or ("", None)
        address = parse_ip(name)
        return name in self._names or is_loopback(name) or (address is not None and address == parse_ip(connected_to))


def _normal_name(name: str) -> str:
    return name.strip("[]").lower().removesuffix(".")
