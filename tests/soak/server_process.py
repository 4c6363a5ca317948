"""Ten sandboxes' APIs in a process of its own, each behind an HTTP server that can misbehave for a while.

Run as ``python -m tests.soak.server_process TOKEN...``, with the refresh token of each server. It reads commands from
standard input, one JSON object per line, and writes one line to standard output for each. Requests with the header
``X-Administrator`` are the test's own: no fault hits them.
"""

from __future__ import annotations

import asyncio
import json
import random
import socket
import struct
import sys
import threading
import time
from dataclasses import replace
from typing import Any, Final

from reconciler.sandbox import REFRESH_TOKEN
from tests.support.administrator import row_of
from tests.support.fault_api import Answer, Application, Request, received

WRITES: Final = ("create", "update", "delete")
_PAGE: Final = b"<html><body>Please log in</body></html>"
_REFUSED: Final = json.dumps({"errors": [{"field": "", "type": "invalid", "msg": "the token was revoked"}]}).encode()


class Server:
    """One sandbox.

    Attributes:
        fault: What happens to requests: its kind (none if empty), and the probability of each.
        entries: Each write that had an effect, and each list that was served to the watcher.
    """

    def __init__(self, number: int, refresh_token: str, entries: list[dict[str, Any]]) -> None:
        self._number = number
        self._token = refresh_token
        self._application = Application([], {})
        self._random = random.Random(number)  # noqa: S311 - no secret
        self._turn = asyncio.Lock()
        self._clients: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self._reserved = _bound(0)  # never listened on: while the server is down, no other program can take the port
        self.port: int = self._reserved.getsockname()[1]
        self.fault = ("", 0.0)
        self.entries = entries

    async def set_fault(self, kind: str, probability: float) -> None:
        """Begins a fault, or ends it if the kind is empty."""
        self.fault = (kind, probability)
        if kind == "expired":
            self._application.tokens.expire()
        if kind == "down" and self._server:
            self._server.close()
            self._server = None
            for writer in list(self._clients):
                writer.transport.abort()
        elif kind != "down" and self._server is None:
            self._server = await asyncio.start_server(self._connected, sock=_bound(self.port), backlog=64)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._clients.add(writer)
        try:
            while request := await received(reader):
                if not await self._serve(request, reader, writer):
                    break
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self._clients.discard(writer)
            writer.transport.abort() if writer.transport.is_closing() else writer.close()

    async def _serve(self, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Sends the response, or the fault; returns whether the connection stays open."""
        is_ours = any(name == b"x-administrator" for name, _ in request.headers)
        kind, probability = self.fault
        if is_ours or self._random.random() >= probability:
            kind = ""
        response = Answer(500) if kind.endswith("_before") else await self._carry_out(request, kind, is_ours=is_ours)
        if kind.startswith("hang"):
            await reader.read()
            return False
        if kind.startswith("reset"):
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
            return False
        if kind.startswith("500"):
            response = Answer(500)
        elif kind.startswith("page"):
            response = Answer(200, [(b"content-type", b"text/html")], _PAGE)
        headers = [pair for pair in response.headers if pair[0] not in (b"content-length", b"connection")]
        if response.status != 204:
            headers.append((b"content-length", str(len(response.body)).encode()))
        head = b"".join(b"%s: %s\r\n" % pair for pair in headers)
        writer.write(b"HTTP/1.1 %d Status\r\n%s\r\n%s" % (response.status, head, response.body))
        await writer.drain()
        return True

    async def _carry_out(self, request: Request, kind: str, *, is_ours: bool) -> Answer:
        if kind == "refused":
            return Answer(401, [(b"content-type", b"application/json")], _REFUSED)
        if request.call == "token":
            return self._with_own_token(await self._application.respond(self._with_known_token(request)))
        async with self._turn:
            before = self._account(request.account_id)
            response = await self._application.respond(request)
            if 200 <= response.status < 300 and (request.call in WRITES or (request.call == "list" and not is_ours)):
                number = request.account_id or (json.loads(response.body)["id"] if request.call == "create" else None)
                self.entries.append(
                    {
                        "at": time.time(),
                        "server": self._number,
                        "by": "administrator" if is_ours else "watcher",
                        "call": request.call,
                        "id": number,
                        "before": before,
                        "after": self._account(number),
                        "is_confirmed": not kind,
                    }
                )
            return response

    def _with_known_token(self, request: Request) -> Request:
        """The exchange of this server's own token, as the sandbox's API knows it."""
        grant = request.sent
        token = REFRESH_TOKEN if grant.get("refresh_token") == self._token else "unknown"
        body = json.dumps({**grant, "refresh_token": token}).encode()
        headers = [pair for pair in request.headers if pair[0] != b"content-length"]
        return replace(request, headers=[*headers, (b"content-length", str(len(body)).encode())], body=body)

    def _with_own_token(self, response: Answer) -> Answer:
        body = response.body.replace(json.dumps(REFRESH_TOKEN).encode(), json.dumps(self._token).encode())
        return replace(response, body=body)

    def accounts(self) -> list[dict[str, Any]]:
        """All accounts."""
        return [row_of(one) for one in self._application.store.list()]

    def _account(self, number: int | None) -> dict[str, Any] | None:
        return next((one for one in self.accounts() if one["id"] == number), None) if number else None


class Servers:
    """All servers, and the commands."""

    def __init__(self, tokens: list[str]) -> None:
        self._entries: list[dict[str, Any]] = []
        self._servers = [Server(number, token, self._entries) for number, token in enumerate(tokens)]

    async def start(self) -> list[int]:
        """Starts all; returns their ports."""
        for one in self._servers:
            await one.set_fault("", 0)
        return [one.port for one in self._servers]

    async def fault(self, server: int, kind: str, probability: float) -> None:
        """Begins or ends a fault."""
        await self._servers[server].set_fault(kind, probability)

    async def entries(self) -> list[dict[str, Any]]:
        """What has happened since the last call."""
        found = self._entries[:]
        self._entries.clear()
        return found

    async def accounts(self, server: int) -> list[dict[str, Any]]:
        """The accounts of one server."""
        return self._servers[server].accounts()


def _bound(port: int) -> socket.socket:
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind(("127.0.0.1", port))
    return bound


async def _main() -> None:
    servers = Servers(sys.argv[1:])
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()

    def obey() -> None:
        for line in sys.stdin:
            command = json.loads(line)
            try:
                work = getattr(servers, command.pop("do"))(**command)
                result = {"result": asyncio.run_coroutine_threadsafe(work, loop).result()}
            except Exception as error:  # noqa: BLE001 - reported to the test that sent the command
                result = {"error": repr(error)}
            print(json.dumps(result), flush=True)  # noqa: T201 - the protocol with the test
        loop.call_soon_threadsafe(ended.set)

    threading.Thread(target=obey, daemon=True).start()
    await ended.wait()


if __name__ == "__main__":
    asyncio.run(_main())
