"""Repeats what may be repeated, with pauses that grow, up to a deadline and until the user interrupts."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, TypeVar

from reconciler.api.failure import AttemptError, Failure

if TYPE_CHECKING:
    from collections.abc import Callable
    from threading import Event

    from tenacity import RetryCallState

T = TypeVar("T")

ATTEMPTS: Final = 4
_TOTAL: Final = 60.0
_FIRST_PAUSE, _LONGEST_PAUSE, _GROWTH = 0.25, 10.0, 3


class Retry:
    """How often, how long and until when requests are repeated.

    Args:
        timeout: Seconds that one attempt may take; all attempts together may take twice that, and at least a minute.
        stop: Once set, no pause goes on and no other attempt is made.
    """

    def __init__(self, timeout: float, stop: Event) -> None:
        self._timeout = timeout
        self._total = max(_TOTAL, 2 * timeout)
        self._stop = stop

    def run(self, attempt: Callable[[float], T], *, repeatable: Callable[[Failure], bool]) -> T:
        """Calls ``attempt`` until it returns, fails for good, or the time is over.

        Args:
            attempt: One attempt; gets the time, on the monotonic clock, at which it must be over.
            repeatable: Whether another attempt may follow a failure that is transient.

        Raises:
            AttemptError: The last attempt's failure.
        """
        end = time.monotonic() + self._total
        try:
            return attempt(time.monotonic() + self._timeout)
        except AttemptError as error:
            first = error
        if not (first.failure.transient and repeatable(first.failure)):
            raise first
        return self._again(attempt, first, end, repeatable)

    def _again(
        self, attempt: Callable[[float], T], first: AttemptError, end: float, repeatable: Callable[[Failure], bool]
    ) -> T:
        # Importing tenacity takes longer than most runs need for all their requests, and most runs never need it.
        import tenacity

        failed = [first]

        def next_attempt() -> T:
            if len(failed) == 1 or self._stop.is_set():
                failed.append(failed[-1])
                raise failed[-1]
            try:
                return attempt(min(time.monotonic() + self._timeout, end))
            except AttemptError as error:
                failed.append(error)
                raise

        def may_go_on(error: BaseException) -> bool:
            return isinstance(error, AttemptError) and error.failure.transient and repeatable(error.failure)

        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception(may_go_on),
            # A server that asks for more patience than is left gets no further request.
            stop=tenacity.stop_after_attempt(ATTEMPTS)
            | tenacity.stop_before_delay(end - time.monotonic())
            | tenacity.stop_when_event_set(self._stop),
            wait=_pause,
            sleep=tenacity.sleep_using_event(self._stop),
            reraise=True,
        )
        return retrying(next_attempt)


def _pause(state: RetryCallState) -> float:
    import tenacity

    growing = tenacity.wait_exponential(multiplier=_FIRST_PAUSE, max=_LONGEST_PAUSE, exp_base=_GROWTH)(state)
    growing += tenacity.wait_random(0, _FIRST_PAUSE)(state)
    error = state.outcome.exception() if state.outcome else None
    asked = error.failure.after if isinstance(error, AttemptError) else None
    return growing if asked is None else max(growing, asked)
