"""Clients for the sandbox's tests."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Protocol

import pytest

from tests.support import plain_http

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from reconciler.sandbox import Sandbox

ACCOUNTS = "/api/email/accounts"


class Connect(Protocol):
    """The type of the ``connect`` fixture."""

    def __call__(self, sandbox: Sandbox, *, token: str | None = None) -> httpx.Client:
        """A client with an access token; a new one, unless one is given."""


def access_token(sandbox: Sandbox) -> str:
    response = plain_http.post(
        f"{sandbox.url}/api/v1/oauth2/token",
        json={"grant_type": "refresh_token", "refresh_token": sandbox.refresh_token},
    )
    return str(response.json()["access_token"])


@pytest.fixture
def connect() -> Iterator[Connect]:
    with ExitStack() as stack:

        def make(sandbox: Sandbox, *, token: str | None = None) -> httpx.Client:
            headers = {"Authorization": f"Bearer {access_token(sandbox) if token is None else token}"}
            return stack.enter_context(plain_http.Client(base_url=sandbox.url, headers=headers))

        yield make


@pytest.fixture
def client(sandbox: Sandbox, connect: Connect) -> httpx.Client:
    return connect(sandbox)
