"""One connection to the server, with a time limit for each request and a size limit for each response.

httpx limits the time of each read, so a server that sends one byte at a time could hold a request forever. Here one
deadline limits the whole request, from connecting to the last byte; only the system's name lookup cannot be cut off.

A request takes about half as long as with ``httpx.Client``, whether threads share one or have one each: there is no
shared pool to lock, and there are no cookies, redirects or log lines to prepare.
"""

from __future__ import annotations

import contextlib
import time
import zlib
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import httpcore
import httpx

from reconciler.errors import Kind, Problem, WithheldError

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterable, Iterator, Sequence

BODY_LIMIT: Final = 256 * 1024 * 1024
"""The maximum size of a decoded body in bytes; a list of a million accounts is about as large."""

_CHUNK: Final = 1024 * 1024
_GZIP: Final = 16 + zlib.MAX_WBITS

_KEEPALIVE: Final = 5.0
"""Seconds that an idle connection is kept. Short, because if a server closes it just as a create is sent, the outcome
of that create is unknown."""


_LONGEST_QUESTION: Final = 1.0
"""Seconds that a fence may take. After that, others may have changed the account, and it has to be read again."""


class RequestState:
    """The request that a transport is handling.

    Attributes:
        deadline: When it must be over, on the monotonic clock.
        sent: Whether any of its bytes may have been sent to the server. Until then, the server certainly did nothing.
        at_proxy: Whether the peer is still a proxy, not the server.
        fence: Called just before its bytes are sent; if it raises, they are not.
    """

    __slots__ = ("at_proxy", "deadline", "fence", "sent")

    def __init__(self) -> None:
        self.start(0.0)

    def start(self, deadline: float, fence: Callable[[], None] | None = None) -> None:
        """Begins the next request."""
        self.deadline = deadline
        self.fence = fence
        self.sent = False
        self.at_proxy = False

    def remaining(self, timeout_error: type[httpcore.TimeoutException]) -> float:
        """Seconds left. Raises ``timeout_error`` if there are none."""
        if (seconds := self.deadline - time.monotonic()) <= 0:
            raise timeout_error("the time for the request is over")
        return seconds


def _ask(fence: Callable[[], None]) -> None:
    """Raises ``WithheldError`` if the fence does, and one that is transient if the fence took long."""
    asked_at = time.monotonic()
    fence()
    if time.monotonic() - asked_at > _LONGEST_QUESTION:
        problem = Problem(kind=Kind.NOT_SENT, message="it took too long to learn whether the server may be written")
        raise WithheldError(problem, transient=True)


class _Stream(httpcore.NetworkStream):
    """A stream with the request's deadline. It sends headers and body in one piece, just before it reads the response.

    ``handshakes`` is the number of TLS handshakes that remain, behind a proxy, until the server is the peer.
    """

    def __init__(self, inner: httpcore.NetworkStream, state: RequestState, handshakes: int) -> None:
        self._inner = inner
        self._state = state
        self._handshakes = handshakes
        self._pending: list[bytes] = []

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002 - the deadline decides
        if self._pending:
            self._flush()
        return self._inner.read(max_bytes, self._state.remaining(httpcore.ReadTimeout))

    def _flush(self) -> None:
        if self._state.fence and not self._handshakes:
            _ask(self._state.fence)
        seconds = self._state.remaining(httpcore.WriteTimeout)
        buffer = b"".join(self._pending)
        self._pending.clear()
        self._state.sent = not self._handshakes
        # A server may refuse a request and close before it has read all of it: its response can still be read.
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
        seconds = self._state.remaining(httpcore.ConnectTimeout)
        left = max(0, self._handshakes - 1)
        self._state.at_proxy = left > 0
        host = server_hostname.strip("[]") if server_hostname else None
        return _Stream(self._inner.start_tls(ssl_context, host, seconds), self._state, left)

    def get_extra_info(self, info: str) -> Any:  # noqa: ANN401 - httpcore's signature
        return self._inner.get_extra_info(info)


class _Backend(httpcore.SyncBackend):
    def __init__(self, state: RequestState, handshakes: int) -> None:
        self._state = state
        self._handshakes = handshakes

    def connect_tcp(self, host: str, port: int, timeout: float | None = None, *rest: Any, **more: Any) -> _Stream:  # noqa: ANN401, ARG002
        self._state.at_proxy = self._handshakes > 0
        seconds = self._state.remaining(httpcore.ConnectTimeout)
        return _Stream(super().connect_tcp(host, port, seconds, *rest, **more), self._state, self._handshakes)


class Transport:
    """A transport with a single connection, for one thread at a time. It uses no cookies and follows no redirects.

    Args:
        origin: The server.
        context: How TLS is verified.
        proxy: URL of the proxy to go through.
    """

    def __init__(self, origin: httpx.URL, context: ssl.SSLContext, proxy: str | None) -> None:
        self.state = RequestState()
        self._origin = origin
        target = _proxy(proxy) if proxy else None
        # httpcore would write ``CONNECT fd00::1:8443``; behind a proxy, an IPv6 address needs brackets.
        self._host = b"[%b]" % origin.raw_host if target and b":" in origin.raw_host else origin.raw_host
        # The number of TLS handshakes until the server is the peer; the last one is with the server.
        handshakes = 0 if target is None else 2 if target.url.scheme == b"https" else 1
        # It makes the connections. Its own bookkeeping would take a sixth of a request's time.
        self._pool = httpcore.ConnectionPool(
            ssl_context=context,
            proxy=target,
            keepalive_expiry=_KEEPALIVE,
            network_backend=_Backend(self.state, handshakes),
        )
        self._connection: httpcore.ConnectionInterface | None = None

    def send(
        self, method: str, target: bytes, headers: Sequence[tuple[bytes, bytes]], body: bytes | None
    ) -> httpcore.Response:
        """Sends a request. Returns as soon as the headers of the response are there.

        Raises:
            httpcore.*: There is no response.
        """
        url = httpcore.URL(scheme=self._origin.raw_scheme, host=self._host, port=self._origin.port, target=target)
        return self._open(url.origin).handle_request(httpcore.Request(method, url, headers=headers, content=body))

    def _open(self, origin: httpcore.Origin) -> httpcore.ConnectionInterface:
        """The connection if it is still usable, else a new one."""
        connection = self._connection
        if connection is not None and not connection.is_closed():
            if not connection.has_expired():
                return connection
            connection.close()
        connection = self._connection = self._pool.create_connection(origin)
        return connection

    def close(self) -> None:
        """Closes the connection; the next request opens another."""
        if self._connection is not None:
            self._connection.close()


def _proxy(url: str) -> httpcore.Proxy:
    proxy = httpx.Proxy(url)
    target = httpcore.URL(
        scheme=proxy.url.raw_scheme, host=proxy.url.raw_host, port=proxy.url.port, target=proxy.url.raw_path
    )
    return httpcore.Proxy(target, auth=proxy.raw_auth, headers=proxy.headers.raw)


class InvalidResponseError(Exception):
    """A response arrived but cannot be used; the message gives the reason. Never leaves this package."""


class Response(NamedTuple):
    """A complete response.

    Attributes:
        raw_headers: Names and values, as they were sent.
    """

    status: int
    raw_headers: Sequence[tuple[bytes, bytes]]
    body: bytes

    @property
    def headers(self) -> httpx.Headers:
        """The headers. Made for each call, because few responses need them."""
        return httpx.Headers(self.raw_headers)

    @property
    def is_success(self) -> bool:
        """Whether the status is 2XX."""
        return 200 <= self.status < 300  # noqa: PLR2004


def read_response(response: httpcore.Response, limit: int = BODY_LIMIT) -> Response:
    """Reads the rest of ``response``.

    Raises:
        InvalidResponseError: The body is larger than ``limit`` bytes, or in an encoding that was not asked for.
        httpcore.*: The connection broke.
    """
    # httpx would decode any number of nested encodings, each a thousand times its input, before checking a limit.
    encoding, declared = (_header(response, name) for name in (b"content-encoding", b"content-length"))
    if declared.isdigit() and int(declared) > limit:
        raise _too_large(limit)
    chunks: Iterable[bytes] = response.stream  # type: ignore[assignment]  # a pool without async has no other
    if encoding in {b"gzip", b"x-gzip"}:
        chunks = _decompress(chunks)
    elif encoding not in {b"", b"identity"}:
        raise InvalidResponseError("the response is in an encoding that was not asked for")
    return Response(response.status, response.headers, _join(chunks, limit))


def _header(response: httpcore.Response, name: bytes) -> bytes:
    return b", ".join(value for key, value in response.headers if key.lower() == name).strip().lower()


def _join(chunks: Iterable[bytes], limit: int) -> bytes:
    body = BytesIO()  # grows in place, so that a large body is never in memory twice
    for chunk in chunks:
        if body.tell() + len(chunk) > limit:
            raise _too_large(limit)
        body.write(chunk)
    return body.getvalue()


def _too_large(limit: int) -> InvalidResponseError:
    return InvalidResponseError(f"the response is larger than {limit // 1024**2} MiB")


def _decompress(chunks: Iterable[bytes]) -> Iterator[bytes]:
    decoder = zlib.decompressobj(_GZIP)
    try:
        for chunk in chunks:
            rest = chunk
            while rest:
                yield decoder.decompress(rest, _CHUNK)
                rest = decoder.unconsumed_tail
        yield decoder.flush()
    except zlib.error:
        raise InvalidResponseError("the response declares gzip but is something else") from None
    if not decoder.eof or decoder.unused_data:
        raise InvalidResponseError("the response's gzip is cut short, or continues after its end")
