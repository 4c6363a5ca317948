"""A network in which local servers are reached by names, over TLS: a proxy for CONNECT that ends TLS itself."""

from __future__ import annotations

import asyncio
import ssl
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Thread
from typing import TYPE_CHECKING, Self

import trustme

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


@dataclass(eq=False)
class NamedNetwork:
    """Serves on a free port of loopback.

    Attributes:
        ports: The local port, without TLS, of each host.
        ca_file: Where the CA of the hosts' certificates is written.
    """

    ports: Mapping[str, int]
    ca_file: Path
    _ended: asyncio.Event = field(default_factory=asyncio.Event)

    def __enter__(self) -> Self:
        authority = trustme.CA()
        authority.cert_pem.write_to_path(str(self.ca_file))
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(*self.ports).configure_cert(self._tls)
        started: Future[int] = Future()
        self._thread = Thread(target=lambda: asyncio.run(self._run(started)), daemon=True)
        self._thread.start()
        self._port = started.result(timeout=10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join()

    @property
    def environ(self) -> dict[str, str]:
        """The variables by which a program uses this network."""
        return {"HTTPS_PROXY": f"http://127.0.0.1:{self._port}", "SSL_CERT_FILE": str(self.ca_file)}

    async def _run(self, started: Future[int]) -> None:
        self._loop = asyncio.get_running_loop()
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        started.set_result(server.sockets[0].getsockname()[1])
        await self._ended.wait()
        server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await asyncio.sleep(0)  # the transports close their sockets

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(OSError, asyncio.IncompleteReadError):
                head = await reader.readuntil(b"\r\n\r\n")
                host = head.split()[1].decode().rpartition(":")[0]
                if host in self.ports:
                    await self._tunnel(self.ports[host], reader, writer)
                else:
                    writer.write(b"HTTP/1.1 502 Bad Gateway\r\n\r\n")
                    await writer.drain()
        finally:
            writer.transport.abort()

    async def _tunnel(self, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await writer.drain()
        await writer.start_tls(self._tls)
        from_server, to_server = await asyncio.open_connection("127.0.0.1", port)
        try:
            await asyncio.gather(_pump(reader, to_server), _pump(from_server, writer))
        finally:
            to_server.transport.abort()


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while piece := await source.read(65536):
            sink.write(piece)
            await sink.drain()
    sink.close()
