"""Which requests the page responds to, and the headers of every response."""

from __future__ import annotations

import binascii
from base64 import b64decode
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from starlette.datastructures import Headers, MutableHeaders

from reconciler.http_server.host_check import HostCheck, HostFault
from reconciler.model.display import shorten
from reconciler.model.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from starlette.responses import Response
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

PROBES: Final = frozenset({"/healthz", "/readyz"})
HOOK: Final = "/hook"

_READING: Final = frozenset({"GET", "HEAD"})
LARGEST_HEAD: Final = 16 * 1024
"""Bytes of a request's address and headers."""

_WANTED: Final = "give the token of this page as the password; any user name will do"
_LONGEST_NAME: Final = 80

HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""What every response has, unless it sets the header itself."""


class Access:
    """ASGI middleware around the whole application: headers, host, method and token, in this order.

    The probes of an orchestrator are let through as they are: they ask by address, and learn one bit.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        names: Iterable[str],
        token: Secret | None,
        refuse: Callable[[str, HTTPStatus, str], Response],
        report_bug: Callable[[Exception], None],
    ) -> None:
        """Takes an application.

        Args:
            app: The application.
            names: The host names that requests may be for, besides loopback's.
            token: What readers have to give; ``None`` if everybody may read.
            refuse: Makes a response to a path from a status and a message.
            report_bug: Called if a request ends in a bug.
        """
        self._app = app
        self._hosts = HostCheck(names)
        self._token = token
        self._refuse = refuse
        self._report_bug = report_bug

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on, or responds with 400, 401, 405, 421 or 431."""
        if scope["type"] != "http":
            return
        response = self._refusal(scope)
        if response is None and scope["method"] == "HEAD":
            scope = {**scope, "method": "GET"}  # the server leaves the body out
        guarded = _Guarded(send)
        try:
            await (response or self._app)(scope, receive, guarded.send)
        except Exception as bug:  # noqa: BLE001 - one request must not show what a bug's message contains
            self._report_bug(bug)
            if not guarded.has_begun:
                response = self._refuse(scope["path"], HTTPStatus.INTERNAL_SERVER_ERROR, "internal error")
                await response(scope, receive, guarded.send)

    def _refusal(self, scope: Scope) -> Response | None:
        path = scope["path"]
        if _head_size(scope) > LARGEST_HEAD:
            status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
            return self._refuse(path, status, f"address and headers have more than {LARGEST_HEAD:,} bytes")
        if path not in PROBES and (response := self._host_refusal(scope)):
            return response
        allowed = frozenset({"POST"}) if path == HOOK else _READING
        if scope["method"] not in allowed:
            response = self._refuse(path, HTTPStatus.METHOD_NOT_ALLOWED, "this address cannot be used with that method")
            response.headers["Allow"] = ", ".join(sorted(allowed))
            return response
        if path in PROBES or path == HOOK or self._token is None or _has_token(scope, self._token):
            return None
        response = self._refuse(path, HTTPStatus.UNAUTHORIZED, _WANTED)
        response.headers["WWW-Authenticate"] = 'Basic realm="reconciler", charset="UTF-8"'
        return response

    def _host_refusal(self, scope: Scope) -> Response | None:
        refusal = self._hosts.refusal(scope, checks_origin=False)
        if refusal is None:
            return None
        path = scope["path"]
        if refusal.fault is HostFault.INVALID:
            return self._refuse(path, HTTPStatus.BAD_REQUEST, "the request has no valid Host header")
        name = shorten(refusal.name, _LONGEST_NAME)
        message = f"this watcher is not {name}; to accept that name, start it with --host"
        return self._refuse(path, HTTPStatus.MISDIRECTED_REQUEST, message)


def _head_size(scope: Scope) -> int:
    """The bytes of a request's address and headers. uvicorn only limits a head that arrives in several parts."""
    fields = sum(len(name) + len(value) for name, value in scope["headers"])
    return fields + len(scope["raw_path"]) + len(scope["query_string"])


def _has_token(scope: Scope, token: Secret) -> bool:
    given = Headers(scope=scope).getlist("authorization")
    if len(given) != 1:
        return False
    scheme, _, value = given[0].encode("latin-1").partition(b" ")
    value = value.strip()
    if scheme.lower() == b"basic":
        try:
            _user, _, value = b64decode(value, validate=True).partition(b":")
        except binascii.Error:
            return False
    elif scheme.lower() != b"bearer":
        return False
    return Secret(value.decode("utf-8", "surrogateescape")) == token


class _Guarded:
    """Adds the headers of every response, and knows whether one has begun."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.has_begun = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.has_begun = True
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
        await self._send(message)
