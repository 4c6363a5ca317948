"""What the rollout of a commit did so far. It may take several rounds, and its budgets hold across them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from reconciler.errors import Kind
from reconciler.model.outcome import ServerStatus
from reconciler.model.server import Server
from reconciler.watch.records import Origin, ServerState

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from reconciler.watch.records import ServerRecord
    from reconciler.watch.round import ServerResult

_FAILING: Final = {
    ServerState.FAILED: ServerStatus.FAILED,
    ServerState.REFUSED: ServerStatus.REFUSED,
    ServerState.UNREACHABLE: ServerStatus.UNREACHABLE,
    ServerState.UNKNOWN: ServerStatus.UNREACHABLE,  # still being tried, at a former URL for example
}


class RolloutMemory:
    """Remembers the servers that a rollout has finished. After a restart, all servers are checked anyway.

    Attributes:
        stopped: Why the rollout does not go on, as a sentence; empty if it does.
    """

    def __init__(self) -> None:
        self._finished: dict[str, ServerStatus] = {}
        self.stopped = ""

    def restart(self) -> None:
        """Another commit is rolled out."""
        self._finished.clear()
        self.stopped = ""

    def take(self, results: Iterable[ServerResult]) -> None:
        """Remembers what a round did."""
        self.stopped = ""
        for result in results:
            report, name = result.report, result.record.name
            if report is None or all(change.origin is Origin.DRIFT for change in result.run.changes):
                continue
            if report.not_started is ServerStatus.NOT_ATTEMPTED:
                problem = report.errors[0]
                self.stopped = self.stopped or (problem.message if problem.kind == Kind.ROLLOUT_STOPPED else "")
            else:
                self._finished[name] = report.status

    def earlier(
        self, records: Mapping[str, ServerRecord], commit: str, round_servers: Collection[str]
    ) -> tuple[tuple[Server, ServerStatus], ...]:
        """What counts against the budgets of the next round.

        Args:
            records: The servers as they were last seen.
            commit: The commit in force.
            round_servers: The servers of the round, which do not count.

        Returns:
            The servers that the rollout has finished, and those that it has yet to reach and that fail now.
        """
        found = []
        for name, record in records.items():
            if name in round_servers:
                continue
            status = self._finished.get(name)
            if record.commit != commit:
                status = _FAILING.get(record.state, status)
            if status:
                found.append((Server(name, record.url, record.labels), status))
        return tuple(found)
