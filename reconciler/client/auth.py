"""Access tokens: given, or exchanged for credentials and renewed in time, once for all threads."""

from __future__ import annotations

import json
import re
import time
from contextlib import nullcontext
from dataclasses import dataclass, field
from http import HTTPStatus
from threading import Lock
from typing import TYPE_CHECKING, Final, Protocol

from reconciler.client.errors import UNAUTHORIZED_HINT, error_from_status, invalid_response
from reconciler.client.failure import AttemptError, Failure, UnreadableError
from reconciler.client.wire import read_token
from reconciler.errors import Kind, Problem, RejectedError, UnreachableError
from reconciler.model.secret import Secret
from reconciler.model.server import AccessToken, Login, RefreshToken

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from reconciler.client.answer import Answer
    from reconciler.client.wire import WireToken
    from reconciler.model.ports import TokenKeeper
    from reconciler.model.redaction import Redactor
    from reconciler.model.secret import SecretReference
    from reconciler.model.server import Credentials
    from reconciler.retry import Retry

TOKEN_PATHS: Final = ("/api/v1/oauth2/token", "/api/oauth2/token")
"""Where tokens are exchanged: the vendor's page names the first, its SDK posts to the second."""


@dataclass(frozen=True, slots=True)
class Bearer:
    """An access token as it goes onto the wire.

    Attributes:
        header: The Authorization header's value.
        generation: Counts the exchanges, so that a thread can tell whether its token has been replaced.
        renew_at: When to replace it, on the monotonic clock; ``None`` where its end is not known.
    """

    header: bytes = field(repr=False)
    generation: int = 0
    renew_at: float | None = None


class TokenProvider(Protocol):
    """Gives out access tokens. Every method raises ``AttemptError`` where there is none to be had."""

    def bearer(self) -> Bearer:
        """The token to use now."""

    def renewed(self, refused: Bearer) -> Bearer | None:
        """A token in place of one that the server refused; ``None`` where there is no other."""


class Unkept:
    """The keeper of a refresh token that is used by one run alone."""

    def turn(self) -> AbstractContextManager[None]:
        """Waits for nobody."""
        return nullcontext()

    def store(self, token: Secret) -> None:
        """Forgets it."""


_UNKEPT: Final = Unkept()


def authority(
    credentials: Credentials,
    *,
    exchange: Callable[[str, bytes, float], Answer],
    retry: Retry,
    redactor: Redactor,
    keeper: TokenKeeper | None = None,
) -> TokenProvider:
    """The authority for ``credentials``; ``exchange`` posts a body to a path until a deadline."""
    if isinstance(credentials, AccessToken):
        return FixedToken(_resolved(credentials.token), redactor)
    return Exchange(credentials, exchange=exchange, retry=retry, redactor=redactor, keeper=keeper or _UNKEPT)


class FixedToken:
    """An access token that somebody else got."""

    def __init__(self, token: Secret, redactor: Redactor) -> None:
        redactor.add(token)
        self._token = token

    def bearer(self) -> Bearer:
        """The token."""
        return Bearer(_header(self._token.reveal()))

    def renewed(self, refused: Bearer) -> None:
        """Nothing: there is no other."""


class Exchange:
    """Exchanges a refresh token, or user name and password, for access tokens (OAuth 2, as the vendor's page has it).

    One exchange serves all threads: who comes while it runs waits for it and shares its end, good or bad. Credentials
    that the server has refused are not tried again, so that a long run does not lock an account out.

    A server may replace the refresh token at each exchange, and take each of them once: the new one is used from then
    on, and given to ``keeper`` before anything else happens, so that no crash can lose it.
    """

    def __init__(
        self,
        credentials: RefreshToken | Login,
        *,
        exchange: Callable[[str, bytes, float], Answer],
        retry: Retry,
        redactor: Redactor,
        keeper: TokenKeeper = _UNKEPT,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._grant = _grant(credentials, redactor)
        self._post = exchange
        self._retry = retry
        self._redactor = redactor
        self._keeper = keeper
        self._clock = clock
        self._lock = Lock()
        self._turns = 0
        self._failed: Failure | None = None
        self._paths: tuple[str, ...] = TOKEN_PATHS
        self._current: Bearer | None = None

    def bearer(self) -> Bearer:
        """The token to use now; the first one is fetched by the first request."""
        current = self._current
        if current is None or (current.renew_at is not None and self._clock() >= current.renew_at):
            return self._replace(current)
        return current

    def renewed(self, refused: Bearer) -> Bearer:
        """A token in place of ``refused``."""
        return self._replace(refused)

    def _replace(self, stale: Bearer | None) -> Bearer:
        turn = self._turns
        with self._lock:
            current = self._current
            if current is not None and (stale is None or current.generation != stale.generation):
                return current
            if self._failed and (self._turns != turn or self._failed.error is RejectedError):
                raise AttemptError(self._failed)
            try:
                self._current = self._exchanged()
            except AttemptError as error:
                # Another attempt of the request would only exchange again; and it never reached the accounts.
                certain = RejectedError if error.failure.error is RejectedError else UnreachableError
                problem = error.failure.problem
                self._failed = Failure(problem=problem, error=certain, doubtful=False)
                raise AttemptError(self._failed) from None
            finally:
                # Counted at the end: who came before it sees by the count that this exchange was for them too.
                self._turns += 1
            self._failed = None
            return self._current

    def _exchanged(self) -> Bearer:
        with self._keeper.turn() as left:
            if left is not None:
                self._redactor.add(left)
                self._grant = {**self._grant, "refresh_token": left.reveal()}
            asked = self._clock()
            token = self._retry.run(self._attempt)
            for value in (token["access_token"], token.get("refresh_token")):
                if value:
                    self._redactor.add(Secret(value))
            key = token.get("refresh_token")
            if key and self._grant.get("refresh_token", key) != key:
                self._grant = {**self._grant, "refresh_token": key}
                self._keeper.store(Secret(key))
        return Bearer(_header(token["access_token"]), self._turns, _renewal(asked, token.get("expires_in")))

    def _attempt(self, deadline: float) -> WireToken:
        body = json.dumps(self._grant).encode()
        for path in self._paths:
            answer = self._post(path, body, deadline)
            if answer.status != HTTPStatus.NOT_FOUND:
                self._paths = (path,)
                return self._token(answer)
        raise AttemptError(error_from_status(answer, self._redactor))

    def _token(self, answer: Answer) -> WireToken:
        if not answer.good:
            failure = error_from_status(answer, self._redactor)
            if answer.status in {HTTPStatus.BAD_REQUEST, HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
                failure = _refused(f"the server refuses the credentials: {failure.problem.message}")
            raise AttemptError(failure)
        try:
            return read_token(answer.body)
        except UnreadableError as error:
            raise AttemptError(invalid_response(f"token exchange: {error}")) from None


def _refused(message: str) -> Failure:
    problem = Problem(kind=Kind.UNAUTHORIZED, message=message, hint=UNAUTHORIZED_HINT)
    return Failure(problem=problem, error=RejectedError, doubtful=False)


def _grant(credentials: RefreshToken | Login, redactor: Redactor) -> dict[str, str]:
    if isinstance(credentials, RefreshToken):
        key = _resolved(credentials.token)
        redactor.add(key)
        return {"grant_type": "refresh_token", "refresh_token": key.reveal()}
    password = _resolved(credentials.password)
    redactor.add(password)
    return {
        "grant_type": "password",
        "username": _resolved(credentials.username).reveal(),
        "password": password.reveal(),
    }


def _resolved(value: Secret | SecretReference) -> Secret:
    if not isinstance(value, Secret):
        raise TypeError("credentials must be resolved before a connection is opened")
    return value


def _header(token: str) -> bytes:
    if not re.fullmatch(r"[\x21-\x7e]+", token):
        raise AttemptError(_refused("the access token is empty, or holds blanks or characters that no token has"))
    return b"Bearer " + token.encode("ascii")


_MARGIN, _MARGIN_PART = 30.0, 0.2


def _renewal(asked: float, lifetime: float | None) -> float | None:
    if lifetime is None or not lifetime > 0:
        return None
    return asked + lifetime - min(_MARGIN, lifetime * _MARGIN_PART)
