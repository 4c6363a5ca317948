"""uvicorn in a thread of this process: started when its socket is bound, and stopped without polling."""

from __future__ import annotations

import asyncio
import logging
import socket
from concurrent.futures import Future
from threading import Thread
from typing import TYPE_CHECKING, Any, Final

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from starlette.types import ASGIApp

_WILDCARDS: Final = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104 - recognised, not bound
_GRACE: Final = 1.0
"""Seconds that requests in flight may still take when the server ends."""
_START_SECONDS: Final = 30.0


class ListenError(Exception):
    """An address or a port cannot be used; the message is the reason."""


class HttpServer(uvicorn.Server):
    """Serves one application, and starts and stops without polling.

    uvicorn's own server checks ten times a second whether it should stop, and sleeps as long while it stops. A test
    suite with hundreds of sandboxes would spend minutes on that.
    """

    def __init__(
        self,
        app: ASGIApp,
        protocol: type[H11Protocol] = H11Protocol,
        largest_head: int | None = None,
        log_level: str = "warning",
    ) -> None:
        """Takes an application.

        Args:
            app: What is served.
            protocol: What treats each connection.
            log_level: What uvicorn logs; bugs are errors, and requests that are not HTTP are warnings.
            largest_head: The most bytes of a request's line and headers; ``None`` for uvicorn's limit.
        """
        super().__init__(
            uvicorn.Config(
                app,
                http=protocol,
                h11_max_incomplete_event_size=largest_head,
                ws="none",
                loop="asyncio",
                lifespan="off",
                log_config=None,
                log_level=log_level,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                date_header=False,
            )
        )
        logging.getLogger("uvicorn.error").addFilter(_is_no_cancellation)
        self._ready: Future[None] = Future()
        self._stop = asyncio.Event()

    def start(self, name: str, serve: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Starts the server in a thread of its own; it accepts requests when this returns.

        Args:
            name: The thread's name.
            serve: Runs in the thread's event loop, and awaits this server's ``serve``. Its error is raised here.
        """
        self._thread = Thread(target=self._run, args=(serve,), name=name, daemon=True)
        self._thread.start()
        self._ready.result(timeout=_START_SECONDS)

    def _run(self, serve: Callable[[], Coroutine[Any, Any, None]]) -> None:
        try:
            asyncio.run(serve())
        except BaseException as error:
            if self._ready.done():
                raise
            self._ready.set_exception(error)

    async def main_loop(self) -> None:
        """Waits until ``stop`` is called."""
        self._loop = asyncio.get_running_loop()
        self._ready.set_result(None)
        await self._stop.wait()

    def stop(self) -> None:
        """Ends the server and waits until it has ended; another thread than its own may call this."""
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accepts no more requests, and lets those in flight finish."""
        for server in self.servers:
            server.close()
        for bound in sockets or []:
            bound.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        if tasks := list(self.server_state.tasks):
            _, late = await asyncio.wait(tasks, timeout=_GRACE)
            # Cut off before they are cancelled: a 500 would claim to know whether the request took effect.
            for connection in list(self.server_state.connections):
                connection.transport.abort()
            for task in late:
                task.cancel()
        # Transports release their sockets in the next iteration of the event loop.
        await asyncio.sleep(0)


def _is_no_cancellation(record: logging.LogRecord) -> bool:
    """Keeps requests that are cut off at the end out of the log: that is not a failure."""
    return not (record.exc_info and isinstance(record.exc_info[1], asyncio.CancelledError))


def listen(host: str, port: int) -> socket.socket:
    """A bound socket. Binding before the thread starts raises the error, and shows the port, right here.

    Raises:
        ListenError: The address or the port cannot be used.
    """
    listener = None
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        # Without the protocol, asyncio would leave Nagle's algorithm on: 40 ms more for each response.
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen()
    except (OSError, OverflowError, UnicodeError) as error:
        if listener:
            listener.close()
        raise ListenError(getattr(error, "strerror", None) or str(error)) from error
    return listener


def url_of(host: str, listener: socket.socket) -> str:
    """The URL at which this machine reaches a server that listens on ``host``."""
    name = _WILDCARDS.get(host) or (f"[{host}]" if ":" in host else host)
    return f"http://{name}:{listener.getsockname()[1]}"
