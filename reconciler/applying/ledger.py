"""What this run has done so far."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from reconciler.applying.comparison import TIMES, moved

if TYPE_CHECKING:
    from reconciler.model.account import Account
    from reconciler.model.plan import Change


class SentWrites:
    """Remembers writes and what they left behind. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._written: dict[int, Account] = {}
        self._sent: set[int] = set()
        self._promoted = False

    def send(self, index: int) -> None:
        """Notes that a write of change ``index`` is about to leave."""
        with self._lock:
            self._sent.add(index)

    def sent(self, index: int) -> bool:
        """Whether this run has sent a write of the change; where not, there is nothing of ours to take back."""
        with self._lock:
            return index in self._sent

    def settle(self, index: int, change: Change, account: Account) -> None:
        """Notes that the account is as a step of change ``index`` wants it."""
        was = change.before is not None and change.before.is_default
        with self._lock:
            self._written[index] = account
            self._promoted = self._promoted or (account.is_default and not was)

    def written(self, index: int) -> Account | None:
        """The account as an earlier step of the change has left it."""
        with self._lock:
            return self._written.get(index)

    def conflicts(self, expected: Account, fresh: Account, *, ours: bool) -> list[str]:
        """The fields and times that somebody else changed since. What our own promotion cleared is none of them.

        Where ``expected`` is the response to a write of ``ours``, a field that it lacks says nothing.
        """
        cleared = self.promoted and expected.is_default and fresh.fields.get("default") is False
        return [
            name
            for name in moved(expected, fresh)
            if not (cleared and name in ("default", "updated_at"))
            and not (ours and name not in TIMES and name not in expected.fields)
        ]

    @property
    def promoted(self) -> bool:
        """Whether an account has become the default one: the server may have cleared the former by itself."""
        with self._lock:
            return self._promoted
