"""Access tokens: fixed ones, and ones exchanged for credentials and renewed in time. All threads share them."""

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
from reconciler.client.session import Request
from reconciler.client.transport import InvalidResponseError
from reconciler.client.wire import read_token
from reconciler.errors import ApiError, InvalidValueError, Kind, RejectedError, UnreachableError
from reconciler.model.secret import LARGEST_SECRET, Secret, issued_secret, looks_masked
from reconciler.model.server import AccessToken, RefreshToken

if TYPE_CHECKING:
    from reconciler.client.session import ConnectionPool
    from reconciler.client.transport import Response
    from reconciler.client.wire import WireToken
    from reconciler.model.ports import TokenKeeper
    from reconciler.model.redaction import Redactor
    from reconciler.model.secret import SecretReference
    from reconciler.model.server import Login
    from reconciler.retry import Retry

_TOKEN_PATHS: Final = ("/api/v1/oauth2/token", "/api/oauth2/token")
"""Paths of the token endpoint: the vendor's page documents the first, its SDK uses the second."""


@dataclass(frozen=True, slots=True)
class BearerToken:
    """An access token as requests carry it.

    Attributes:
        header: The value of the Authorization header.
        generation: Counts the exchanges, so that a thread can see whether its token has been replaced.
        renew_at: When to replace it, on the monotonic clock; ``None`` if its lifetime is not known.
    """

    header: bytes = field(repr=False)
    generation: int = 0
    renew_at: float | None = None


class TokenProvider(Protocol):
    """Provides access tokens. A failed exchange raises ``ApiError``, and never ``OutcomeUnknownError``."""

    def bearer(self) -> BearerToken:
        """The token to use now."""

    def replace(self, refused: BearerToken) -> BearerToken | None:
        """A token to replace one that the server refused; ``None`` if there is no other."""


class FixedToken:
    """Provides an access token that the user supplied."""

    def __init__(self, credentials: AccessToken, redactor: Redactor) -> None:
        token = _require_resolved(credentials.token)
        redactor.add(token)
        self._token = token

    def bearer(self) -> BearerToken:
        """The token."""
        return BearerToken(_header(self._token.reveal()))

    def replace(self, refused: BearerToken) -> None:
        """Returns ``None``: there is no other token."""


class TokenExchange:
    """Exchanges a refresh token, or user name and password, for access tokens (OAuth 2, as on the vendor's page).

    One exchange serves all threads: those that arrive while it runs wait for it and share its result or its error.
    Credentials that the server has refused are not tried again, so that a long run does not lock an account out.

    A server may replace the refresh token at each exchange and accept each token only once. The new one is used from
    then on, and goes to ``keeper`` before anything else happens, so that a later crash cannot lose it.

    Args:
        credentials: The credentials, resolved.
        pool: Sends the exchanges; its redactor masks all tokens from now on.
        retry: Repeats a failed exchange.
        keeper: Stores the refresh token between runs.
    """

    def __init__(
        self,
        credentials: RefreshToken | Login,
        pool: ConnectionPool,
        retry: Retry,
        keeper: TokenKeeper | None = None,
    ) -> None:
        self._grant = _grant(credentials, pool.redactor)
        self._pool = pool
        self._redactor = pool.redactor
        self._retry = retry
        self._keeper = keeper
        self._lock = Lock()
        self._exchanges = 0
        self._failed: ApiError | None = None
        self._paths: tuple[str, ...] = _TOKEN_PATHS
        self._current: BearerToken | None = None

    def bearer(self) -> BearerToken:
        """The token to use now; the first call fetches it."""
        current = self._current
        if current is None or (current.renew_at is not None and time.monotonic() >= current.renew_at):
            return self.replace(current)
        return current

    def replace(self, refused: BearerToken | None) -> BearerToken:
        """A token to replace ``refused``; the first one if that is ``None``."""
        seen = self._exchanges
        with self._lock:
            current = self._current
            if current is not None and (refused is None or current.generation != refused.generation):
                return current
            if self._failed and (self._exchanges != seen or isinstance(self._failed, RejectedError)):
                raise type(self._failed)(*self._failed.problems, is_outage=self._failed.is_outage)
            try:
                self._current = self._exchange()
            except ApiError as error:
                # Not transient: a repeated request would only repeat the exchange. The request itself was never sent.
                kind = RejectedError if isinstance(error, RejectedError) else UnreachableError
                self._failed = kind(*error.problems, is_outage=error.is_outage)
                raise kind(*error.problems, is_outage=error.is_outage) from None
            finally:
                # Counted at the end, so that threads that were waiting see that this exchange served them too.
                self._exchanges += 1
            self._failed = None
            return self._current

    def _exchange(self) -> BearerToken:
        with self._keeper.locked() if self._keeper else nullcontext() as left:
            if left is not None:
                self._redactor.add(left)
                self._grant = {**self._grant, "refresh_token": left.reveal()}
            started = time.monotonic()
            token = self._retry.run(self._attempt)
            self._replace_key(token.get("refresh_token") or "")
        header = _header(token["access_token"])
        self._redactor.add(Secret(token["access_token"]))
        return BearerToken(header, self._exchanges, _renewal_time(started, token.get("expires_in")))

    def _replace_key(self, returned: str) -> None:
        """Uses and stores the refresh token of a response, if it is another one and can be used."""
        present = self._grant.get("refresh_token")
        try:
            key = issued_secret(returned)
        except InvalidValueError as error:
            self._redactor.add(Secret(returned))
            if present and self._keeper:
                self._keeper.refuse(error.message)
            return
        if key is None:
            return
        self._redactor.add(key)
        if present and present != key.reveal():
            self._grant = {**self._grant, "refresh_token": key.reveal()}
            if self._keeper:
                self._keeper.store(key)

    def _attempt(self, deadline: float) -> WireToken:
        body = json.dumps(self._grant).encode()
        for path in self._paths:
            response = self._pool.exchange(Request("POST", path, body), deadline=deadline)
            if response.status != HTTPStatus.NOT_FOUND:
                self._paths = (path,)
                return self._read(response)
        raise error_from_status(response, self._redactor)

    def _read(self, response: Response) -> WireToken:
        if not response.is_success:
            error = error_from_status(response, self._redactor)
            if response.status in {HTTPStatus.BAD_REQUEST, HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
                raise _refused(f"the server refuses the credentials: {error.problems[0].message}")
            raise error
        try:
            return read_token(response.body)
        except InvalidResponseError as error:
            raise invalid_response(f"token exchange: {error}") from None


def _refused(message: str) -> RejectedError:
    return RejectedError.of(message, kind=Kind.UNAUTHORIZED, hint=UNAUTHORIZED_HINT)


def _grant(credentials: RefreshToken | Login, redactor: Redactor) -> dict[str, str]:
    if isinstance(credentials, RefreshToken):
        key = _require_resolved(credentials.token)
        redactor.add(key)
        return {"grant_type": "refresh_token", "refresh_token": key.reveal()}
    password = _require_resolved(credentials.password)
    redactor.add(password)
    return {
        "grant_type": "password",
        "username": _require_resolved(credentials.username).reveal(),
        "password": password.reveal(),
    }


def _require_resolved(value: Secret | SecretReference) -> Secret:
    if not isinstance(value, Secret):
        raise TypeError("credentials must be resolved before a connection is opened")
    return value


def _header(token: str) -> bytes:
    if not re.fullmatch(r"[\x21-\x7e]+", token) or looks_masked(token) or len(token) > LARGEST_SECRET:
        raise _refused(
            "the access token is empty, a mask, longer than 64 KiB, or contains characters that no token has"
        )
    return b"Bearer " + token.encode("ascii")


_MARGIN: Final = 30.0
_LARGEST_MARGIN_PART: Final = 0.2


def _renewal_time(started: float, lifetime: float | None) -> float | None:
    """When to renew a token requested at ``started``: shortly before its lifetime, in seconds, ends."""
    if lifetime is None or not lifetime > 0:
        return None
    return started + lifetime - min(_MARGIN, lifetime * _LARGEST_MARGIN_PART)
