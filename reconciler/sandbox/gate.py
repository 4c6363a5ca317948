"""What every request to the API passes first: the latency, and the question for the token."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from starlette.requests import Request
from starlette.responses import JSONResponse

from reconciler.sandbox.refusal import Fault, Refusal

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from reconciler.sandbox.tokens import Tokens

TOKEN_PATHS: Final = ("/api/v1/oauth2/token", "/api/oauth2/token")
ACCESS_COOKIE: Final = "access-token"
REFRESH_COOKIE: Final = "refresh-token"


class Gate:
    """ASGI middleware. Refuses before the body is looked at: who has no token learns nothing about the request."""

    def __init__(self, app: ASGIApp, *, tokens: Tokens, latency: float) -> None:
        self._app = app
        self._tokens = tokens
        self._latency = latency

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Lets the request through, or answers 401."""
        if scope["type"] == "http" and scope["path"].startswith("/api/"):
            if self._latency:
                await asyncio.sleep(self._latency)
            if scope["path"] not in TOKEN_PATHS and (refusal := self._refusal(Request(scope))):
                answer = JSONResponse(refusal.body, refusal.status, {"WWW-Authenticate": "Bearer"})
                await answer(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _refusal(self, request: Request) -> Refusal | None:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if not scheme:
            # The vendor's SDK sends no header: it relies on the cookies that the token exchange has set.
            token = request.cookies.get(ACCESS_COOKIE, "")
        elif scheme.lower() != "bearer":
            token = ""
        if not token:
            return unauthorized(Fault("access_token", "required", "Token de acesso não informado"))
        if not self._tokens.accepts(token.strip()):
            return unauthorized(Fault("access_token", "invalid", "Token de acesso inválido ou expirado"))
        return None


def unauthorized(fault: Fault) -> Refusal:
    """A 401 in the vendor's format."""
    return Refusal(HTTPStatus.UNAUTHORIZED, fault)
