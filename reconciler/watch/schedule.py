"""When servers are due: all of them at each interval, and those that fail on their own, less and less often."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

_JITTER: Final = 0.1
"""The part of a time by which it is longer or shorter, so that many watchers do not act at once."""

LONGEST_BACK_OFF: Final = 3600.0
_MOST_DOUBLINGS: Final = 30


class Schedule:
    """Keeps the times on a monotonic clock: neither a new date nor a leap second moves them. For one thread.

    Args:
        interval: Seconds between two rounds.
        clock: Seconds.
        jitter: Returns a number between its two arguments.
    """

    def __init__(
        self,
        interval: float,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._interval = interval
        self._clock = clock
        self._jitter = jitter
        self._round_at = clock()
        self._retry_at: dict[str, float] = {}
        self._waits: dict[str, int] = {}
        """How often a server that fails has waited since it began to fail, or since it was asked for."""
        self._trying: set[str] = set()
        self._again: set[str] = set()
        """Those of them that were asked for since their try began."""

    def round_is_due(self) -> bool:
        """Whether it is time for a round on all servers that do not fail."""
        return self._clock() >= self._round_at

    def start_round_now(self) -> None:
        """A round on all servers is due, whatever the interval."""
        self._round_at = self._clock()

    def round_began(self) -> None:
        """The next round on all servers begins one interval after this one."""
        self._round_at = self._clock() + self._varied(self._interval)

    def try_began(self, servers: Collection[str]) -> None:
        """Servers that fail are being tried: until a try has ended, it is not due again."""
        self._trying.update(servers)

    def ended(self, server: str, failures: int) -> None:
        """A server was processed. If it has failed, it waits, twice as long as the last time and up to an hour.

        Args:
            server: Its name.
            failures: How many times it has failed in a row, in earlier processes too.
        """
        self._trying.discard(server)
        if not failures:
            self._retry_at.pop(server, None)
            self._waits.pop(server, None)
            self._again.discard(server)
            return
        waits = self._waits[server] = self._waits.get(server, failures - 1) + 1
        longest = max(LONGEST_BACK_OFF, self._interval)
        wait = self._varied(self._interval * 2.0 ** min(waits - 1, _MOST_DOUBLINGS))
        self._retry_at[server] = self._clock() + min(longest, wait)
        if server in self._again:
            self._again.discard(server)
            self.retry_now(server)

    def retry_now(self, *servers: str) -> None:
        """Servers that fail are due, and begin with short waits again: those with these names, or all."""
        chosen = self._retry_at.keys() & servers if servers else self._retry_at.keys()
        self._waits |= dict.fromkeys(chosen, 0)
        self._retry_at |= dict.fromkeys(chosen, self._clock())
        self._again |= self._trying & chosen

    def keep(self, servers: Collection[str]) -> None:
        """Forgets all other servers, and what is being tried."""
        self._trying.clear()
        self._again.clear()
        self._retry_at = {name: at for name, at in self._retry_at.items() if name in servers}
        self._waits = {name: waits for name, waits in self._waits.items() if name in servers}

    def failing(self) -> frozenset[str]:
        """The servers that fail, due or not."""
        return frozenset(self._retry_at)

    def due_retries(self) -> frozenset[str]:
        """The servers that fail, are due, and are not being tried."""
        now = self._clock()
        return frozenset(name for name, at in self._retry_at.items() if at <= now and name not in self._trying)

    def seconds_left(self, server: str = "", *, retries: bool = True) -> float:
        """Seconds until a server is due; without a name, until the next round or, with ``retries``, until anything."""
        if server:
            at = self._retry_at.get(server, self._round_at)
        else:
            waiting = (at for name, at in self._retry_at.items() if name not in self._trying) if retries else ()
            at = min([self._round_at, *waiting])
        return max(0.0, at - self._clock())

    def _varied(self, seconds: float) -> float:
        return self._jitter(seconds * (1 - _JITTER), seconds * (1 + _JITTER))
