"""Authenticated requests over a pool of connections. Only reads are repeated."""

from __future__ import annotations

import threading
from collections import deque
from contextlib import suppress
from http import HTTPStatus
from threading import Semaphore
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

from reconciler.client.errors import (
    TRANSPORT_ERRORS,
    error_from_exception,
    error_from_status,
    final_error,
    invalid_response,
)
from reconciler.client.network import without_login
from reconciler.client.transport import BODY_LIMIT, InvalidResponseError, Response, Transport, read_response
from reconciler.errors import OutcomeUnknownError
from reconciler.retry import ATTEMPTS
from reconciler.version import VERSION

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    import httpx

    from reconciler.client.auth import TokenProvider
    from reconciler.model.redaction import Redactor
    from reconciler.retry import Retry

T = TypeVar("T")

_ACCEPT: Final = (b"Accept", b"application/json")
_COMMON: Final = (
    (b"Accept-Encoding", b"gzip"),
    (b"User-Agent", f"reconciler/{VERSION}".encode()),
)
_JSON: Final = (b"Content-Type", b"application/json")


class Request(NamedTuple):
    """One request.

    Attributes:
        on_account: The path names an account, so 404 means that this account does not exist.
        writes: It changes accounts. It is sent only once: before sending it again, the caller has to read the account
            again, because another writer may have changed it meanwhile.
    """

    method: str
    path: str
    body: bytes | None = None
    on_account: bool = False
    writes: bool = False


class Endpoint(NamedTuple):
    """Where the requests go.

    Attributes:
        url: Scheme, host and port, checked.
        context: How TLS is verified; unused for plain http.
        proxy: URL of the proxy to go through.
        connections: The maximum number of connections at a time.
    """

    url: httpx.URL
    context: ssl.SSLContext
    proxy: str | None = None
    connections: int = 10


def _headers(host: bytes, bearer: bytes | None, body: bytes | None) -> list[tuple[bytes, bytes]]:
    authorization = [(b"Authorization", bearer)] if bearer else []
    length = [_JSON, (b"Content-Length", b"%d" % len(body))] if body is not None else []
    return [(b"Host", host), _ACCEPT, *authorization, *_COMMON, *length]


class ConnectionPool:
    """Sends each request over the idle connection that was used last, or a new one. Safe for threads."""

    def __init__(
        self,
        endpoint: Endpoint,
        redactor: Redactor,
        limit: int = BODY_LIMIT,
        fence: Callable[[], None] | None = None,
    ) -> None:
        self._endpoint = endpoint
        self._fence = fence
        self.redactor = redactor
        self._limit = limit
        self._free = Semaphore(max(1, endpoint.connections))
        self._idle: deque[Transport] = deque()

    def close(self) -> None:
        """Closes the idle connections. After an interrupt, a connection that is still in use ends with the process."""
        with suppress(IndexError):
            while True:
                self._idle.pop().close()

    def exchange(self, request: Request, *, bearer: bytes | None = None, deadline: float) -> Response:
        """Sends ``request`` once.

        Args:
            request: The request.
            bearer: The value of the Authorization header.
            deadline: When it must be over, on the monotonic clock.

        Raises:
            ApiError: No complete response arrived.
        """
        with self._free:
            try:
                transport = self._idle.pop()
            except IndexError:
                transport = Transport(self._endpoint.url, self._endpoint.context, self._endpoint.proxy)
            try:
                return self._send(transport, request, bearer, deadline)
            finally:
                self._idle.append(transport)

    def _send(self, transport: Transport, request: Request, bearer: bytes | None, deadline: float) -> Response:
        url = self._endpoint.url
        # A token exchange, which has no bearer, changes no account.
        transport.state.start(deadline, self._fence if bearer and request.method != "GET" else None)
        try:
            headers = _headers(url.netloc, bearer, request.body)
            response = transport.send(request.method, request.path.encode("ascii"), headers, request.body)
            try:
                return read_response(response, self._limit)
            finally:
                response.close()
        except TRANSPORT_ERRORS as error:
            transport.close()
            proxy = self._endpoint.proxy if transport.state.at_proxy else None
            failure = error_from_exception(
                error,
                origin=str(url).rstrip("/"),
                proxy=without_login(proxy) if proxy else None,
                sent=transport.state.sent,
                redactor=self.redactor,
            )
        raise failure


class WriteAttemptedError(RuntimeError):
    """A read-only connection was asked to write. This is a bug; nothing was sent."""


class ReadOnlyPool:
    """A view of a pool that can only send GET requests without a body."""

    def __init__(self, pool: ConnectionPool) -> None:
        self._pool = pool
        self.redactor = pool.redactor

    def exchange(self, request: Request, *, bearer: bytes | None = None, deadline: float) -> Response:
        """Sends a GET request once, like ``ConnectionPool.exchange``. Raises ``WriteAttemptedError`` for any other."""
        if request.method != "GET":
            raise WriteAttemptedError(f"a reading connection does not send {request.method} {request.path}")
        return self._pool.exchange(Request("GET", request.path), bearer=bearer, deadline=deadline)


class Session:
    """Sends authenticated requests. Safe for threads."""

    def __init__(self, pool: ConnectionPool | ReadOnlyPool, tokens: TokenProvider, retry: Retry) -> None:
        self._pool = pool
        self._tokens = tokens
        self._retry = retry
        self._renewed = threading.local()  # the generation of the token that replaced the one of a refused write
        self._accepted: dict[str, int] = {}  # by method, the generation of the last token that was accepted

    def send(self, request: Request, read: Callable[[Response], T]) -> T:
        """Sends ``request`` and reads its response.

        Args:
            request: What to send.
            read: Makes the result from a response with status 2XX. Raises ``InvalidResponseError`` if it is not a
                documented success, and ``ApiError`` if it reports a refusal.

        Raises:
            RejectedError: The server refused; nothing happened.
            UnreachableError: The request never arrived; nothing happened.
            OutcomeUnknownError: The request was not a read, and may have taken effect.
            ApiError: Any other failure of a read.
        """
        is_read = request.method == "GET"
        run = self._retry.run_nested if is_read else self._retry.run_once
        try:
            return run(lambda deadline: self._attempt(request, read, deadline))
        except OutcomeUnknownError as error:
            raise final_error(error, is_read=is_read) from None

    def _attempt(self, request: Request, read: Callable[[Response], T], deadline: float) -> T:
        response = self._respond(request, deadline)
        if not response.is_success:
            raise error_from_status(response, self._pool.redactor, on_account=request.on_account)
        try:
            return read(response)
        except InvalidResponseError as error:
            raise invalid_response(f"{request.method} {request.path}: {error}") from None

    def _respond(self, request: Request, deadline: float) -> Response:
        """Sends ``request``. After a 401, gets a new token; sends again, or raises a transient error for a write."""
        bearer = self._tokens.bearer()
        is_renewed = request.writes and getattr(self._renewed, "generation", None) == bearer.generation
        for _ in range(ATTEMPTS):
            response = self._pool.exchange(request, bearer=bearer.header, deadline=deadline)
            if response.status != HTTPStatus.UNAUTHORIZED:
                self._accepted[request.method] = bearer.generation
                break
            # A new token that was never accepted for this method is not the cause. One that was has expired since.
            if is_renewed and self._accepted.get(request.method) != bearer.generation:
                break
            if (other := self._tokens.replace(bearer)) is None:
                break
            if request.writes:
                # The token exchange took time: the account has to be read again before the write is sent again.
                self._renewed.generation = other.generation
                refusal = error_from_status(response, self._pool.redactor, on_account=request.on_account)
                refusal.transient = True
                raise refusal
            bearer, is_renewed = other, True
        return response
