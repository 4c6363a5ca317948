"""Starts and stops the page's server in a thread of its own, and keeps slow clients from holding it up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Self

from uvicorn.protocols.http.h11_impl import H11Protocol

from reconciler.errors import Kind, ReconcilerError
from reconciler.http_server.server import HttpServer, ListenError, listen, url_of
from reconciler.watch.access import LARGEST_HEAD
from reconciler.watch.site import build_site

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from types import TracebackType

    from uvicorn.protocols.http.h11_impl import RequestResponseCycle

    from reconciler.watch.metrics import Metrics
    from reconciler.watch.page_options import PageOptions
    from reconciler.watch.view import View

_MOST_CONNECTIONS: Final = 200
_HEAD_SECONDS: Final = 10.0
"""The longest that a connection may wait for a complete request."""

_REQUEST_SECONDS: Final = 60.0
"""The longest that a connection lasts after a response, or from its beginning: for a request and for its response."""


class PageServer:
    """Serves the page, the API, the metrics, the probes and the hook.

    A context manager: the server runs while it is entered, in a thread of its own.

    Attributes:
        url: Its URL on this machine, without a trailing slash.
    """

    url: str

    def __init__(
        self, view: View, metrics: Metrics, options: PageOptions, report_bug: Callable[[Exception], None]
    ) -> None:
        """``report_bug`` is called if a request ends in a bug, which its response does not describe."""
        self._options = options
        self._site = build_site(view, metrics, options, report_bug)

    def __enter__(self) -> Self:
        """Starts the server; it accepts requests when this returns.

        Raises:
            ReconcilerError: The address or the port cannot be used.
        """
        host, port = self._options.host, self._options.port
        try:
            listener = listen(host, port)
        except ListenError as error:
            raise ReconcilerError.of(
                f"the page cannot be served at {host}, port {port}: {error}",
                kind=Kind.PAGE_PORT,
                hint="name another address with --listen, such as 127.0.0.1:8081",
            ) from error
        self._listener = listener
        self.url = url_of(host, listener)
        self._server = HttpServer(self._site, _PageProtocol, LARGEST_HEAD, "critical")
        self._server.start("page", lambda: self._server.serve(sockets=[listener]))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stops the server: requests in flight have a second to finish."""
        self._server.stop()
        self._listener.close()


class _PageProtocol(H11Protocol):
    """A connection that ends if its client is slow, or if there are too many and it has waited longest."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._first_head = self.loop.call_later(_HEAD_SECONDS, self._end_if_silent)
        self._limit_time()
        if len(self.connections) > _MOST_CONNECTIONS:
            self._end_oldest()

    def _limit_time(self) -> None:
        self._since = self.loop.time()
        self._end = self.loop.call_later(_REQUEST_SECONDS, self.transport.abort)

    def on_response_complete(self) -> None:
        self._end.cancel()
        self._limit_time()
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._first_head.cancel()
        self._end.cancel()
        super().connection_lost(exc)

    @property
    def age(self) -> tuple[bool, float]:
        """Sorts connections: those that wait for a request first, then those that have waited longest."""
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is not None and not cycle.response_complete, self._since

    def _end_if_silent(self) -> None:
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is None:
            self.transport.abort()

    def _end_oldest(self) -> None:
        others = (one for one in self.connections if isinstance(one, _PageProtocol) and one is not self)
        oldest = min(others, key=lambda one: one.age)
        oldest.transport.abort()
        self.connections.discard(oldest)
