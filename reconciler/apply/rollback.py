"""Takes back what was written, where its test failed afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.errors import ApiError
from reconciler.model.account import DESTINATION, Account, known, same
from reconciler.model.secret import UNKNOWN

if TYPE_CHECKING:
    from reconciler.model.change import Change, Plan
    from reconciler.model.ports import AccountWriter


class Rollback:
    """Gives accounts their former settings back."""

    def __init__(self, plan: Plan, server: AccountWriter) -> None:
        self._plan = plan
        self._server = server

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
        except ApiError as error:
            return f"not rolled back: {'; '.join(problem.message for problem in error.problems)}"

    def _undo(self, change: Change, written: Account) -> str:
        if written.id is None:
            return "not rolled back: the server gave no id"
        fresh = self._server.get_account(written.id)
        if any(not _alike(name, value, fresh) for name, value in written.fields.items()):
            return "not rolled back: somebody else has changed the account since"
        self._restore_default(change)
        if change.before is None:
            self._server.delete_account(written.id)
            return "rolled back: the new account was deleted again"
        former = {one.field: one.before for one in change.fields}
        hidden = change.before.fields.get("password") is UNKNOWN and "password" in change.managed
        if hidden and any(name in former for name in DESTINATION):
            return "not rolled back: the former password is hidden, and the new one must not go to the former server"
        if former.get("password") is UNKNOWN:
            del former["password"]
        sent = {"password": change.managed["password"]} if hidden else {}
        self._server.update_account(Account(known({**fresh.fields, **sent, **former}), fresh.id, fresh.extra))
        if hidden:
            return "rolled back, except for the password: the server does not show the former one"
        return "rolled back: the account has its former settings again"

    def _restore_default(self, change: Change) -> None:
        """Promotes the former default account again, if the server demoted it when ours was promoted."""
        if not (change.after and change.after.is_default) or (change.before and change.before.is_default):
            return
        everything = (*self._plan.unchanged, *(one.before for one in self._plan.changes))
        for account in everything:
            if account is None or account.id is None or not account.is_default:
                continue
            fresh = self._server.get_account(account.id)
            if not fresh.is_default and fresh.fields.get("password") is not UNKNOWN:
                self._server.update_account(fresh.overlaid({"default": True}))


def _alike(name: str, value: object, fresh: Account) -> bool:
    now = fresh.fields.get(name)
    return UNKNOWN in (value, now) or same(name, value, now)  # type: ignore[arg-type]
