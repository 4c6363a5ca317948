"""Runs many servers side by side: plans them all, then applies in the order of the rollout."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Protocol, Self, TypeVar

from reconciler import reconcile
from reconciler.applying.worker_pool import WorkerPool
from reconciler.errors import Kind, Problem
from reconciler.fleet.gate import FleetGate
from reconciler.fleet.rollout import WHOLE
from reconciler.fleet.server_run import ServerRun
from reconciler.fleet.steering import Steering
from reconciler.model.account import NO_GLOBS
from reconciler.model.fleet import ALL_AT_ONCE
from reconciler.model.outcome import Report
from reconciler.model.plan import Plan
from reconciler.model.ports import FleetObserver

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Mapping, Sequence
    from types import TracebackType

    from reconciler.fleet.rollout import Continuation
    from reconciler.fleet.server_run import ServerRunOptions
    from reconciler.model.account import Globs
    from reconciler.model.desired import Desired
    from reconciler.model.fleet import Rollout
    from reconciler.model.outcome import ServerStatus
    from reconciler.model.server import Server
    from reconciler.report.plan_file import ReviewedPlan, SavedPlan

Result = TypeVar("Result")
Returned_co = TypeVar("Returned_co", covariant=True)


class Dispatcher(Protocol[Returned_co]):
    """Carries out work on servers, by their indexes."""

    def run(
        self, next_job: Callable[[], int | None], take_result: Callable[[int, Returned_co], None]
    ) -> frozenset[int]:
        """Works until nothing is left to do; see ``WorkerPool.run``."""


class Engine(Protocol):
    """Processes servers in other processes, which resolve the secrets and reach the servers."""

    def planning(self, runs: Sequence[ServerRun], gate: FleetGate) -> Dispatcher[Plan]:
        """What plans servers. If a server has no plan, the reason is in its run's ``failure``."""

    def applying(
        self, runs: Sequence[ServerRun], gate: FleetGate, prepare: Callable[[int], tuple[Plan, Globs] | Report]
    ) -> Dispatcher[Report]:
        """What applies plans. ``prepare`` returns the approved plan of a server and the addresses that may be written.

        If nothing can be written, it returns the report instead.
        """

    def testing(self, runs: Sequence[ServerRun], gate: FleetGate) -> Dispatcher[Report]:
        """What runs the delivery tests of servers."""


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
        engine: Engine | None = None,
    ) -> None:
        """Checks first that the manifests of all servers use only what they may use. With an engine, workers do that.

        Raises:
            NotTrustedError: With everything that they may not use. Nothing was resolved, run or sent.
        """
        if engine is None:
            reconcile.approve(servers, options.paths, options.context, to_email=options.planning.test.to_email)
        self._engine = engine
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
            self._planner().run(next_job, take)
        except KeyboardInterrupt:
            self.gate.stop.set()  # ends pauses and secret commands, which Python would otherwise wait for as it exits
            raise
        if self.gate.stop.is_set():
            raise KeyboardInterrupt
        self.plans = tuple(plans[index] for index in range(self.size))
        return self.plans

    def _planner(self) -> Dispatcher[Plan]:
        if self._engine:
            return self._engine.planning(self._runs, self.gate)
        return WorkerPool(self._pool_size, lambda index: self._runs[index].plan(), self.gate)

    def apply(
        self,
        rollout: Rollout,
        saved: SavedPlan | None = None,
        *,
        scopes: Mapping[str, Globs] | None = None,
        continuation: Continuation = WHOLE,
        observer: FleetObserver | None = None,
    ) -> tuple[Report, ...]:
        """Applies the plans in the order of the rollout.

        Args:
            rollout: The order and the budgets.
            saved: The reviewed plan, if there is one. A server that it does not contain is refused.
            scopes: For each server, by its name, the addresses that may be written. Nothing is done to other servers.
                ``None`` for all servers and addresses.
            continuation: What the same rollout did in earlier runs, if it takes several.
            observer: Is notified as the run proceeds.

        Returns:
            The reports of the servers, in their order; only of those in ``scopes``.
        """

        def scope(index: int) -> Globs:
            return NO_GLOBS if scopes is None else scopes[self._runs[index].server.name]

        def work(index: int) -> Report:
            run, plan = self._runs[index], self.plans[index]
            with self.gate.watching(run.gate):
                if saved is None or plan.errors:
                    return run.apply(plan, only=scope(index))
                reviewed = self._reviewed(index, saved)
                if isinstance(reviewed, Report):
                    return reviewed
                reviewed = reviewed.with_test(self._options.planning.test)
                return run.apply(replace(plan, uncompared=reviewed.uncompared), reviewed.changes)

        chosen = [index for index, plan in enumerate(self.plans) if scopes is None or plan.server.name in scopes]

        def prepare(index: int) -> tuple[Plan, Globs] | Report:
            return self._prepared(index, saved, scope(index))

        steering = Steering(self.plans, chosen, rollout, continuation)
        dispatcher: Dispatcher[Report] = (
            self._engine.applying(self._runs, self.gate, prepare)
            if self._engine
            else WorkerPool(self._pool_size, work, self.gate)
        )
        return self._run(steering, dispatcher, observer)

    def _prepared(self, index: int, saved: SavedPlan | None, only: Globs) -> tuple[Plan, Globs] | Report:
        """What an engine needs to apply a plan; the report, if nothing can be written."""
        run, plan = self._runs[index], self.plans[index].restricted(only)
        if not plan.changes or plan.errors or plan.refusals or plan.suspended:
            return run.apply(plan)  # which connects to nothing
        if saved is None:
            return plan, only
        reviewed = self._reviewed(index, saved)
        if isinstance(reviewed, Report):
            return reviewed
        return run.stale(plan, reviewed.changes) or (plan, only)

    def _reviewed(self, index: int, saved: SavedPlan) -> ReviewedPlan | Report:
        """What was reviewed for a server; the report that refuses it, if nothing was."""
        run = self._runs[index]
        return saved.servers.get(run.server.url) or run.refused(self.plans[index], _unreviewed(saved.path))

    def test(self, observer: FleetObserver | None = None) -> tuple[Report, ...]:
        """Runs the delivery tests of every server. No plan is needed."""

        def work(index: int) -> Report:
            run = self._runs[index]
            with self.gate.watching(run.gate):
                return run.test()

        self.plans = tuple(Plan(server=run.server) for run in self._runs)
        steering = Steering(self.plans, range(self.size), ALL_AT_ONCE)
        dispatcher: Dispatcher[Report] = (
            self._engine.testing(self._runs, self.gate)
            if self._engine
            else WorkerPool(self._pool_size, work, self.gate)
        )
        return self._run(steering, dispatcher, observer)

    def _run(
        self, steering: Steering, dispatcher: Dispatcher[Report], observer: FleetObserver | None
    ) -> tuple[Report, ...]:
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
        while steering.waits and steering.new_batch and steering.pause and not (in_flight or self.gate.stop.is_set()):
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


def _unreviewed(path: str) -> Problem:
    message = f"{path} contains no plan for this server; nothing was written"
    return Problem(kind=Kind.STALE_PLAN, message=message, hint="plan and review again")
