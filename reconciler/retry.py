"""Repeats what may be repeated, with pauses that grow, up to one deadline, until the run is stopped."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from tenacity import RetryCallState

T = TypeVar("T")

ATTEMPTS: Final = 4
_TOTAL: Final = 60.0
_FIRST_PAUSE, _LONGEST_PAUSE, _GROWTH = 0.25, 10.0, 3


class _Enclosing(threading.local):
    """When the run that is under way in this thread has to be over, on the monotonic clock."""

    end: float | None = None


_ENCLOSING: Final = _Enclosing()


class Retry:
    """How often, how long and until when an attempt is repeated.

    An attempt that may go better next time says so by an exception whose ``transient`` is true; its ``retry_after`` is
    the pause that the server asks for.

    Args:
        timeout: Seconds that one request may take; all attempts together may take twice that, and at least a minute.
        stop: Once set, no pause goes on and no other attempt is made.
    """

    def __init__(self, timeout: float, stop: threading.Event) -> None:
        self._timeout = timeout
        self._total = max(_TOTAL, 2 * timeout)
        self._stop = stop

    def run_or_join(self, attempt: Callable[[float], T]) -> T:
        """As ``run``; but within another run, as ``once``: that run repeats the whole, with its own deadline."""
        return self.run(attempt) if _ENCLOSING.end is None else self.once(attempt)

    def once(self, attempt: Callable[[float], T]) -> T:
        """Makes one attempt, which has to be over when the run around it, if there is one, has to be."""
        end = time.monotonic() + self._timeout
        return attempt(end if _ENCLOSING.end is None else min(end, _ENCLOSING.end))

    def run(self, attempt: Callable[[float], T]) -> T:
        """Calls ``attempt`` until it returns, fails for good, or the time is over.

        Args:
            attempt: One attempt; gets the time, on the monotonic clock, at which it must be over.

        Raises:
            Exception: The last attempt's.
        """
        former, end = _ENCLOSING.end, time.monotonic() + self._total
        _ENCLOSING.end = end
        try:
            return self._run(attempt, end)
        finally:
            _ENCLOSING.end = former

    def _run(self, attempt: Callable[[float], T], end: float) -> T:
        try:
            return self.once(attempt)
        except Exception as error:
            if not _is_transient(error):
                raise
            first = error
        return self._again(attempt, first, end)

    def _again(self, attempt: Callable[[float], T], first: Exception, end: float) -> T:
        # Importing tenacity takes longer than most runs need for all their requests, and most runs never need it.
        import tenacity

        failed = [first]

        def next_attempt() -> T:
            if len(failed) == 1 or self._stop.is_set():
                failed.append(failed[-1])
                raise failed[-1]
            try:
                return self.once(attempt)
            except Exception as error:
                failed.append(error)
                raise

        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception(_is_transient),
            # A server that asks for more patience than is left gets no further request.
            stop=tenacity.stop_after_attempt(ATTEMPTS)
            | tenacity.stop_before_delay(end - time.monotonic())
            | tenacity.stop_when_event_set(self._stop),
            wait=_pause,
            sleep=tenacity.sleep_using_event(self._stop),
            reraise=True,
        )
        return retrying(next_attempt)


def _is_transient(error: BaseException) -> bool:
    return getattr(error, "transient", False)


def _pause(state: RetryCallState) -> float:
    import tenacity

    growing = tenacity.wait_exponential(multiplier=_FIRST_PAUSE, max=_LONGEST_PAUSE, exp_base=_GROWTH)(state)
    growing += tenacity.wait_random(0, _FIRST_PAUSE)(state)
    error = state.outcome.exception() if state.outcome else None
    asked: float | None = getattr(error, "retry_after", None)
    return growing if asked is None else max(growing, asked)
