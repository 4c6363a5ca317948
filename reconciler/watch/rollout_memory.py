"""What the rollout of a commit did so far. It may take several rounds, and its budgets hold across them.

A server that fails counts as failed until it succeeds, or is suspended, whatever becomes of it in the meantime.
"""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from reconciler.errors import Kind
from reconciler.fleet.rollout import Continuation, Standing
from reconciler.model.outcome import ServerStatus
from reconciler.model.server import Server
from reconciler.watch.records import Origin, ServerState
from reconciler.watch.server_check import status_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from reconciler.model.outcome import Report
    from reconciler.watch.records import ServerRecord
    from reconciler.watch.round import ServerResult
    from reconciler.watch.server_check import ServerCheck

_FAILING: Final = {
    ServerState.FAILED: Standing(ServerStatus.FAILED, had_turn=False),
    ServerState.REFUSED: Standing(ServerStatus.REFUSED, had_turn=False),
    ServerState.UNREACHABLE: Standing(ServerStatus.UNREACHABLE, had_turn=False),
}
"""Where a server stands that the rollout has not come to, and that failed when it was last seen."""

_WAITING: Final = Standing(None, had_turn=False)


def standing_of(
    check: ServerCheck, commit: str, former: Standing | None, failure: ServerStatus | None
) -> Standing | None:
    """Where a server stands in the rollout of a commit, now that a round has planned it.

    Args:
        check: What was found.
        commit: The commit.
        former: Where it stood before; ``None`` if the rollout had yet to come to it.
        failure: Why there is no plan; ``None`` if there is one.

    Returns:
        ``None`` if it is to take its turn, or is no part of the rollout.
    """
    if check.suspension:
        return None
    had_turn = former is not None and former.had_turn
    if failure:
        if check.former.commit == commit or (former and former.has_failed):
            return former
        return Standing(failure, had_turn=had_turn)
    if not had_turn:
        return None
    # Found as declared: then it does not matter who made it so.
    return Standing(ServerStatus.UNCHANGED) if check.is_in_force else former


def standing_after(check: ServerCheck, report: Report | None, former: Standing | None) -> Standing | None:
    """Where a server stands after a round, from where it stood before the round wrote anything."""
    if report is None or not check.is_rolled_out or status_of(report) is ServerStatus.NOT_ATTEMPTED:
        return former
    return Standing(report.status)


def waits_for_turn(record: ServerRecord, commit: str) -> bool:
    """Whether the rollout of a commit has yet to reach a server, or it is not known whether it has."""
    if record.suspended or record.commit == commit:
        return False
    if record.state is ServerState.UNKNOWN:
        return True
    is_waiting = any(change.origin is not Origin.DRIFT and not change.held for change in record.changes)
    return record.state is ServerState.PENDING and is_waiting


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
        self._standings: dict[str, Standing] = {}
        self._goes_on_at: float | None = None
        self._is_announced = False
        self._has_recovered = False
        self.stopped = ""

    def stored(self) -> dict[str, object]:
        """What another process needs to go on."""
        left = self.seconds_left
        return {
            "finished": _dumped(self._standings, had_turn=True),
            "not_planned": _dumped(self._standings, had_turn=False),
            "left": left,
            "at": self._time_of_day(),
        }

    def resume(self, stored: Mapping[str, Any]) -> None:
        """Goes on where another process was; begins from nothing if ``stored`` is not what it has stored."""
        self.restart()
        with suppress(ValueError, LookupError, TypeError, AttributeError):
            self._restore(stored)

    def _restore(self, stored: Mapping[str, Any]) -> None:
        standings = _loaded(stored.get("not_planned", {}), had_turn=False) | _loaded(stored["finished"], had_turn=True)
        left = None if stored["left"] is None else float(stored["left"])
        # The time of day may have been set back meanwhile: then the pause begins again.
        gone = max(0.0, self._time_of_day() - float(stored["at"]))
        self._standings = standings
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
        """Whether a pause has ended, or what had stopped the rollout is over, since the last call."""
        has_ended = self.seconds_left == 0 and not self._is_announced
        self._is_announced = self._is_announced or has_ended
        has_recovered, self._has_recovered = self._has_recovered, False
        return has_ended or has_recovered

    def note(self, results: Iterable[ServerResult]) -> None:
        """Remembers where servers stand that were planned."""
        for one in results:
            self._standings.pop(one.record.name, None)
            if one.standing:
                self._standings[one.record.name] = one.standing

    def end_round(self, results: Iterable[ServerResult], pause: float) -> None:
        """Remembers why a round did not come to some servers.

        Args:
            results: What it found and did.
            pause: Seconds between two batches.
        """
        reports = [
            one.report
            for one in results
            if one.report and any(change.origin is not Origin.DRIFT and not change.held for change in one.run.changes)
        ]
        # One that a signal has stopped before its first write has no reason of its own.
        unstarted = [problem for report in reports if _is_unstarted(report) for problem in report.errors[:1]]
        was_stopped = bool(self.stopped)
        self.stopped = next((one.message for one in unstarted if one.kind == Kind.ROLLOUT_STOPPED), "")
        self._has_recovered = was_stopped and not self.stopped
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
            The servers that the rollout has come to, and those outside the round that fail now or wait for their turn.
        """
        found = []
        for name, record in records.items():
            standing = self._standings.get(name)
            if name not in round_servers:
                standing = _outside(standing, record, commit)
            if standing:
                found.append((Server(name, record.url, record.labels), standing))
        return Continuation(earlier=tuple(found), has_paused=self.seconds_left == 0, waits=False)


def _outside(standing: Standing | None, record: ServerRecord, commit: str) -> Standing | None:
    """Where a server stands that is not part of a round."""
    if record.suspended:
        return None
    if standing or record.commit == commit:
        return standing
    return _WAITING if waits_for_turn(record, commit) else _FAILING.get(record.state)


def _is_unstarted(report: Report) -> bool:
    """Whether nothing was done on a server, so that it has yet to take its turn."""
    return report.status is ServerStatus.NOT_ATTEMPTED


def _dumped(standings: Mapping[str, Standing], *, had_turn: bool) -> dict[str, str]:
    return {name: one.status.value for name, one in standings.items() if one.status and one.had_turn is had_turn}


def _loaded(statuses: Mapping[str, str], *, had_turn: bool) -> dict[str, Standing]:
    return {str(name): Standing(ServerStatus(status), had_turn=had_turn) for name, status in statuses.items()}
