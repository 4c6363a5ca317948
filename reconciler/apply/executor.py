"""Runs the steps of a plan: in parallel within their order, until done, stopped or interrupted."""

from __future__ import annotations

import threading
from collections import defaultdict, deque
from dataclasses import dataclass, replace
from enum import StrEnum
from queue import SimpleQueue
from typing import TYPE_CHECKING, Protocol

from reconciler.apply.write import StepResult, StepWriter
from reconciler.errors import ReconcilerError
from reconciler.model.outcome import Outcome, Status

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconciler.model.change import Change, Plan, Step
    from reconciler.model.ports import AccountWriter


class OnFailure(StrEnum):
    """What happens to the rest when a change fails, or to the change when its test fails after the write."""

    CONTINUE = "continue"
    STOP = "stop"
    ROLLBACK = "rollback"


class Listener(Protocol):
    """Is told about every write; called from several threads at once."""

    def before(self, change: Change, step: Step) -> None:
        """A step is about to be worked on; a ``ReconcilerError`` keeps it from being written."""

    def after(self, change: Change, step: Step, result: StepResult) -> None:
        """A step is done, well or badly."""


class Abort(BaseException):
    """The user insists: stop now, without waiting for the writes in flight."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplyOptions:
    """How to run."""

    parallelism: int = 10
    on_failure: OnFailure = OnFailure.CONTINUE


def execute(
    plan: Plan, writer: AccountWriter, options: ApplyOptions, *, stop: threading.Event, listener: Listener
) -> tuple[Outcome, ...]:
    """Carries out a plan.

    Args:
        plan: An applicable plan.
        writer: The server.
        options: How.
        stop: When set, no new step starts; those under way finish.
        listener: Is told before and after each step.

    Returns:
        One outcome for each change, in the plan's order. ``Abort``, raised by a signal handler while this waits, leaves
        the steps in flight ``unknown``.
    """
    run = _Run(plan, StepWriter(plan, writer, stop, rollback=options.on_failure is OnFailure.ROLLBACK), listener)
    try:
        run.work(options, stop)
    except Abort:
        run.give_up()
    return tuple(run.outcomes())


class _Run:
    """A plan being carried out; its state is touched by the calling thread alone."""

    def __init__(self, plan: Plan, writer: StepWriter, listener: Listener) -> None:
        self.plan = plan
        self.writer = writer
        self.listener = listener
        self.results: dict[int, StepResult] = {}
        self.in_flight: set[int] = set()
        self.waiting = {index: len(step.requires) for index, step in enumerate(plan.steps) if step.requires}
        self.dependents: defaultdict[int, list[int]] = defaultdict(list)
        for index, step in enumerate(plan.steps):
            for required in step.requires:
                self.dependents[required].append(index)
        free = [index for index in range(len(plan.steps)) if index not in self.waiting]
        self.ready = deque(index for index in free if not plan.steps[index].last)
        self.last = [index for index in free if plan.steps[index].last]

    def work(self, options: ApplyOptions, stop: threading.Event) -> None:
        """Hands out steps and takes in results until nothing is left to do."""
        jobs: SimpleQueue[int | None] = SimpleQueue()
        done: SimpleQueue[tuple[int, StepResult]] = SimpleQueue()
        workers = min(options.parallelism, len(self.plan.steps))
        for _ in range(workers):
            # A daemon thread, so that a second Ctrl-C need not wait for a server that does not answer.
            threading.Thread(target=self._worker, args=(jobs, done), daemon=True).start()
        while True:
            halted = stop.is_set() or (options.on_failure is OnFailure.STOP and self._failed())
            while not halted and len(self.in_flight) < workers and (index := self._next()) is not None:
                self.in_flight.add(index)
                jobs.put(index)
            if not self.in_flight:
                break
            index, result = done.get()
            self._take_in(index, result)
        for _ in range(workers):
            jobs.put(None)

    def give_up(self) -> None:
        """Marks what is in flight as unknown."""
        for index in self.in_flight:
            self.results[index] = StepResult(Status.UNKNOWN, error="interrupted while the write was under way")

    def outcomes(self) -> Iterator[Outcome]:
        """What became of each change."""
        steps: defaultdict[int, list[int]] = defaultdict(list)
        for index, step in enumerate(self.plan.steps):
            steps[step.change].append(index)
        for position, change in enumerate(self.plan.changes):
            results = [self.results.get(index, _NOT_ATTEMPTED) for index in steps[position]]
            yield _outcome(change, results)

    def _worker(self, jobs: SimpleQueue[int | None], done: SimpleQueue[tuple[int, StepResult]]) -> None:
        while (index := jobs.get()) is not None:
            step = self.plan.steps[index]
            change = self.plan.changes[step.change]
            try:
                result = self._work_on(step, change)
            except Exception as bug:  # noqa: BLE001 - a bug in one step must not lose the report of the others
                result = StepResult(Status.UNKNOWN, error=f"internal error ({type(bug).__name__})")
            done.put((index, result))

    def _work_on(self, step: Step, change: Change) -> StepResult:
        try:
            self.listener.before(change, step)
        except ReconcilerError as objection:
            return StepResult(Status.FAILED, error=f"not written: {objection}")
        result = self.writer.run(step)
        try:
            self.listener.after(change, step, result)
        except ReconcilerError as objection:
            return replace(result, note="; ".join(filter(None, (result.note, str(objection)))))
        return result

    def _next(self) -> int | None:
        if self.ready:
            return self.ready.popleft()
        if self.last and not self.in_flight:
            self.ready.extend(self.last)
            self.last = []
            return self.ready.popleft()
        return None

    def _failed(self) -> bool:
        return any(not result.ok for result in self.results.values())

    def _take_in(self, index: int, result: StepResult) -> None:
        self.in_flight.discard(index)
        settled = deque([(index, result)])
        while settled:
            settled.extend(self._settle(*settled.popleft()))

    def _settle(self, index: int, result: StepResult) -> Iterator[tuple[int, StepResult]]:
        """Notes a result. What it makes impossible is skipped; what it makes possible is ready."""
        self.results[index] = result
        address = self.plan.changes[self.plan.steps[index].change].address
        for dependent in self.dependents[index]:
            if dependent in self.results:
                continue
            if not result.ok:
                yield (
                    dependent,
                    StepResult(Status.SKIPPED, error=f"needs the change of {address}, which did not succeed"),
                )
                continue
            self.waiting[dependent] -= 1
            if not self.waiting[dependent]:
                (self.last if self.plan.steps[dependent].last else self.ready).append(dependent)


_NOT_ATTEMPTED = StepResult(Status.NOT_ATTEMPTED, error="the run ended before its turn")


def _outcome(change: Change, results: list[StepResult]) -> Outcome:
    """The outcome of a change from those of its one or two steps."""
    final = results[-1]
    if len(results) > 1 and results[0].status is Status.APPLIED and final.status is not Status.APPLIED:
        left = "the account was left under its temporary name"
        final = replace(final, error=f"{left}: {final.error}", id=final.id or results[0].id)
        if final.status in (Status.SKIPPED, Status.NOT_ATTEMPTED):
            final = replace(final, status=Status.FAILED)
    elif len(results) > 1 and results[0].status is not Status.APPLIED:
        final = results[0]
    return Outcome(
        address=change.address,
        action=change.action,
        status=final.status,
        id=final.id or change.id,
        error=final.error,
        note=final.note,
        test=final.test or results[0].test,
    )
