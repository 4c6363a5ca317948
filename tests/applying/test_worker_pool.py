from __future__ import annotations

from reconciler.applying.worker_pool import Abort, InterruptGate, WorkerPool


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
