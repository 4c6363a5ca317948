"""A scripted HTTP server on loopback. It records requests, and plays valid and broken responses from a script."""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain, repeat
from typing import TYPE_CHECKING, Self, TypeAlias

if TYPE_CHECKING:
    import ssl


@dataclass(frozen=True, slots=True)
class Request:
    """A received request. ``connection`` counts the connections from 0."""

    method: str
    path: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    connection: int

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)

    @property
    def json(self) -> object:
        return json.loads(self.body)

    @property
    def line(self) -> str:
        return f"{self.method} {self.path}"


@dataclass(frozen=True, slots=True)
class Reply:
    """A complete response; the connection stays open."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)

    def raw(self) -> bytes:
        given = {"Content-Type": "application/json", "Content-Length": str(len(self.body)), **self.headers}
        lines = [f"HTTP/1.1 {self.status} Status", *(f"{name}: {value}" for name, value in given.items() if value)]
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + self.body


@dataclass(frozen=True, slots=True)
class Close:
    """These bytes, then the end of the connection."""

    raw: bytes = b""


@dataclass(frozen=True, slots=True)
class Reset:
    """These bytes, then a reset connection."""

    raw: bytes = b""


@dataclass(frozen=True, slots=True)
class Hang:
    """These bytes, then nothing until the client or the server closes."""

    raw: bytes = b""


@dataclass(frozen=True, slots=True)
class Endless:
    """These bytes, then ``piece`` again and again until the client closes."""

    raw: bytes
    piece: bytes


Step: TypeAlias = Reply | Close | Reset | Hang | Endless
Script: TypeAlias = Callable[[Request], Step]


def json_reply(value: object, status: int = 200, **headers: str) -> Reply:
    """A JSON response, formatted as by the vendor's server."""
    named = {name.replace("_", "-").title(): text for name, text in headers.items()}
    return Reply(status, json.dumps(value, ensure_ascii=False).encode(), named)


class ScriptedServer:
    """Plays a script on a free port: steps in the order of the requests, the last one forever, or a function."""

    def __init__(self, *steps: Step, respond: Script | None = None, tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[Request] = []
        self.connections = 0
        self._script: Iterator[Step] = chain(steps, repeat(steps[-1])) if steps else iter(())
        self._respond = respond
        self._tls = tls
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._listener.getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"

    @property
    def lines(self) -> list[str]:
        """Method and path of every request, in order."""
        return [request.line for request in self.requests]

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self.die()
        for thread in self._threads:
            thread.join(10)

    def die(self) -> None:
        """Closes the port and every connection."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            connections = list(self._open)
        for connection in connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def await_closed(self) -> None:
        """Waits until every connection accepted so far is closed."""
        for thread in self._threads[1:]:
            thread.join(10)

    def _start(self, target: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                self._open.add(connection)
                number = self.connections
                self.connections += 1
            self._start(self._serve, connection, number)

    def _serve(self, connection: socket.socket, number: int) -> None:
        try:
            with suppress(OSError):
                if self._tls:
                    plain, connection = connection, self._tls.wrap_socket(connection, server_side=True)
                    with self._lock:
                        self._open -= {plain}
                        self._open |= {connection}
                with connection.makefile("rb") as stream:
                    while (request := _received(stream, number)) and _play(connection, self._next(request)):
                        pass
        finally:
            connection.close()
            with self._lock:
                self._open -= {connection}

    def _next(self, request: Request) -> Step:
        with self._lock:
            self.requests.append(request)
            if self._respond is None:
                return next(self._script)
        return self._respond(request)


def _received(stream: object, number: int) -> Request | None:
    readline: Callable[[], bytes] = stream.readline  # type: ignore[attr-defined]
    first = readline().decode("latin-1").split()
    if len(first) < 2:
        return None
    headers = []
    while line := readline().strip():
        name, _, value = line.decode("latin-1").partition(":")
        headers.append((name, value.strip()))
    length = next((int(value) for name, value in headers if name.lower() == "content-length"), 0)
    body: bytes = stream.read(length)  # type: ignore[attr-defined]
    return Request(first[0], first[1], tuple(headers), body, number)


def _play(connection: socket.socket, step: Step) -> bool:
    """Plays ``step``; returns whether the connection stays open."""
    connection.sendall(step.raw() if isinstance(step, Reply) else step.raw)
    if isinstance(step, Reply):
        return True
    if isinstance(step, Reset):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    elif isinstance(step, Hang):
        connection.recv(1)
    elif isinstance(step, Endless):
        while True:
            connection.sendall(step.piece)
    return False
