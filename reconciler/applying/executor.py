"""Runs the steps of a plan: in parallel within their order, until done, stopped or interrupted."""

from __future__ import annotations

from collections import defaultdict, deque
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from reconciler.applying.breaker import OUTAGE, Breaker
from reconciler.applying.crew import Abort, WorkerPool
from reconciler.applying.newcomers import ADOPTION_DELAYS, Newcomers
from reconciler.applying.result import NO_TURN, internal_error, words
from reconciler.applying.write import StepRunner
from reconciler.errors import ReconcilerError
from reconciler.model.outcome import IN_PLACE, Outcome, Status, StepResult
from reconciler.retry import Retry

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator, Sequence

    from reconciler.model.plan import Change, Plan, Step
    from reconciler.model.ports import AccountWriter, RunObserver

__all__ = ["Abort", "ApplyOptions", "OnFailure", "execute"]


class OnFailure(StrEnum):
    """What happens to the rest when a change fails, or to the change when its test fails after the write."""

    CONTINUE = "continue"
    STOP = "stop"
    ROLLBACK = "rollback"


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplyOptions:
    """How to run.

    Attributes:
        parallelism: The most steps under way at the same time.
        on_failure: What a failure means for the rest.
        recheck: List the accounts once before the first create, so that one that appeared since is not doubled.
        adoption_delays: Seconds before each look for an account whose creation got no clear answer.
        timeout: Seconds that one request may take; a step may take twice that, and at least a minute.
        explain_bug: Says in the report what a bug is that ended a single step; called from several threads at once.
    """

    parallelism: int = 10
    on_failure: OnFailure = OnFailure.CONTINUE
    recheck: bool = True
    adoption_delays: tuple[float, ...] = ADOPTION_DELAYS
    timeout: float = 30.0
    explain_bug: Callable[[Exception], str] = internal_error


def execute(
    plan: Plan, writer: AccountWriter, options: ApplyOptions, *, stop: threading.Event, listener: RunObserver
) -> tuple[Outcome, ...]:
    """Carries out a plan.

    Args:
        plan: An applicable plan.
        writer: The server.
        options: How.
        stop: When set, no new step starts; those under way finish. It is also set if the server is not reached several
            times in a row.
        listener: Is told before and after each step.

    Returns:
        One outcome for each change, in the plan's order. ``Abort``, raised by a signal handler while this waits, leaves
        the steps in flight ``unknown``.
    """
    steps = StepRunner(
        plan,
        writer,
        stop,
        retry=Retry(options.timeout, stop),
        newcomers=Newcomers(plan, writer, stop, recheck=options.recheck, delays=options.adoption_delays),
        witness=listener if options.on_failure is OnFailure.ROLLBACK else None,
    )
    run = _Run(plan, steps, listener, stop, options)
    run.work()
    return tuple(run.outcomes())


class _Run:
    """A plan being carried out; its state is touched by the calling thread alone."""

    def __init__(
        self, plan: Plan, writer: StepRunner, listener: RunObserver, stop: threading.Event, options: ApplyOptions
    ) -> None:
        self.plan = plan
        self.writer = writer
        self.listener = listener
        self.stop = stop
        self.options = options
        self.failed = False
        self.breaker = Breaker(stop)
        self.results: dict[int, StepResult] = {}
        self.begun = 0
        self.ended = 0
        before = [step.requires | step.after for step in plan.steps]
        counts = [len(first) + len(step.shared) for first, step in zip(before, plan.steps, strict=True)]
        self.waiting = {index: count for index, count in enumerate(counts) if count}
        self.dependents: defaultdict[int, list[int]] = defaultdict(list)
        for index, first in enumerate(before):
            for one in first:
                self.dependents[one].append(index)
        self.sharing = _Sharing(plan.steps)
        free = [index for index in range(len(plan.steps)) if index not in self.waiting]
        self.ready = deque(index for index in free if not plan.steps[index].last)
        self.last = [index for index in free if plan.steps[index].last]

    def work(self) -> None:
        """Hands out steps and takes in results until nothing is left to do. Steps left behind are unknown."""
        crew = WorkerPool(max(1, min(self.options.parallelism, len(self.plan.steps))), self._carry_out)
        for index in crew.drive(self._next, self._take_in):
            self.stop.set()
            self.results[index] = StepResult(Status.UNKNOWN, error="interrupted while the write was under way")

    def outcomes(self) -> Iterator[Outcome]:
        """What became of each change."""
        reason = OUTAGE if self.breaker.tripped else NO_TURN
        not_attempted = StepResult(Status.NOT_ATTEMPTED, error=reason)
        steps: defaultdict[tuple[str, int], list[int]] = defaultdict(list)
        for index, step in enumerate(self.plan.steps):
            steps[step.change.key].append(index)
        for change in self.plan.changes:
            results = [self.results.get(index, not_attempted) for index in steps[change.key]]
            yield replace(_outcome(change, results), written=self.writer.written(change))

    def _carry_out(self, index: int) -> StepResult:
        step = self.plan.steps[index]
        change = step.change
        try:
            self.listener.step_started(change, step)
        except Exception as error:  # noqa: BLE001 - what the listener cannot note down is not written
            return StepResult(Status.FAILED, change.id, f"not written: {self._reason(error)}")
        try:
            result = self.writer.run(step)
        except Exception as bug:  # noqa: BLE001 - a bug in one step must not lose the report of the others
            result = StepResult(Status.UNKNOWN, change.id, self._reason(bug))
        try:
            self.listener.step_finished(change, step, result)
        except Exception as error:  # noqa: BLE001 - the write stays what it is
            note = f"the outcome could not be noted: {self._reason(error)}"
            result = replace(result, note=f"{result.note}; {note}" if result.note else note)
        return result

    def _reason(self, error: Exception) -> str:
        return words(error) if isinstance(error, ReconcilerError) else self.options.explain_bug(error)

    def _next(self) -> int | None:
        if self.stop.is_set() or (self.failed and self.options.on_failure is OnFailure.STOP):
            return None
        if not self.ready and self.last and self.idle:
            self.ready.extend(self.last)
            self.last = []
        if not self.ready:
            return None
        self.begun += 1
        return self.ready.popleft()

    @property
    def idle(self) -> bool:
        """Whether no step is under way."""
        return self.begun == self.ended

    def _take_in(self, index: int, result: StepResult) -> None:
        self.ended += 1
        self.breaker.note(unreached=result.unreached)
        settled = deque([(index, result)])
        while settled:
            settled.extend(self._settle(*settled.popleft()))

    def _settle(self, index: int, result: StepResult) -> Iterator[tuple[int, StepResult]]:
        """Notes a result. What it makes impossible is skipped; what it makes possible is ready."""
        self.results[index] = result
        self.failed = self.failed or not result.ok
        address = self.plan.steps[index].change.address
        for dependent in (*self.dependents[index], *self.sharing.settle(index, ok=result.ok)):
            if dependent in self.results:
                continue
            if not result.ok and self.plan.steps[dependent].needs(index):
                yield (
                    dependent,
                    StepResult(Status.SKIPPED, error=f"needs the change of {address}, which did not succeed"),
                )
                continue
            self.waiting[dependent] -= 1
            if not self.waiting[dependent]:
                (self.last if self.plan.steps[dependent].last else self.ready).append(dependent)


class _Sharing:
    """The steps that wait for the same sets of steps, counted once for each set."""

    def __init__(self, steps: Sequence[Step]) -> None:
        self._dependents: defaultdict[frozenset[int], list[int]] = defaultdict(list)
        for index, step in enumerate(steps):
            for needed in step.shared:
                self._dependents[needed].append(index)
        self._waiting = {needed: len(needed) for needed in self._dependents}
        self._sets_of: defaultdict[int, list[frozenset[int]]] = defaultdict(list)
        for needed in self._dependents:
            for index in needed:
                self._sets_of[index].append(needed)

    def settle(self, index: int, *, ok: bool) -> Iterator[int]:
        """The steps that need not wait for a set any more: all of it has succeeded, or a part of it never will."""
        for needed in self._sets_of[index]:
            self._waiting[needed] -= 1
            if not ok or not self._waiting[needed]:
                yield from self._dependents.pop(needed, ())


def _outcome(change: Change, results: list[StepResult]) -> Outcome:
    """The outcome of a change from those of its one or two steps."""
    final = results[-1]
    if len(results) > 1 and results[0].status is Status.UNKNOWN:
        final = replace(results[0], error=f"the account may have its temporary name: {results[0].error}")
    elif len(results) > 1 and results[0].status is not Status.APPLIED:
        final = results[0]
    elif len(results) > 1 and final.status in (Status.SKIPPED, Status.NOT_ATTEMPTED):
        # Something was written, so that neither of these would be true.
        error = f"the account was left under its temporary name: {final.error}"
        final = replace(final, status=Status.FAILED, error=error)
    elif len(results) > 1 and final.status is not Status.APPLIED and not final.test:
        final = replace(final, error=f"the account may still have its temporary name: {final.error}")
    # What one of two steps found in place, the other has written.
    note = None if final.note == IN_PLACE != results[0].note else final.note
    return Outcome(
        address=change.address,
        action=change.action,
        status=final.status,
        id=final.id or results[0].id or change.id,
        error=final.error,
        note=note,
        test=final.test or results[0].test,
        position=change.position,
    )
