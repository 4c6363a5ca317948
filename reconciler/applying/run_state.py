"""What one run has written, and which accounts are its own: the plan's, or created by it."""

from __future__ import annotations

import threading
from collections import defaultdict
from typing import TYPE_CHECKING, Final

from reconciler.errors import ApiError
from reconciler.planning.fields import changed_by_others, is_same_moment

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconciler.model.account import Account
    from reconciler.model.plan import Change, Plan
    from reconciler.model.ports import AccountReader

ADOPTION_DELAYS: Final = (0.1, 0.4, 1.0, 2.0)
"""Seconds before each search for an account whose creation got no clear response."""


class RunState:
    """Distinguishes this run's accounts and writes from those of other writers. Thread-safe.

    Args:
        plan: The plan that is being carried out. Its accounts are known.
        server: For listing.
        stop: When set, no search waits any more.
        delays: Seconds before each search for a create whose response was lost.
    """

    def __init__(self, plan: Plan, server: AccountReader, stop: threading.Event, *, delays: Sequence[float]) -> None:
        self._server = server
        self._stop = stop
        self._delays = delays
        self._lock = threading.Lock()
        self._listing = threading.Lock()
        self._known = {account.id: account.created_at for account in plan.current}
        # Listed before the first create: minutes may have passed since the plan was made.
        self._unplanned: dict[str, list[Account]] | None = None
        self._written: dict[tuple[str, int], Account] = {}
        self._sent: set[tuple[str, int]] = set()
        self._has_promoted = False

    def mark_sent(self, change: Change) -> None:
        """Remembers that a write of the change was sent."""
        with self._lock:
            self._sent.add(change.key)

    def was_sent(self, change: Change) -> bool:
        """Whether a write of the change was sent; if not, there is nothing of ours to roll back."""
        with self._lock:
            return change.key in self._sent

    def mark_written(self, change: Change, account: Account) -> None:
        """Remembers the account as a step of the change left it."""
        was_default = change.before is not None and change.before.is_default
        with self._lock:
            self._written[change.key] = account
            self._has_promoted = self._has_promoted or (account.is_default and not was_default)

    def written(self, change: Change) -> Account | None:
        """The account as the last step of the change left it; ``None`` if there was none."""
        with self._lock:
            return self._written.get(change.key)

    def conflicts(self, expected: Account, fresh: Account, *, ours: bool) -> list[str]:
        """The fields and times that another writer has changed since; ``ours`` as for ``changed_by_others``."""
        with self._lock:
            promotes = self._has_promoted
        return changed_by_others(expected, fresh, promotes=promotes, ours=ours)

    def unplanned_accounts(self, key: str, *, fresh: bool = False) -> list[Account]:
        """Accounts of an address that were created since the plan.

        Args:
            key: The identity of the address.
            fresh: Whether to list the accounts now, instead of once before the first create.

        Raises:
            ApiError: The list could not be read.
        """
        if fresh:
            return self._unknown(self._server.list_accounts(), key)
        with self._listing:
            if self._unplanned is None:
                accounts = self._server.list_accounts()
                unplanned = defaultdict(list)
                with self._lock:
                    for account in accounts:
                        if not self._knows(account):
                            unplanned[account.key].append(account)
                    for group in unplanned.values():
                        self._known.update((account.id, account.created_at) for account in group)
                self._unplanned = unplanned
            return self._unplanned.get(key, [])

    def add_created(self, account: Account) -> bool:
        """Remembers an account that this run created; returns whether it is new."""
        with self._lock:
            is_new = not self._knows(account)
            self._known[account.id] = account.created_at
            return is_new

    def forget(self, account_id: int | None) -> None:
        """Forgets an account that is gone: the server may use its id again."""
        with self._lock:
            self._known.pop(account_id, None)

    def find_created(self, key: str) -> list[Account] | None:
        """Searches for a create whose response was lost; ``None`` if the list could not be read."""
        was_listed = False
        for delay in self._delays:
            if self._stop.wait(delay) and was_listed:
                break
            try:
                accounts = self._server.list_accounts()
            except ApiError as error:
                if error.transient:  # it has been repeated several times already
                    break
                continue
            was_listed = True
            if found := self._unknown(accounts, key):
                return found
        return [] if was_listed else None

    def _unknown(self, accounts: Sequence[Account], key: str) -> list[Account]:
        with self._lock:
            return [account for account in accounts if account.key == key and not self._knows(account)]

    def _knows(self, account: Account) -> bool:
        """Whether the account is known. If its id was used before, the time of its creation decides."""
        return account.id in self._known and is_same_moment(self._known[account.id], account.created_at)
