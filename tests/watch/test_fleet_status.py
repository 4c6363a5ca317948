"""What the watcher knows of its fleet: its notices are stored for ``status``."""

from __future__ import annotations

import io
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from reconciler.errors import Kind, StateError
from reconciler.model.server import Server
from reconciler.watch.fleet_status import FleetStatus
from reconciler.watch.log import EventLog, LogFormat
from reconciler.watch.records import SuspendedBy, Suspension
from reconciler.watch.state import WatchState

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def state(tmp_path: Path) -> Iterator[WatchState]:
    with closing(WatchState(tmp_path / "state")) as state:
        yield state


def status_of(state: WatchState) -> FleetStatus:
    return FleetStatus(state, "fleet/", EventLog(LogFormat.JSON, str, io.StringIO()))


def test_notices_are_stored_as_soon_as_they_change(state: WatchState) -> None:
    status = status_of(state)
    status.notice("source_failed", "a")
    status.notice("rollout_stopped", "b")
    assert state.notices() == {"source_failed": "a", "rollout_stopped": "b"}
    status.withdraw("source_failed")
    assert state.notices() == {"rollout_stopped": "b"}


def test_notices_of_an_earlier_process_hold_until_the_source_has_been_looked_at(state: WatchState) -> None:
    status_of(state).notice("source_failed", "a")
    status = status_of(state)
    assert state.notices() == {"source_failed": "a"}
    status.declare([Server("b001", "https://b001.example.com")], "c1")
    assert state.notices() == {}


def test_notices_that_cannot_be_stored_are_stored_by_the_next_round(
    state: WatchState, monkeypatch: pytest.MonkeyPatch
) -> None:
    status = status_of(state)

    def fail(*_anything: object) -> None:
        raise StateError.of("disk full", kind=Kind.STATE)

    with monkeypatch.context() as full:
        full.setattr(WatchState, "save_notices", fail)
        status.notice("source_failed", "a")
    assert status.notices == {"source_failed": "a"}
    assert state.notices() == {}
    status.update([], {}, [])
    assert state.notices() == {"source_failed": "a"}


def test_servers_that_must_not_be_written_are_those_suspended_or_all_if_nobody_can_tell(
    state: WatchState, monkeypatch: pytest.MonkeyPatch
) -> None:
    status = status_of(state)
    state.suspend("b001", Suspension(reason="by hand", by=SuspendedBy.COMMAND))
    found = status.unwritable(["b001", "b002"])
    assert {name: one.message for name, one in found.items()} == {
        "b001": "the server was suspended in the meantime (by hand)"
    }

    def fail(_now: object) -> None:
        raise StateError.of("the disk is gone", kind=Kind.STATE)

    monkeypatch.setattr(state, "suspensions", fail)
    assert set(status.unwritable(["b001", "b002"])) == {"b001", "b002"}
