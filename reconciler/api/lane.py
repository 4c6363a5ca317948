"""One connection to the server, reused by one request after the other, with a deadline that nothing can stretch.

httpx limits each read; a server that drips a byte at a time would hold a request forever. A lane limits the whole: from
connecting to the last byte, every step ends at the request's deadline (the system's name look-up alone cannot be cut).

A lane serves one thread at a time. Measured against one ``httpx.Client`` for all threads and one for each, lanes make
about half as many requests again per second: no shared pool to lock, no cookies, redirects or log lines to prepare.
"""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any

import httpcore
import httpx

if TYPE_CHECKING:
    import ssl
    from collections.abc import Collection

_KEEPALIVE = 5.0
"""Seconds that an idle connection is kept. Short, because a server that closes it just as a create is sent leaves the
outcome of that create unknown."""


class Flight:
    """The request that a lane is busy with.

    Attributes:
        deadline: When it must be over, on the monotonic clock.
        touched: Whether bytes of it may have left this machine; until then the server certainly did nothing.
    """

    __slots__ = ("deadline", "touched")

    def __init__(self) -> None:
        self.start(0.0)

    def start(self, deadline: float) -> None:
        """Takes up the next request."""
        self.deadline = deadline
        self.touched = False

    def remaining(self, late: type[httpcore.TimeoutException]) -> float:
        """Seconds left. Raises ``late`` where there are none."""
        if (seconds := self.deadline - time.monotonic()) <= 0:
            raise late("the time for the request is over")
        return seconds


class _Stream(httpcore.NetworkStream):
    """A stream under a flight's deadline; it sends head and body in one piece, once the answer is awaited."""

    def __init__(self, inner: httpcore.NetworkStream, flight: Flight) -> None:
        self._inner = inner
        self._flight = flight
        self._pending: list[bytes] = []

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002 - the deadline decides
        if self._pending:
            self._flush()
        return self._inner.read(max_bytes, self._flight.remaining(httpcore.ReadTimeout))

    def _flush(self) -> None:
        seconds = self._flight.remaining(httpcore.WriteTimeout)
        buffer = b"".join(self._pending)
        self._pending.clear()
        self._flight.touched = True
        # A server may refuse a request before it has read it all, and close: its answer is still there to be read.
        with contextlib.suppress(httpcore.WriteError):
            self._inner.write(buffer, seconds)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002
        self._pending.append(buffer)

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ARG002
    ) -> httpcore.NetworkStream:
        seconds = self._flight.remaining(httpcore.ConnectTimeout)
        secured = self._inner.start_tls(ssl_context, server_hostname, seconds)
        # What a proxy was told is not the request yet.
        self._flight.touched = False
        return _Stream(secured, self._flight)

    def get_extra_info(self, info: str) -> Any:  # noqa: ANN401 - httpcore's signature
        return self._inner.get_extra_info(info)


class _Backend(httpcore.SyncBackend):
    def __init__(self, flight: Flight) -> None:
        self._flight = flight

    def connect_tcp(self, host: str, port: int, timeout: float | None = None, *rest: Any, **more: Any) -> _Stream:  # noqa: ANN401, ARG002
        seconds = self._flight.remaining(httpcore.ConnectTimeout)
        return _Stream(super().connect_tcp(host, port, seconds, *rest, **more), self._flight)


class WriteAttemptedError(RuntimeError):
    """A connection for reading was asked to send something else: a bug of ours, stopped before anything was sent."""


class Lane(httpx.HTTPTransport):
    """A transport with a single connection. Cookies, redirects and the environment's proxies are unknown to it.

    Args:
        context: How TLS is verified.
        proxy: URL of the proxy to go through.
        posts: The paths that POST may go to where this lane is for reading, which sends nothing else but GET; ``None``
            for one that may write.
    """

    def __init__(self, context: ssl.SSLContext, proxy: str | None, posts: Collection[str] | None) -> None:
        self.flight = Flight()
        self._posts = posts
        # The parent's own pool would differ in one thing: it takes no network backend, and so has no deadline.
        self._pool = httpcore.ConnectionPool(
            ssl_context=context,
            proxy=_proxy(proxy) if proxy else None,
            max_connections=1,
            keepalive_expiry=_KEEPALIVE,
            network_backend=_Backend(self.flight),
        )

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Sends ``request``. Raises ``WriteAttemptedError`` where this lane may not."""
        if self._posts is not None and request.method != "GET":
            path = request.url.raw_path.decode("ascii")
            if request.method != "POST" or path not in self._posts:
                raise WriteAttemptedError(f"a reading connection does not send {request.method} {path}")
        return super().handle_request(request)


def _proxy(url: str) -> httpcore.Proxy:
    proxy = httpx.Proxy(url)
    target = httpcore.URL(
        scheme=proxy.url.raw_scheme, host=proxy.url.raw_host, port=proxy.url.port, target=proxy.url.raw_path
    )
    return httpcore.Proxy(target, auth=proxy.raw_auth, headers=proxy.headers.raw)
