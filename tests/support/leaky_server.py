"""A server whose error responses repeat every secret that it was sent."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.support.scripted_server import Reply, ScriptedServer, json_reply

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.canaries import Canaries
    from tests.support.scripted_server import Request, Step

PLACES = ("token", "list", "get", "create", "update", "delete", "test")

STYLES: dict[str, tuple[int, str]] = {
    "vendor": (400, "application/json"),
    "one": (409, "application/json"),
    "text": (400, "text/plain"),
    "object": (500, "application/json"),
    "page": (403, "text/html"),
    "redirect": (302, "text/html"),
}
"""The form of a refusal: its status and content type."""


@dataclass(slots=True)
class LeakyServer:
    """The accounts of the server, and the call that it refuses.

    Attributes:
        known: Names of the canaries that the client knows too; it cannot mask others.
        place: The call that is refused; ``None`` for none.
        style: One of ``STYLES``.
        encode: How the secrets are written in a refusal.
    """

    canaries: Canaries
    accounts: list[dict[str, Any]]
    known: list[str]
    place: str | None = None
    style: str = "vendor"
    encode: Callable[[str], str] = str
    tokens: int = 0
    refused: int = 0
    answered: dict[str, int] = field(default_factory=dict)

    def __call__(self, request: Request) -> Step:
        place = _place(request)
        self.answered[place] = self.answered.get(place, 0) + 1
        if place == self.place:
            self.refused += 1
            return self._refusal()
        return self._answer(place, request)

    def _answer(self, place: str, request: Request) -> Step:
        number = request.path.rpartition("/")[2]
        found = next((one for one in self.accounts if str(one["id"]) == number), None)
        if place == "token":
            return self._tokens()
        if place == "list":
            self.known += [name for name in self.canaries.values if name.startswith("server's")]
            return json_reply(self.accounts, X_Echo=self._secret(self.known[0]))
        if place == "test":
            return Reply(200)
        if place == "create":
            made = {**json.loads(request.body), "id": 100 + len(self.accounts)}
            self.accounts.append(made)
            return json_reply(made, 201)
        if found is None:
            return json_reply({"errors": [{"type": "not_found"}]}, 404)
        if place == "update":
            found.update(json.loads(request.body))
        elif place == "delete":
            self.accounts.remove(found)
        return json_reply(found)

    def _tokens(self) -> Reply:
        """A new access token, which the next exchange replaces, and a refresh token that is not the one sent."""
        self.tokens += 1
        names = [f"access token {self.tokens}", f"changed refresh token {self.tokens}"]
        access, refresh = (self.canaries.new(name, "/+&<>\"'~=") for name in names)
        self.known += names
        return json_reply(
            {"access_token": access, "refresh_token": refresh, "expires_in": 900}, Set_Cookie=f"access-token={access}"
        )

    def _secret(self, place: str) -> str:
        return "".join(self.encode(self.canaries.values[place]).splitlines())

    def _bare(self) -> str:
        """A secret that is valid as a host name and as an error type."""
        known = "file password" in self.known
        return self.canaries.values["file password"].lower() if known else "an-error"

    def _refusal(self) -> Reply:
        status, kind = STYLES[self.style]
        if self.place == "create":
            status = min(status, 499)  # after a 5XX, the client would search for the account for seconds
        echoed = [self._secret(place) for place in dict.fromkeys(self.known)]
        headers = {"Content-Type": kind, "X-Echo": echoed[0].encode("ascii", "replace").decode()}
        if self.style == "vendor":
            body = json.dumps({"errors": [{"type": one, "field": one, "msg": f"Senha: {one}!"} for one in echoed]})
        elif self.style == "one":
            body = json.dumps({"errors": [{"type": self._bare(), "msg": echoed[-1]}]})
        elif self.style == "object":
            body = json.dumps({"error": "535 5.7.8 bad login", "request": echoed[:4]}, ensure_ascii=False)
        else:
            body = f"<p>{' '.join(echoed[:4])}</p>" if kind == "text/html" else f"535 {' '.join(echoed[-4:])}"
        if self.style == "redirect":
            headers["Location"] = f"https://{self._bare()}.example.com/{echoed[-1].encode('ascii', 'replace').decode()}"
        return Reply(status, body.encode(), headers)


def _place(request: Request) -> str:
    if request.path.endswith("/token"):
        return "token"
    if request.path.endswith("/test"):
        return "test"
    if request.method == "GET":
        return "list" if request.path.endswith("/accounts") else "get"
    return {"POST": "create", "PUT": "update", "DELETE": "delete"}[request.method]


def serve(server: LeakyServer) -> ScriptedServer:
    """The server, as a context manager."""
    return ScriptedServer(respond=server)
