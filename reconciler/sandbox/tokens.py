"""Access tokens: short-lived, random, forgotten when the sandbox ends."""

from __future__ import annotations

import secrets
import time
from hmac import compare_digest

from reconciler.sandbox.options import PASSWORD, REFRESH_TOKEN, USERNAME


class Tokens:
    """Gives out access tokens and knows which are still good."""

    def __init__(self, lifetime: int) -> None:
        """``lifetime`` is in seconds; with 0 a token is expired when it is given out."""
        self.lifetime = lifetime
        self._expiries: dict[str, float] = {}

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


def is_refresh_token(value: str) -> bool:
    """Whether this is the sandbox's integrator key."""
    return compare_digest(value.encode(), REFRESH_TOKEN.encode())


def is_login(username: str, password: str) -> bool:
    """Whether this is the sandbox's user."""
    return compare_digest(f"{username}\0{password}".encode(), f"{USERNAME}\0{PASSWORD}".encode())
