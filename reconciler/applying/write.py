"""One step: try, read again, write, compare with the answer; and find out what happened where that is not clear."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from reconciler.applying.changing import Delete, Update
from reconciler.applying.creation import Create
from reconciler.applying.cycle import Cycle, carry_out
from reconciler.applying.ledger import SentWrites
from reconciler.applying.result import NO_TURN
from reconciler.applying.rollback import Rollback
from reconciler.applying.trial import attempt
from reconciler.model.desired import DeliveryTestWhen
from reconciler.model.outcome import DeliveryTestResult, Status, StepResult
from reconciler.model.plan import Action, Change, DeliveryTest, Plan, Step

if TYPE_CHECKING:
    import threading

    from reconciler.applying.newcomers import Newcomers
    from reconciler.model.account import Account
    from reconciler.model.ports import AccountWriter, RunObserver
    from reconciler.retry import Retry


class StepRunner:
    """Writes the steps of one plan. Thread-safe; each change is worked on by one thread at a time.

    Args:
        plan: What to write.
        server: Where.
        stop: When set, nothing waits any more.
        retry: How often a step is repeated as a whole.
        newcomers: Knows the accounts that the plan has not seen.
        witness: Is told of every write that takes one back; without it, none does.
    """

    def __init__(
        self,
        plan: Plan,
        server: AccountWriter,
        stop: threading.Event,
        *,
        retry: Retry,
        newcomers: Newcomers,
        witness: RunObserver | None = None,
    ) -> None:
        self._server = server
        self._stop = stop
        self._retry = retry
        self._ledger = SentWrites()
        self._rollback = Rollback(plan, server, self._ledger, retry, witness) if witness else None
        self._newcomers = newcomers
        self._final = {step.change.key: step for step in plan.steps}

    def run(self, step: Step) -> StepResult:
        """Carries out one step; every way it can go is in the result."""
        change = step.change
        tested = None
        if change.test.when is DeliveryTestWhen.BEFORE and change.after and not self._ledger.written(change):
            tested = self._try(change, change.after)
            if not tested.passed:
                error = f"not written, because {tested.failure}"
                return StepResult(Status.FAILED, change.id, error, test=tested, unreached=tested.unreached)
            if self._stop.is_set():
                return StepResult(Status.NOT_ATTEMPTED, change.id, NO_TURN, test=tested)
        result = self._write(step)
        final = self._final[change.key] is step
        if final and result.status is Status.APPLIED and change.test.when is DeliveryTestWhen.AFTER:
            return self._try_after(change, result)
        return replace(result, test=tested)

    def written(self, change: Change) -> Account | None:
        """The account as the change has left it; ``None`` if it was not written, or is gone."""
        return self._ledger.written(change)

    def _write(self, step: Step) -> StepResult:
        change = step.change
        cycle = self._cycle(step)
        cycle.stop = self._stop
        result, account = carry_out(cycle, self._server, self._retry)
        if cycle.attempts:
            self._ledger.send(change)
        if change.action is Action.DELETE and result.status is Status.APPLIED:
            self._newcomers.forget(change.id)
        if account:
            self._ledger.settle(change, account)
        return result

    def _cycle(self, step: Step) -> Cycle:
        change = step.change
        if change.action is Action.DELETE:
            assert change.before is not None  # noqa: S101 - a delete has an account
            return Delete(self._server, self._ledger, change.before, ours=False)
        written = self._ledger.written(change)
        if expected := written or change.before:
            goal = {**change.managed, **step.fields}
            return Update(self._server, self._ledger, change, goal, expected=expected, ours=written is not None)
        return Create(self._server, self._newcomers, change, step.fields)

    def _try(self, change: Change, target: Account) -> DeliveryTestResult:
        when = change.test.when or DeliveryTestWhen.BEFORE
        to_email = change.test.to_email or ""
        trial = DeliveryTest(address=change.address, fields=target.fields, to_email=to_email, when=when)
        return attempt(self._server, trial, self._retry)

    def _try_after(self, change: Change, result: StepResult) -> StepResult:
        written = self._ledger.written(change)
        assert written is not None  # noqa: S101 - it was applied
        target = written.with_fields({name: value for name, value in change.managed.items() if name == "password"})
        tested = self._try(change, target)
        result = replace(result, unreached=tested.unreached)
        if tested.passed or self._rollback is None or not self._ledger.sent(change):
            return replace(result, test=tested)
        note = self._rollback.undo(change, written)
        return replace(result, status=Status.FAILED, error=tested.failure, note=note, test=tested)
