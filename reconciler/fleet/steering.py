"""Follows a rollout through the servers of a run: which one is next, and what the budgets allow."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from reconciler.errors import Kind, Problem
from reconciler.fleet.rollout import WHOLE, Progress, make_schedule
from reconciler.model.duration import format_duration

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconciler.fleet.rollout import Continuation
    from reconciler.model.fleet import Batch, Rollout
    from reconciler.model.outcome import Report
    from reconciler.model.plan import Plan


class Steering:
    """Follows a rollout: which server is next, and what its budgets allow. For one thread.

    Every server of the rollout has its place in the order, also those that earlier runs came to, and those that wait
    for a later run. So a batch has finished only when these servers have, and no others.
    """

    def __init__(
        self,
        plans: Sequence[Plan],
        chosen: Sequence[int],
        rollout: Rollout,
        continuation: Continuation = WHOLE,
    ) -> None:
        self.chosen = chosen
        self.waits = continuation.waits
        self._rollout = rollout
        self._plans = plans
        self._indexes = {plans[index].server.name: index for index in chosen}
        elsewhere = [server for server, _ in continuation.earlier if server.name not in self._indexes]
        self._schedule = make_schedule([*elsewhere, *(plans[index].server for index in chosen)], rollout)
        self._places = {name: place for place, name in enumerate(self._schedule.names)}
        self._progress = Progress(self._schedule, rollout)
        self._begun: set[int] = set()
        retries = self._take_up(continuation)
        mine = [name for name in self._schedule.names if name in self._indexes]
        self._retries = deque(name for name in mine if name in retries)
        self._waiting = deque(name for name in mine if name not in retries)
        self._under_way = 0
        self._has_paused = continuation.has_paused
        self.stopped = ""
        self.pause = 0.0
        """Seconds to wait before ``next_job`` is called again; zero if there is no need to wait."""
        self.new_batch: Batch | None = None
        """The batch that the server from ``next_job`` begins, or that begins after the pause."""

    def _take_up(self, continuation: Continuation) -> frozenset[str]:
        """Counts what earlier runs did. Returns the servers of this run that failed then, and try again.

        Their failure counts until they have finished again. What else is part of this run starts from nothing.
        """
        retries = set()
        for server, standing in continuation.earlier:
            if server.name not in self._indexes:
                if standing.status:
                    self._progress.finish(server.name, standing.status)
            elif standing.may_retry:
                self._progress.count(server.name, standing.status)
                retries.add(server.name)
            else:
                continue
            if standing.had_turn:
                self._begun.add(self._batch_of(server.name).number)
        return frozenset(retries)

    def _batch_of(self, name: str) -> Batch:
        return self._schedule.batch_at(self._places[name])

    def next_job(self) -> int | None:
        """The index of a server that may start now."""
        self.new_batch, self.pause = None, 0.0
        if self._retries:
            return self._start(self._retries)
        self.stopped = self._progress.spent_budget
        if self.stopped or not self._waiting or self._places[self._waiting[0]] >= self._progress.limit:
            return None
        batch = self._batch_of(self._waiting[0])
        is_new = batch.number not in self._begun and batch.count > 1
        if is_new and batch.number > 1 and self._rollout.pause and not self._has_paused:
            if not self._under_way:
                self._has_paused, self.pause, self.new_batch = True, self._rollout.pause, batch
            return None
        self._has_paused = False
        self._begun.add(batch.number)
        self.new_batch = batch if is_new else None
        return self._start(self._waiting)

    def _start(self, queue: deque[str]) -> int:
        self._under_way += 1
        return self._indexes[queue.popleft()]

    def take(self, index: int, report: Report) -> None:
        """Counts the outcome of a server. A suspension is no failure."""
        plan = self._plans[index]
        self._under_way -= 1
        self._progress.finish(plan.server.name, None if plan.suspended is not None else report.status)

    @property
    def why_not_started(self) -> Problem:
        """Why the remaining servers were not started, with the servers that have failed by now."""
        if self.pause and not self.waits:
            message = f"not started: the rollout pauses for {format_duration(self.pause)} before the next batch"
            return Problem(kind=Kind.ROLLOUT_PAUSED, message=message)
        stopped = self.stopped and self._progress.spent_budget
        if not stopped and self._waiting and self._places[self._waiting[0]] >= self._progress.limit:
            others = [name for name in self._progress.unfinished if name not in self._indexes]
            if others:
                message = f"not started: {others[0]} comes first, and has yet to be checked"
                return Problem(kind=Kind.ROLLOUT_WAITS, message=message)
        message = f"not started: {stopped or 'the run was interrupted'}"
        hint = f"{'look at those first; ' if stopped else ''}--only-failed then continues with the rest"
        return Problem(kind=Kind.ROLLOUT_STOPPED if stopped else Kind.INTERRUPTED, message=message, hint=hint)
