"""Accounts on the server that the plan has not seen: strangers, and our own creates whose answer was lost."""

from __future__ import annotations

import threading
from collections import defaultdict
from typing import TYPE_CHECKING

from reconciler.errors import ApiError
from reconciler.planning.fields import is_same_moment

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconciler.model.account import Account
    from reconciler.model.plan import Plan
    from reconciler.model.ports import AccountReader

ADOPTION_DELAYS = (0.1, 0.4, 1.0, 2.0)
"""Seconds to wait before each look for an account whose creation got no clear answer."""


class Newcomers:
    """Knows which accounts were there before, so that the others can be told. Thread-safe."""

    def __init__(
        self, plan: Plan, server: AccountReader, stop: threading.Event, *, recheck: bool, delays: Sequence[float]
    ) -> None:
        """Takes what the plan has seen as known.

        Args:
            plan: The plan that is being carried out.
            server: For listing.
            stop: Ends the waiting between two looks.
            recheck: Whether to list once before the first create: minutes may have passed since the plan was made,
                and an account that has appeared meanwhile must not be doubled.
            delays: Seconds before each look for a create whose answer was lost.
        """
        self._server = server
        self._stop = stop
        self._delays = delays
        self._lock = threading.Lock()
        self._known = {account.id: account.created_at for account in plan.current}
        self._strangers: dict[str, list[Account]] | None = None if recheck else {}

    def strangers(self, key: str) -> list[Account]:
        """What has appeared at an address since the plan. Raises ``ApiError`` where the list is not to be had."""
        with self._lock:
            if self._strangers is None:
                strangers = defaultdict(list)
                for account in self._server.list_accounts():
                    if not self._knows(account):
                        strangers[account.key].append(account)
                self._known.update(
                    (account.id, account.created_at) for group in strangers.values() for account in group
                )
                self._strangers = strangers
            return self._strangers.get(key, [])

    def fresh(self, key: str) -> list[Account]:
        """What is at an address now and was not there before. Raises ``ApiError`` if the list call fails."""
        return self._unknown(self._server.list_accounts(), key)

    def welcome(self, account: Account) -> bool:
        """Notes an account of our own making; returns whether it is one, and not one that was there before."""
        with self._lock:
            is_new = not self._knows(account)
            self._known[account.id] = account.created_at
            return is_new

    def forget(self, account_id: int | None) -> None:
        """Notes that an account is gone: the server may give its id to the next one."""
        with self._lock:
            self._known.pop(account_id, None)

    def find(self, key: str) -> list[Account] | None:
        """Looks for a create whose answer was lost; ``None`` where the list was not to be had even once."""
        looked = False
        for delay in self._delays:
            if self._stop.wait(delay) and looked:
                break
            try:
                accounts = self._server.list_accounts()
            except ApiError as error:
                if error.transient:  # it has been tried several times already
                    break
                continue
            looked = True
            if found := self._unknown(accounts, key):
                return found
        return [] if looked else None

    def _unknown(self, accounts: Sequence[Account], key: str) -> list[Account]:
        with self._lock:
            return [account for account in accounts if account.key == key and not self._knows(account)]

    def _knows(self, account: Account) -> bool:
        """Whether the account was there before; one that has the id of another is told by the time of its creation."""
        return account.id in self._known and is_same_moment(self._known[account.id], account.created_at)
