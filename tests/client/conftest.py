"""Connections to scripted servers, and a stop event whose waits take no time."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from reconciler.client.gateway import ConnectionSettings, connect
from reconciler.model.redaction import Redactor
from reconciler.model.secret import Secret
from reconciler.model.server import AccessToken

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconciler.model.ports import AccountReader, AccountWriter

TOKEN = "an-access-token"


class InstantStop(threading.Event):
    """A stop event whose waits take no time; ``waits`` are the seconds that were asked for."""

    def __init__(self, *, stops_while_waiting: bool = False) -> None:
        super().__init__()
        self.waits: list[float] = []
        self._stops = stops_while_waiting

    def wait(self, timeout: float | None = None) -> bool:
        self.waits.append(timeout or 0.0)
        if self._stops:
            self.set()
        return self.is_set()


def settings_for(url: str, **more: Any) -> ConnectionSettings:  # noqa: ANN401
    """Settings with an access token by default."""
    given = {"credentials": AccessToken(Secret(TOKEN)), "redactor": Redactor(), "stop": InstantStop(), "timeout": 5.0}
    return ConnectionSettings(url=url, **{**given, **more})


class Open(Protocol):
    def __call__(self, url: str, **more: Any) -> AccountWriter: ...  # noqa: ANN401


class OpenReader(Protocol):
    def __call__(self, url: str, **more: Any) -> AccountReader: ...  # noqa: ANN401


@pytest.fixture
def writer() -> Iterator[Open]:
    """Opens a writer; ``more`` are fields of ``ConnectionSettings``."""
    with ExitStack() as stack:
        yield lambda url, **more: stack.enter_context(connect(settings_for(url, **more))).writer


@pytest.fixture
def reader() -> Iterator[OpenReader]:
    """Opens a reader; ``more`` are fields of ``ConnectionSettings``."""
    with ExitStack() as stack:
        yield lambda url, **more: stack.enter_context(connect(settings_for(url, **more))).reader
