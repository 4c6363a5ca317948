"""Answers for thousands of appliances in one process, so that only the client is measured.

``python benchmarks/appliances.py PORT ACCOUNTS``. Every loopback address is an appliance. Responses are rendered in
advance; an appliance has data of its own only once something was written to it. ``PORT`` serves, nothing listens on
the next port, and the one after that refuses every token. In addition to the API, 127.0.0.1 has
``POST /_reset?latency=SECONDS``, which forgets all writes and delays every response from then on, and ``GET /_stats``,
which counts requests and the appliances that were written to.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from typing import Any, Final
from urllib.parse import parse_qs

from server import ACCOUNTS, account

DOWN, REFUSING = 1, 2
"""What to add to the port for an appliance that is down, and for one that refuses."""

_PATH: Final = ACCOUNTS.encode()
_TOKEN: Final = json.dumps({"access_token": "an-access-token", "token_type": "bearer", "expires_in": 3600}).encode()
_REFUSAL: Final = json.dumps({"errors": [{"field": "", "type": "forbidden", "msg": "this key is locked"}]}).encode()


def url(number: int, port: int) -> str:
    """The URL of an appliance."""
    return f"http://127.{1 + (number >> 16)}.{number >> 8 & 255}.{number & 255}:{port}"


class Appliances:
    """The accounts of all appliances."""

    def __init__(self, accounts: int) -> None:
        self._rendered = {number: json.dumps(account(number)).encode() for number in range(1, accounts + 1)}
        self._list = _joined(self._rendered)
        self.reset(0.0)

    def reset(self, latency: float) -> None:
        """Forgets all writes and counts."""
        self.latency = latency
        self._written: dict[str, dict[int, bytes]] = {}
        self._requests: Counter[str] = Counter()

    def stats(self) -> bytes:
        """The requests by method, and the number of appliances that were written to."""
        return json.dumps({"requests": self._requests, "written": len(self._written)}).encode()

    def respond(self, address: str, method: bytes, path: bytes, body: bytes) -> tuple[int, bytes]:
        """Status and body of the response of one appliance."""
        if path.startswith(b"/_"):
            if method == b"POST":
                options = parse_qs(path.partition(b"?")[2].decode())
                self.reset(float(options.get("latency", ["0"])[0]))
            return 200, self.stats()
        self._requests[method.decode()] += 1
        if path.endswith(b"/token"):
            return 200, _TOKEN
        number = path.removeprefix(_PATH).strip(b"/")
        if method == b"GET":
            held = self._written.get(address)
            if not number:
                return 200, _joined(held) if held is not None else self._list
            found = (self._rendered if held is None else held).get(int(number))
            return (200, found) if found else (404, b'{"errors": []}')
        return self._write(self._written.setdefault(address, dict(self._rendered)), method, number, body)

    def _write(self, held: dict[int, bytes], method: bytes, number: bytes, body: bytes) -> tuple[int, bytes]:
        key = int(number) if number else max(held, default=0) + 1
        if number and key not in held:
            return 404, b'{"errors": []}'
        if method == b"DELETE":
            del held[key]
            return 200, b"true"
        before: dict[str, Any] = json.loads(held[key]) if number else account(key)
        held[key] = json.dumps({**before, **json.loads(body), "id": key}).encode()
        return 200, held[key]


def _joined(rendered: dict[int, bytes]) -> bytes:
    return b"[%s]" % b", ".join(rendered.values())


class _Connection(asyncio.Protocol):
    def __init__(self, appliances: Appliances, *, refuses: bool) -> None:
        self._appliances = appliances
        self._refuses = refuses
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._address: str = transport.get_extra_info("sockname")[0]

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            head, rest = self._received[:end], self._received[end + 4 :]
            _, _, length = head.lower().partition(b"\r\ncontent-length:")
            size = int(length.partition(b"\r\n")[0] or 0)
            if len(rest) < size:
                return
            self._received = rest[size:]
            method, path, _ = head.split(b" ", 2)
            send, response = self._send, self._respond(method, path, rest[:size])
            if self._appliances.latency:
                asyncio.get_running_loop().call_later(self._appliances.latency, send, *response)
            else:
                send(*response)

    def _respond(self, method: bytes, path: bytes, body: bytes) -> tuple[int, bytes]:
        return (403, _REFUSAL) if self._refuses else self._appliances.respond(self._address, method, path, body)

    def _send(self, status: int, body: bytes) -> None:
        head = b"HTTP/1.1 %d Status\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
        self._transport.write(head % (status, len(body)) + body)


async def _serve(port: int, accounts: int) -> None:
    appliances, loop = Appliances(accounts), asyncio.get_running_loop()
    for offset, refuses in ((0, False), (REFUSING, True)):

        def connected(*, refuses: bool = refuses) -> _Connection:
            return _Connection(appliances, refuses=refuses)

        await loop.create_server(connected, "0.0.0.0", port + offset, backlog=1024)  # noqa: S104 - all of 127.0.0.0/8
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), int(sys.argv[2])))
