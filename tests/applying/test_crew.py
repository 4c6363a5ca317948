from __future__ import annotations

from reconciler.applying.crew import Abort, WorkerPool


def test_an_abort_loses_no_result_that_is_there_already() -> None:
    crew = WorkerPool(2, lambda job: job * 10)
    jobs = iter(range(5))
    taken: dict[int, int] = {}
    aborted: list[int] = []

    def take_in(job: int, result: int) -> None:
        if not aborted:
            while crew._done.empty():
                pass  # the other result is on its way, and nothing announces it
            aborted.append(job)
            raise Abort
        taken[job] = result

    left_behind = crew.drive(lambda: next(jobs, None), take_in)
    assert left_behind == set(aborted)
    assert taken == {job: job * 10 for job in {0, 1} - left_behind}
    assert next(jobs) == 2


def test_nothing_to_do_ends_at_once() -> None:
    assert WorkerPool(3, str).drive(lambda: None, lambda _job, _result: None) == frozenset()
