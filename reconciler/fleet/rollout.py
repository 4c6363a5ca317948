"""Decides which servers may start next. Pure: it knows names and statuses, and does nothing itself."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from reconciler.model.fleet import Batch
from reconciler.model.outcome import ServerStatus

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from reconciler.model.fleet import Rollout
    from reconciler.model.server import Server

_FAILED: Final = frozenset({ServerStatus.FAILED, ServerStatus.REFUSED, ServerStatus.UNKNOWN})
"""What counts against ``max_failures``."""

_UNREACHED: Final = frozenset({ServerStatus.UNREACHABLE, ServerStatus.NOT_ATTEMPTED})
"""What counts against ``max_unreachable``: a server that was not reached, or that no worker has taken."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """The order in which servers start.

    Attributes:
        names: The servers, canaries first.
        ends: For each batch, the number of servers up to its end. The last one is the number of all servers.
        canaries: How many servers are canaries. If there are any, they are the first batch.
    """

    names: tuple[str, ...]
    ends: tuple[int, ...]
    canaries: int = 0

    def batch_after(self, started: int) -> Batch | None:
        """The batch that the next server begins, after ``started`` servers.

        ``None`` if that server continues a batch, or if all servers are one batch.
        """
        starts = (0, *self.ends[:-1])
        if len(starts) == 1 or started not in starts:
            return None
        number = starts.index(started) + 1
        return Batch(
            number=number,
            count=len(starts),
            first=started + 1,
            last=self.ends[number - 1],
            total=len(self.names),
            is_canaries=number == 1 and self.canaries > 0,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Continuation:
    """A rollout that may take several runs.

    Attributes:
        earlier: What earlier runs did on which servers: it counts against the budgets.
        has_paused: Whether the pause before the next batch is over.
        waits: Whether the run waits where the rollout pauses; if not, it ends there.
    """

    earlier: Sequence[tuple[Server, ServerStatus]] = ()
    has_paused: bool = False
    waits: bool = True


WHOLE: Final = Continuation()
"""A rollout in a single run."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a rollout is, as numbers of servers. ``finished`` contains those that failed or were not reached."""

    started: int = 0
    finished: int = 0
    failed: int = 0
    unreachable: int = 0

    def with_start(self) -> Progress:
        """After one more server has started."""
        return replace(self, started=self.started + 1)

    def with_result(self, status: ServerStatus, *, counts: bool = True) -> Progress:
        """After one more server has finished; ``counts`` tells whether its failure counts against a budget."""
        return replace(
            self,
            finished=self.finished + 1,
            failed=self.failed + (counts and status in _FAILED),
            unreachable=self.unreachable + (counts and status in _UNREACHED),
        )


@dataclass(frozen=True, slots=True)
class Decision:
    """What may happen next.

    Attributes:
        limit: How many servers may have started by now.
        stopped: Why nothing starts any more; empty as long as the rollout goes on.
        is_new_batch: Whether the next server is the first of a batch after the first: the pause goes before it.
    """

    limit: int
    stopped: str = ""
    is_new_batch: bool = False


def make_schedule(servers: Iterable[Server], rollout: Rollout) -> Schedule:
    """Orders servers: the canaries, then the others, each sorted by name.

    The canaries are a batch of their own. An amount in ``rollout.batches`` counts all servers up to the end of its
    batch; if an earlier batch reaches that far already, it adds none.
    """
    ordered = sorted(servers, key=lambda server: server.name)
    canaries = [server.name for server in ordered if rollout.canary and rollout.canary.matches(server)]
    first = set(canaries)
    names = (*canaries, *(server.name for server in ordered if server.name not in first))
    ends = {len(canaries), *(amount.of(len(names)) for amount in rollout.batches), len(names)}
    ends = {end for end in ends if end >= max(1, len(canaries))}
    return Schedule(names, tuple(sorted(ends)), len(canaries))


def decide(schedule: Schedule, progress: Progress, rollout: Rollout) -> Decision:
    """Decides how many servers may have started by now.

    A batch may start when every server of the batch before it has finished. Nothing starts once a budget is spent.
    """
    if stopped := _spent_budget(len(schedule.names), progress, rollout):
        return Decision(progress.started, stopped)
    limit = next((end for end in schedule.ends if progress.finished < end), len(schedule.names))
    at_boundary = progress.started == progress.finished and progress.finished in schedule.ends
    return Decision(limit, is_new_batch=at_boundary and progress.finished < len(schedule.names))


def _spent_budget(total: int, progress: Progress, rollout: Rollout) -> str:
    """Which budget is exceeded, as a phrase; empty if none is."""
    for count, limit, what, name in (
        (progress.failed, rollout.max_failures, "failed", "max_failures"),
        (progress.unreachable, rollout.max_unreachable, "could not be reached", "max_unreachable"),
    ):
        if limit.is_exceeded(count, total):
            return f"{count:,} of {total:,} servers {what}, and {name} is {limit}"
    return ""
