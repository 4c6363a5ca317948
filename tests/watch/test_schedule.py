"""When servers are due."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from reconciler.watch.schedule import LONGEST_BACK_OFF, Schedule

if TYPE_CHECKING:
    from collections.abc import Callable


class Clock:
    """A monotonic clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def exactly(low: float, high: float) -> float:
    return (low + high) / 2


@pytest.fixture
def clock() -> Clock:
    return Clock()


def schedule(clock: Clock, interval: float = 60.0, jitter: Callable[[float, float], float] = exactly) -> Schedule:
    return Schedule(interval, clock, jitter)


def test_the_first_round_is_due_at_once_and_the_next_one_after_the_interval(clock: Clock) -> None:
    found = schedule(clock)
    assert found.round_is_due()
    found.round_began()
    assert (found.round_is_due(), found.seconds_left()) == (False, 60.0)
    clock.now += 60
    assert found.round_is_due()


def test_rounds_are_spread_around_the_interval(clock: Clock) -> None:
    found = Schedule(60.0, clock)
    lengths = set()
    for _ in range(50):
        found.round_began()
        lengths.add(found.seconds_left())
    assert all(54 <= length <= 66 for length in lengths)
    assert len(lengths) > 25


def test_a_server_that_fails_waits_twice_as_long_each_time_up_to_an_hour(clock: Clock) -> None:
    found = schedule(clock)
    waits = []
    for failures in range(1, 12):
        found.ended("b1", failures)
        waits.append(found.seconds_left("b1"))
    assert waits == [60, 120, 240, 480, 960, 1920, 3600, 3600, 3600, 3600, 3600]
    found.ended("b1", 10**9)
    assert found.seconds_left("b1") == LONGEST_BACK_OFF


def test_a_long_interval_is_never_shortened_by_failing(clock: Clock) -> None:
    found = schedule(clock, interval=7200.0)
    found.ended("b1", 3)
    assert found.seconds_left("b1") == 7200.0


def test_a_failing_server_is_due_on_its_own(clock: Clock) -> None:
    found = schedule(clock, interval=600.0)
    found.round_began()
    found.ended("b1", 1)
    clock.now += 1
    found.round_began()
    assert found.failing() == {"b1"}
    assert not found.due_retries()
    clock.now += 599
    assert found.due_retries() == {"b1"}
    assert not found.round_is_due()
    found.ended("b1", 0)
    assert not found.failing()


def test_a_commit_or_a_hook_resets_the_back_off(clock: Clock) -> None:
    found = schedule(clock)
    found.ended("b1", 9)
    for failures in (10, 11):
        found.retry_now()
        assert found.due_retries() == {"b1"}
        found.ended("b1", failures)
        assert found.seconds_left("b1") == 60.0
    found.ended("b1", 12)
    assert found.seconds_left("b1") == 120.0


def test_a_server_that_is_being_tried_is_not_due(clock: Clock) -> None:
    found = schedule(clock)
    found.round_began()
    found.ended("a", failures=1)
    found.ended("b", failures=1)
    found.retry_now()
    found.try_began({"a"})
    assert found.due_retries() == {"b"}
    assert found.failing() == {"a", "b"}
    found.try_began({"b"})
    assert found.due_retries() == set()
    assert found.seconds_left() == 60.0
    found.ended("a", failures=2)
    clock.now += 60
    assert found.due_retries() == {"a"}


def test_a_hook_tries_a_server_again_that_was_being_tried(clock: Clock) -> None:
    found = schedule(clock)
    for name in ("a", "b"):
        found.ended(name, failures=1)
    found.try_began({"a", "b"})
    found.retry_now()
    assert found.due_retries() == set()
    found.ended("a", failures=2)
    found.ended("b", failures=0)
    assert found.due_retries() == found.failing() == {"a"}
    found.try_began({"a"})
    found.ended("a", failures=3)
    assert found.due_retries() == set()


def test_a_commit_makes_servers_due_that_are_being_tried(clock: Clock) -> None:
    found = schedule(clock)
    found.ended("a", failures=1)
    found.try_began({"a"})
    found.keep({"a"})
    found.retry_now()
    assert found.due_retries() == {"a"}


def test_what_earlier_processes_have_seen_fail_waits_on(clock: Clock) -> None:
    found = schedule(clock)
    found.ended("b1", 5)
    assert found.seconds_left("b1") == 960.0


def test_the_next_thing_that_is_due_ends_the_wait(clock: Clock) -> None:
    found = schedule(clock)
    found.ended("b1", 1)
    clock.now += 30
    found.round_began()
    assert found.seconds_left() == 30.0
    clock.now += 1000
    assert found.seconds_left() == 0.0


def test_servers_that_are_not_declared_any_more_are_forgotten(clock: Clock) -> None:
    found = schedule(clock)
    found.ended("b1", 1)
    found.ended("b2", 1)
    found.keep({"b2"})
    assert found.failing() == {"b2"}
