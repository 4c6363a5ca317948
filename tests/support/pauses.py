"""Makes the pauses of a run short: before another attempt, and before the server is asked again."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

TIMES_SHORTER = 20

_wait = threading.Event.wait
_sleep = time.sleep


def shorten_pauses() -> None:
    """Shortens every pause in this process from now on."""
    threading.Event.wait = _wait_briefly  # type: ignore[assignment, method-assign]
    time.sleep = _sleep_briefly  # type: ignore[assignment]


@contextmanager
def short_pauses() -> Iterator[None]:
    """Shortens every pause in this process for now."""
    shorten_pauses()
    try:
        yield
    finally:
        threading.Event.wait = _wait  # type: ignore[method-assign]
        time.sleep = _sleep


def _wait_briefly(event: threading.Event, timeout: float | None = None) -> bool:
    return _wait(event, None if timeout is None else timeout / TIMES_SHORTER)


def _sleep_briefly(seconds: float) -> None:
    _sleep(seconds / TIMES_SHORTER)
