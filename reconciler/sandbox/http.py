"""uvicorn, made to start and stop without polling."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import uvicorn

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from starlette.types import ASGIApp

_GRACE = 1.0
"""Seconds that requests in flight get when the sandbox ends."""


def _is_no_cancellation(record: logging.LogRecord) -> bool:
    """Keeps the traceback of a request that ends with the sandbox out of the log: it is no failure."""
    return not (record.exc_info and isinstance(record.exc_info[1], asyncio.CancelledError))


class HttpServer(uvicorn.Server):
    """Serves one application until told to stop.

    uvicorn's own server looks every tenth of a second whether it is to stop, and sleeps as long while it does; a test
    suite with hundreds of sandboxes would spend minutes so.
    """

    def __init__(self, app: ASGIApp, on_ready: Callable[[], None]) -> None:
        """``on_ready`` is called in the loop as soon as requests are taken."""
        super().__init__(
            uvicorn.Config(
                app,
                http="h11",
                ws="none",
                loop="asyncio",
                lifespan="off",
                log_config=None,
                log_level="warning",
                access_log=False,
                proxy_headers=False,
                server_header=False,
                date_header=False,
            )
        )
        logging.getLogger("uvicorn.error").addFilter(_is_no_cancellation)
        self._on_ready = on_ready
        self._stop = asyncio.Event()

    async def main_loop(self) -> None:
        """Waits until ``stop`` is called."""
        self._loop = asyncio.get_running_loop()
        self._on_ready()
        await self._stop.wait()

    def stop(self) -> None:
        """Ends the server; called from another thread."""
        self._loop.call_soon_threadsafe(self._stop.set)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Takes no more requests, and lets those in flight finish."""
        for server in self.servers:
            server.close()
        for bound in sockets or []:
            bound.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        if tasks := list(self.server_state.tasks):
            _, late = await asyncio.wait(tasks, timeout=_GRACE)
            # Cut off before they are cancelled: a made-up 500 would claim to know what became of the request.
            for connection in list(self.server_state.connections):
                connection.transport.abort()
            for task in late:
                task.cancel()
        # Closed transports let go of their sockets in the next turn of the loop.
        await asyncio.sleep(0)
