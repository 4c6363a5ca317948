"""Access tokens: short-lived, random, forgotten when the sandbox ends."""

from __future__ import annotations

import secrets
import time
from hmac import compare_digest
from threading import Lock

from reconciler.sandbox import PASSWORD, REFRESH_TOKEN, USERNAME


class Tokens:
    """Gives out access tokens and knows which are still good."""

    def __init__(self, lifetime: int, *, rotates: bool = False) -> None:
        """``lifetime`` is in seconds; with 0 a token is expired when it is given out.

        With ``rotates``, each refresh token can be exchanged once, and the exchange gives the next one.
        """
        self.lifetime = lifetime
        self.refresh_token = REFRESH_TOKEN
        self._rotates = rotates
        self._lock = Lock()
        self._expiries: dict[str, float] = {}

    def redeem(self, refresh_token: str) -> bool:
        """Whether this is the integrator's key, which may be another one from then on."""
        with self._lock:
            if not compare_digest(refresh_token.encode(), self.refresh_token.encode()):
                return False
            if self._rotates:
                self.refresh_token = f"sandbox-{secrets.token_urlsafe(24)}"
            return True

    def issue(self) -> str:
        """A new access token."""
        now = time.monotonic()
        self._expiries = {token: expiry for token, expiry in self._expiries.items() if expiry > now}
        token = secrets.token_urlsafe(24)
        self._expiries[token] = now + self.lifetime
        return token

    def accepts(self, token: str) -> bool:
        """Whether ``token`` was given out and has not expired."""
        return self._expiries.get(token, 0.0) > time.monotonic()

    def expire(self) -> None:
        """Lets every token given out so far expire now."""
        self._expiries = {}


def is_login(username: str, password: str) -> bool:
    """Whether this is the sandbox's user."""
    return compare_digest(f"{username}\0{password}".encode(), f"{USERNAME}\0{PASSWORD}".encode())
