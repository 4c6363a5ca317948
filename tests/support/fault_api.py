"""The sandbox's API without its server: takes requests, returns responses."""

from __future__ import annotations

import asyncio
import json
import secrets
import ssl
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from reconciler.sandbox import REFRESH_TOKEN, SandboxOptions
from reconciler.sandbox.api import AppState, TokenStore
from reconciler.sandbox.app import build_app
from reconciler.sandbox.mailer import Mailer
from reconciler.sandbox.smtp_sink import SmtpSink
from tests.support.administrator import Administrator, SharedStore, row_of
from tests.support.false_responses import ACCOUNTS, body_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from reconciler.sandbox.schemas import AccountFields


@dataclass
class Request:
    """A received request."""

    method: str
    path: str
    headers: list[tuple[bytes, bytes]]
    body: bytes

    @property
    def account_id(self) -> int | None:
        """The id that the path names."""
        last = self.path.removeprefix(f"{ACCOUNTS}/")
        return int(last) if last.isdecimal() else None

    @property
    def call(self) -> str:
        """The call that is requested, by its name in our ports; ``token`` for anything else."""
        if self.account_id is not None:
            return {"GET": "get", "PUT": "update", "DELETE": "delete"}.get(self.method, "")
        named = {f"GET {ACCOUNTS}": "list", f"POST {ACCOUNTS}": "create", f"POST {ACCOUNTS}/test": "test"}
        return named.get(f"{self.method} {self.path}", "token")

    @property
    def sent(self) -> dict[str, Any]:
        """The body."""
        return json.loads(self.body) if self.body else {}

    @property
    def address(self) -> str | None:
        """The address in the body."""
        return self.sent.get("email") if self.call != "token" else None


@dataclass
class Answer:
    """The application's response to a request."""

    status: int = 0
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytes = b""


class Postman(Mailer):
    """Accepts every test mail, and sends none."""

    def send(self, account: AccountFields, to_email: str) -> None:
        """Sends nothing."""


class Application:
    """One sandbox's API, its accounts, and the administrator who changes them too.

    Args:
        seed: The accounts, as the API's JSON has them.
        options: Those of the sandbox, plus two: ``mask`` is what every response shows in place of a password, and
            ``rotates`` makes each exchange of a refresh token return another one and refuse the former.
    """

    def __init__(self, seed: Sequence[object], options: dict[str, Any]) -> None:
        self._mask = options.pop("mask", None)
        self._rotates = options.pop("rotates", False)
        self.refresh_token = REFRESH_TOKEN
        behaviour = SandboxOptions(**options)
        self.store = SharedStore(behaviour)
        self.store.seed(seed)
        self.administrator = Administrator(self.store)
        mailer = Postman(smtp_port=9, smtps_port=9, sink_tls=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
        self.tokens = TokenStore(900)
        state = AppState(
            options=behaviour, store=self.store, tokens=self.tokens, mailer=mailer, sink=SmtpSink(behaviour.mailboxes)
        )
        self._app = build_app(state)

    async def respond(self, request: Request) -> Answer:
        """Carries out a request."""
        if self._rotates and request.call == "token":
            return await self._respond_with_another_token(request)
        response = await self._respond(request)
        if self._mask and response.body and response.status < HTTPStatus.MULTIPLE_CHOICES:
            response.body = _masked(response.body, self._mask)
        return response

    async def _respond_with_another_token(self, request: Request) -> Answer:
        grant = request.sent
        known = grant.get("refresh_token") == self.refresh_token
        body = {**grant, "refresh_token": REFRESH_TOKEN if known else "replaced"}
        response = await self._respond(replace(request, body=_json(body)))
        if response.status == HTTPStatus.OK:
            self.refresh_token = secrets.token_urlsafe(24)
            response.body = _json({**json.loads(response.body), "refresh_token": self.refresh_token})
        return response

    async def _respond(self, request: Request) -> Answer:
        response = Answer()
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": request.method,
            "scheme": "http",
            "path": request.path,
            "raw_path": request.path.encode(),
            "query_string": b"",
            "root_path": "",
            "headers": request.headers,
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 80),
        }

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": request.body, "more_body": False}

        async def send(message: Any) -> None:  # noqa: ANN401 - ASGI's message
            if message["type"] == "http.response.start":
                response.status, response.headers = message["status"], list(message["headers"])
            else:
                response.body += message.get("body", b"")

        await self._app(scope, receive, send)
        return response

    async def respond_falsely(self, request: Request, false: Mapping[str, Any]) -> Answer:
        """Carries out the request or not, and returns a false response."""
        accounts = [row_of(one) for one in self.store.list()]
        about = request.account_id or max((one["id"] for one in accounts), default=0) + 1
        true = await self.respond(request) if false["effect"] else Answer()
        honest = true.body
        if request.call == "delete" or not 200 <= true.status < 300:
            honest = b""
        body = body_of(
            false["body"],
            sent={**request.sent, "id": about},
            honest=honest,
            former=next((one for one in accounts if one["id"] == about), {}),
            another=next((one for one in reversed(accounts) if one["id"] != about), {}),
        )
        headers = [(b"content-type", b"application/json")]
        headers += [(name.encode(), value.encode()) for name, value in false["headers"].items()]
        return Answer(false["status"], headers, b"" if false["status"] == 204 else body)


def _masked(body: bytes, mask: str) -> bytes:
    found = json.loads(body)
    for account in found if isinstance(found, list) else [found]:
        if account.get("password"):
            account["password"] = mask
    return _json(found)


def _json(found: object) -> bytes:
    return json.dumps(found).encode()


async def received(reader: asyncio.StreamReader) -> Request | None:
    """The next request of a connection."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    first, *rest = head[:-4].split(b"\r\n")
    method, path, _ = first.decode().split(" ")
    headers = [(name.lower(), value.strip()) for name, _, value in (line.partition(b":") for line in rest)]
    length = int(dict(headers).get(b"content-length", b"0"))
    return Request(method, path, headers, await reader.readexactly(length))
