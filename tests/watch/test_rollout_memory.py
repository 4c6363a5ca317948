"""What a watcher remembers of a rollout from one round to the next."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from reconciler.errors import Kind, Problem
from reconciler.fleet.rollout import Continuation
from reconciler.model.outcome import Report, ServerStatus
from reconciler.model.server import Server
from reconciler.watch.records import ChangeRecord, Origin, RunRecord, ServerRecord, ServerState
from reconciler.watch.rollout_memory import RolloutMemory
from reconciler.watch.round import ServerResult
from tests.watch.test_schedule import Clock

NOW = datetime(2026, 1, 2, tzinfo=UTC)
OLD, NEW = "a" * 40, "b" * 40


def server(name: str) -> Server:
    return Server(name, f"https://{name}.example.com")


def record(name: str, commit: str = NEW, state: ServerState = ServerState.SYNCED) -> ServerRecord:
    return ServerRecord(name=name, url=server(name).url, commit=commit, state=state)


def result(name: str, report: Report | None, origin: Origin = Origin.COMMIT) -> ServerResult:
    change = ChangeRecord(address="a@x.org", action="update", origin=origin)
    run = RunRecord(
        run="1", trigger="commit", commit=NEW, result="x", started_at=NOW, finished_at=NOW, changes=(change,)
    )
    return ServerResult(record=record(name), run=run, report=report)


def applied(name: str) -> Report:
    return Report.of_no_changes(server(name))


def not_started(name: str, kind: Kind) -> Report:
    return Report.of_failure(server(name), ServerStatus.NOT_ATTEMPTED, (Problem(kind=kind, message="why"),))


def earlier(memory: RolloutMemory, *records: ServerRecord, round_servers: tuple[str, ...] = ()) -> dict[str, str]:
    found = memory.continuation({one.name: one for one in records}, NEW, round_servers)
    return {one.name: status.value for one, status in found.earlier}


def test_servers_that_are_done_count_in_later_rounds_even_if_they_take_part() -> None:
    memory = RolloutMemory()
    memory.take([result("a", applied("a")), result("b", not_started("b", Kind.ROLLOUT_PAUSED))], 10)
    assert earlier(memory, record("a"), record("b", OLD)) == {"a": "unchanged"}
    assert earlier(memory, record("a"), record("b", OLD), round_servers=("a", "b")) == {"a": "unchanged"}


def test_servers_that_fail_and_are_not_reached_count_against_the_budgets() -> None:
    found = earlier(
        RolloutMemory(),
        record("down", OLD, ServerState.UNREACHABLE),
        record("bad", OLD, ServerState.FAILED),
        record("refused", OLD, ServerState.REFUSED),
        record("suspended", OLD, ServerState.SUSPENDED),
        record("recovered", NEW, ServerState.FAILED),
        record("in the round", OLD, ServerState.FAILED),
        round_servers=("in the round",),
    )
    assert found == {"down": "unreachable", "bad": "failed", "refused": "refused"}


def test_drift_is_no_part_of_a_rollout() -> None:
    memory = RolloutMemory()
    memory.take([result("a", applied("a"), Origin.DRIFT)], 0)
    assert earlier(memory, record("a")) == {}


def test_a_rollout_that_stopped_says_why_until_it_goes_on() -> None:
    memory = RolloutMemory()
    memory.take([result("b", not_started("b", Kind.ROLLOUT_STOPPED))], 0)
    assert memory.stopped == "why"
    memory.take([result("b", applied("b"))], 0)
    assert memory.stopped == ""


def test_a_pause_ends_once_and_the_next_round_does_not_pause_again() -> None:
    clock = Clock()
    memory = RolloutMemory(clock)
    assert (memory.seconds_left, memory.is_pausing, memory.goes_on()) == (None, False, False)
    memory.take([result("a", applied("a")), result("b", not_started("b", Kind.ROLLOUT_PAUSED))], 10)
    assert (memory.seconds_left, memory.is_pausing, memory.goes_on()) == (10, True, False)
    memory.take([result("b", None)], 10)
    clock.now += 10
    assert (memory.seconds_left, memory.is_pausing, memory.goes_on(), memory.goes_on()) == (0, False, True, False)
    assert memory.continuation({}, NEW, ()) == Continuation(has_paused=True, waits=False)
    memory.take([result("b", applied("b"))], 10)
    assert memory.seconds_left is None
    assert memory.continuation({}, NEW, ()) == Continuation(waits=False)


def test_a_server_that_was_stopped_before_its_first_write_has_yet_to_take_its_turn() -> None:
    memory = RolloutMemory()
    memory.take([result("a", Report.of_failure(server("a"), ServerStatus.NOT_ATTEMPTED, ()))], 0)
    assert (memory.stopped, earlier(memory, record("a"))) == ("", {})


def test_another_commit_starts_from_nothing() -> None:
    memory = RolloutMemory()
    memory.take([result("a", applied("a")), result("b", not_started("b", Kind.ROLLOUT_PAUSED))], 10)
    memory.restart()
    assert memory.seconds_left is None
    assert earlier(memory, record("a")) == {}


def test_a_new_process_goes_on_with_the_pause_and_the_budgets() -> None:
    clock, time_of_day = Clock(), Clock()
    time_of_day.now = 1_000_000
    memory = RolloutMemory(clock, time_of_day)
    memory.take([result("a", applied("a")), result("b", not_started("b", Kind.ROLLOUT_PAUSED))], 10)
    stored = json.loads(json.dumps(memory.stored()))
    time_of_day.now += 4
    other = RolloutMemory(Clock(), time_of_day)
    other.resume(stored)
    assert (other.seconds_left, other.is_pausing) == (6, True)
    assert earlier(other, record("a"), record("b", OLD)) == {"a": "unchanged"}
    time_of_day.now -= 100
    other.resume(stored)
    assert other.seconds_left == 10
    time_of_day.now += 1000
    other.resume(stored)
    assert (other.is_pausing, other.goes_on()) == (False, True)


@pytest.mark.parametrize("stored", [{}, {"finished": {"a": "odd"}, "left": None, "at": 0}, {"finished": []}])
def test_what_cannot_be_read_of_a_rollout_is_as_if_there_was_none(stored: dict[str, Any]) -> None:
    memory = RolloutMemory()
    memory.resume(stored)
    assert (memory.seconds_left, earlier(memory, record("a"))) == (None, {})
