from __future__ import annotations

import subprocess
import sys
import threading
import time
from queue import SimpleQueue
from typing import TYPE_CHECKING

from reconciler.applying.worker_pool import Abort, InterruptGate, WorkerPool, _Threads

if TYPE_CHECKING:
    import pytest


def test_an_abort_loses_no_result_that_is_there_already() -> None:
    pool = WorkerPool(2, lambda job: job * 10, InterruptGate())
    jobs = iter(range(5))
    taken: dict[int, int] = {}
    aborted: list[int] = []

    def take_in(job: int, result: int) -> None:
        if not aborted:
            while pool._done.empty():
                pass  # the other result is about to arrive, and nothing reports when
            aborted.append(job)
            raise Abort
        taken[job] = result

    left_behind = pool.run(lambda: next(jobs, None), take_in)
    assert left_behind == set(aborted)
    assert taken == {job: job * 10 for job in {0, 1} - left_behind}
    assert next(jobs) == 2


def test_nothing_to_do_ends_at_once() -> None:
    assert WorkerPool(3, str, InterruptGate()).run(lambda: None, lambda _job, _result: None) == frozenset()


def test_a_thread_is_used_again_and_ends_when_there_is_nothing_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reconciler.applying.worker_pool._IDLE_SECONDS", 0.2)
    threads = _Threads()
    used: SimpleQueue[threading.Thread] = SimpleQueue()
    for _ in range(3):
        threads.start(lambda: used.put(threading.current_thread()))
        while not threads._idle:
            time.sleep(0.001)
    (thread,) = {used.get_nowait() for _ in range(3)}
    thread.join(10)
    assert not thread.is_alive()
    assert not threads._idle


def test_a_forked_process_does_not_wait_for_the_threads_of_its_parent() -> None:
    program = """
import os
from reconciler.applying.worker_pool import _THREADS, InterruptGate, WorkerPool

def run():
    jobs = iter([1])
    WorkerPool(1, lambda job: job, InterruptGate()).run(lambda: next(jobs, None), lambda job, result: None)

run()
while not _THREADS._idle:
    pass
if child := os.fork():
    os.waitpid(child, 0)
run()
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", program], timeout=20, check=True)
