"""Which requests the sandbox accepts at all: those to one of its own names, and none from another site's page.

A web page cannot open a connection of its own, but it can have its visitor's browser send requests. If the page's name
is made to resolve to this machine (DNS rebinding), the browser even lets it read the responses. The sandbox's key is
public, so only the `Host` and `Origin` headers tell such a request from the user's own.
"""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from starlette.datastructures import Headers
from starlette.responses import JSONResponse

from reconciler.model.server import parse_ip
from reconciler.sandbox.refusal import Fault, Refusal

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.types import ASGIApp, Receive, Scope, Send

_HOST: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\s:/?#@\[\]\\]{1,255})(:\d{0,5})?")
"""RFC 9110, section 7.2: a name or an address, then perhaps a port. The port may be another one, behind a tunnel."""


class HostCheck:
    """ASGI middleware. It comes before everything else, so that a refused request learns and changes nothing."""

    def __init__(self, app: ASGIApp, *, names: Iterable[str]) -> None:
        """``names`` are accepted besides the names and addresses of loopback, and the address that was connected to."""
        self._app = app
        self._names = {"localhost", *map(_normalized, names)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Lets the request through, or responds with 400, 403 or 421."""
        if scope["type"] == "http" and (refusal := self._refusal(scope)):
            await JSONResponse(refusal.body, refusal.status)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _refusal(self, scope: Scope) -> Refusal | None:
        headers = Headers(scope=scope)
        hosts = headers.getlist("host")
        found = _HOST.fullmatch(hosts[0]) if len(hosts) == 1 else None
        if not found:
            return Refusal(HTTPStatus.BAD_REQUEST, Fault("host", "invalid", "the request has no valid Host header"))
        name = _normalized(found[1])
        if not self._is_ours(name, scope):
            words = f"this sandbox is not {name}; to accept that name, start it with --allow-host"
            return Refusal(HTTPStatus.MISDIRECTED_REQUEST, Fault("host", "invalid", words))
        if any(origin.lower() != f"http://{hosts[0]}".lower() for origin in headers.getlist("origin")):
            words = "the request comes from a page of another site"
            return Refusal(HTTPStatus.FORBIDDEN, Fault("origin", "invalid", words))
        return None

    def _is_ours(self, name: str, scope: Scope) -> bool:
        address = parse_ip(name)
        if address is None or name in self._names:
            return name in self._names
        connected_to, _port = scope.get("server") or ("", None)
        return address.is_loopback or address == parse_ip(connected_to)


def _normalized(name: str) -> str:
    return name.strip("[]").lower().removesuffix(".")
