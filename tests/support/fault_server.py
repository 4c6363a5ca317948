"""The sandbox's API in a process of its own, behind an HTTP server that misbehaves at chosen requests.

Run as ``python -m tests.support.fault_server``. It reads commands from standard input, one JSON object per line, and
writes one line to standard output for each.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import sys
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from reconciler.sandbox import REFRESH_TOKEN
from tests.support.administrator import row_of
from tests.support.fault_api import Answer, Application, Request, received
from tests.support.fault_control import AFTER, FALSE, HELD, LATE, REFUSALS

if TYPE_CHECKING:
    from collections.abc import Coroutine

_OUTAGE = 0.01
"""Seconds that connections are refused for: shorter than the pause before a second attempt."""
_PAGE = b"<html><body>Please log in</body></html>"
_STATUSES = {
    "500_before": (500, {}),
    "500_after": (500, {}),
    "502_before": (502, {}),
    "502_after": (502, {}),
    "503_retry_after": (503, {"Retry-After": "0"}),
    "429_retry_after": (429, {"Retry-After": "0"}),
    "401": (401, {}),
}


@dataclass(frozen=True)
class Fault:
    """Hits the requests from ``at`` on, ``times`` of them.

    Attributes:
        call: Counts the requests of this call alone.
        deed: What the administrator does right after the request, before its response.
        response: What a false response is like.
    """

    kind: str
    at: int
    times: int = 1
    call: str | None = None
    deed: str | None = None
    response: dict[str, Any] | None = None

    def hits(self, index: int) -> bool:
        return self.at <= index < self.at + self.times


class FaultyServer:
    """One sandbox on one port, and the active faults."""

    def __init__(self) -> None:
        # Bound and never listened on: while the listener is closed, no other program can take the port.
        self._reserved = _bound(0)
        self.port: int = self._reserved.getsockname()[1]
        self._server: asyncio.Server | None = None
        self._clients: set[asyncio.StreamWriter] = set()
        self._late: set[asyncio.Task[Any]] = set()
        self._held: asyncio.Queue[str] = asyncio.Queue()
        self._application: Application | None = None

    async def reset(self, seed: list[object], options: dict[str, Any], faults: list[dict[str, Any]]) -> dict[str, Any]:
        """Starts over with these accounts."""
        await self._settle()
        if self._application:
            self._application.store.close()
        self._application = Application(seed, options)
        return await self.arm(faults)

    async def arm(self, faults: list[dict[str, Any]]) -> dict[str, Any]:
        """Replaces the active faults, and counts the requests from 0 again."""
        await self._settle()
        assert self._application is not None
        self._application.refresh_token = REFRESH_TOKEN
        self._faults = [Fault(**one) for one in faults]
        self._log: list[dict[str, Any]] = []
        self._held = asyncio.Queue()
        await self._listen()
        self._expect_refusal()
        return {"port": self.port}

    async def state(self) -> dict[str, Any]:
        """The accounts and the requests so far, once no request is in flight."""
        await self._settle()
        assert self._application is not None
        accounts = [row_of(one) for one in self._application.store.list()]
        return {"accounts": accounts, "log": self._log, "deeds": self._application.administrator.done}

    async def peek(self) -> dict[str, Any]:
        """The accounts, even while requests are in flight."""
        assert self._application is not None
        return {"accounts": [row_of(one) for one in self._application.store.list()]}

    async def expire(self) -> dict[str, Any]:
        """Expires every access token."""
        assert self._application is not None
        self._application.tokens.expire()
        return {}

    async def write(self, account_id: int | None, fields: dict[str, Any] | None) -> dict[str, Any]:
        """Creates, replaces or deletes an account as the administrator."""
        assert self._application is not None
        self._application.administrator.write(account_id, fields)
        return {}

    async def held(self) -> dict[str, Any]:
        """Waits until a request is held; returns its line."""
        return {"line": await asyncio.wait_for(self._held.get(), 30)}

    async def _settle(self) -> None:
        """Drops every connection, and waits until their requests have had their effects."""
        while self._clients or self._late:
            for writer in self._clients:
                writer.transport.abort()
            if self._late:
                await asyncio.wait(self._late)
            await asyncio.sleep(0.001)

    async def _listen(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._connected, sock=_bound(self.port), backlog=64)

    def _expect_refusal(self) -> None:
        """Closes the listener if the next request must be refused."""
        upcoming = self._refusal_next()
        if upcoming and self._server:
            self._server.close()
            self._server = None
            if upcoming.kind == "refused":
                _spawn(self._reopen(upcoming.times), self._late)
            for writer in self._clients:
                writer.transport.abort()

    def _refusal_next(self) -> Fault | None:
        return next((one for one in self._faults if one.kind in REFUSALS and one.hits(len(self._log))), None)

    async def _reopen(self, times: int) -> None:
        await asyncio.sleep(_OUTAGE * times)
        # Refused connections count as requests, or the outage would begin again at once.
        self._log += [{"line": "", "call": "", "fault": "refused"}] * times
        await self._listen()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._clients.add(writer)
        try:
            while request := await received(reader):
                if not await self._serve(request, reader, writer):
                    break
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self._clients.discard(writer)
            writer.transport.abort() if writer.transport.is_closing() else writer.close()

    async def _serve(self, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Sends the response, or the fault; returns whether the connection stays open."""
        fault = self._fault_of(request)
        kind = fault.kind if fault else None
        line = f"{request.method} {request.path}"
        self._log.append({"line": line, "call": request.call, "fault": kind})
        if kind in HELD:
            return await self._hold(kind or "", request, reader, line)
        if kind == LATE:
            await reader.read()
            _spawn(self._carry_out(request), self._late)
            return False
        response = await self._respond(request, fault)
        if fault and fault.deed and self._application:
            self._application.administrator.act(fault.deed, request.account_id, request.address)
        return await self._answer(kind, response, reader, writer)

    def _fault_of(self, request: Request) -> Fault | None:
        counts = {None: len(self._log), request.call: [one["call"] for one in self._log].count(request.call)}
        return next((one for one in self._faults if one.call in counts and one.hits(counts[one.call])), None)

    async def _respond(self, request: Request, fault: Fault | None) -> Answer:
        if fault and fault.kind == FALSE and fault.response and self._application:
            return await self._application.respond_falsely(request, fault.response)
        return await self._carry_out(request) if fault is None or fault.kind in AFTER else Answer()

    async def _carry_out(self, request: Request) -> Answer:
        assert self._application is not None
        return await self._application.respond(request)

    async def _hold(self, fault: str, request: Request, reader: asyncio.StreamReader, line: str) -> bool:
        if fault == "held_after":
            await self._carry_out(request)
        self._held.put_nowait(line)
        await reader.read()
        if fault == "held_late":
            await self._carry_out(request)
        return False

    async def _answer(
        self, fault: str | None, response: Answer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        if fault in {"timeout_before", "timeout_after"}:
            await reader.read()
            return False
        if fault in {*REFUSALS, "reset_before", "reset_after"}:
            _reset(writer)
            return False
        if fault in _STATUSES:
            status, headers = _STATUSES[fault]
            response = Answer(status, [(name.encode(), value.encode()) for name, value in headers.items()], b"")
        elif fault in {"html_before", "html_after"}:
            response = Answer(200, [(b"content-type", b"text/html")], _PAGE)
        elif fault == "truncated":
            response.body = response.body[: len(response.body) // 2] or b"{"
        await self._send(response, writer, cut=fault == "cut_off")
        return fault != "cut_off"

    async def _send(self, response: Answer, writer: asyncio.StreamWriter, *, cut: bool) -> None:
        refused_next = self._refusal_next() is not None
        headers = [pair for pair in response.headers if pair[0] not in (b"content-length", b"connection")]
        if response.status != 204:
            headers.append((b"content-length", str(len(response.body) + (8 if cut else 0)).encode()))
        if refused_next:
            headers.append((b"connection", b"close"))
        head = b"".join(b"%s: %s\r\n" % pair for pair in headers)
        writer.write(b"HTTP/1.1 %d Status\r\n%s\r\n%s" % (response.status, head, response.body))
        if refused_next:
            self._clients.discard(writer)
            self._expect_refusal()
            self._clients.add(writer)
        await writer.drain()


def _bound(port: int) -> socket.socket:
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind(("127.0.0.1", port))
    return bound


def _reset(writer: asyncio.StreamWriter) -> None:
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def _spawn(work: Coroutine[Any, Any, Any], tasks: set[asyncio.Task[Any]]) -> None:
    task = asyncio.get_running_loop().create_task(work)
    tasks.add(task)
    task.add_done_callback(tasks.discard)


async def _main() -> None:
    server = FaultyServer()
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()

    def obey() -> None:
        for line in sys.stdin:
            command = json.loads(line)
            try:
                result = asyncio.run_coroutine_threadsafe(getattr(server, command.pop("do"))(**command), loop).result()
            except Exception as error:  # noqa: BLE001 - reported to the test that sent the command
                result = {"error": repr(error)}
            print(json.dumps(result), flush=True)  # noqa: T201 - the protocol with the test
        loop.call_soon_threadsafe(ended.set)

    threading.Thread(target=obey, daemon=True).start()
    await ended.wait()


if __name__ == "__main__":
    asyncio.run(_main())
