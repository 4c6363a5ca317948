"""Takes back what was written, where its test failed afterwards."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final

from reconciler.applying.changing import Delete, Update
from reconciler.applying.cycle import NOT_KEPT, Cycle, carry_out
from reconciler.applying.result import words
from reconciler.errors import ApiError, NotFoundError, ReconcilerError
from reconciler.model.account import Account, known
from reconciler.model.fields import DESTINATION_FIELDS
from reconciler.model.outcome import Status, StepResult
from reconciler.model.plan import Action, Change, Plan
from reconciler.model.secret import UNKNOWN
from reconciler.planning.fields import describe_fields, field_changes, not_kept

if TYPE_CHECKING:
    from reconciler.applying.ledger import SentWrites
    from reconciler.model.account import Fields
    from reconciler.model.ports import AccountWriter, RunObserver
    from reconciler.retry import Retry

_LEFT_ALONE: Final = "not rolled back: somebody else has changed the account since"


class Rollback:
    """Gives accounts their former settings back. Each write begins with a read, as every other one does."""

    def __init__(
        self, plan: Plan, server: AccountWriter, ledger: SentWrites, retry: Retry, witness: RunObserver
    ) -> None:
        self._plan = plan
        self._server = server
        self._ledger = ledger
        self._retry = retry
        self._witness = witness

    def undo(self, change: Change, written: Account) -> str:
        """Undoes one change.

        Args:
            change: A create or an update that was applied.
            written: The account as our write left it; if it is not that any more, it is left alone.

        Returns:
            What was done, or why it could not be, in words for the report.
        """
        try:
            return self._undo(change, written)
        except ReconcilerError as error:
            return f"not rolled back: {words(error)}"

    def _undo(self, change: Change, written: Account) -> str:
        assert written.id is not None  # noqa: S101 - it is on the server
        if self._ledger.conflicts(written, self._server.get_account(written.id), ours=True):
            return _LEFT_ALONE
        if change.before is None:
            left = self._restore_default(change)
            result = self._delete(written)
            done = "rolled back: the new account was deleted again"
            return f"{done}{left}" if result.status is Status.APPLIED else _not_rolled_back(result, left)
        former = _former(change)
        if former is None:
            return "not rolled back: the server hides the former password, and the new one must not take its place"
        if _hid_password(change) and former.keys() <= {"password"}:
            return "not rolled back: the new password stays, as the server does not show the former one"
        return self._give_back(change, written, former)

    def _give_back(self, change: Change, written: Account, former: Fields) -> str:
        left = self._restore_default(change)
        if written.fields.get("password") is UNKNOWN and change.before:
            # Hidden only since the plan, or a mask: without what the plan has seen, the write would lose it.
            former = {**known({"password": change.before.fields.get("password")}), **former}
        result = self._update(written, former, ours=True)
        if result.status is not Status.APPLIED:
            return _not_rolled_back(result, left)
        if _hid_password(change) and "password" in change.managed:
            return f"rolled back, except for the password: the server does not show the former one{left}"
        return f"rolled back: the account has its former settings again{left}"

    def _restore_default(self, change: Change) -> str:
        """Promotes the former default account again, if the server demoted it when ours was promoted.

        Returns:
            What the report has to add.
        """
        if not (change.after and change.after.is_default) or (change.before and change.before.is_default):
            return ""
        left = [account.email for account in self._plan.untouched if account.is_default and self._demoted(account)]
        for account in (*self._plan.unchanged, *(one.before for one in self._plan.changes)):
            if account is None or not account.is_default:
                continue
            fresh = self._demoted(account)
            if fresh is None:
                continue
            if fresh.fields.get("password") is UNKNOWN or not self._promoted(account):
                left.append(fresh.email)
        return f"; {', '.join(left)} was the default account and is not any more" if left else ""

    def _promoted(self, account: Account) -> bool:
        return self._update(account, {"default": True}, ours=False).status is Status.APPLIED

    def _update(self, expected: Account, former: Fields, *, ours: bool) -> StepResult:
        """Writes ``former`` into an account that is as ``expected``, and reads it again: the response may be wrong."""
        target = expected.with_fields(former)
        changes = field_changes(expected.fields, former, former)
        undoing = Change(
            action=Action.UPDATE,
            address=expected.email,
            before=expected,
            after=target,
            managed=former,
            fields=changes,
        )
        update = Update(self._server, self._ledger, undoing, former, expected=expected, ours=ours)
        result = self._carry_out(update, undoing)
        if result.status is not Status.APPLIED or expected.id is None:
            return result
        try:
            fresh = self._server.get_account(expected.id)
        except ApiError as error:
            return StepResult(Status.UNKNOWN, expected.id, f"it could not be read again: {words(error)}")
        missing = not_kept(known(former), fresh)
        if missing:
            return StepResult(Status.FAILED, expected.id, f"{NOT_KEPT} {describe_fields(missing, fresh)}")
        return result

    def _delete(self, account: Account) -> StepResult:
        undoing = Change(action=Action.DELETE, address=account.email, before=account, after=None)
        result = self._carry_out(Delete(self._server, self._ledger, account, ours=True), undoing)
        if result.status is not Status.APPLIED or account.id is None:
            return result
        try:
            self._server.get_account(account.id)
        except NotFoundError:
            return result
        except ApiError as error:
            return StepResult(Status.UNKNOWN, account.id, f"it could not be read again: {words(error)}")
        return StepResult(Status.FAILED, account.id, "the server still has it")

    def _carry_out(self, cycle: Cycle, undoing: Change) -> StepResult:
        self._witness.rollback_started(undoing)
        status = Status.UNKNOWN
        try:
            result, _ = carry_out(cycle, self._server, self._retry)
            status = result.status
        finally:
            with suppress(ReconcilerError):  # the report says what the witness cannot note
                self._witness.rollback_finished(undoing, status)
        return result

    def _demoted(self, account: Account) -> Account | None:
        """A former default account as it is now, if it is not the default one any more."""
        assert account.id is not None  # noqa: S101 - it is on the server
        fresh = self._server.get_account(account.id)
        return None if fresh.is_default else fresh


def _not_rolled_back(result: StepResult, left: str) -> str:
    error = result.error or ""
    if result.status is Status.UNKNOWN:
        return f"whether it was rolled back is unknown: {error}{left}"
    if error.startswith(NOT_KEPT):
        return f"rolled back, but {error}{left}"
    return f"not rolled back: {error}{left}"


def _former(change: Change) -> Fields | None:
    """What has to be written to have the former settings again; ``None`` where a hidden password is in the way."""
    former = {one.field: one.before for one in change.fields}
    if not _hid_password(change):
        return former
    # The new password stays, as nobody knows the former one; it must not travel to the former server.
    former.pop("password", None)
    if any(name in former for name in DESTINATION_FIELDS) or not change.managed.get("password"):
        return None
    return {**former, "password": change.managed["password"]}


def _hid_password(change: Change) -> bool:
    return change.before is not None and change.before.fields.get("password") is UNKNOWN
