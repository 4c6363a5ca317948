"""An appliance behind a scripted HTTP server, which somebody else uses too, and which may lie."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, TypeAlias

from tests.support.scripted_server import Reply, Request, Step, json_reply

if TYPE_CHECKING:
    from collections.abc import Callable

ACCOUNTS = "/api/email/accounts"
Row: TypeAlias = dict[str, Any]
Answering: TypeAlias = "Callable[[Request, int], Step | None]"


class Appliance:
    """Accounts with times. ``requests`` counts each kind, as in ``PUT 1``, ``POST`` or ``GET list``.

    Attributes:
        lies: By kind of request, what is answered instead of serving it; it gets the number of such requests so far,
            and returns ``None`` to have the request served.
        hides: Whether passwords are not shown.
    """

    def __init__(self, *accounts: Row, hides: bool = False) -> None:
        self.accounts: dict[int, Row] = {}
        self.requests: list[str] = []
        self.lies: dict[str, Answering] = {}
        self.hides = hides
        self.seconds = 0
        for account in accounts:
            self.add(**account)

    def now(self) -> str:
        self.seconds += 1
        return f"2026-01-01T00:{self.seconds // 60:02}:{self.seconds % 60:02}Z"

    def add(self, *, account_id: int | None = None, **fields: Any) -> Row:  # noqa: ANN401 - JSON
        """Creates an account, as somebody else would, or for a request."""
        now = self.now()
        number = account_id or max(self.accounts, default=0) + 1
        given = {"name": fields["email"], "default": False, "service": "other", "hash_auth": False, **fields}
        row = {"password": None, "smtp_server": "mx.example.com", "smtp_port": 25, **given}
        self.accounts[number] = {**row, "id": number, "created_at": now, "updated_at": now}
        return self.accounts[number]

    def edit(self, number: int, **fields: Any) -> None:  # noqa: ANN401 - JSON
        """Changes an account, as somebody else would."""
        self.accounts[number] = {**self.accounts[number], **fields, "updated_at": self.now()}

    def shown(self, row: Row) -> Row:
        return {**row, "password": None} if self.hides else row

    def __call__(self, request: Request) -> Step:
        kind = _kind(request)
        self.requests.append(kind)
        if kind in self.lies and (answer := self.lies[kind](request, self.requests.count(kind))) is not None:
            return answer
        return self.serve(request)

    def serve(self, request: Request) -> Step:
        """Does what the request asks for."""
        method, _, number = _kind(request).partition(" ")
        if method == "TOKEN":
            return json_reply({"access_token": "access-token"})
        if method == "POST":
            return Reply(200) if number else json_reply(self.shown(self.add(**json.loads(request.body))), 201)
        if number == "list":
            return json_reply([self.shown(row) for row in self.accounts.values()])
        if int(number) not in self.accounts:
            return json_reply({"errors": [{"field": "id", "type": "not_found", "msg": "no such account"}]}, 404)
        if method == "DELETE":
            del self.accounts[int(number)]
            return Reply(200)
        if method == "PUT":
            self.edit(int(number), **json.loads(request.body))
        return json_reply(self.shown(self.accounts[int(number)]))

    def echo(self, request: Request) -> Row:
        """What a server would answer that has done what it was asked for."""
        return {**self.accounts.get(int((re.findall(r"\d+$", request.path) or [0])[0]), {}), **json.loads(request.body)}


def _kind(request: Request) -> str:
    if request.path.endswith("/token"):
        return "TOKEN"
    rest = request.path.removeprefix(ACCOUNTS).strip("/")
    return f"{request.method} {rest or ('list' if request.method == 'GET' else '')}".strip()
