"""One step: try, read again, write, compare with the answer; and find out what happened where that is not clear."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from reconciler.apply.rollback import Rollback
from reconciler.apply.trial import attempt
from reconciler.errors import ApiError, NotFoundError, OutcomeUnknownError
from reconciler.model.account import SENSITIVE, Account, Fields, known, same
from reconciler.model.change import Action, Change, Plan, Step
from reconciler.model.desired import TestWhen
from reconciler.model.outcome import Status, TestOutcome
from reconciler.model.secret import UNKNOWN
from reconciler.model.trial import Trial
from reconciler.plan.fields import differing

if TYPE_CHECKING:
    from collections.abc import Iterable

    from reconciler.model.ports import AccountWriter

ADOPTION_DELAYS = (0.1, 0.4, 1.0, 2.0)
"""Seconds to wait before each look for an account whose creation got no clear answer."""


@dataclass(frozen=True, slots=True)
class StepResult:
    """What became of a step."""

    status: Status
    id: int | None = None
    error: str | None = None
    note: str | None = None
    test: TestOutcome | None = None

    @property
    def ok(self) -> bool:
        """Whether what depends on this step may go on."""
        return self.status is Status.APPLIED and (self.test is None or self.test.passed)


class StepWriter:
    """Writes the steps of one plan. Thread-safe; each change is worked on by one thread at a time."""

    def __init__(self, plan: Plan, server: AccountWriter, stop: threading.Event, *, rollback: bool) -> None:
        self._plan = plan
        self._server = server
        self._stop = stop
        self._rollback = Rollback(plan, server) if rollback else None
        self._written: dict[int, Account] = {}
        self._known = {account.id for account in _seen(plan)}
        self._lock = threading.Lock()
        self._promoted = False
        self._final = {step.change: index for index, step in enumerate(plan.steps)}

    def run(self, step: Step) -> StepResult:
        """Carries out one step; every way it can go is in the result."""
        change = self._plan.changes[step.change]
        first = step.change not in self._written
        final = self._plan.steps[self._final[step.change]] is step
        tested = None
        try:
            if first and change.test.when is TestWhen.BEFORE:
                tested = self._try(change, _target(change.before, change, {}))
                if not tested.passed:
                    return StepResult(Status.FAILED, change.id, f"not written: {tested.error}", test=tested)
            result = self._write(step, change)
        except ApiError as error:
            status = Status.UNKNOWN if isinstance(error, OutcomeUnknownError) else Status.FAILED
            result = StepResult(status, change.id, _words(error))
        if final and result.status is Status.APPLIED and change.test.when is TestWhen.AFTER:
            return self._try_after(step, change, result)
        return replace(result, test=tested)

    def _write(self, step: Step, change: Change) -> StepResult:
        if change.action is Action.DELETE:
            return self._delete(change)
        if change.action is Action.CREATE and step.change not in self._written:
            return self._create(step, change)
        return self._update(step, change)

    def _create(self, step: Step, change: Change) -> StepResult:
        assert change.after is not None  # noqa: S101 - a create has an account
        wanted = known({**change.managed, **step.fields})
        note = None
        try:
            answer = self._server.create_account({**change.after.fields, **step.fields})
        except OutcomeUnknownError as unclear:
            found = self._find_created(change)
            if len(found) != 1:
                what = "it is not on the server so far" if not found else f"{len(found)} accounts have its address now"
                return StepResult(Status.UNKNOWN, None, f"{_words(unclear)}; {what}")
            answer, note = found[0], "the answer was lost; found on the server and adopted"
        with self._lock:
            self._known.add(answer.id)
        return self._verify(step, change, wanted, answer, note)

    def _update(self, step: Step, change: Change) -> StepResult:
        expected = self._written.get(step.change) or change.before
        assert expected is not None and expected.id is not None  # noqa: S101, PT018 - an update has an account
        fresh = self._server.get_account(expected.id)
        goal = {**change.managed, **step.fields}
        if not self._rotates(change) and not differing(fresh, goal):
            self._note_written(step, change, fresh)
            return StepResult(Status.APPLIED, fresh.id, note="was in place already; nothing written")
        if moved := self._conflicts(expected, fresh):
            return StepResult(Status.FAILED, fresh.id, f"changed since the plan: {', '.join(moved)}; left alone")
        target = _target(fresh, change, step.fields)
        if target.fields.get("has_auth") is True and target.fields.get("password") is UNKNOWN:
            return StepResult(Status.FAILED, fresh.id, "the server hides the password now; left alone")
        wanted = known(target.fields)
        note = None
        try:
            answer = self._server.update_account(Account(wanted, fresh.id, fresh.extra))
        except OutcomeUnknownError as unclear:
            answer = self._server.get_account(expected.id)
            if differing(answer, goal) or (self._rotates(change) and answer.fields.get("password") is UNKNOWN):
                return StepResult(Status.UNKNOWN, fresh.id, f"{_words(unclear)}; read again, not in place so far")
            note = "the answer was lost; read again and found in place"
        return self._verify(step, change, wanted, answer, note)

    def _delete(self, change: Change) -> StepResult:
        assert change.before is not None and change.before.id is not None  # noqa: S101, PT018 - a delete has an account
        account_id = change.before.id
        try:
            fresh = self._server.get_account(account_id)
        except NotFoundError:
            return StepResult(Status.APPLIED, account_id, note="was gone already; nothing written")
        if moved := self._conflicts(change.before, fresh):
            return StepResult(Status.FAILED, account_id, f"changed since the plan: {', '.join(moved)}; left alone")
        try:
            self._server.delete_account(account_id)
        except OutcomeUnknownError as unclear:
            try:
                self._server.get_account(account_id)
            except NotFoundError:
                return StepResult(Status.APPLIED, account_id, note="the answer was lost; read again and found gone")
            return StepResult(Status.UNKNOWN, account_id, f"{_words(unclear)}; read again, still there so far")
        return StepResult(Status.APPLIED, account_id)

    def _verify(self, step: Step, change: Change, wanted: Fields, answer: Account, note: str | None) -> StepResult:
        """Compares the answer with what was sent; what the server hides cannot be compared."""
        expected_id = change.id
        if expected_id is not None and answer.id != expected_id:
            return StepResult(Status.FAILED, expected_id, f"the server answered with another account (id {answer.id})")
        lost = [
            name
            for name, value in wanted.items()
            if not _hidden(name, answer) and not same(name, value, answer.fields.get(name))
        ]
        if lost:
            return StepResult(Status.FAILED, answer.id, f"the server did not keep {', '.join(lost)}", note)
        self._note_written(step, change, answer)
        return StepResult(Status.APPLIED, answer.id, note=note)

    def _find_created(self, change: Change) -> list[Account]:
        """Looks for an account with the change's address that was not there before."""
        for delay in ADOPTION_DELAYS:
            self._stop.wait(delay)
            try:
                accounts = self._server.list_accounts()
            except ApiError:
                continue
            with self._lock:
                found = [one for one in accounts if one.key == _key(change) and one.id not in self._known]
            if found:
                return found
        return []

    def _conflicts(self, expected: Account, fresh: Account) -> list[str]:
        """The fields that somebody else changed since; a default that our own promotion cleared is not one."""
        found = []
        for name in {**expected.fields, **fresh.fields}:
            was, now = expected.fields.get(name), fresh.fields.get(name)
            if UNKNOWN in (was, now) or same(name, was, now):
                continue
            if name == "default" and was is True and self._promoted:
                continue
            found.append(name)
        return found

    def _note_written(self, step: Step, change: Change, account: Account) -> None:
        was = change.before is not None and change.before.is_default
        with self._lock:
            self._written[step.change] = account
            self._promoted = self._promoted or (account.is_default and not was)

    @staticmethod
    def _rotates(change: Change) -> bool:
        """Whether the change sends a password that the server hides, so that nothing can tell if it is in place."""
        hidden = change.before is not None and change.before.fields.get("password") is UNKNOWN
        return hidden and any(one.field == "password" for one in change.fields)

    def _try(self, change: Change, target: Account) -> TestOutcome:
        when = change.test.when or TestWhen.BEFORE
        to_email = change.test.to_email or ""
        return attempt(self._server, Trial(address=change.address, fields=target.fields, to_email=to_email, when=when))

    def _try_after(self, step: Step, change: Change, result: StepResult) -> StepResult:
        written = self._written[step.change]
        target = written.overlaid({name: value for name, value in change.managed.items() if name == "password"})
        tested = self._try(change, target)
        if tested.passed or self._rollback is None:
            return replace(result, test=tested)
        note = self._rollback.undo(change, written)
        return replace(result, status=Status.FAILED, error=tested.error, note=note, test=tested)


def _target(current: Account | None, change: Change, fields: Fields) -> Account:
    """The account as it shall be: what is there now, with the declared fields written over it."""
    return (current or Account({})).overlaid({**change.managed, **fields})


def _hidden(name: str, answer: Account) -> bool:
    return name in SENSITIVE and answer.fields.get(name, UNKNOWN) is UNKNOWN


def _seen(plan: Plan) -> Iterable[Account]:
    yield from plan.unchanged
    yield from plan.kept
    yield from (change.before for change in plan.changes if change.before)


def _key(change: Change) -> str:
    return change.after.key if change.after else change.address


def _words(error: ApiError) -> str:
    return "; ".join(problem.message for problem in error.problems)
