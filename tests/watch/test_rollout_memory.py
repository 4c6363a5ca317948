"""What a watcher remembers of a rollout from one round to the next."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from reconciler.errors import Kind, Problem
from reconciler.fleet.rollout import Continuation, Standing
from reconciler.model.outcome import Report, ServerStatus
from reconciler.model.server import Server
from reconciler.watch.records import (
    ChangeRecord,
    Origin,
    RunRecord,
    ServerRecord,
    ServerState,
    SuspendedBy,
    Suspension,
)
from reconciler.watch.rollout_memory import RolloutMemory
from reconciler.watch.round import ServerResult
from tests.watch.test_schedule import Clock

NOW = datetime(2026, 1, 2, tzinfo=UTC)
OLD, NEW = "a" * 40, "b" * 40
SUSPENSION = Suspension(reason="it is being moved", by=SuspendedBy.COMMAND)


def server(name: str) -> Server:
    return Server(name, f"https://{name}.example.com")


def record(name: str, commit: str = NEW, state: ServerState = ServerState.SYNCED) -> ServerRecord:
    return ServerRecord(name=name, url=server(name).url, commit=commit, state=state)


def result(name: str, report: Report | None, standing: Standing | None = None) -> ServerResult:
    change = ChangeRecord(address="a@x.org", action="update", origin=Origin.COMMIT)
    run = RunRecord(
        run="1", trigger="commit", commit=NEW, result="x", started_at=NOW, finished_at=NOW, changes=(change,)
    )
    return ServerResult(record=record(name), run=run, standing=standing, report=report)


def applied(name: str) -> ServerResult:
    return result(name, Report.of_no_changes(server(name)), Standing(ServerStatus.APPLIED))


def not_started(name: str, kind: Kind) -> ServerResult:
    problem = Problem(kind=kind, message="why")
    return result(name, Report.of_failure(server(name), ServerStatus.NOT_ATTEMPTED, (problem,)))


def take(memory: RolloutMemory, *results: ServerResult, pause: float = 10) -> None:
    memory.note(results)
    memory.end_round(results, pause)


def earlier(memory: RolloutMemory, *records: ServerRecord, round_servers: tuple[str, ...] = ()) -> dict[str, str]:
    found = memory.continuation({one.name: one for one in records}, NEW, round_servers)
    return {one.name: standing.status.value if standing.status else "waits" for one, standing in found.earlier}


def test_servers_that_are_done_count_in_later_rounds_even_if_they_take_part() -> None:
    memory = RolloutMemory()
    take(memory, applied("a"), not_started("b", Kind.ROLLOUT_PAUSED))
    assert earlier(memory, record("a"), record("b", OLD)) == {"a": "applied"}
    assert earlier(memory, record("a"), record("b", OLD), round_servers=("a", "b")) == {"a": "applied"}


def test_servers_that_fail_and_are_not_reached_count_against_the_budgets() -> None:
    found = earlier(
        RolloutMemory(),
        record("down", OLD, ServerState.UNREACHABLE),
        record("bad", OLD, ServerState.FAILED),
        record("refused", OLD, ServerState.REFUSED),
        replace(record("suspended", OLD, ServerState.SUSPENDED), suspended=SUSPENSION),
        record("recovered", NEW, ServerState.FAILED),
        record("in the round", OLD, ServerState.FAILED),
        round_servers=("in the round",),
    )
    assert found == {"down": "unreachable", "bad": "failed", "refused": "refused"}


@pytest.mark.parametrize("state", [ServerState.UNREACHABLE, ServerState.UNKNOWN, ServerState.PENDING])
def test_a_server_that_failed_counts_as_failed_whatever_becomes_of_it(state: ServerState) -> None:
    memory = RolloutMemory()
    take(memory, result("a", None, Standing(ServerStatus.FAILED)))
    assert earlier(memory, record("a", OLD, state)) == {"a": "failed"}
    assert earlier(memory, record("a", OLD, state), round_servers=("a",)) == {"a": "failed"}


def test_a_server_that_failed_no_longer_counts_once_it_is_suspended() -> None:
    memory = RolloutMemory()
    take(memory, result("a", None, Standing(ServerStatus.FAILED)))
    assert earlier(memory, replace(record("a", OLD, ServerState.SUSPENDED), suspended=SUSPENSION)) == {}


def test_servers_that_have_yet_to_take_their_turn_are_waited_for() -> None:
    waits = ChangeRecord(address="a@x.org", action="update", origin=Origin.COMMIT)
    pending = replace(record("pending", OLD, ServerState.PENDING), changes=(waits,))
    held = replace(pending, name="held", changes=(replace(waits, held="drift is only reported"),))
    found = earlier(RolloutMemory(), pending, held, record("unknown", OLD, ServerState.UNKNOWN), record("other", OLD))
    assert found == {"pending": "waits", "unknown": "waits"}


def test_a_rollout_that_stopped_says_why_until_it_goes_on() -> None:
    memory = RolloutMemory()
    take(memory, not_started("b", Kind.ROLLOUT_STOPPED))
    assert (memory.stopped, memory.goes_on()) == ("why", False)
    take(memory, applied("a"))
    assert (memory.stopped, memory.goes_on(), memory.goes_on()) == ("", True, False)


def test_a_pause_ends_once_and_the_next_round_does_not_pause_again() -> None:
    clock = Clock()
    memory = RolloutMemory(clock)
    assert (memory.seconds_left, memory.is_pausing, memory.goes_on()) == (None, False, False)
    take(memory, applied("a"), not_started("b", Kind.ROLLOUT_PAUSED))
    assert (memory.seconds_left, memory.is_pausing, memory.goes_on()) == (10, True, False)
    take(memory, result("b", None))
    clock.now += 10
    assert (memory.seconds_left, memory.is_pausing, memory.goes_on(), memory.goes_on()) == (0, False, True, False)
    assert memory.continuation({}, NEW, ()) == Continuation(has_paused=True, waits=False)
    take(memory, applied("b"))
    assert memory.seconds_left is None
    assert memory.continuation({}, NEW, ()) == Continuation(waits=False)


def test_another_commit_starts_from_nothing() -> None:
    memory = RolloutMemory()
    take(memory, applied("a"), not_started("b", Kind.ROLLOUT_PAUSED))
    memory.restart()
    assert memory.seconds_left is None
    assert earlier(memory, record("a")) == {}


def test_a_new_process_goes_on_with_the_pause_and_the_budgets() -> None:
    clock, time_of_day = Clock(), Clock()
    time_of_day.now = 1_000_000
    memory = RolloutMemory(clock, time_of_day)
    take(memory, applied("a"), not_started("b", Kind.ROLLOUT_PAUSED))
    stored = json.loads(json.dumps(memory.stored()))
    time_of_day.now += 4
    other = RolloutMemory(Clock(), time_of_day)
    other.resume(stored)
    assert (other.seconds_left, other.is_pausing) == (6, True)
    assert earlier(other, record("a"), record("b", OLD)) == {"a": "applied"}
    time_of_day.now -= 100
    other.resume(stored)
    assert other.seconds_left == 10
    time_of_day.now += 1000
    other.resume(stored)
    assert (other.is_pausing, other.goes_on()) == (False, True)


def test_a_new_process_knows_whether_the_rollout_had_come_to_a_server_that_failed() -> None:
    memory, other = RolloutMemory(), RolloutMemory()
    standings = [Standing(ServerStatus.FAILED), Standing(ServerStatus.FAILED, had_turn=False)]
    take(memory, result("a", None, standings[0]), result("b", None, standings[1]))
    other.resume(json.loads(json.dumps(memory.stored())))
    found = other.continuation({"a": record("a", OLD), "b": record("b", OLD)}, NEW, ())
    assert [standing for _, standing in found.earlier] == standings


@pytest.mark.parametrize("stored", [{}, {"finished": {"a": "odd"}, "left": None, "at": 0}, {"finished": []}])
def test_what_cannot_be_read_of_a_rollout_is_as_if_there_was_none(stored: dict[str, Any]) -> None:
    memory = RolloutMemory()
    memory.resume(stored)
    assert (memory.seconds_left, earlier(memory, record("a"))) == (None, {})
