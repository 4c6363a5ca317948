"""Sends one request and takes its answer, or says what failed; whether to repeat it is decided elsewhere."""

from __future__ import annotations

from collections import deque
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from threading import Semaphore
from typing import TYPE_CHECKING, Final

import httpx

from reconciler.client.answer import BODY_LIMIT, Answer, receive
from reconciler.client.errors import TRANSPORT_ERRORS, error_from_exception
from reconciler.client.failure import AttemptError
from reconciler.client.proxies import without_login
from reconciler.client.transport import Transport
from reconciler.version import VERSION

if TYPE_CHECKING:
    import ssl
    from collections.abc import Collection, Iterator

    from reconciler.model.redaction import Redactor

_ACCEPT: Final = (b"Accept", b"application/json")
_OTHERS: Final = (
    (b"Accept-Encoding", b"gzip"),
    (b"User-Agent", f"reconciler/{VERSION}".encode()),
)
_JSON: Final = (b"Content-Type", b"application/json")

_MOST_URLS: Final = 64
_MOST_HEADERS: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Where the requests go, and what may go there.

    Attributes:
        origin: ``scheme://host[:port]``, checked.
        context: How TLS is verified; unused for plain http.
        proxy: URL of the proxy to go through.
        lanes: The most connections at a time.
    """

    origin: str
    context: ssl.SSLContext
    proxy: str | None = None
    lanes: int = 10


def _headers(bearer: bytes | None, *, has_body: bool) -> httpx.Headers:
    authorization = [(b"Authorization", bearer)] if bearer else []
    return httpx.Headers([_ACCEPT, *authorization, *_OTHERS, *([_JSON] if has_body else [])])


class Client:
    """Exchanges a request for an answer over the first idle lane, the one used last. Safe for threads."""

    def __init__(self, route: Route, redactor: Redactor, limit: int = BODY_LIMIT) -> None:
        self._route = route
        self.redactor = redactor
        self._limit = limit
        self._free = Semaphore(max(1, route.lanes))
        self._idle: deque[Transport] = deque()
        # Thousands of requests go to one path with one token; httpx would look each of them over anew.
        self._url = lru_cache(_MOST_URLS)(httpx.URL)
        self._headers = lru_cache(_MOST_HEADERS)(_headers)

    def close(self) -> None:
        """Closes the connections that are idle; one that is in use, after an interrupt, ends with the process."""
        with suppress(IndexError):
            while True:
                self._idle.pop().close()

    def exchange(
        self, method: str, path: str, *, bearer: bytes | None = None, body: bytes | None = None, deadline: float
    ) -> Answer:
        """Sends one request, once.

        Args:
            method: The HTTP method.
            path: The path on the server.
            bearer: The value of the Authorization header.
            body: JSON.
            deadline: When it must be over, on the monotonic clock.

        Raises:
            AttemptError: No complete answer came.
        """
        headers = self._headers(bearer, has_body=body is not None)
        with self._lane() as lane:
            lane.flight.start(deadline)
            try:
                request = httpx.Request(method, self._url(self._route.origin + path), headers=headers, content=body)
                response = lane.handle_request(request)
                try:
                    return receive(response, self._limit)
                finally:
                    response.close()
            except TRANSPORT_ERRORS as error:
                lane.close()
                failure = error_from_exception(
                    error,
                    origin=self._route.origin,
                    proxy=without_login(self._route.proxy) if lane.flight.at_proxy and self._route.proxy else None,
                    touched=lane.flight.touched,
                    redactor=self.redactor,
                )
        raise AttemptError(failure)

    @contextmanager
    def _lane(self) -> Iterator[Transport]:
        with self._free:
            try:
                lane = self._idle.pop()
            except IndexError:
                lane = Transport(self._route.context, self._route.proxy)
            try:
                yield lane
            finally:
                self._idle.append(lane)


class WriteAttemptedError(RuntimeError):
    """A client for reading was asked to send something else: a bug of ours, stopped before anything was sent."""


class ReadClient:
    """A view of a client that sends nothing but GET, and POST to the paths where tokens are exchanged."""

    def __init__(self, client: Client, posts: Collection[str]) -> None:
        self._client = client
        self._posts = frozenset(posts)
        self.redactor = client.redactor

    def exchange(
        self, method: str, path: str, *, bearer: bytes | None = None, body: bytes | None = None, deadline: float
    ) -> Answer:
        """Sends one request, once; as ``Client.exchange``. Raises ``WriteAttemptedError`` for what could write."""
        if method != "GET" and (method != "POST" or path not in self._posts):
            raise WriteAttemptedError(f"a reading connection does not send {method} {path}")
        return self._client.exchange(method, path, bearer=bearer, body=body, deadline=deadline)
