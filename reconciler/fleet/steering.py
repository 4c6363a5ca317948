"""Follows a rollout through the servers of a run: which one is next, and what the budgets allow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.errors import Kind, Problem
from reconciler.fleet.rollout import WHOLE, Progress, decide, make_schedule
from reconciler.model.duration import format_duration

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconciler.fleet.rollout import Continuation
    from reconciler.model.fleet import Batch, Rollout
    from reconciler.model.outcome import Report
    from reconciler.model.plan import Plan


class Steering:
    """Follows a rollout: which server is next, and what its budgets allow. For one thread."""

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
        indexes = {plans[index].server.name: index for index in chosen}
        finished = {
            server.name: (server, status) for server, status in continuation.earlier if server.name not in indexes
        }
        self._progress = Progress()
        for _server, status in finished.values():
            self._progress = self._progress.with_start().with_result(status)
        servers = [*(server for server, _ in finished.values()), *(plans[index].server for index in chosen)]
        self._schedule = make_schedule(servers, rollout)
        # Those of earlier runs have had their turn, whatever their place was.
        self._order = [0] * len(finished) + [indexes[name] for name in self._schedule.names if name in indexes]
        self._has_paused = continuation.has_paused
        self.stopped = ""
        self.pause = 0.0
        """Seconds to wait before ``next_job`` is called again; zero if there is no need to wait."""
        self.new_batch: Batch | None = None
        """The batch that the server from ``next_job`` begins, or that begins after the pause."""

    def next_job(self) -> int | None:
        """The index of a server that may start now."""
        decision = decide(self._schedule, self._progress, self._rollout)
        self.stopped = self.stopped or decision.stopped
        if self._progress.started >= decision.limit:
            return None
        self.new_batch = self._schedule.batch_after(self._progress.started)
        if decision.is_new_batch and self._rollout.pause and not self._has_paused:
            self._has_paused, self.pause = True, self._rollout.pause
            return None
        self._has_paused, self.pause = False, 0.0
        index = self._order[self._progress.started]
        self._progress = self._progress.with_start()
        return index

    def take(self, index: int, report: Report) -> None:
        """Counts the outcome of a server. A suspension is no failure."""
        counts = self._plans[index].suspended is None
        self._progress = self._progress.with_result(report.status, counts=counts)

    @property
    def why_not_started(self) -> Problem:
        """Why the remaining servers were not started, with the servers that have failed by now."""
        if self.pause and not self.waits and not self.stopped:
            message = f"not started: the rollout pauses for {format_duration(self.pause)} before the next batch"
            return Problem(kind=Kind.ROLLOUT_PAUSED, message=message)
        stopped = self.stopped and decide(self._schedule, self._progress, self._rollout).stopped
        message = f"not started: {stopped or 'the run was interrupted'}"
        hint = f"{'look at those first; ' if self.stopped else ''}--only-failed then continues with the rest"
        return Problem(kind=Kind.ROLLOUT_STOPPED if self.stopped else Kind.INTERRUPTED, message=message, hint=hint)
