"""Takes back what was written, where its test failed afterwards."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Protocol

from reconciler.apply.comparison import lost, moved
from reconciler.apply.result import words
from reconciler.errors import ApiError, ReconcilerError, RejectedError, UnreachableError
from reconciler.model.account import DESTINATION, Account, known
from reconciler.model.change import Action, Change, Plan
from reconciler.model.outcome import Status
from reconciler.model.secret import UNKNOWN
from reconciler.plan.fields import changes_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconciler.model.account import Fields
    from reconciler.model.ports import AccountWriter


class Witness(Protocol):
    """Is told about every write that takes something back; called from several threads at once."""

    def undoing(self, change: Change) -> None:
        """A write is about to be made; an exception keeps it from being made."""

    def undone(self, change: Change, status: Status) -> None:
        """It has been made, or has failed."""


class Rollback:
    """Gives accounts their former settings back."""

    def __init__(self, plan: Plan, server: AccountWriter, witness: Witness) -> None:
        self._plan = plan
        self._server = server
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
        except (RejectedError, UnreachableError) as error:
            return f"not rolled back: {words(error)}"
        except ApiError as error:
            return f"whether it was rolled back is unknown: {words(error)}"
        except ReconcilerError as error:
            return f"not rolled back: {words(error)}"

    def _undo(self, change: Change, written: Account) -> str:
        assert written.id is not None  # noqa: S101 - it is on the server
        fresh = self._server.get_account(written.id)
        if any(name in written.fields for name in moved(written, fresh)):
            return "not rolled back: somebody else has changed the account since"
        if change.before is None:
            left = self._restore_default(change)
            self._delete(written)
            return f"rolled back: the new account was deleted again{left}"
        former = _former(change)
        if former is None:
            return "not rolled back: the server hides the former password, and the new one must not take its place"
        if _hid_password(change) and former.keys() <= {"password"}:
            return "not rolled back: the new password stays, as the server does not show the former one"
        return self._give_back(change, former, fresh)

    def _give_back(self, change: Change, former: Fields, fresh: Account) -> str:
        left = self._restore_default(change)
        target = fresh.overlaid(former)
        answer = self._update(fresh, Account(known(target.fields), fresh.id, fresh.extra), former)
        if missing := lost(known(former), answer):
            return f"rolled back, but the server did not keep {', '.join(missing)}{left}"
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
        left = [account.email for account in self._plan.kept if account.is_default and self._demoted(account)]
        for account in (*self._plan.unchanged, *(one.before for one in self._plan.changes)):
            if account is None or not account.is_default:
                continue
            fresh = self._demoted(account)
            if fresh and fresh.fields.get("password") is UNKNOWN:
                left.append(fresh.email)
            elif fresh:
                self._update(fresh, fresh.overlaid({"default": True}), {"default": True})
        return f"; {', '.join(left)} was the default account and is not any more" if left else ""

    def _update(self, fresh: Account, target: Account, fields: Fields) -> Account:
        """Writes ``target``, for the sake of ``fields``."""
        changes = changes_of(fresh.fields, fields, fields)
        undoing = Change(action=Action.UPDATE, address=fresh.email, before=fresh, after=target, fields=changes)
        with self._witnessed(undoing):
            return self._server.update_account(target)

    def _delete(self, account: Account) -> None:
        assert account.id is not None  # noqa: S101 - it is on the server
        with self._witnessed(Change(action=Action.DELETE, address=account.email, before=account, after=None)):
            self._server.delete_account(account.id)

    @contextmanager
    def _witnessed(self, undoing: Change) -> Iterator[None]:
        self._witness.undoing(undoing)
        status = Status.UNKNOWN
        try:
            yield
            status = Status.APPLIED
        except (RejectedError, UnreachableError):
            status = Status.FAILED
            raise
        finally:
            with suppress(ReconcilerError):  # the report says what the witness cannot note
                self._witness.undone(undoing, status)

    def _demoted(self, account: Account) -> Account | None:
        """A former default account as it is now, if it is not the default one any more."""
        assert account.id is not None  # noqa: S101 - it is on the server
        fresh = self._server.get_account(account.id)
        return None if fresh.is_default else fresh


def _former(change: Change) -> Fields | None:
    """What has to be written to have the former settings again; ``None`` where a hidden password is in the way."""
    former = {one.field: one.before for one in change.fields}
    if not _hid_password(change):
        return former
    # The new password stays, as nobody knows the former one; it must not travel to the former server.
    former.pop("password", None)
    if any(name in former for name in DESTINATION) or not change.managed.get("password"):
        return None
    return {**former, "password": change.managed["password"]}


def _hid_password(change: Change) -> bool:
    return change.before is not None and change.before.fields.get("password") is UNKNOWN
