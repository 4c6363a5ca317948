"""Worker threads, and the two things that end a run early: an interrupt, and a server that cannot be reached.

The threads are not those of an executor of ``concurrent.futures``. Python joins those at exit: after a second Ctrl-C,
the process would wait for a server that does not respond.
"""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from functools import partial
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Final, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

Result = TypeVar("Result")

_IDLE_SECONDS: Final = 1.0
"""How long a thread waits for its next task."""

_HEARTBEAT: Final = 0.5
"""Seconds. A signal that arrives just before a wait begins does not end it; it is noticed at the next heartbeat."""

MAX_UNREACHED: Final = 5
"""After this many steps in a row that did not reach the server, the run ends."""
OUTAGE: Final = f"not started: {MAX_UNREACHED} steps in a row did not reach the server"
NOT_STARTED: Final = "not started: the run stopped first"


class Abort(BaseException):
    """The user wants to stop now, without waiting for the work in flight. Raised by a signal handler."""


class InterruptGate:
    """Stops one run: first gently, then without waiting for the work in flight.

    ``Abort`` is raised while the run waits for a result and nowhere else: anywhere else, results would be lost.

    Args:
        stop: When set, nothing new starts.
    """

    def __init__(self, stop: threading.Event | None = None) -> None:
        self.stop = stop or threading.Event()
        self._main_thread_waits = False
        self._is_over = False

    def end(self) -> None:
        """Ends the wait for work in flight, now or as soon as it begins. Called by a signal handler."""
        self._is_over = True
        if self._main_thread_waits:
            self._main_thread_waits = False
            raise Abort

    def wait(self, queue: SimpleQueue[Result]) -> Result:
        """The next item of the queue.

        Raises:
            Abort: The wait was ended.
            Empty: Nothing came within a heartbeat.
        """
        self._main_thread_waits = threading.current_thread() is threading.main_thread()
        try:
            if self._is_over:
                raise Abort
            return queue.get(timeout=_HEARTBEAT)
        finally:
            self._main_thread_waits = False


class Breaker:
    """Stops the run after several steps in a row that did not reach the server. For one thread."""

    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop
        self._in_a_row = 0
        self.reason = NOT_STARTED
        """Why the rest was not started."""

    def count(self, *, unreached: bool) -> None:
        """Counts how a step ended."""
        self._in_a_row = self._in_a_row + 1 if unreached else 0
        if self._in_a_row >= MAX_UNREACHED:
            self.reason = OUTAGE
            self._stop.set()


class _Threads:
    """Daemon threads that wait a moment for another task when they have ended one: a fleet has thousands of them."""

    def __init__(self) -> None:
        self._idle: list[SimpleQueue[Callable[[], None]]] = []
        os.register_at_fork(after_in_child=self._idle.clear)  # a child process has only the thread that forked it

    def start(self, task: Callable[[], None]) -> None:
        """Carries out a task, which must not raise, in a thread of its own."""
        try:
            tasks = self._idle.pop()
        except IndexError:
            tasks = SimpleQueue()
            threading.Thread(target=self._work, args=(tasks,), daemon=True).start()
        tasks.put(task)

    def _work(self, tasks: SimpleQueue[Callable[[], None]]) -> None:
        while True:
            try:
                task = tasks.get(timeout=_IDLE_SECONDS)
            except Empty:
                with suppress(ValueError):  # it has just been given a task
                    self._idle.remove(tasks)
                    return
                continue
            task()
            del task
            self._idle.append(tasks)


_THREADS: Final = _Threads()


class JobLoop(Generic[Result]):
    """Starts numbered jobs, some at a time, and takes their results, for one thread.

    Args:
        size: The most jobs in flight.
        start: Starts a job. It, or another thread, puts the result, or an error to raise, into ``done``.
        done: The results.
        gate: Ends the wait for them.
    """

    def __init__(
        self,
        size: int,
        start: Callable[[int], None],
        done: SimpleQueue[tuple[int, Result] | BaseException],
        gate: InterruptGate,
    ) -> None:
        self._size = max(1, size)
        self._start = start
        self._done = done
        self._gate = gate
        self._in_flight: set[int] = set()

    def run(self, next_job: Callable[[], int | None], take_result: Callable[[int, Result], None]) -> frozenset[int]:
        """Works until nothing is left to do or the gate ends the wait.

        Args:
            next_job: Returns a job that can start now, if there is one; called again after each result.
            take_result: Called with each result.

        Returns:
            The jobs that were still in flight when the wait ended.

        Raises:
            Exception: What ``work`` has raised.
        """
        try:
            self._distribute(next_job, take_result)
        except Abort:
            while not self._done.empty():
                self._take(self._done.get(), take_result)
        return frozenset(self._in_flight)

    def _distribute(self, next_job: Callable[[], int | None], take_result: Callable[[int, Result], None]) -> None:
        while True:
            while len(self._in_flight) < self._size and (job := next_job()) is not None:
                self._in_flight.add(job)
                self._start(job)
            if not self._in_flight:
                return
            try:
                done = self._gate.wait(self._done)
            except Empty:
                continue
            self._take(done, take_result)

    def _take(self, done: tuple[int, Result] | BaseException, take_result: Callable[[int, Result], None]) -> None:
        if isinstance(done, BaseException):
            raise done
        # The job is in flight until its result has been taken, so that a signal in between cannot lose it.
        take_result(*done)
        self._in_flight.discard(done[0])


class WorkerPool(JobLoop[Result]):
    """Works on numbered jobs in parallel. Only ``work`` is called from other threads."""

    def __init__(self, size: int, work: Callable[[int], Result], gate: InterruptGate) -> None:
        super().__init__(size, lambda job: _THREADS.start(partial(self._work_on, job)), SimpleQueue(), gate)
        self._work = work

    def _work_on(self, job: int) -> None:
        try:
            self._done.put((job, self._work(job)))
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that waits for it
            self._done.put(error)
