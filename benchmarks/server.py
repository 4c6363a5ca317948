"""A minimal accounts API for benchmarks, in a separate process, so that only the client is measured.

``python benchmarks/server.py PORT``. In addition to the API, it has
``POST /_reset?accounts=N&latency=SECONDS&port=PORT``, which creates N accounts whose ``smtp_port`` is PORT, and
``GET /_stats``, which counts the requests since then.
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
    """Account number ``number``, as the server returns it."""
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
    """The accounts and the request counters; also the ASGI application."""

    def __init__(self) -> None:
        self.reset(0, 0.0, 587)

    def reset(self, accounts: int, latency: float, smtp_port: int) -> None:
        """Starts again with this many accounts."""
        self.accounts = {number: account(number, smtp_port) for number in range(1, accounts + 1)}
        self.next_id = accounts + 1
        self.listed: bytes | None = self.listing()  # rendered before it is measured
        self.latency = latency
        self.requests: dict[str, int] = {}
        self.in_flight = 0
        self.most_in_flight = 0

    def listing(self) -> bytes:
        """The response of the list call."""
        return json.dumps([*self.accounts.values()]).encode()

    def stats(self) -> dict[str, Any]:
        """The requests by method, and the number of accounts."""
        return {"requests": self.requests, "accounts": len(self.accounts), "in_flight": self.most_in_flight}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Handles one request."""
        body = b""
        while (message := await receive()) and message["type"] == "http.request":
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        status, response = await self.respond(scope["method"], scope["path"], scope["query_string"], body)
        length = str(len(response)).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", length)]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": response})

    async def respond(self, method: str, path: str, query: bytes, body: bytes) -> tuple[int, bytes]:
        """Status and body of the response; API calls are delayed by ``latency`` seconds."""
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
        """An API call. Invalid requests are not handled, because they are not measured."""
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
