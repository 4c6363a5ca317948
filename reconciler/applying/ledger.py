"""What this run has done so far."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from reconciler.planning.fields import TIMES, changed_since

if TYPE_CHECKING:
    from reconciler.model.account import Account
    from reconciler.model.plan import Change


class SentWrites:
    """Remembers writes and what they left behind. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._written: dict[tuple[str, int], Account] = {}
        self._sent: set[tuple[str, int]] = set()
        self._promoted = False

    def send(self, change: Change) -> None:
        """Notes that a write of the change is about to leave."""
        with self._lock:
            self._sent.add(change.key)

    def sent(self, change: Change) -> bool:
        """Whether this run has sent a write of the change; where not, there is nothing of ours to take back."""
        with self._lock:
            return change.key in self._sent

    def settle(self, change: Change, account: Account) -> None:
        """Notes that the account is as a step of the change wants it."""
        was = change.before is not None and change.before.is_default
        with self._lock:
            self._written[change.key] = account
            self._promoted = self._promoted or (account.is_default and not was)

    def written(self, change: Change) -> Account | None:
        """The account as an earlier step of the change has left it."""
        with self._lock:
            return self._written.get(change.key)

    def conflicts(self, expected: Account, fresh: Account, *, ours: bool) -> list[str]:
        """The fields and times that somebody else changed since. What our own promotion cleared is none of them.

        Where ``expected`` is the response to a write of ``ours``, a field that it lacks says nothing.
        """
        cleared = self.promoted and expected.is_default and fresh.fields.get("default") is False
        return [
            name
            for name in changed_since(expected, fresh)
            if not (cleared and name in ("default", "updated_at"))
            and not (ours and name not in TIMES and name not in expected.fields)
        ]

    @property
    def promoted(self) -> bool:
        """Whether an account has become the default one: the server may have cleared the former by itself."""
        with self._lock:
            return self._promoted
