"""Connections to scripted servers, and a stop event that lets no time pass."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from reconciler.client.connect import Connection, open_reader, open_writer
from reconciler.model.redaction import Redactor
from reconciler.model.secret import Secret
from reconciler.model.server import AccessToken

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconciler.model.ports import AccountReader, AccountWriter

TOKEN = "an-access-token"


class Clockless(threading.Event):
    """A stop event on which waiting takes no time; ``waits`` are the seconds asked for."""

    def __init__(self, *, stops_while_waiting: bool = False) -> None:
        super().__init__()
        self.waits: list[float] = []
        self._stops = stops_while_waiting

    def wait(self, timeout: float | None = None) -> bool:
        self.waits.append(timeout or 0.0)
        if self._stops:
            self.set()
        return self.is_set()


def connection_to(url: str, **more: Any) -> Connection:  # noqa: ANN401
    """A connection with an access token, unless told otherwise."""
    given = {"credentials": AccessToken(Secret(TOKEN)), "redactor": Redactor(), "stop": Clockless(), "timeout": 5.0}
    return Connection(url=url, **{**given, **more})


class Open(Protocol):
    def __call__(self, url: str, **more: Any) -> AccountWriter: ...  # noqa: ANN401


class OpenReader(Protocol):
    def __call__(self, url: str, **more: Any) -> AccountReader: ...  # noqa: ANN401


@pytest.fixture
def writer() -> Iterator[Open]:
    """Opens a writer; ``more`` are ``Connection`` 's fields."""
    with ExitStack() as stack:
        yield lambda url, **more: stack.enter_context(open_writer(connection_to(url, **more)))


@pytest.fixture
def reader() -> Iterator[OpenReader]:
    """Opens a reader; ``more`` are ``Connection`` 's fields."""
    with ExitStack() as stack:
        yield lambda url, **more: stack.enter_context(open_reader(connection_to(url, **more)))
