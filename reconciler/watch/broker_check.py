"""Notices if the broker of the workers does not respond, and when it does again."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from reconciler.errors import UnreachableError
from reconciler.watch.records import BROKER_NOTICE

if TYPE_CHECKING:
    from collections.abc import Callable

    from reconciler.fleet.remote import Workers
    from reconciler.watch.fleet_status import FleetStatus

_PATIENCE: Final = 10.0
"""Seconds without a response until that is shown: a restart takes less."""


class BrokerCheck:
    """Asks the broker from time to time. For the thread of the loop.

    Args:
        workers: The connection.
        status: Shows what is wrong.
        clock: Seconds on a monotonic clock.

    Attributes:
        is_down: Whether the broker did not respond when it was last asked. No round can begin then.
    """

    def __init__(self, workers: Workers, status: FleetStatus, clock: Callable[[], float] = time.monotonic) -> None:
        self.is_down = False
        self._workers = workers
        self._status = status
        self._clock = clock
        self._since = 0.0

    @property
    def is_shown(self) -> bool:
        """Whether it has been down for so long, or at such a moment, that this is shown."""
        return BROKER_NOTICE in self._status.notices

    def look(self) -> bool:
        """Asks the broker. Returns whether it responds again, so that everything has to be checked."""
        try:
            self._workers.check()
        except UnreachableError as error:
            if not self.is_down:
                self.is_down, self._since = True, self._clock()
            elif self._clock() - self._since >= _PATIENCE:
                self._status.notice(BROKER_NOTICE, error.reason)
            return False
        is_back = self.is_down or self.is_shown
        self.is_down = False
        self._status.withdraw(BROKER_NOTICE)
        return is_back
