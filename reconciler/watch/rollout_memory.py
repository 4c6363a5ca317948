"""What the rollout of a commit did so far. It may take several rounds, and its budgets hold across them."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from reconciler.errors import Kind
from reconciler.fleet.rollout import Continuation
from reconciler.model.outcome import ServerStatus
from reconciler.model.server import Server
from reconciler.watch.records import Origin, ServerState

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from reconciler.model.outcome import Report
    from reconciler.watch.records import ServerRecord
    from reconciler.watch.round import ServerResult

_FAILING: Final = {
    ServerState.FAILED: ServerStatus.FAILED,
    ServerState.REFUSED: ServerStatus.REFUSED,
    ServerState.UNREACHABLE: ServerStatus.UNREACHABLE,
    ServerState.UNKNOWN: ServerStatus.UNREACHABLE,  # still being tried, at a former URL for example
}


class RolloutMemory:
    """Remembers the servers that a rollout has finished, and until when it pauses.

    Args:
        clock: Seconds on a monotonic clock.
        time_of_day: Seconds on the clock that goes on while no process runs.

    Attributes:
        stopped: Why the rollout does not go on, as a sentence; empty if it does.
    """

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, time_of_day: Callable[[], float] = time.time
    ) -> None:
        self._clock = clock
        self._time_of_day = time_of_day
        self.restart()

    def restart(self) -> None:
        """Another commit is rolled out."""
        self._finished: dict[str, ServerStatus] = {}
        self._goes_on_at: float | None = None
        self._is_announced = False
        self.stopped = ""

    def stored(self) -> dict[str, object]:
        """What another process needs to go on."""
        left = self.seconds_left
        return {
            "finished": {name: status.value for name, status in self._finished.items()},
            "left": left,
            "at": self._time_of_day(),
        }

    def resume(self, stored: Mapping[str, Any]) -> None:
        """Goes on where another process was; begins from nothing if ``stored`` is not what it has stored."""
        self.restart()
        with suppress(ValueError, LookupError, TypeError, AttributeError):
            self._restore(stored)

    def _restore(self, stored: Mapping[str, Any]) -> None:
        finished = {str(name): ServerStatus(status) for name, status in stored["finished"].items()}
        left = None if stored["left"] is None else float(stored["left"])
        # The time of day may have been set back meanwhile: then the pause begins again.
        gone = max(0.0, self._time_of_day() - float(stored["at"]))
        self._finished = finished
        self._goes_on_at = None if left is None else self._clock() + max(0.0, left - gone)

    @property
    def seconds_left(self) -> float | None:
        """Seconds until the pause before the next batch is over; ``None`` if there is no pause."""
        return None if self._goes_on_at is None else max(0.0, self._goes_on_at - self._clock())

    @property
    def is_pausing(self) -> bool:
        """Whether the next batch has to wait."""
        return bool(self.seconds_left)

    def goes_on(self) -> bool:
        """Whether a pause has ended since the last call."""
        has_ended = self.seconds_left == 0 and not self._is_announced
        self._is_announced = self._is_announced or has_ended
        return has_ended

    def take(self, results: Iterable[ServerResult], pause: float) -> None:
        """Remembers what a round did.

        Args:
            results: What it found and did.
            pause: Seconds between two batches.
        """
        reports = [
            (one.record.name, one.report)
            for one in results
            if one.report and any(change.origin is not Origin.DRIFT and not change.held for change in one.run.changes)
        ]
        # One that a signal has stopped before its first write has no reason of its own.
        unstarted = [problem for _, report in reports if _is_unstarted(report) for problem in report.errors[:1]]
        self.stopped = next((one.message for one in unstarted if one.kind == Kind.ROLLOUT_STOPPED), "")
        self._finished |= {name: report.status for name, report in reports if not _is_unstarted(report)}
        if any(one.kind == Kind.ROLLOUT_PAUSED for one in unstarted):
            self._goes_on_at, self._is_announced = self._clock() + pause, False
        elif reports and not self.is_pausing:
            self._goes_on_at = None

    def continuation(
        self, records: Mapping[str, ServerRecord], commit: str, round_servers: Collection[str]
    ) -> Continuation:
        """What the next round has to know.

        Args:
            records: The servers as they were last seen.
            commit: The commit in force.
            round_servers: The servers of the round.

        Returns:
            The servers that the rollout has finished, and those outside the round that it has yet to reach and that
            fail now.
        """
        found = []
        for name, record in records.items():
            status = self._finished.get(name)
            if record.commit != commit:
                status = None if name in round_servers else _FAILING.get(record.state, status)
            if status:
                found.append((Server(name, record.url, record.labels), status))
        return Continuation(earlier=tuple(found), has_paused=self.seconds_left == 0, waits=False)


def _is_unstarted(report: Report) -> bool:
    """Whether nothing was done on a server, so that it has yet to take its turn."""
    return report.status is ServerStatus.NOT_ATTEMPTED
