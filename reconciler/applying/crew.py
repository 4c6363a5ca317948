"""Threads that work on numbered jobs, for one thread that hands them out."""

from __future__ import annotations

import threading
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

Result = TypeVar("Result")

_HEARTBEAT = 0.5
"""Seconds: a signal that comes just before the waiting begins does not end it, and is looked at when this is over."""


class Abort(BaseException):
    """The user insists: stop now, without waiting for the work in flight. Raised by a signal handler."""


class InterruptGate:
    """Whether the main thread, which gets the signals, goes on waiting for its crew.

    ``Abort`` is raised out of that waiting and nowhere else: anywhere else it would take results along.
    """

    def __init__(self) -> None:
        self._waiting = False
        self._over = False

    def renew(self) -> None:
        """Forgets what was asked of a run that is over."""
        self._over = False

    def end(self) -> None:
        """Ends the waiting for work in flight, now or as soon as it begins. Called by a signal handler."""
        self._over = True
        if self._waiting:
            self._waiting = False
            raise Abort

    def wait(self, queue: SimpleQueue[Result]) -> Result:
        """The next item of ``queue``. Raises ``Abort`` where the waiting is to end, ``Empty`` after a heartbeat."""
        self._waiting = threading.current_thread() is threading.main_thread()
        try:
            if self._over:
                raise Abort
            return queue.get(timeout=_HEARTBEAT)
        finally:
            self._waiting = False


PATIENCE = InterruptGate()
"""That of this process, as signals are the process's."""


class WorkerPool(Generic[Result]):
    """Works on jobs in parallel. Only ``work`` is called from its threads, and must not raise.

    The threads are daemons, so that a second Ctrl-C need not wait for a server that does not answer.
    """

    def __init__(self, size: int, work: Callable[[int], Result]) -> None:
        self._size = size
        self._work = work
        self._jobs: SimpleQueue[int | None] = SimpleQueue()
        self._done: SimpleQueue[tuple[int, Result]] = SimpleQueue()
        self._open: set[int] = set()

    def drive(self, next_job: Callable[[], int | None], take_in: Callable[[int, Result], None]) -> frozenset[int]:
        """Works until there is nothing left to do, or the user insists.

        Args:
            next_job: Says what can be begun now; asked again after every result.
            take_in: Is given each result.

        Returns:
            The jobs in flight that were left behind, because ``Abort`` was raised in the calling thread.
        """
        for _ in range(self._size):
            threading.Thread(target=self._run, daemon=True).start()
        try:
            self._drive(next_job, take_in)
        except Abort:
            self._take_what_is_done(take_in)
        finally:
            for _ in range(self._size):
                self._jobs.put(None)
        return frozenset(self._open)

    def _drive(self, next_job: Callable[[], int | None], take_in: Callable[[int, Result], None]) -> None:
        while True:
            while len(self._open) < self._size and (job := next_job()) is not None:
                self._open.add(job)
                self._jobs.put(job)
            if not self._open:
                return
            try:
                job, result = PATIENCE.wait(self._done)
            except Empty:
                continue
            self._take(job, result, take_in)

    def _take_what_is_done(self, take_in: Callable[[int, Result], None]) -> None:
        while True:
            try:
                job, result = self._done.get_nowait()
            except Empty:
                return
            self._take(job, result, take_in)

    def _take(self, job: int, result: Result, take_in: Callable[[int, Result], None]) -> None:
        # A job is open until its result is in, so that a signal in between cannot lose it.
        take_in(job, result)
        self._open.discard(job)

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            self._done.put((job, self._work(job)))
