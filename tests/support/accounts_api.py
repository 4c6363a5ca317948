"""The accounts API for a scripted server: another administrator may use it too, and its responses may be wrong."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, TypeAlias

from tests.support.scripted_server import Reply, Request, Step, json_reply

if TYPE_CHECKING:
    from collections.abc import Callable

ACCOUNTS = "/api/email/accounts"
Row: TypeAlias = dict[str, Any]
Override: TypeAlias = "Callable[[Request, int], Step | None]"


def account_json(email: str, **fields: object) -> Row:
    """An account as the server's JSON has it."""
    return {
        "email": email,
        "name": email.partition("@")[0].title(),
        "default": False,
        "service": "other",
        "hash_auth": False,
        "smtp_server": "smtp.example.com",
        **fields,
    }


class AccountsApi:
    """Accounts with times of creation and change.

    Attributes:
        requests: The calls so far, such as ``PUT 1``, ``POST`` or ``GET list``.
        overrides: By call, a function that returns another response; ``None`` serves the request. It gets the number
            of such calls so far.
        hides_passwords: Whether responses leave passwords out.
    """

    def __init__(self, *accounts: Row, hides_passwords: bool = False) -> None:
        self.accounts: dict[int, Row] = {}
        self.requests: list[str] = []
        self.overrides: dict[str, Override] = {}
        self.hides_passwords = hides_passwords
        self._seconds = 0
        for account in accounts:
            self.add(**account)

    def add(self, *, account_id: int | None = None, **fields: Any) -> Row:  # noqa: ANN401 - JSON
        """Creates an account, for a request or as another administrator would."""
        now = self._now()
        number = account_id or max(self.accounts, default=0) + 1
        given = {"name": fields["email"], "default": False, "service": "other", "hash_auth": False, **fields}
        row = {"password": None, "smtp_server": "mx.example.com", "smtp_port": 25, **given}
        self.accounts[number] = {**row, "id": number, "created_at": now, "updated_at": now}
        return self.accounts[number]

    def edit(self, number: int, **fields: Any) -> None:  # noqa: ANN401 - JSON
        """Changes an account, as ``add``."""
        self.accounts[number] = {**self.accounts[number], **fields, "updated_at": self._now()}

    def __call__(self, request: Request) -> Step:
        call = _call(request)
        self.requests.append(call)
        override = self.overrides.get(call)
        response = override(request, self.requests.count(call)) if override else None
        return self.serve(request) if response is None else response

    def serve(self, request: Request) -> Step:
        """Does what the request asks for."""
        method, _, number = _call(request).partition(" ")
        if method == "TOKEN":
            return json_reply({"access_token": "access-token"})
        if method == "POST":
            return Reply(200) if number else json_reply(self._visible(self.add(**json.loads(request.body))), 201)
        if number == "list":
            return json_reply([self._visible(row) for row in self.accounts.values()])
        if int(number) not in self.accounts:
            return json_reply({"errors": [{"field": "id", "type": "not_found", "msg": "no such account"}]}, 404)
        if method == "DELETE":
            del self.accounts[int(number)]
            return Reply(200)
        if method == "PUT":
            self.edit(int(number), **json.loads(request.body))
        return json_reply(self._visible(self.accounts[int(number)]))

    def echo(self, request: Request) -> Row:
        """The response of a server that has stored what was sent."""
        return {**self.accounts.get(int((re.findall(r"\d+$", request.path) or [0])[0]), {}), **json.loads(request.body)}

    def _visible(self, row: Row) -> Row:
        return {**row, "password": None} if self.hides_passwords else row

    def _now(self) -> str:
        self._seconds += 1
        return f"2026-01-01T00:{self._seconds // 60:02}:{self._seconds % 60:02}Z"


def _call(request: Request) -> str:
    if request.path.endswith("/token"):
        return "TOKEN"
    rest = request.path.removeprefix(ACCOUNTS).strip("/")
    return f"{request.method} {rest or ('list' if request.method == 'GET' else '')}".strip()
