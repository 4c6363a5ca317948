"""Which requests the sandbox accepts at all: those to its own names, and none from another site's page.

A web page cannot open a connection of its own, but it can make its visitor's browser send requests. If the page's name
is made to resolve to this machine (DNS rebinding), the browser even lets the page read the responses. The sandbox's key
is public, so only the `Host` and `Origin` headers distinguish such a request from the user's own.
"""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from starlette.datastructures import Headers
from starlette.responses import JSONResponse

from reconciler.model.server import is_loopback, parse_ip
from reconciler.sandbox.schemas import ErrorEntry, ErrorResponse

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.types import ASGIApp, Receive, Scope, Send

_HOST: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\s:/?#@\[\]\\]{1,255})(:\d{0,5})?")
"""RFC 9110, section 7.2: a name or an address, perhaps with a port. A tunnel may have another port than the sandbox."""


class HostCheck:
    """ASGI middleware. It comes before everything else, so a refused request learns and changes nothing."""

    def __init__(self, app: ASGIApp, *, names: Iterable[str]) -> None:
        """``names`` are accepted besides the names and addresses of loopback, and the address that was connected to."""
        self._app = app
        self._names = set(map(_normal_name, names))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on, or responds with 400, 403 or 421."""
        if scope["type"] == "http" and (error := self._error(scope)):
            await JSONResponse(error.body, error.status)(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _error(self, scope: Scope) -> ErrorResponse | None:
        headers = Headers(scope=scope)
        hosts = headers.getlist("host")
        host = _HOST.fullmatch(hosts[0]) if len(hosts) == 1 else None
        if not host:
            entry = ErrorEntry("host", "invalid", "the request has no valid Host header")
            return ErrorResponse(HTTPStatus.BAD_REQUEST, entry)
        name = _normal_name(host[1])
        if not self._is_own(name, scope):
            message = f"this sandbox is not {name}; to accept that name, start it with --allow-host"
            return ErrorResponse(HTTPStatus.MISDIRECTED_REQUEST, ErrorEntry("host", "invalid", message))
        if any(origin.lower() != f"http://{hosts[0]}".lower() for origin in headers.getlist("origin")):
            entry = ErrorEntry("origin", "invalid", "the request comes from a page of another site")
            return ErrorResponse(HTTPStatus.FORBIDDEN, entry)
        return None

    def _is_own(self, name: str, scope: Scope) -> bool:
        connected_to, _port = scope.get("server") or ("", None)
        address = parse_ip(name)
        return name in self._names or is_loopback(name) or (address is not None and address == parse_ip(connected_to))


def _normal_name(name: str) -> str:
    return name.strip("[]").lower().removesuffix(".")
