"""The rollout as a pure function: a simulated run, for any fleet, any rollout and any outcomes."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.errors import Kind
from reconciler.fleet.rollout import Continuation, Progress, Standing, make_schedule
from reconciler.fleet.steering import Steering
from reconciler.model.desired import Amount
from reconciler.model.fleet import ALL_AT_ONCE, Batch, Rollout, Selector
from reconciler.model.outcome import Report, ServerStatus
from reconciler.model.plan import Plan
from reconciler.model.server import Server
from tests.support.strategies import BOUNDED

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

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
    """A run in which the servers that are under way finish in an arbitrary order.

    Attributes:
        earlier: Where servers stand that earlier runs came to, or that are no part of this one.
        chosen: The names of those that are part of it.
    """

    servers: Sequence[Server]
    rollout: Rollout
    statuses: Mapping[str, ServerStatus]
    choose: Callable[[int], int] = lambda _count: 0
    parallelism: int = 8
    earlier: Mapping[str, Standing] = field(default_factory=dict)
    chosen: Collection[str] | None = None

    def __post_init__(self) -> None:
        self.schedule = make_schedule(self.servers, self.rollout)
        names = [one.name for one in self.servers]
        self.plans = [Plan(server=one) for one in self.servers]
        indexes = [index for index, name in enumerate(names) if self.chosen is None or name in self.chosen]
        earlier = tuple((one, self.earlier[one.name]) for one in self.servers if one.name in self.earlier)
        self.steering = Steering(self.plans, indexes, self.rollout, Continuation(earlier=earlier))

    def run(self) -> list[tuple[str, str]]:
        """The events: ``start`` and ``finish``, each with a server."""
        running: list[int] = []
        events: list[tuple[str, str]] = []
        while True:
            while len(running) < self.parallelism and (started := self.steering.next_job()) is not None:
                running.append(started)
                events.append(("start", self.servers[started].name))
            if not running:
                return events
            index = running.pop(self.choose(len(running)))
            server = self.servers[index]
            self.steering.take(index, Report.of_failure(server, self.statuses[server.name], ()))
            events.append(("finish", server.name))

    def started(self) -> list[str]:
        """The servers that were started, in order."""
        return [name for event, name in self.run() if event == "start"]


@st.composite
def simulations(draw: st.DrawFn) -> Simulation:
    servers, rollout = draw(SERVERS), draw(ROLLOUTS)
    statuses = {one.name: draw(st.sampled_from(STATUSES)) for one in servers}
    random = draw(st.randoms(use_true_random=False))
    return Simulation(servers, rollout, statuses, random.randrange, draw(st.integers(1, 8)))


@st.composite
def continuations(draw: st.DrawFn) -> Simulation:
    """Runs that go on with a rollout."""
    run = draw(simulations())
    names = [one.name for one in run.servers]
    standings = st.none() | st.builds(Standing, st.none() | st.sampled_from(STATUSES), st.booleans())
    earlier = {name: one for name in names if (one := draw(standings))}
    return replace(run, earlier=earlier, chosen={name for name in names if name not in earlier or draw(st.booleans())})


FAILED = (ServerStatus.FAILED, ServerStatus.REFUSED, ServerStatus.UNKNOWN)
UNREACHED = (ServerStatus.UNREACHABLE, ServerStatus.NOT_ATTEMPTED)


def is_spent(run: Simulation, counting: Mapping[str, ServerStatus | None]) -> bool:
    failed, unreachable = (sum(one in kind for one in counting.values()) for kind in (FAILED, UNREACHED))
    total = len(run.servers)
    return run.rollout.max_failures.is_exceeded(failed, total) or (
        run.rollout.max_unreachable.is_exceeded(unreachable, total)
    )


@BOUNDED
@given(simulations() | continuations())
def test_nothing_starts_once_a_budget_is_spent(run: Simulation) -> None:
    assert run.chosen is None or run.earlier.keys() | run.chosen == {one.name for one in run.servers}
    chosen = {one.name for one in run.servers} if run.chosen is None else run.chosen
    retried = {name for name, one in run.earlier.items() if name in chosen and one.may_retry}
    counting = {name: one.status for name, one in run.earlier.items() if name not in chosen or name in retried}
    for event, name in run.run():
        if event == "finish":
            counting[name] = run.statuses[name]
        else:
            assert name in retried or not is_spent(run, counting)


@BOUNDED
@given(simulations())
def test_every_server_starts_once_unless_a_budget_stops_the_run(run: Simulation) -> None:
    started = run.started()
    assert len(set(started)) == len(started)
    assert set(started) == {one.name for one in run.servers} or is_spent(
        run, {name: run.statuses[name] for name in started}
    )


@BOUNDED
@given(simulations() | continuations())
def test_a_batch_starts_only_when_the_servers_of_those_before_have_finished(run: Simulation) -> None:
    chosen = {one.name for one in run.servers} if run.chosen is None else run.chosen
    finished = {name for name, one in run.earlier.items() if name not in chosen and one.status}
    retried = {name for name, one in run.earlier.items() if name in chosen and one.may_retry}
    for event, name in run.run():
        if event == "finish":
            finished.add(name)
        elif name not in retried:
            place = run.schedule.names.index(name)
            start = max((end for end in run.schedule.ends if end <= place), default=0)
            assert set(run.schedule.names[:start]) <= finished


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


def test_an_empty_fleet_has_nothing_to_do() -> None:
    assert Simulation([], ALL_AT_ONCE, {}).started() == []


CANARY = Rollout(canary=Selector.parse("ring=canary"), max_failures=Amount(0, percent=False))
FOUR = [server(number, canary=number == 1) for number in range(1, 5)]
APPLIED = dict.fromkeys((one.name for one in FOUR), ServerStatus.APPLIED)


@pytest.mark.parametrize("status", [ServerStatus.UNREACHABLE, ServerStatus.APPLIED])
def test_a_server_that_has_finished_does_not_take_the_place_of_the_canary(status: ServerStatus) -> None:
    statuses = {**APPLIED, "b001": ServerStatus.FAILED}
    run = Simulation(FOUR, CANARY, statuses, earlier={"b004": Standing(status)}, chosen={"b001", "b002", "b003"})
    assert run.started() == ["b001"]
    assert run.steering.why_not_started.message == "not started: 1 of 4 servers failed, and max_failures is 0"


def test_a_batch_waits_for_servers_that_are_no_part_of_the_run() -> None:
    waiting = {"b001": Standing(None, had_turn=False)}
    run = Simulation(FOUR, CANARY, APPLIED, earlier=waiting, chosen={"b002", "b003", "b004"})
    assert run.started() == []
    why = run.steering.why_not_started
    assert (why.kind, why.message) == (Kind.ROLLOUT_WAITS, "not started: b001 comes first, and has yet to be checked")


@pytest.mark.parametrize(
    ("status", "started"),
    [(ServerStatus.FAILED, ["b001"]), (ServerStatus.UNCHANGED, ["b001", "b002", "b003", "b004"])],
)
def test_a_server_that_failed_counts_until_it_has_succeeded(status: ServerStatus, started: list[str]) -> None:
    failed = {"b001": Standing(ServerStatus.FAILED)}
    run = Simulation(FOUR, CANARY, {**APPLIED, "b001": status}, earlier=failed)
    assert run.started() == started


def test_a_server_that_could_not_be_planned_takes_its_turn_in_its_batch() -> None:
    unplanned = {"b004": Standing(ServerStatus.FAILED, had_turn=False)}
    assert Simulation(FOUR, CANARY, APPLIED, earlier=unplanned).started() == ["b001", "b002", "b003", "b004"]


def batches_and_pauses(**more: Any) -> list[str]:  # noqa: ANN401 - those of Simulation
    """What happens in a rollout of four servers with a pause, two at a time: servers and pauses."""
    servers = [server(number) for number in range(1, 5)]
    run = Simulation(servers, Rollout(batches=(Amount(2, percent=False),), pause=10), APPLIED, **more)
    seen: list[str] = []
    while started := [*run.started(), *(["a pause"] if run.steering.pause else [])]:
        seen += started
    return seen


def test_the_pause_goes_between_batches_only() -> None:
    assert batches_and_pauses() == ["b001", "b002", "a pause", "b003", "b004"]


def test_a_batch_that_an_earlier_run_began_goes_on_without_a_pause() -> None:
    done = dict.fromkeys(("b001", "b002", "b003"), Standing(ServerStatus.APPLIED))
    assert batches_and_pauses(earlier=done, chosen={"b004"}) == ["b004"]
    del done["b003"]
    assert batches_and_pauses(earlier=done, chosen={"b003", "b004"}) == ["a pause", "b003", "b004"]


def test_each_batch_says_which_servers_it_has() -> None:
    servers = [server(number, canary=number == 3) for number in range(10)]
    rollout = Rollout(canary=Selector.parse("ring=canary"), batches=(Amount(4, percent=False),))
    schedule = make_schedule(servers, rollout)
    batches = [
        Batch(number=1, count=3, first=1, last=1, total=10, is_canaries=True),
        Batch(number=2, count=3, first=2, last=4, total=10),
        Batch(number=3, count=3, first=5, last=10, total=10),
    ]
    assert [schedule.batch_at(place) for place in range(10)] == [batches[0], *[batches[1]] * 3, *[batches[2]] * 6]
    run = Simulation(servers, ALL_AT_ONCE, {})
    assert (run.steering.next_job(), run.steering.new_batch) == (0, None)


def test_a_suspension_counts_against_no_budget() -> None:
    run = Simulation(FOUR, CANARY, {**APPLIED, "b001": ServerStatus.REFUSED})
    run.plans[0] = replace(run.plans[0], suspended="it is being moved")
    assert run.started() == ["b001", "b002", "b003", "b004"]


@pytest.mark.parametrize(("failed", "reason"), [(2, ""), (3, "3 of 100 servers failed, and max_failures is 2%")])
def test_the_reason_names_the_budget(failed: int, reason: str) -> None:
    servers = [server(number) for number in range(100)]
    progress = Progress(make_schedule(servers, ALL_AT_ONCE), Rollout(max_failures=Amount(2, percent=True)))
    for one in servers[:failed]:
        progress.finish(one.name, ServerStatus.FAILED)
    assert progress.spent_budget == reason


def test_a_server_that_no_worker_has_taken_counts_as_unreachable() -> None:
    one, none = Amount(1, percent=False), Amount(0, percent=False)
    rollout = Rollout(batches=(one,), max_unreachable=none)
    assert Simulation(FOUR, rollout, {**APPLIED, "b001": ServerStatus.NOT_ATTEMPTED}).started() == ["b001"]
