"""Undoes a change whose delivery test failed after the write."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from reconciler.applying.write_cycle import WriteAccess
from reconciler.applying.writes import Delete, Update
from reconciler.errors import ApiError, NotFoundError, ReconcilerError
from reconciler.model.account import Account, writable_fields
from reconciler.model.fields import DESTINATION_FIELDS
from reconciler.model.outcome import FailureKind, Outcome, Status
from reconciler.model.plan import Action, Change, Plan
from reconciler.model.secret import UNKNOWN
from reconciler.planning.fields import describe_fields, field_changes, not_kept

if TYPE_CHECKING:
    from reconciler.applying.run_state import RunState
    from reconciler.applying.write_cycle import Write
    from reconciler.model.account import Fields
    from reconciler.model.ports import AccountWriter, RunObserver
    from reconciler.retry import Retry


class Rollback:
    """Restores the former settings of accounts. Like every write, a rollback begins with a read."""

    def __init__(self, plan: Plan, server: AccountWriter, state: RunState, retry: Retry, observer: RunObserver) -> None:
        self._plan = plan
        self._server = server
        self._state = state
        self._access = WriteAccess(server, state, None)
        self._retry = retry
        self._observer = observer

    def undo(self, change: Change, written: Account) -> str:
        """Undoes one change.

        Args:
            change: A create or an update that was applied.
            written: The account as our write left it. If it has changed since, it is left alone.

        Returns:
            What was done, or why nothing was, for the report.
        """
        try:
            return self._undo(change, written)
        except ReconcilerError as error:
            return f"not rolled back: {error.reason}"

    def _undo(self, change: Change, written: Account) -> str:
        assert written.id is not None  # noqa: S101 - it is on the server
        if self._state.conflicts(written, self._server.get_account(written.id), ours=True):
            return "not rolled back: somebody else has changed the account since"
        if change.before is None:
            demoted = self._restore_default(change)
            outcome = self._delete(written)
            if outcome.status is not Status.APPLIED:
                return _not_rolled_back(outcome, demoted)
            return f"rolled back: the new account was deleted again{demoted}"
        former = _former(change)
        if former is None:
            return "not rolled back: the server hides the former password, and the new one must not take its place"
        if _has_hidden_password(change) and former.keys() <= {"password"}:
            return "not rolled back: the new password stays, as the server does not show the former one"
        return self._restore(change, written, former)

    def _restore(self, change: Change, written: Account, former: Fields) -> str:
        demoted = self._restore_default(change)
        if written.fields.get("password") is UNKNOWN and change.before:
            # It was not hidden when the plan was made, or is a mask. The write would lose it.
            former = {**writable_fields({"password": change.before.fields.get("password")}), **former}
        outcome = self._update(written, former, ours=True)
        if outcome.status is not Status.APPLIED:
            return _not_rolled_back(outcome, demoted)
        if _has_hidden_password(change) and "password" in change.managed:
            return f"rolled back, except for the password: the server does not show the former one{demoted}"
        return f"rolled back: the account has its former settings again{demoted}"

    def _restore_default(self, change: Change) -> str:
        """Promotes the former default account again, if the server demoted it because of our change.

        Returns:
            For the report: which accounts could not be promoted again.
        """
        if not change.promotes:
            return ""
        left = [account.email for account in self._plan.untouched if account.is_default and self._demoted(account)]
        for account in (*self._plan.unchanged, *(one.before for one in self._plan.changes)):
            if account is None or not account.is_default:
                continue
            fresh = self._demoted(account)
            if fresh and (fresh.fields.get("password") is UNKNOWN or not self._is_promoted(account)):
                left.append(fresh.email)
        return f"; {', '.join(left)} was the default account and is not any more" if left else ""

    def _is_promoted(self, account: Account) -> bool:
        return self._update(account, {"default": True}, ours=False).status is Status.APPLIED

    def _update(self, expected: Account, former: Fields, *, ours: bool) -> Outcome:
        """Writes ``former`` to an account that is as expected, and reads it again: the response may be wrong."""
        undoing = Change(
            action=Action.UPDATE,
            address=expected.email,
            before=expected,
            after=expected.with_fields(former),
            managed=former,
            fields=field_changes(expected.fields, former, former),
        )
        outcome = self._run(Update(self._access, undoing, expected, former, ours=ours))
        if outcome.status is not Status.APPLIED or expected.id is None:
            return outcome
        try:
            fresh = self._server.get_account(expected.id)
        except ApiError as error:
            return Outcome.of(undoing, Status.UNKNOWN, f"it could not be read again: {error.reason}")
        if missing := not_kept(writable_fields(former), fresh):
            message = f"the server did not keep {describe_fields(missing, fresh)}"
            return Outcome.of(undoing, Status.FAILED, message, kind=FailureKind.NOT_KEPT)
        return outcome

    def _delete(self, account: Account) -> Outcome:
        undoing = Change(action=Action.DELETE, address=account.email, before=account, after=None)
        outcome = self._run(Delete(self._access, undoing, account, ours=True))
        if outcome.status is not Status.APPLIED or account.id is None:
            return outcome
        try:
            self._server.get_account(account.id)
        except NotFoundError:
            return outcome
        except ApiError as error:
            return Outcome.of(undoing, Status.UNKNOWN, f"it could not be read again: {error.reason}")
        return Outcome.of(undoing, Status.FAILED, "the server still has it")

    def _run(self, write: Write) -> Outcome:
        self._observer.rollback_started(write.change)
        status = Status.UNKNOWN
        try:
            outcome = write.run(self._retry)
            status = outcome.status
        finally:
            with suppress(ReconcilerError):  # the report has the outcome, even if the observer fails
                self._observer.rollback_finished(write.change, status)
        return outcome

    def _demoted(self, account: Account) -> Account | None:
        """A former default account as it is now; ``None`` if it still is the default one."""
        assert account.id is not None  # noqa: S101 - it is on the server
        fresh = self._server.get_account(account.id)
        return None if fresh.is_default else fresh


def _not_rolled_back(outcome: Outcome, demoted: str) -> str:
    if outcome.status is Status.UNKNOWN:
        return f"whether it was rolled back is unknown: {outcome.error}{demoted}"
    if outcome.kind is FailureKind.NOT_KEPT:
        return f"rolled back, but {outcome.error}{demoted}"
    why = (outcome.error or "").removeprefix("not written: ")
    return f"not rolled back: {why}{demoted}"


def _former(change: Change) -> Fields | None:
    """The former settings to write; ``None`` if a hidden password makes that impossible."""
    former = {one.field: one.before for one in change.fields}
    if not _has_hidden_password(change):
        return former
    # The new password stays, because the former one is unknown. It must not be sent to the former SMTP server.
    former.pop("password", None)
    if any(name in former for name in DESTINATION_FIELDS) or not change.managed.get("password"):
        return None
    return {**former, "password": change.managed["password"]}


def _has_hidden_password(change: Change) -> bool:
    return change.before is not None and change.before.fields.get("password") is UNKNOWN
