"""One step of a plan: delivery test before, write, delivery test after, rollback."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from reconciler.applying.delivery_tests import run_delivery_test
from reconciler.applying.rollback import Rollback
from reconciler.applying.worker_pool import NOT_STARTED
from reconciler.applying.write_cycle import WriteAccess
from reconciler.applying.writes import Create, Delete, Update
from reconciler.model.desired import DeliveryTestWhen
from reconciler.model.outcome import DeliveryTestResult, FailureKind, Outcome, Status
from reconciler.model.plan import Action, Change, DeliveryTest, Plan, Step

if TYPE_CHECKING:
    import threading

    from reconciler.applying.run_state import RunState
    from reconciler.applying.write_cycle import Write
    from reconciler.model.account import Account
    from reconciler.model.ports import AccountWriter, RunObserver
    from reconciler.retry import Retry


class StepRunner:
    """Carries out the steps of one plan. Thread-safe; one thread at a time works on a change.

    Args:
        stop: When set, nothing new is sent.
        retry: How often a step is repeated as a whole.
        rollback_observer: Is notified about rollbacks; without one, nothing is rolled back.
    """

    def __init__(
        self,
        plan: Plan,
        server: AccountWriter,
        state: RunState,
        *,
        stop: threading.Event,
        retry: Retry,
        rollback_observer: RunObserver | None = None,
    ) -> None:
        self._server = server
        self._state = state
        self._stop = stop
        self._access = WriteAccess(server, state, stop)
        self._retry = retry
        self._rollback = Rollback(plan, server, state, retry, rollback_observer) if rollback_observer else None
        self._last_steps = {step.change.key: step for step in plan.steps}

    def run(self, step: Step) -> Outcome:
        """Carries out one step. Errors of the server are part of the outcome."""
        change = step.change
        when = change.test.when
        tested = None
        if when is DeliveryTestWhen.BEFORE and change.after and not self._state.written(change):
            tested = self._test(change, change.after)
            if not tested.passed:
                error = f"not written, because {tested.failure}"
                outcome = Outcome.of(change, Status.FAILED, error, kind=FailureKind.DELIVERY_TEST)
                return replace(outcome, test=tested)
            if self._stop.is_set():
                return replace(Outcome.of(change, Status.NOT_ATTEMPTED, NOT_STARTED), test=tested)
        outcome = self._write(step)
        is_last = self._last_steps[change.key] is step
        if is_last and outcome.account and outcome.status is Status.APPLIED and when is DeliveryTestWhen.AFTER:
            return self._test_after(change, outcome, outcome.account)
        return replace(outcome, test=tested) if tested else outcome

    def _write(self, step: Step) -> Outcome:
        change = step.change
        outcome = self._write_of(step).run(self._retry)
        if outcome.attempts:
            self._state.mark_sent(change)
        if change.action is Action.DELETE and outcome.status is Status.APPLIED:
            self._state.forget(change.id)
        if outcome.account:
            self._state.mark_written(change, outcome.account)
        return outcome

    def _write_of(self, step: Step) -> Write:
        change = step.change
        written = self._state.written(change)
        expected = written or change.before
        if expected is None:
            return Create(self._access, change, step.fields)
        if change.action is Action.DELETE:
            return Delete(self._access, change, expected, ours=False)
        goal = {**change.managed, **step.fields}
        return Update(self._access, change, expected, goal, ours=written is not None)

    def _test(self, change: Change, account: Account) -> DeliveryTestResult:
        test = DeliveryTest(
            address=change.address,
            fields=account.fields,
            to_email=change.test.to_email or "",
            when=change.test.when or DeliveryTestWhen.BEFORE,
        )
        return run_delivery_test(self._server, test, self._retry)

    def _test_after(self, change: Change, outcome: Outcome, written: Account) -> Outcome:
        target = written.with_fields({name: value for name, value in change.managed.items() if name == "password"})
        tested = self._test(change, target)
        outcome = replace(outcome, test=tested)
        if tested.passed or self._rollback is None or not self._state.was_sent(change):
            return outcome
        note = self._rollback.undo(change, written)
        return replace(
            outcome, status=Status.FAILED, error=tested.failure, kind=FailureKind.DELIVERY_TEST, note=note, account=None
        )
