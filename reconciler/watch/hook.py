"""``POST /hook``: a signed request of a forge, which can only make the watcher check its source.

The body is neither kept nor read, only hashed. A request that is sent again has no other effect than the first.
"""

from __future__ import annotations

import asyncio
import hmac
import math
from http import HTTPStatus
from time import monotonic
from typing import TYPE_CHECKING, Final

from starlette.requests import ClientDisconnect
from starlette.responses import PlainTextResponse

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request
    from starlette.responses import Response

    from reconciler.model.secret import Secret

LARGEST_BODY: Final = 1024 * 1024
"""Bytes."""

BODY_SECONDS: Final = 10.0
"""The longest that a body may take to arrive."""


class Signature:
    """Checks that a request was made with the secret.

    GitHub sends ``X-Hub-Signature-256: sha256=`` and Gitea ``X-Gitea-Signature:`` with the HMAC-SHA256 of the raw body
    in hexadecimal digits; GitLab sends the secret itself in ``X-Gitlab-Token``. Gitea sends GitHub's header too: all
    that are there have to be right.
    """

    def __init__(self, secret: Secret, request: Request) -> None:
        self._secret = secret
        self._mac = hmac.new(secret.encoded(), digestmod="sha256")
        self._github = request.headers.getlist("x-hub-signature-256")
        self._gitea = request.headers.getlist("x-gitea-signature")
        self._gitlab = request.headers.getlist("x-gitlab-token")

    def update(self, chunk: bytes) -> None:
        """Adds a part of the body."""
        self._mac.update(chunk)

    def is_valid(self) -> bool:
        """Whether the request is genuine, once its whole body was added."""
        digest = self._mac.hexdigest().encode()
        pairs = [(value, b"sha256=" + digest) for value in self._github]
        pairs += [(value, digest) for value in self._gitea]
        pairs += [(value, self._secret.encoded()) for value in self._gitlab]
        # All are compared, so that the time does not depend on which of them is wrong. Headers arrive as Latin-1.
        results = [hmac.compare_digest(value.encode("latin-1"), expected) for value, expected in pairs]
        return bool(results) and all(results)


class TokenBucket:
    """Allows ``burst`` events at once, and then one each ``interval`` seconds."""

    def __init__(self, burst: int, interval: float, clock: Callable[[], float] = monotonic) -> None:
        self._burst = burst
        self._interval = interval
        self._clock = clock
        self._level = float(burst)
        self._at = clock()

    def take(self) -> float:
        """0 if the event is allowed; otherwise the seconds until the next one is."""
        now = self._clock()
        self._level = min(self._burst, self._level + max(now - self._at, 0.0) / self._interval)
        self._at = now
        if self._level >= 1:
            self._level -= 1
            return 0.0
        return (1 - self._level) * self._interval


class Hook:
    """Responds to hooks. For the event loop's thread only.

    Signatures are checked first, and forged requests have a limit of their own, so that they do not use up that of
    genuine ones. When there are too many genuine ones, the source is checked once more when the limit allows it: the
    newest commit is never missed.
    """

    def __init__(
        self,
        secret: Secret | None,
        trigger: Callable[[], None],
        accepted: TokenBucket | None = None,
        refused: TokenBucket | None = None,
    ) -> None:
        """``secret`` is ``None`` if hooks are not used: then there is nothing at that address."""
        self._secret = secret
        self._trigger = trigger
        self._accepted = accepted or TokenBucket(10, 3.0)
        self._refused = refused or TokenBucket(30, 2.0)
        self._later: asyncio.TimerHandle | None = None

    async def respond(self, request: Request) -> Response:
        """202 if the source is checked; 403 if the request is not genuine, whatever is wrong with it."""
        if self._secret is None:
            return _response(HTTPStatus.NOT_FOUND, "not found")
        signature = Signature(self._secret, request)
        try:
            async with asyncio.timeout(BODY_SECONDS):
                is_small = await _read_body(request, signature)
        except (TimeoutError, ClientDisconnect):
            return _closing(HTTPStatus.REQUEST_TIMEOUT, "the body did not arrive in time")
        if not is_small:
            return _closing(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "the body is larger than 1 MiB")
        return self._accept() if signature.is_valid() else self._refuse()

    def _accept(self) -> Response:
        if wait := self._accepted.take():
            self._trigger_after(wait)
            return _too_many(wait)
        self._trigger()
        return _response(HTTPStatus.ACCEPTED, "the source is being checked")

    def _refuse(self) -> Response:
        if wait := self._refused.take():
            return _too_many(wait)
        return _response(HTTPStatus.FORBIDDEN, "the request has no valid signature")

    def _trigger_after(self, seconds: float) -> None:
        if self._later is None:
            self._later = asyncio.get_running_loop().call_later(seconds, self._trigger_now)

    def _trigger_now(self) -> None:
        self._later = None
        self._accepted.take()
        self._trigger()


async def _read_body(request: Request, signature: Signature) -> bool:
    """Reads the body into the signature; returns whether it is small enough."""
    length = request.headers.get("content-length", "")
    if length.isdecimal() and (len(length) > len(str(LARGEST_BODY)) or int(length) > LARGEST_BODY):
        return False
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > LARGEST_BODY:
            return False
        signature.update(chunk)
    return True


def _response(status: HTTPStatus, message: str) -> Response:
    return PlainTextResponse(f"{message}\n", status)


def _closing(status: HTTPStatus, message: str) -> Response:
    """A response to a request that was not read to its end: no other can follow on the connection."""
    response = _response(status, message)
    response.headers["Connection"] = "close"
    return response


def _too_many(seconds: float) -> Response:
    response = _response(HTTPStatus.TOO_MANY_REQUESTS, "too many requests")
    response.headers["Retry-After"] = str(math.ceil(seconds))
    return response
