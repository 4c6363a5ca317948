"""How often, how long and until when attempts are repeated. The only module that imports tenacity."""

from __future__ import annotations

import time
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final, TypeVar

from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception,
    stop_after_attempt,
    stop_before_delay,
    stop_when_event_set,
    wait_exponential,
    wait_random,
)

from reconciler.errors import ApiError

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

T = TypeVar("T")

ATTEMPTS: Final = 4
_SHORTEST_TOTAL: Final = 60.0
_GROWING_PAUSE: Final = wait_exponential(multiplier=0.25, exp_base=3, max=10) + wait_random(0, 0.25)
_IF_TRANSIENT: Final = retry_if_exception(lambda error: isinstance(error, ApiError) and error.transient)

_RUN_END: Final[ContextVar[float | None]] = ContextVar("_RUN_END", default=None)
"""When this thread's current run must be over, on the monotonic clock."""


class Retry:
    """Repeats attempts that end in a transient ``ApiError``, with growing pauses, or longer ones if the server asks.

    Args:
        timeout: Seconds that one request may take. All attempts together may take twice that, and at least a minute.
        stop: Once it is set, a pause ends and no other attempt is made.
    """

    def __init__(self, timeout: float, stop: threading.Event) -> None:
        self._timeout = timeout
        self._total = max(_SHORTEST_TOTAL, 2 * timeout)
        self._stop = stop
        # If a server asks to wait longer than the time left, no further request is sent.
        self._end = stop_after_attempt(ATTEMPTS) | stop_before_delay(self._total) | stop_when_event_set(stop)

    def run_once(self, attempt: Callable[[float], T]) -> T:
        """Makes one attempt, which must be over by the end of the surrounding run, if there is one."""
        end, run_end = time.monotonic() + self._timeout, _RUN_END.get()
        return attempt(end if run_end is None else min(end, run_end))

    def run_nested(self, attempt: Callable[[float], T]) -> T:
        """Like ``run``; within another run, like ``run_once``: that run repeats the whole, with its own deadline."""
        return self.run(attempt) if _RUN_END.get() is None else self.run_once(attempt)

    def run(self, attempt: Callable[[float], T]) -> T:
        """Calls ``attempt`` until it returns, fails for good, or the time is over.

        Args:
            attempt: One attempt. Gets the time, on the monotonic clock, at which it must be over.

        Raises:
            Exception: What the last attempt raised.
        """
        retrying = Retrying(
            retry=_IF_TRANSIENT,
            stop=self._end,
            wait=_pause,
            before_sleep=self._wait,
            sleep=lambda _seconds: None,
            reraise=True,
        )
        former = _RUN_END.set(time.monotonic() + self._total)
        try:
            result: T = retrying(self.run_once, attempt)
        finally:
            _RUN_END.reset(former)
        return result

    def _wait(self, state: RetryCallState) -> None:
        """Waits for the next attempt. An interrupt ends the wait and raises the last attempt's error."""
        if self._stop.wait(state.upcoming_sleep) and state.outcome:
            state.outcome.result()


def _pause(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    asked = error.retry_after if isinstance(error, ApiError) else None
    return max(_GROWING_PAUSE(state), asked or 0.0)
