"""The rollout as a pure function: a simulated run, for any fleet, any rollout and any outcomes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.fleet.rollout import Progress, Schedule, decide, make_schedule
from reconciler.model.desired import Amount
from reconciler.model.fleet import ALL_AT_ONCE, Batch, Rollout, Selector
from reconciler.model.outcome import ServerStatus
from reconciler.model.server import Server
from tests.support.strategies import BOUNDED

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

AMOUNTS = st.builds(Amount, st.integers(0, 30), percent=st.just(False)) | st.builds(
    Amount, st.integers(0, 100), percent=st.just(True)
)
ROLLOUTS = st.builds(
    Rollout,
    canary=st.none() | st.just(Selector.parse("ring=canary")),
    batches=st.lists(AMOUNTS, max_size=4).map(tuple),
    max_failures=AMOUNTS,
    max_unreachable=AMOUNTS,
)
STATUSES = list(ServerStatus)


def server(number: int, *, canary: bool = False) -> Server:
    return Server(f"b{number:03}", f"https://b{number}.example.com", {"ring": "canary"} if canary else {})


SERVERS = st.lists(st.booleans(), max_size=25).map(
    lambda canaries: [server(number, canary=canary) for number, canary in enumerate(canaries)]
)


@dataclass
class Simulation:
    """A run in which the servers that are under way finish in an arbitrary order."""

    schedule: Schedule
    rollout: Rollout
    statuses: Mapping[str, ServerStatus]
    choose: Callable[[int], int]
    parallelism: int

    def run(self) -> list[tuple[str, str]]:
        """The events: ``start`` and ``finish``, each with a server."""
        progress = Progress()
        running: list[str] = []
        events: list[tuple[str, str]] = []
        while True:
            decision = decide(self.schedule, progress, self.rollout)
            while progress.started < decision.limit and len(running) < self.parallelism:
                name = self.schedule.names[progress.started]
                progress = progress.with_start()
                running.append(name)
                events.append(("start", name))
            if not running:
                return events
            name = running.pop(self.choose(len(running)))
            progress = progress.with_result(self.statuses[name])
            events.append(("finish", name))


@st.composite
def simulations(draw: st.DrawFn) -> tuple[Sequence[Server], Simulation]:
    servers, rollout = draw(SERVERS), draw(ROLLOUTS)
    statuses = {one.name: draw(st.sampled_from(STATUSES)) for one in servers}
    random = draw(st.randoms(use_true_random=False))
    parallelism = draw(st.integers(1, 8))
    return servers, Simulation(make_schedule(servers, rollout), rollout, statuses, random.randrange, parallelism)


@BOUNDED
@given(simulations())
def test_nothing_starts_once_a_budget_is_spent(case: tuple[Sequence[Server], Simulation]) -> None:
    servers, run = case
    failed = unreachable = 0
    for event, name in run.run():
        if event == "start":
            assert not run.rollout.max_failures.is_exceeded(failed, len(servers))
            assert not run.rollout.max_unreachable.is_exceeded(unreachable, len(servers))
        else:
            status = run.statuses[name]
            failed += status in (ServerStatus.FAILED, ServerStatus.REFUSED, ServerStatus.UNKNOWN)
            unreachable += status in (ServerStatus.UNREACHABLE, ServerStatus.NOT_ATTEMPTED)


@BOUNDED
@given(simulations())
def test_every_server_starts_once_unless_a_budget_stops_the_run(case: tuple[Sequence[Server], Simulation]) -> None:
    servers, run = case
    started = [name for event, name in run.run() if event == "start"]
    assert len(set(started)) == len(started)
    failed = sum(run.statuses[one] in ("failed", "refused", "unknown") for one in started)
    unreachable = sum(run.statuses[one] in ("unreachable", "not_attempted") for one in started)
    is_stopped = run.rollout.max_failures.is_exceeded(failed, len(servers)) or (
        run.rollout.max_unreachable.is_exceeded(unreachable, len(servers))
    )
    assert set(started) == {one.name for one in servers} or is_stopped


@BOUNDED
@given(simulations())
def test_a_batch_starts_only_when_the_one_before_has_finished(case: tuple[Sequence[Server], Simulation]) -> None:
    servers, run = case
    canaries = {one.name for one in servers if run.rollout.canary and one.labels}
    finished: set[str] = set()
    for event, name in run.run():
        if event == "finish":
            finished.add(name)
            continue
        start = max((end for end in run.schedule.ends if end <= run.schedule.names.index(name)), default=0)
        assert set(run.schedule.names[:start]) <= finished
        assert name in canaries or canaries <= finished


@BOUNDED
@given(SERVERS, ROLLOUTS, st.randoms(use_true_random=False))
def test_the_order_does_not_depend_on_the_input(servers: list[Server], rollout: Rollout, random: object) -> None:
    expected = make_schedule(servers, rollout)
    shuffled = list(servers)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert make_schedule(shuffled, rollout) == expected
    assert sorted(expected.names) == [one.name for one in servers]


@pytest.mark.parametrize(
    ("batches", "canaries", "ends"),
    [
        ([1, "25%", "100%"], 0, (1, 5, 20)),
        ([1, "25%", "100%"], 3, (3, 5, 20)),
        ([1, 5], 8, (8, 20)),
        (["1%"], 0, (1, 20)),
        ([50], 0, (20,)),
        ([], 0, (20,)),
        ([0, "0%"], 20, (20,)),
    ],
)
def test_batches_are_cumulative_and_contain_the_canaries(
    batches: list[object], canaries: int, ends: tuple[int, ...]
) -> None:
    servers = [server(number, canary=number < canaries) for number in range(20)]
    rollout = Rollout(canary=Selector.parse("ring=canary"), batches=tuple(map(Amount.parse, batches)))
    assert make_schedule(servers, rollout).ends == ends


def test_an_empty_fleet_has_nothing_to_decide() -> None:
    schedule = make_schedule([], ALL_AT_ONCE)
    assert (schedule.names, decide(schedule, Progress(), ALL_AT_ONCE).limit) == ((), 0)


def test_the_pause_goes_between_batches_only() -> None:
    schedule = make_schedule([server(number) for number in range(4)], Rollout(batches=(Amount(2, percent=False),)))
    new = [
        decide(schedule, Progress(started, finished), ALL_AT_ONCE).is_new_batch
        for started, finished in ((0, 0), (1, 0), (1, 1), (2, 1), (2, 2), (3, 2), (4, 4))
    ]
    assert new == [False, False, False, False, True, False, False]


def test_each_batch_says_which_servers_it_has() -> None:
    servers = [server(number, canary=number == 3) for number in range(10)]
    rollout = Rollout(canary=Selector.parse("ring=canary"), batches=(Amount(4, percent=False),))
    schedule = make_schedule(servers, rollout)
    batches = [schedule.batch_after(started) for started in range(10)]
    assert batches == [
        Batch(number=1, count=3, first=1, last=1, total=10, is_canaries=True),
        Batch(number=2, count=3, first=2, last=4, total=10),
        *[None] * 2,
        Batch(number=3, count=3, first=5, last=10, total=10),
        *[None] * 5,
    ]
    assert make_schedule(servers, ALL_AT_ONCE).batch_after(0) is None


def test_a_suspension_counts_against_no_budget() -> None:
    progress = Progress(started=2).with_result(ServerStatus.REFUSED, counts=False)
    assert progress == Progress(started=2, finished=1)


def test_the_reason_names_the_budget() -> None:
    schedule = make_schedule([server(number) for number in range(100)], ALL_AT_ONCE)
    rollout = Rollout(max_failures=Amount(2, percent=True))
    assert not decide(schedule, Progress(3, 3, failed=2), rollout).stopped
    stopped = decide(schedule, Progress(3, 3, failed=3), rollout)
    assert (stopped.limit, stopped.stopped) == (3, "3 of 100 servers failed, and max_failures is 2%")


def test_a_server_that_no_worker_has_taken_counts_as_unreachable() -> None:
    progress = Progress().with_start().with_result(ServerStatus.NOT_ATTEMPTED)
    one, none = Amount(1, percent=False), Amount(0, percent=False)
    rollout = Rollout(batches=(one,), max_unreachable=none)
    assert decide(make_schedule([server(1), server(2)], rollout), progress, rollout).stopped
