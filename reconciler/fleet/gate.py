"""Stops the runs on all servers of a fleet: first gently, then without waiting for the writes under way."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, TypeVar

from reconciler.applying.worker_pool import Abort, InterruptGate

if TYPE_CHECKING:
    from collections.abc import Iterator
    from queue import SimpleQueue

Result = TypeVar("Result")

_PATIENCE: Final = 3.0
"""Seconds that servers have, after a second signal, to report which of their writes are under way."""


class StopGroup(threading.Event):
    """Stops the runs on all servers. Each has an event of its own, because a run also stops by itself."""

    def __init__(self) -> None:
        super().__init__()
        self._members: set[threading.Event] = set()

    def member(self) -> threading.Event:
        """An event that is set together with this one."""
        event = threading.Event()
        self._members.add(event)
        if self.is_set():
            event.set()
        return event

    def discard(self, event: threading.Event) -> None:
        """The run that waits for the event has ended."""
        self._members.discard(event)

    def set(self) -> None:
        """Sets this event and those of all members."""
        super().set()
        for event in tuple(self._members):
            event.set()


class FleetGate(InterruptGate):
    """Stops a fleet's run: first gently, then without waiting for the writes under way.

    After the second signal, servers get a moment to report: they know which of their writes are under way.
    """

    def __init__(self, group: StopGroup | None = None) -> None:
        self.group = group or StopGroup()
        super().__init__(self.group)
        self._gates: set[InterruptGate] = set()
        self._ends_at: float | None = None

    @contextmanager
    def watching(self, gate: InterruptGate) -> Iterator[None]:
        """Stops a server's run too, as long as it goes on."""
        self._gates.add(gate)
        if self._ends_at is not None:
            gate.end()
        try:
            yield
        finally:
            self._gates.discard(gate)
            self.group.discard(gate.stop)

    def end(self) -> None:
        """Ends the wait for writes under way, on every server."""
        if self._ends_at is None:
            self._ends_at = time.monotonic() + _PATIENCE
        for gate in tuple(self._gates):
            gate.end()

    def wait(self, queue: SimpleQueue[Result]) -> Result:
        """The next item of the queue; ``Abort`` ends the wait only when the servers have had their moment."""
        if self._ends_at is not None and time.monotonic() >= self._ends_at:
            raise Abort
        return super().wait(queue)
