"""Runs many servers side by side: plans them all, then applies in the order of the rollout."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Protocol, Self, TypeVar

from reconciler import reconcile
from reconciler.applying.worker_pool import Abort, InterruptGate, WorkerPool
from reconciler.errors import Kind, Problem
from reconciler.fleet.rollout import Progress, decide, make_schedule
from reconciler.fleet.server_run import ServerRun
from reconciler.model.account import NO_GLOBS
from reconciler.model.fleet import ALL_AT_ONCE
from reconciler.model.plan import Plan
from reconciler.model.ports import FleetObserver

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from queue import SimpleQueue
    from types import TracebackType

    from reconciler.fleet.server_run import ServerRunOptions
    from reconciler.model.account import Globs
    from reconciler.model.desired import Desired
    from reconciler.model.fleet import Batch, Rollout
    from reconciler.model.outcome import Report, ServerStatus
    from reconciler.model.server import Server
    from reconciler.report.plan_file import SavedPlan

Result = TypeVar("Result")

_PATIENCE: Final = 3.0
"""Seconds that servers have, after a second signal, to report which of their writes are under way."""


class Dispatcher(Protocol):
    """Carries out runs on servers, by their indexes."""

    def run(self, next_job: Callable[[], int | None], take_result: Callable[[int, Report], None]) -> frozenset[int]:
        """Works until nothing is left to do; see ``WorkerPool.run``."""


class StopGroup(threading.Event):
    """Stops the runs on all servers. Each has an event of its own, because a run also stops by itself."""

    def __init__(self) -> None:
        super().__init__()
        self._members: set[threading.Event] = set()

    def member(self) -> threading.Event:
        """An event that is set together with this one."""
        event = threading.Event()
        self._members.add(event)
        if self.is_set():
            event.set()
        return event

    def discard(self, event: threading.Event) -> None:
        """The run that waits for the event has ended."""
        self._members.discard(event)

    def set(self) -> None:
        """Sets this event and those of all members."""
        super().set()
        for event in tuple(self._members):
            event.set()


class FleetGate(InterruptGate):
    """Stops a fleet's run: first gently, then without waiting for the writes under way.

    After the second signal, servers get a moment to report: they know which of their writes are under way.
    """

    def __init__(self, group: StopGroup | None = None) -> None:
        self.group = group or StopGroup()
        super().__init__(self.group)
        self._gates: set[InterruptGate] = set()
        self._ends_at: float | None = None

    @contextmanager
    def watching(self, gate: InterruptGate) -> Iterator[None]:
        """Stops a server's run too, as long as it goes on."""
        self._gates.add(gate)
        if self._ends_at is not None:
            gate.end()
        try:
            yield
        finally:
            self._gates.discard(gate)
            self.group.discard(gate.stop)

    def end(self) -> None:
        """Ends the wait for writes under way, on every server."""
        if self._ends_at is None:
            self._ends_at = time.monotonic() + _PATIENCE
        for gate in tuple(self._gates):
            gate.end()

    def wait(self, queue: SimpleQueue[Result]) -> Result:
        """The next item of the queue; ``Abort`` ends the wait only when the servers have had their moment."""
        if self._ends_at is not None and time.monotonic() >= self._ends_at:
            raise Abort
        return super().wait(queue)


class FleetRun:
    """A run on many servers. Call ``plan``, and then ``apply`` or ``test``.

    As a context manager, it ends the sessions that are still open.

    Attributes:
        plans: The plan of each server, in the order of the servers.
    """

    def __init__(
        self,
        servers: Sequence[Desired],
        options: ServerRunOptions,
        *,
        server_parallelism: int = 16,
        gate: FleetGate | None = None,
    ) -> None:
        """Checks first that the manifests of all servers use only what they may use.

        Raises:
            NotTrustedError: With everything that they may not use. Nothing was resolved, run or sent.
        """
        reconcile.approve_servers(servers, options.paths, options.context, to_email=options.to_email)
        self.gate = gate or FleetGate()
        self.plans: tuple[Plan, ...] = ()
        self._options = options
        self._parallelism = server_parallelism
        self._runs = [ServerRun(desired, options, self.gate.group.member()) for desired in servers]

    @property
    def size(self) -> int:
        """The number of servers."""
        return len(self._runs)

    @property
    def servers(self) -> tuple[Server, ...]:
        """The servers, as reports name them."""
        return tuple(run.server for run in self._runs)

    @property
    def failures(self) -> Mapping[str, ServerStatus]:
        """For each server without a plan, by its name, whether it was not reached or something else failed."""
        planned = zip(self._runs, self.plans, strict=True)
        return {run.server.name: run.failure for run, plan in planned if plan.errors}

    @property
    def stop(self) -> threading.Event:
        """Set it from another thread to stop: no server and no write starts any more, and those under way finish."""
        return self.gate.stop

    def close(self) -> None:
        """Ends the sessions of all servers."""
        for run in self._runs:
            run.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        self.close()

    def plan(self, observer: FleetObserver | None = None) -> tuple[Plan, ...]:
        """Plans every server, side by side."""
        observer = observer or FleetObserver()
        plans: dict[int, Plan] = {}
        waiting = iter(range(self.size))

        def take(index: int, plan: Plan) -> None:
            plans[index] = plan
            observer.planned(plan)

        def next_job() -> int | None:
            return None if self.gate.stop.is_set() else next(waiting, None)

        try:
            WorkerPool(self._pool_size, lambda index: self._runs[index].plan(), self.gate).run(next_job, take)
        except KeyboardInterrupt:
            self.gate.stop.set()  # ends pauses and secret commands, which Python would otherwise wait for as it exits
            raise
        if self.gate.stop.is_set():
            raise KeyboardInterrupt
        self.plans = tuple(plans[index] for index in range(self.size))
        return self.plans

    def apply(
        self,
        rollout: Rollout,
        saved: SavedPlan | None = None,
        *,
        scopes: Mapping[str, Globs] | None = None,
        earlier: Sequence[tuple[Server, ServerStatus]] = (),
        dispatcher: Dispatcher | None = None,
        observer: FleetObserver | None = None,
    ) -> tuple[Report, ...]:
        """Applies the plans in the order of the rollout.

        Args:
            rollout: The order and the budgets.
            saved: The reviewed plan, if there is one. A server that it does not contain is refused.
            scopes: For each server, by its name, the addresses that may be written. Nothing is done to other servers.
                ``None`` for all servers and addresses.
            earlier: What the same rollout did before, in other runs: it counts against the budgets.
            dispatcher: Carries out the runs; by default, threads of this process.
            observer: Is notified as the run proceeds.

        Returns:
            The reports of the servers, in their order; only of those in ``scopes``.
        """

        def work(index: int) -> Report:
            run, plan = self._runs[index], self.plans[index]
            with self.gate.watching(run.gate):
                if saved is None or plan.errors:
                    return run.apply(plan, only=NO_GLOBS if scopes is None else scopes[run.server.name])
                reviewed = saved.servers.get(run.server.url)
                if reviewed is None:
                    return run.refused(plan, _unreviewed(saved.path))
                reviewed = reviewed.with_test(self._options.planning.test)
                return run.apply(replace(plan, uncompared=reviewed.uncompared), reviewed.changes)

        chosen = [index for index, plan in enumerate(self.plans) if scopes is None or plan.server.name in scopes]
        steering = _Steering(self.plans, chosen, rollout, earlier)
        dispatcher = dispatcher or WorkerPool(self._pool_size, work, self.gate)
        return self._run(steering, dispatcher, observer)

    def test(self, observer: FleetObserver | None = None) -> tuple[Report, ...]:
        """Runs the delivery tests of every server. No plan is needed."""

        def work(index: int) -> Report:
            run = self._runs[index]
            with self.gate.watching(run.gate):
                return run.test()

        self.plans = tuple(Plan(server=run.server) for run in self._runs)
        steering = _Steering(self.plans, range(self.size), ALL_AT_ONCE)
        return self._run(steering, WorkerPool(self._pool_size, work, self.gate), observer)

    def _run(self, steering: _Steering, dispatcher: Dispatcher, observer: FleetObserver | None) -> tuple[Report, ...]:
        observer = observer or FleetObserver()
        reports: dict[int, Report] = {}

        def next_job() -> int | None:
            index = None if self.gate.stop.is_set() else steering.next_job()
            if index is not None:
                if steering.new_batch:
                    observer.batch_started(steering.new_batch)
                observer.started(self._runs[index].server)
            return index

        def take(index: int, report: Report) -> None:
            reports[index] = report
            steering.take(index, report)
            observer.finished(report)

        in_flight = dispatcher.run(next_job, take)
        while steering.pause and steering.new_batch and not in_flight and not self.gate.stop.is_set():
            observer.pause_started(steering.pause, steering.new_batch)
            self.gate.stop.wait(steering.pause)
            in_flight = dispatcher.run(next_job, take)
        why = steering.why_not_started
        for index in [index for index in steering.chosen if index not in reports]:
            run, plan = self._runs[index], self.plans[index]
            take(index, run.abandoned(plan) if index in in_flight else run.not_started(plan, why))
        return tuple(reports[index] for index in steering.chosen)

    @property
    def _pool_size(self) -> int:
        return min(self._parallelism, max(1, self.size))


class _Steering:
    """Follows a rollout: which server is next, and what its budgets allow. For one thread."""

    def __init__(
        self,
        plans: Sequence[Plan],
        chosen: Sequence[int],
        rollout: Rollout,
        earlier: Sequence[tuple[Server, ServerStatus]] = (),
    ) -> None:
        self.chosen = chosen
        self._rollout = rollout
        self._plans = plans
        indexes = {plans[index].server.name: index for index in chosen}
        finished = {server.name: (server, status) for server, status in earlier if server.name not in indexes}
        self._progress = Progress()
        for _server, status in finished.values():
            self._progress = self._progress.with_start().with_result(status)
        servers = [*(server for server, _ in finished.values()), *(plans[index].server for index in chosen)]
        self._schedule = make_schedule(servers, rollout)
        # Those of earlier runs have had their turn, whatever their place was.
        self._order = [0] * len(finished) + [indexes[name] for name in self._schedule.names if name in indexes]
        self._has_paused = False
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
        stopped = self.stopped and decide(self._schedule, self._progress, self._rollout).stopped
        message = f"not started: {stopped or 'the run was interrupted'}"
        hint = f"{'look at those first; ' if self.stopped else ''}--only-failed then continues with the rest"
        return Problem(kind=Kind.ROLLOUT_STOPPED if self.stopped else Kind.INTERRUPTED, message=message, hint=hint)


def _unreviewed(path: str) -> Problem:
    message = f"{path} contains no plan for this server; nothing was written"
    return Problem(kind=Kind.STALE_PLAN, message=message, hint="plan and review again")
