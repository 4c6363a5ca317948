"""One step: try, read again, write, compare with the answer; and find out what happened where that is not clear."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from reconciler.apply.comparison import lost, moved, sends_unseen_password, shows
from reconciler.apply.ledger import Ledger
from reconciler.apply.newcomers import ADOPTION_DELAYS, Newcomers
from reconciler.apply.result import NO_TURN, StepResult, words
from reconciler.apply.trial import attempt
from reconciler.errors import ApiError, NotFoundError, RejectedError, UnreachableError
from reconciler.model.account import Account, Fields, known
from reconciler.model.change import Action, Change, Plan, Step
from reconciler.model.desired import TestWhen
from reconciler.model.outcome import IN_PLACE, Status, TestOutcome
from reconciler.model.trial import Trial
from reconciler.plan.checks import loses_password
from reconciler.plan.fields import differs, towards

if TYPE_CHECKING:
    import threading
    from collections.abc import Sequence

    from reconciler.apply.rollback import Rollback
    from reconciler.model.ports import AccountWriter

__all__ = ["ADOPTION_DELAYS", "StepResult", "StepWriter"]

_CERTAIN = (RejectedError, UnreachableError)
"""Errors after which the server certainly did nothing; after any other one nobody knows."""


class StepWriter:
    """Writes the steps of one plan. Thread-safe; each change is worked on by one thread at a time."""

    def __init__(
        self,
        plan: Plan,
        server: AccountWriter,
        stop: threading.Event,
        *,
        rollback: Rollback | None,
        recheck: bool = True,
        delays: Sequence[float] = ADOPTION_DELAYS,
    ) -> None:
        self._plan = plan
        self._server = server
        self._stop = stop
        self._rollback = rollback
        self._ledger = Ledger()
        self._newcomers = Newcomers(plan, server, stop, recheck=recheck, delays=delays)
        self._final = {step.change: index for index, step in enumerate(plan.steps)}

    def run(self, step: Step) -> StepResult:
        """Carries out one step; every way it can go is in the result."""
        change = self._plan.changes[step.change]
        tested = None
        if change.test.when is TestWhen.BEFORE and change.after and not self._ledger.written(step.change):
            tested = self._try(change, change.after)
            if not tested.passed:
                return StepResult(Status.FAILED, change.id, f"not written, because {tested.failure}", test=tested)
            if self._stop.is_set():
                return StepResult(Status.NOT_ATTEMPTED, change.id, NO_TURN, test=tested)
        try:
            result = self._write(step, change)
        except ApiError as error:
            result = StepResult(Status.FAILED, change.id, words(error))
        final = self._plan.steps[self._final[step.change]] is step
        if final and result.status is Status.APPLIED and change.test.when is TestWhen.AFTER:
            return self._try_after(step.change, change, result)
        return replace(result, test=tested)

    def _write(self, step: Step, change: Change) -> StepResult:
        """Writes. An ``ApiError`` that comes out of it means that nothing was written."""
        if change.action is Action.DELETE:
            return self._delete(change)
        written = self._ledger.written(step.change)
        if written or change.before:
            return self._update(step, change, written)
        return self._create(step, change)

    def _create(self, step: Step, change: Change) -> StepResult:
        assert change.after is not None  # noqa: S101 - a create has an account
        if strangers := self._newcomers.strangers(change.after.key):
            return self._met(step, change, strangers)
        note = None
        self._ledger.send(step.change)
        try:
            answer = self._server.create_account({**change.after.fields, **step.fields})
        except _CERTAIN:
            raise
        except ApiError as unclear:
            found = self._newcomers.find(change.after.key)
            if found is None or len(found) != 1:
                return StepResult(Status.UNKNOWN, None, f"{words(unclear)}; {_findings(found)}")
            answer, note = found[0], "the answer was lost; found on the server and adopted"
        self._newcomers.welcome(answer)
        return self._verify(step, change, {**change.managed, **step.fields}, answer, note)

    def _met(self, step: Step, change: Change, strangers: Sequence[Account]) -> StepResult:
        """An account has appeared where one is to be created; it is left alone."""
        stranger = strangers[0]
        if len(strangers) == 1 and shows(stranger, change.managed) and not differs(stranger, change.managed):
            self._ledger.settle(step.change, change, stranger)
            return StepResult(Status.APPLIED, stranger.id, note=IN_PLACE)
        ids = ", ".join(str(one.id) for one in strangers)
        return StepResult(
            Status.FAILED, None, f"an account with its address (id {ids}) has appeared since the plan; left alone"
        )

    def _update(self, step: Step, change: Change, written: Account | None) -> StepResult:
        expected = written or change.before
        assert expected is not None and expected.id is not None  # noqa: S101, PT018 - an update has an account
        try:
            fresh = self._server.get_account(expected.id)
        except NotFoundError:
            return StepResult(Status.FAILED, expected.id, "the account is gone: deleted since the plan")
        goal = {**change.managed, **step.fields}
        unseen = written is None and sends_unseen_password(change, fresh)
        if not unseen and _in_place(fresh, goal, change.managed):
            self._ledger.settle(step.change, change, fresh)
            return StepResult(Status.APPLIED, fresh.id, note=IN_PLACE)
        if conflicts := self._conflicts(expected, fresh, ours=written is not None):
            return StepResult(Status.FAILED, fresh.id, f"changed since the plan: {', '.join(conflicts)}; left alone")
        target = towards(fresh, goal)
        if loses_password(target, change.managed):
            return StepResult(Status.FAILED, fresh.id, "the server hides the password now; left alone")
        return self._replace(step, change, target, unseen=unseen)

    def _replace(self, step: Step, change: Change, target: Account, *, unseen: bool) -> StepResult:
        assert target.id is not None  # noqa: S101 - it has been read
        sent = known(target.fields)
        note = None
        self._ledger.send(step.change)
        try:
            answer = self._server.update_account(Account(sent, target.id, target.extra))
        except _CERTAIN:
            raise
        except ApiError as unclear:
            try:
                answer = self._server.get_account(target.id)
            except NotFoundError:
                return StepResult(Status.FAILED, target.id, f"{words(unclear)}; read again, the account is gone")
            except ApiError as error:
                return _unread(target.id, unclear, error)
            if unseen or differs(answer, {**change.managed, **step.fields}):
                return StepResult(Status.UNKNOWN, target.id, f"{words(unclear)}; read again, not in place so far")
            note = "the answer was lost; read again and found in place"
        if answer.id != target.id:
            message = f"the server answered with another account (id {answer.id})"
            return StepResult(Status.FAILED, target.id, message)
        # What is not declared and was empty, the server may fill in by itself.
        kept = {name: value for name, value in sent.items() if value is not None or name in change.managed}
        return self._verify(step, change, kept, answer, note)

    def _delete(self, change: Change) -> StepResult:
        assert change.before is not None and change.before.id is not None  # noqa: S101, PT018 - a delete has an account
        account_id = change.before.id
        try:
            fresh = self._server.get_account(account_id)
        except NotFoundError:
            return StepResult(Status.APPLIED, account_id, note="was gone already; nothing written")
        if conflicts := self._conflicts(change.before, fresh, ours=False):
            return StepResult(Status.FAILED, account_id, f"changed since the plan: {', '.join(conflicts)}; left alone")
        try:
            self._server.delete_account(account_id)
        except _CERTAIN:
            raise
        except ApiError as unclear:
            try:
                self._server.get_account(account_id)
            except NotFoundError:
                return StepResult(Status.APPLIED, account_id, note="the answer was lost; read again and found gone")
            except ApiError as error:
                return _unread(account_id, unclear, error)
            return StepResult(Status.UNKNOWN, account_id, f"{words(unclear)}; read again, still there so far")
        return StepResult(Status.APPLIED, account_id)

    def _verify(self, step: Step, change: Change, sent: Fields, answer: Account, note: str | None) -> StepResult:
        """Compares the answer with what was sent; an answer that lacks some of it is completed by reading again."""
        missing = lost(sent, answer)
        if answer.id is not None and any(name not in answer.fields for name in missing):
            try:
                answer = self._server.get_account(answer.id)
            except ApiError as error:
                what = f"written, but the answer lacks {', '.join(missing)}, and reading again failed"
                return StepResult(Status.UNKNOWN, answer.id, f"{what}: {words(error)}", note)
            missing = lost(sent, answer)
        if missing:
            return StepResult(Status.FAILED, answer.id, f"the server did not keep {', '.join(missing)}", note)
        self._ledger.settle(step.change, change, answer)
        return StepResult(Status.APPLIED, answer.id, note=note)

    def _conflicts(self, expected: Account, fresh: Account, *, ours: bool) -> list[str]:
        """The fields that somebody else changed since. What our own promotion cleared is none of them.

        Where ``expected`` is the answer to an earlier step of ``ours``, a field that it lacks says nothing.
        """
        cleared = self._ledger.promoted and expected.is_default and fresh.fields.get("default") is False
        return [
            name
            for name in moved(expected, fresh)
            if not (name == "default" and cleared) and not (ours and name not in expected.fields)
        ]

    def _try(self, change: Change, target: Account) -> TestOutcome:
        when = change.test.when or TestWhen.BEFORE
        to_email = change.test.to_email or ""
        return attempt(self._server, Trial(address=change.address, fields=target.fields, to_email=to_email, when=when))

    def _try_after(self, index: int, change: Change, result: StepResult) -> StepResult:
        written = self._ledger.written(index)
        assert written is not None  # noqa: S101 - it was applied
        target = written.overlaid({name: value for name, value in change.managed.items() if name == "password"})
        tested = self._try(change, target)
        if tested.passed or self._rollback is None or not self._ledger.sent(index):
            return replace(result, test=tested)
        note = self._rollback.undo(change, written)
        return replace(result, status=Status.FAILED, error=tested.failure, note=note, test=tested)


def _in_place(fresh: Account, goal: Fields, managed: Fields) -> bool:
    """Whether a step, or all of its change beyond the temporary name, is there already."""
    return not differs(fresh, goal) or not differs(fresh, managed)


def _findings(found: Sequence[Account] | None) -> str:
    if found is None:
        return "the list could not be read to look for it"
    return f"{len(found)} accounts have its address now" if found else "it is not on the server so far"


def _unread(account_id: int, unclear: ApiError, error: ApiError) -> StepResult:
    message = f"{words(unclear)}; it could not be read again: {words(error)}"
    return StepResult(Status.UNKNOWN, account_id, message)
