"""Runs the steps of a plan in parallel within their order, until done, stopped or interrupted."""

from __future__ import annotations

from collections import defaultdict, deque
from dataclasses import dataclass, replace
from graphlib import TopologicalSorter
from typing import TYPE_CHECKING, Final

from reconciler.applying.run_state import ADOPTION_DELAYS, RunState
from reconciler.applying.step import StepRunner
from reconciler.applying.worker_pool import Breaker, InterruptGate, WorkerPool
from reconciler.errors import ReconcilerError, internal_error
from reconciler.model.on_failure import OnFailure
from reconciler.model.outcome import FailureKind, Outcome, Status
from reconciler.retry import Retry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from reconciler.model.plan import Plan, Step
    from reconciler.model.ports import AccountWriter, RunObserver

_OTHERS_DONE: Final = -1
"""The node of the graph that is reached when every step that is not a last one is done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplyOptions:
    """How to carry out a plan.

    Attributes:
        parallelism: The most steps at a time.
        on_failure: What happens after a failure.
        adoption_delays: Seconds before each search for an account whose creation got no clear response.
        timeout: Seconds that one request may take; a step may take twice that, and at least a minute.
        explain_bug: Describes a bug that ended a single step. Several threads call it.
    """

    parallelism: int = 10
    on_failure: OnFailure = OnFailure.CONTINUE
    adoption_delays: tuple[float, ...] = ADOPTION_DELAYS
    timeout: float = 30.0
    explain_bug: Callable[[Exception], str] = internal_error


def execute(
    plan: Plan, server: AccountWriter, options: ApplyOptions, *, gate: InterruptGate, observer: RunObserver
) -> tuple[Outcome, ...]:
    """Carries out a plan.

    Args:
        plan: An applicable plan.
        server: The server.
        options: How to carry it out.
        gate: Stops the run. The run also stops after several steps in a row that did not reach the server.
        observer: Is notified before and after each step.

    Returns:
        One outcome for each change, in the plan's order: not attempted if the run stopped first, unknown if its step
        was still in flight when the gate ended the wait.
    """
    state = RunState(plan, server, gate.stop, delays=options.adoption_delays)
    steps = StepRunner(
        plan,
        server,
        state,
        stop=gate.stop,
        retry=Retry(options.timeout, gate.stop),
        rollback_observer=observer if options.on_failure is OnFailure.ROLLBACK else None,
    )
    run = _Run(plan, steps, options, gate, observer)
    run.work()
    return tuple(run.outcomes())


class _Run:
    """A plan that is being carried out. Only the calling thread changes its attributes; workers read some of them."""

    def __init__(
        self, plan: Plan, steps: StepRunner, options: ApplyOptions, gate: InterruptGate, observer: RunObserver
    ) -> None:
        self._plan = plan
        self._steps = steps
        self._options = options
        self._gate = gate
        self._observer = observer
        self._breaker = Breaker(gate.stop)
        self._results: dict[int, Outcome] = {}
        self._failed_sets: dict[frozenset[int], int | None] = {}
        self._has_failed = False
        self._order = _order_of(plan.steps)
        self._ready: deque[int] = deque()
        self._advance()

    def work(self) -> None:
        """Starts steps and takes their outcomes until nothing is left to do."""
        size = min(self._options.parallelism, len(self._plan.steps))
        for index in WorkerPool(size, self._carry_out, self._gate).run(self._next, self._take):
            self._gate.stop.set()
            error = "interrupted while the write was under way"
            self._results[index] = Outcome.of(self._plan.steps[index].change, Status.UNKNOWN, error)

    def outcomes(self) -> Iterator[Outcome]:
        """The outcome of each change."""
        of_change: defaultdict[tuple[str, int], list[Outcome]] = defaultdict(list)
        for index, step in enumerate(self._plan.steps):
            if index not in self._results and (blocker := self._blocker(step)) is not None:
                self._results[index] = self._skipped(step, blocker)
            not_attempted = Outcome.of(step.change, Status.NOT_ATTEMPTED, self._breaker.reason)
            of_change[step.change.key].append(self._results.get(index, not_attempted))
        for change in self._plan.changes:
            yield _combined(of_change[change.key])

    def _carry_out(self, index: int) -> Outcome:
        step = self._plan.steps[index]
        change = step.change
        try:
            self._observer.step_started(change)
        except Exception as error:  # noqa: BLE001 - what the observer cannot record is not written
            return Outcome.of(change, Status.FAILED, f"not written: {self._reason(error)}")
        try:
            outcome = self._steps.run(step)
        except Exception as bug:  # noqa: BLE001 - a bug in one step must not lose the report of the others
            outcome = Outcome.of(change, Status.UNKNOWN, self._reason(bug))
        try:
            self._observer.step_finished(change, outcome)
        except Exception as error:  # noqa: BLE001 - the write has been made
            outcome = outcome.with_note(f"the outcome could not be noted: {self._reason(error)}")
        return outcome

    def _reason(self, error: Exception) -> str:
        return error.reason if isinstance(error, ReconcilerError) else self._options.explain_bug(error)

    def _next(self) -> int | None:
        stopped = self._gate.stop.is_set() or (self._has_failed and self._options.on_failure is OnFailure.STOP)
        return None if stopped or not self._ready else self._ready.popleft()

    def _take(self, index: int, outcome: Outcome) -> None:
        self._breaker.count(unreached=outcome.unreached)
        if outcome.status is Status.NOT_ATTEMPTED:  # the step knows that the run stopped, but not why
            outcome = replace(outcome, error=self._breaker.reason)
        self._finish(index, outcome)
        self._advance()

    def _finish(self, index: int, outcome: Outcome) -> None:
        self._results[index] = outcome
        self._has_failed = self._has_failed or not outcome.succeeded
        self._order.done(index)

    def _advance(self) -> None:
        """Finds the steps that can start now, and skips those that need a step that failed."""
        while nodes := self._order.get_ready():
            for node in nodes:
                if not isinstance(node, int) or node == _OTHERS_DONE:
                    self._order.done(node)
                elif (blocker := self._blocker(self._plan.steps[node])) is not None:
                    self._finish(node, self._skipped(self._plan.steps[node], blocker))
                else:
                    self._ready.append(node)

    def _blocker(self, step: Step) -> int | None:
        """The first step that had to succeed before this one, and did not."""
        failed = [index for index in step.requires if self._is_failed(index)]
        for shared in step.shared:
            if shared not in self._failed_sets:
                self._failed_sets[shared] = min(filter(self._is_failed, shared), default=None)
            if (index := self._failed_sets[shared]) is not None:
                failed.append(index)
        return min(failed, default=None)

    def _is_failed(self, index: int) -> bool:
        return index in self._results and not self._results[index].succeeded

    def _skipped(self, step: Step, blocker: int) -> Outcome:
        needed = self._plan.steps[blocker].change.address
        return Outcome.of(step.change, Status.SKIPPED, f"needs the change of {needed}, which did not succeed")


def _order_of(steps: Sequence[Step]) -> TopologicalSorter[int | frozenset[int]]:
    """The order of the steps as a graph. A set of steps that many wait for is one node, so that edges stay few."""
    order: TopologicalSorter[int | frozenset[int]] = TopologicalSorter()
    for index, step in enumerate(steps):
        order.add(index, *step.requires, *step.after, *step.shared)
    for shared in {shared for step in steps for shared in step.shared}:
        order.add(shared, *shared)
    if last := [index for index, step in enumerate(steps) if step.last]:
        order.add(_OTHERS_DONE, *(index for index, step in enumerate(steps) if not step.last))
        for index in last:
            order.add(index, _OTHERS_DONE)
    order.prepare()
    return order


def _combined(outcomes: list[Outcome]) -> Outcome:
    """The outcome of a change from those of its one or two steps."""
    if len(outcomes) == 1:
        return outcomes[0]
    first, second = outcomes
    if first.status is Status.UNKNOWN:
        final = _with_temporary_name(first, "the account may have its temporary name")
    elif first.status is not Status.APPLIED:
        final = first
    elif second.status in (Status.SKIPPED, Status.NOT_ATTEMPTED):
        # Something was written, so that neither of these would be true.
        final = _with_temporary_name(second, "the account was left under its temporary name")
        final = replace(final, status=Status.FAILED)
    elif second.status is not Status.APPLIED and not second.test:
        final = _with_temporary_name(second, "the account may still have its temporary name")
    else:
        # One step wrote what the other found in place.
        written = first.written or second.written
        note = second.note if second.written == written else None
        final = replace(second, written=written, note=note)
    return replace(final, id=first.id if final.id is None else final.id, test=final.test or first.test)


def _with_temporary_name(outcome: Outcome, what: str) -> Outcome:
    return replace(outcome, error=f"{what}: {outcome.error}", kind=FailureKind.TEMPORARY_NAME)
