"""Decides which servers may start next. Pure: it knows names and statuses, and does nothing itself."""

from __future__ import annotations

from dataclasses import dataclass
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

    def batch_at(self, place: int) -> Batch:
        """The batch of the server at a place in the order, counted from 0."""
        number = next(number for number, end in enumerate(self.ends, 1) if place < end)
        return Batch(
            number=number,
            count=len(self.ends),
            first=(0, *self.ends)[number - 1] + 1,
            last=self.ends[number - 1],
            total=len(self.names),
            is_canaries=number == 1 and self.canaries > 0,
        )


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a server stands in a rollout that takes several runs.

    Attributes:
        status: The outcome that counts: of its turn, or why it could not be planned. ``None`` if it is still to be
            waited for.
        had_turn: Whether the rollout has come to it. A server that failed then may try again, whatever the budgets say.
    """

    status: ServerStatus | None
    had_turn: bool = True

    @property
    def has_failed(self) -> bool:
        """Whether it counts against ``max_failures``."""
        return self.status in _FAILED

    @property
    def may_retry(self) -> bool:
        """Whether it had its turn, and did not succeed."""
        return self.had_turn and (self.status in _FAILED or self.status in _UNREACHED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Continuation:
    """A rollout that may take several runs.

    Attributes:
        earlier: Where the servers stand that the rollout has come to, or that are no part of this run.
        has_paused: Whether the pause before the next batch is over.
        waits: Whether the run waits where the rollout pauses; if not, it ends there.
    """

    earlier: Sequence[tuple[Server, Standing]] = ()
    has_paused: bool = False
    waits: bool = True


WHOLE: Final = Continuation()
"""A rollout in a single run."""


class Progress:
    """How far a rollout is: which of its servers have finished, and which outcomes count. For one thread."""

    def __init__(self, schedule: Schedule, rollout: Rollout) -> None:
        self._schedule = schedule
        self._rollout = rollout
        self._finished: set[str] = set()
        self._failed: set[str] = set()
        self._unreached: set[str] = set()
        self._done = 0  # how many servers at the beginning of the order have finished

    def count(self, server: str, status: ServerStatus | None) -> None:
        """From now on, this outcome of a server counts, and none that it had before. ``None`` counts for nothing."""
        for statuses, servers in ((_FAILED, self._failed), (_UNREACHED, self._unreached)):
            servers.discard(server)
            if status in statuses:
                servers.add(server)

    def finish(self, server: str, status: ServerStatus | None) -> None:
        """A server has finished, with an outcome that counts."""
        self.count(server, status)
        self._finished.add(server)
        names = self._schedule.names
        while self._done < len(names) and names[self._done] in self._finished:
            self._done += 1

    @property
    def limit(self) -> int:
        """How many servers, in the order of the rollout, may have started: those up to the end of a batch.

        It is the first batch of which a server has not finished.
        """
        return next((end for end in self._schedule.ends if self._done < end), len(self._schedule.names))

    @property
    def unfinished(self) -> tuple[str, ...]:
        """The servers that the next batch waits for."""
        return tuple(name for name in self._schedule.names[self._done : self.limit] if name not in self._finished)

    @property
    def spent_budget(self) -> str:
        """Which budget is exceeded, so that nothing new may start, as a phrase; empty if none is."""
        total, rollout = len(self._schedule.names), self._rollout
        for servers, limit, what, name in (
            (self._failed, rollout.max_failures, "failed", "max_failures"),
            (self._unreached, rollout.max_unreachable, "could not be reached", "max_unreachable"),
        ):
            if limit.is_exceeded(len(servers), total):
                return f"{len(servers):,} of {total:,} servers {what}, and {name} is {limit}"
        return ""


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
