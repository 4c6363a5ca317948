"""The accounts API for measuring: as little as it takes, in a process of its own, so that clients are what is timed.

``python benchmarks/server.py PORT``. Beside the API it has ``POST /_reset?accounts=N&latency=SECONDS&port=PORT``, which
fills it with N accounts whose ``smtp_port`` is PORT, and ``GET /_stats``, which tells what was asked since then.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any
from urllib.parse import parse_qs

MOMENT = "2018-12-13T12:20:02.932000+00:00"
ACCOUNTS = "/api/email/accounts"


def account(number: int, smtp_port: int = 587) -> dict[str, Any]:
    """The account of a number, as the server shows it."""
    return {
        "id": number,
        "default": False,
        "name": f"n{number}",
        "email": f"n{number}@example.com",
        "service": "other",
        "hash_auth": True,
        "password": "a-password",
        "smtp_server": "smtp.example.com",
        "smtp_port": smtp_port,
        "smtp_crypt": "starttls",
        "smtp_auth_mechanism": "plain",
        "created_at": MOMENT,
        "updated_at": MOMENT,
    }


class Store:
    """The accounts, and what was asked; also the ASGI application."""

    def __init__(self) -> None:
        self.reset(0, 0.0, 587)

    def reset(self, accounts: int, latency: float, smtp_port: int) -> None:
        """Starts anew with so many accounts."""
        self.accounts = {number: account(number, smtp_port) for number in range(1, accounts + 1)}
        self.next_id = accounts + 1
        self.listed: bytes | None = self.listing()  # nobody is to wait for it
        self.latency = latency
        self.requests: dict[str, int] = {}
        self.in_flight = 0
        self.most_in_flight = 0

    def listing(self) -> bytes:
        """What the list call answers."""
        return json.dumps([*self.accounts.values()]).encode()

    def stats(self) -> dict[str, Any]:
        """What was asked, by method; and what is there."""
        return {"requests": self.requests, "accounts": len(self.accounts), "in_flight": self.most_in_flight}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answers one request."""
        body = b""
        while (message := await receive()) and message["type"] == "http.request":
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        status, answer = await self.answer(scope["method"], scope["path"], scope["query_string"], body)
        length = str(len(answer)).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", length)]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": answer})

    async def answer(self, method: str, path: str, query: bytes, body: bytes) -> tuple[int, bytes]:
        """Status and body; a call of the API takes ``latency`` seconds longer than it needs."""
        if path == "/_reset":
            options = parse_qs(query.decode())
            number = {name: float(values[0]) for name, values in options.items()}
            self.reset(int(number["accounts"]), number["latency"], int(number["port"]))
            return 200, b"{}"
        if path == "/_stats":
            return 200, json.dumps(self.stats()).encode()
        self.requests[method] = self.requests.get(method, 0) + 1
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            if self.latency:
                await asyncio.sleep(self.latency)
            return self.call(method, path.removeprefix(ACCOUNTS).strip("/"), body)
        finally:
            self.in_flight -= 1

    def call(self, method: str, number: str, body: bytes) -> tuple[int, bytes]:
        """A call of the API; what it would refuse is not what is measured."""
        if method == "GET" and not number:
            self.listed = self.listed or self.listing()
            return 200, self.listed
        if method == "POST":
            key = self.next_id
            self.next_id += 1
            found = self.accounts[key] = {**account(key), **json.loads(body), "id": key}
        elif not number.isdecimal() or int(number) not in self.accounts:
            return 404, b'{"errors": []}'
        else:
            found = self.accounts[int(number)]
        if method == "PUT":
            found.update(json.loads(body))
        elif method == "DELETE":
            del self.accounts[int(number)]
        if method != "GET":
            self.listed = None
        return 200, json.dumps(found).encode()


if __name__ == "__main__":
    import uvicorn

    uvicorn.run(Store(), host="127.0.0.1", port=int(sys.argv[1]), log_level="warning", access_log=False, lifespan="off")
