"""Ends a run whose server has gone, so that what is left does not fail one by one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import threading

IN_A_ROW: Final = 5
"""So many steps that did not reach the server, one after the other, end the run."""

OUTAGE: Final = f"not started: {IN_A_ROW} steps in a row did not reach the server"


class Breaker:
    """Counts the steps that did not reach the server. For one thread.

    Args:
        stop: Set when it trips: then no step starts, and those under way make no other attempt.
    """

    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop
        self._in_a_row = 0
        self.tripped = False

    def note(self, *, unreached: bool) -> None:
        """Takes in how a step ended."""
        self._in_a_row = self._in_a_row + 1 if unreached else 0
        if self._in_a_row >= IN_A_ROW:
            self.tripped = True
            self._stop.set()
