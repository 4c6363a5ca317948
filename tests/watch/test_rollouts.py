"""What becomes of a rollout that takes several rounds, while servers fail, vanish and recover."""

from __future__ import annotations

import threading
from contextlib import closing
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from reconciler.sandbox.schemas import ErrorEntry, ErrorResponse
from reconciler.watch.state import WatchState
from tests.fleet.conftest import FleetOfSandboxes
from tests.watch.test_loop import manifests_of, until
from tests.watch.watched_fleet import WatchedFleet

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from reconciler.watch.loop import Watcher
    from tests.conftest import MakeSandbox

FAX = "fax@example.com"


@pytest.fixture
def watched(tmp_path: Path, make_sandbox: MakeSandbox) -> WatchedFleet:
    """Four servers in sync, of which the first is the canary."""
    (tmp_path / "fleet").mkdir()
    watched = WatchedFleet(FleetOfSandboxes(tmp_path / "fleet", make_sandbox), tmp_path / "state")
    watched.fleet.add("a", "b", "c", "d")
    (watched.fleet.folder / "fleet.yaml").write_text(
        "version: 1\nfleet: {rollout: {canary: name=a, batches: [100%], max_failures: 0, max_unreachable: 2}}\n"
    )
    watched.once()
    return watched


def commit(watched: WatchedFleet, names: str = "abcd") -> None:
    for name in names:
        watched.replace(name, "name: Fax", "name: Telefax")


def answer(status: HTTPStatus) -> Callable[..., NoReturn]:
    """A method of a store whose requests all have this status."""

    def fail(*_arguments: object, **_more: object) -> NoReturn:
        raise ErrorResponse(status, ErrorEntry("name", "rule", "no"))

    return fail


def refuse(watched: WatchedFleet, monkeypatch: pytest.MonkeyPatch, name: str = "a") -> None:
    """A server refuses all updates."""
    monkeypatch.setattr(watched.fleet.boxes[name]._store, "replace", answer(HTTPStatus.BAD_REQUEST))


def shut_down(watched: WatchedFleet, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """A proxy says that a server is down."""
    monkeypatch.setattr(watched.fleet.boxes[name]._store, "list", answer(HTTPStatus.SERVICE_UNAVAILABLE))


def names_of_fax(watched: WatchedFleet, names: str = "abcd") -> str:
    """The name of the account on each of the servers: F for Fax, T for Telefax."""
    return "".join(str(watched.value(name, FAX, "name"))[0] for name in names)


def test_a_server_that_is_down_does_not_take_the_place_of_the_canary(
    watched: WatchedFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    shut_down(watched, monkeypatch, "d")
    refuse(watched, monkeypatch)
    commit(watched)
    done = watched.once()
    assert done.states() == {"a": "failed", "b": "pending", "c": "pending", "d": "unreachable"}
    assert done.notices == {"rollout_stopped": "the rollout has stopped: 1 of 4 servers failed, and max_failures is 0"}
    assert names_of_fax(watched, "abc") == "FFF"


def test_a_canary_that_failed_and_is_down_now_has_failed(
    watched: WatchedFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse(watched, monkeypatch)
    commit(watched)
    watched.once()
    shut_down(watched, monkeypatch, "a")
    done = watched.once()
    assert done.states() == {"a": "unreachable", "b": "pending", "c": "pending", "d": "pending"}
    assert names_of_fax(watched, "bcd") == "FFF"


def test_a_canary_that_failed_and_was_lost_sight_of_has_failed(
    watched: WatchedFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse(watched, monkeypatch)
    commit(watched)
    with watched.watcher(watched.options(interval=3600.0)) as watcher:
        manifests = manifests_of(watcher)
        watcher._next_round(manifests)
        watcher.status.lose_sight("abcd")
        watcher._schedule.start_round_now()
        watcher._next_round(manifests)  # without the canary, which is tried on its own
    assert names_of_fax(watched) == "FFFF"


def test_a_canary_that_could_not_be_planned_and_is_down_now_has_failed(
    watched: WatchedFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit(watched)
    watched.replace("a", "{env: KEY}", "{env: NO_SUCH_KEY}")
    assert watched.once().states()["a"] == "failed"
    watched.environ["NO_SUCH_KEY"] = "sandbox-refresh-token"
    shut_down(watched, monkeypatch, "a")
    assert watched.once().states()["a"] == "unreachable"
    assert names_of_fax(watched, "bcd") == "FFF"


def test_a_rollout_goes_on_once_a_person_has_put_the_server_right(
    watched: WatchedFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse(watched, monkeypatch)
    commit(watched)
    watched.once()
    monkeypatch.undo()
    watched.edit("a", FAX, name="Telefax")
    assert watched.once().notices == {}
    assert names_of_fax(watched) == "TTTT"


def test_a_rollout_goes_on_once_the_server_takes_the_change(
    watched: WatchedFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse(watched, monkeypatch)
    commit(watched)
    watched.once()
    monkeypatch.undo()
    assert watched.once().notices == {}
    assert names_of_fax(watched) == "TTTT"


def stopped(watcher: Watcher) -> bool:
    return "rollout_stopped" in watcher.status.notices


def test_a_round_on_the_server_that_recovered_is_no_all_clear_for_those_that_wait(
    watched: WatchedFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse(watched, monkeypatch)
    commit(watched)
    with watched.watcher(watched.options(interval=3600.0)) as watcher:
        manifests = manifests_of(watcher)
        watcher._next_round(manifests)
        monkeypatch.undo()
        watched.edit("a", FAX, name="Telefax")
        watcher._rejoin(["a"])
        watcher._next_round(manifests)
        assert (names_of_fax(watched), stopped(watcher)) == ("TFFF", True)
        watcher._next_round(manifests)  # at once, and not at the next interval
        assert (names_of_fax(watched), stopped(watcher)) == ("TTTT", False)


def test_a_server_that_comes_back_does_not_go_before_the_canary(watched: WatchedFleet) -> None:
    commit(watched)
    with watched.watcher(watched.options(interval=3600.0)) as watcher:
        manifests = manifests_of(watcher)
        watcher.status.lose_sight("abcd")
        watcher._schedule.round_began()
        watcher._pending = {"d": "retry"}
        watcher._next_round(manifests)
        assert watcher.status.records["d"].error == "not started: a comes first, and has yet to be checked"
        watcher._schedule.start_round_now()
        watcher._next_round(manifests)
    assert names_of_fax(watched) == "TTTT"


def test_what_was_written_is_recorded_before_the_round_ends(
    watched: WatchedFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched.edit("a", FAX, name="By hand")
    watched.edit("b", FAX, name="By hand")
    is_free = threading.Event()
    store = watched.fleet.boxes["b"]._store
    replace = store.replace

    def hang(account_id: int, fields: Any) -> Any:  # noqa: ANN401 - those of the store
        is_free.wait(20)
        return replace(account_id, fields)

    monkeypatch.setattr(store, "replace", hang)
    with watched.watcher(watched.options()) as watcher, closing(WatchState(watched.state)) as state:
        round_on_all = threading.Thread(target=watcher.run_once)
        round_on_all.start()
        until(state.corrections)
        try:
            assert [run.result for run in state.runs("a")][:1] == ["applied"]
            assert [one.server for one in state.corrections()] == ["a"]
            assert [run.result for run in state.runs("b")] == ["applied"]  # that of the first round
        finally:
            is_free.set()
            round_on_all.join(20)
        assert [one.server for one in state.corrections()] == ["a", "b"]
