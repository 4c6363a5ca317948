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

_KEEPALIVE = 5.0
"""Seconds that an idle connection is kept. Short, because a server that closes it just as a create is sent leaves the
outcome of that create unknown."""


class RequestState:
    """The request that a lane is busy with.

    Attributes:
        deadline: When it must be over, on the monotonic clock.
        touched: Whether bytes of it may have left for the server; until then the server certainly did nothing.
        at_proxy: Whether a proxy is still at the other end, and not the server.
    """

    __slots__ = ("at_proxy", "deadline", "touched")

    def __init__(self) -> None:
        self.start(0.0)

    def start(self, deadline: float) -> None:
        """Takes up the next request."""
        self.deadline = deadline
        self.touched = False
        self.at_proxy = False

    def remaining(self, late: type[httpcore.TimeoutException]) -> float:
        """Seconds left. Raises ``late`` where there are none."""
        if (seconds := self.deadline - time.monotonic()) <= 0:
            raise late("the time for the request is over")
        return seconds


class _Stream(httpcore.NetworkStream):
    """A stream under a flight's deadline; it sends head and body in one piece, once the response is awaited.

    ``handshakes`` is how many of TLS are to come until the server is at the other end, behind a proxy.
    """

    def __init__(self, inner: httpcore.NetworkStream, flight: RequestState, handshakes: int) -> None:
        self._inner = inner
        self._flight = flight
        self._handshakes = handshakes
        self._pending: list[bytes] = []

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002 - the deadline decides
        if self._pending:
            self._flush()
        return self._inner.read(max_bytes, self._flight.remaining(httpcore.ReadTimeout))

    def _flush(self) -> None:
        seconds = self._flight.remaining(httpcore.WriteTimeout)
        buffer = b"".join(self._pending)
        self._pending.clear()
        self._flight.touched = not self._handshakes
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
        left = max(0, self._handshakes - 1)
        self._flight.at_proxy = left > 0
        host = server_hostname.strip("[]") if server_hostname else None
        return _Stream(self._inner.start_tls(ssl_context, host, seconds), self._flight, left)

    def get_extra_info(self, info: str) -> Any:  # noqa: ANN401 - httpcore's signature
        return self._inner.get_extra_info(info)


class _Backend(httpcore.SyncBackend):
    def __init__(self, flight: RequestState, handshakes: int) -> None:
        self._flight = flight
        self._handshakes = handshakes

    def connect_tcp(self, host: str, port: int, timeout: float | None = None, *rest: Any, **more: Any) -> _Stream:  # noqa: ANN401, ARG002
        self._flight.at_proxy = self._handshakes > 0
        seconds = self._flight.remaining(httpcore.ConnectTimeout)
        return _Stream(super().connect_tcp(host, port, seconds, *rest, **more), self._flight, self._handshakes)


class _Tunnels(httpcore.ConnectionPool):
    """A pool behind a proxy. httpcore would write ``CONNECT fd00::1:8443``; an IPv6 address goes into brackets."""

    def handle_request(self, request: httpcore.Request) -> httpcore.Response:
        if b":" in request.url.host:
            request.url.host = b"[%b]" % request.url.host
        return super().handle_request(request)


class Transport(httpx.HTTPTransport):
    """A transport with a single connection. Cookies, redirects and the environment's proxies are unknown to it.

    Args:
        context: How TLS is verified.
        proxy: URL of the proxy to go through.
    """

    def __init__(self, context: ssl.SSLContext, proxy: str | None) -> None:
        self.flight = RequestState()
        through = _proxy(proxy) if proxy else None
        # The parent's own pool would differ in one thing: it takes no network backend, and so has no deadline.
        self._pool = (_Tunnels if through else httpcore.ConnectionPool)(
            ssl_context=context,
            proxy=through,
            max_connections=1,
            keepalive_expiry=_KEEPALIVE,
            network_backend=_Backend(self.flight, _handshakes(through)),
        )


def _handshakes(proxy: httpcore.Proxy | None) -> int:
    """How many TLS handshakes it takes until the server is at the other end: the last of them is with the server."""
    if proxy is None:
        return 0
    return 2 if proxy.url.scheme == b"https" else 1


def _proxy(url: str) -> httpcore.Proxy:
    proxy = httpx.Proxy(url)
    target = httpcore.URL(
        scheme=proxy.url.raw_scheme, host=proxy.url.raw_host, port=proxy.url.port, target=proxy.url.raw_path
    )
    return httpcore.Proxy(target, auth=proxy.raw_auth, headers=proxy.headers.raw)
