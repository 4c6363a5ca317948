"""When rounds begin, and what they do if a commit, a hook or a slow server comes in between."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from reconciler.watch import loop
from reconciler.watch.intake import Look
from reconciler.watch.records import SuspendedBy, Suspension
from tests.fleet.conftest import DOWN, FleetOfSandboxes
from tests.watch.watched_fleet import RecordingListener, WatchedFleet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from reconciler.watch.intake import Manifests
    from reconciler.watch.loop import Watcher
    from tests.conftest import MakeSandbox

ALERTS, FAX = "alerts@a.example.com", "fax@example.com"


@pytest.fixture
def watched(tmp_path: Path, make_sandbox: MakeSandbox) -> WatchedFleet:
    (tmp_path / "fleet").mkdir()
    return WatchedFleet(FleetOfSandboxes(tmp_path / "fleet", make_sandbox), tmp_path / "state")


def until(condition: Callable[[], object], seconds: float = 20.0) -> None:
    """Waits until a condition holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


@contextmanager
def running(watcher: Watcher) -> Iterator[None]:
    """The watcher runs in a thread of its own."""
    thread = threading.Thread(target=watcher.run)
    thread.start()
    try:
        yield
    finally:
        watcher.stop()
        thread.join(20)
        assert not thread.is_alive()


@pytest.fixture
def glances(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The times of the looks at suspensions, which happen often."""
    times: list[float] = []
    glance = loop.Watcher._glance

    def counted(watcher: Watcher) -> None:
        times.append(time.monotonic())
        glance(watcher)

    monkeypatch.setattr(loop, "_GLANCE", 0.02)
    monkeypatch.setattr(loop.Watcher, "_glance", counted)
    return times


def test_nothing_is_passed_on_between_rounds_unless_something_changes(
    watched: WatchedFleet, glances: list[float]
) -> None:
    watched.fleet.add("a")
    listener = RecordingListener()
    with watched.watcher(watched.options(interval=3600.0, poll=0.01), listener=listener) as watcher, running(watcher):
        until(watcher.is_ready)
        until(lambda: listener.overviews)
        before, seen = len(listener.overviews), len(glances)
        until(lambda: len(glances) > seen + 10)
        assert len(listener.overviews) == before
        watcher.status._state.suspend("a", Suspension(reason="firmware upgrade", by=SuspendedBy.COMMAND))
        until(lambda: len(listener.overviews) > before)
        assert listener.overviews[-1].servers[0].suspended


def test_a_server_that_does_not_respond_costs_no_time_while_it_is_tried(
    watched: WatchedFleet, glances: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    hanging, begun = threading.Event(), threading.Event()

    def hang(*_arguments: object) -> tuple[()]:
        begun.set()
        hanging.wait(20)
        return ()

    watched.fleet.add("a", url=DOWN)
    with watched.watcher(watched.options(interval=0.2, poll=0.01)) as watcher:
        monkeypatch.setattr(watcher._rounds, "try_failing", hang)
        with running(watcher):
            watcher.trigger()
            until(begun.is_set)
            seen = len(glances)
            time.sleep(0.5)
            assert len(glances) - seen < 50
            hanging.set()


def manifests_of(watcher: Watcher) -> Manifests:
    """The newest manifests, taken into account as the loop does."""
    look = watcher._intake.look()
    while not look.manifests:
        look = watcher._intake.look()
    watcher._take(look)
    return look.manifests


def test_a_commit_that_is_taken_as_soon_as_it_is_found_is_not_superseded_by_the_one_before(
    watched: WatchedFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched.fleet.add("a")
    with watched.watcher(watched.options()) as watcher:
        old = manifests_of(watcher)
        new = replace(old, revision=replace(old.revision, commit="f" * 40))
        watcher._rounds.supersede(old.revision.commit)
        monkeypatch.setattr(watcher, "_events", SimpleNamespace(put=watcher._take))
        watcher._found(Look(new))
        assert watcher._rounds.run(new, new.fleet.servers, "commit")
    assert watched.fleet.held() == {"a": [ALERTS, FAX]}


def test_a_commit_that_arrives_just_before_a_round_supersedes_it(watched: WatchedFleet) -> None:
    watched.fleet.add("a")
    with watched.watcher(watched.options()) as watcher:
        old = manifests_of(watcher)
        watcher._rounds.supersede("f" * 40)
        assert watcher._rounds.run(old, old.fleet.servers, "interval") is None
        assert not watcher.is_ready()
        new = replace(old, revision=replace(old.revision, commit="f" * 40))
        assert watched.fleet.held() == {"a": []}
        assert watcher._rounds.run(new, new.fleet.servers, "commit")
    assert watched.fleet.held() == {"a": [ALERTS, FAX]}


def test_a_round_that_was_due_and_was_superseded_is_made_up_for(watched: WatchedFleet) -> None:
    watched.fleet.add("a", "b")
    with watched.watcher(watched.options(interval=3600.0)) as watcher:
        old = manifests_of(watcher)
        watcher._rounds.supersede("f" * 40)
        watcher._next_round(old)
        assert watcher._schedule.round_is_due()
        watcher._next_round(replace(old, revision=replace(old.revision, commit="f" * 40)))
        assert not watcher._schedule.round_is_due()
    assert watched.fleet.held()["b"]


def test_a_try_of_a_former_manifest_says_nothing_about_the_new_one(watched: WatchedFleet) -> None:
    watched.fleet.add("a", "b")
    url = watched.fleet.boxes["a"].url
    watched.replace("a", url, DOWN)
    with watched.watcher(watched.options(interval=0.001)) as watcher:
        old = manifests_of(watcher)
        watcher._next_round(old)
        until(watcher._schedule.due_retries)
        watcher._try_failing(old)
        tried = watcher._events.get(timeout=20)
        watched.replace("a", DOWN, url)
        new = manifests_of(watcher)
        assert isinstance(tried, loop._Try)
        watcher._take_tried(tried)
        assert watcher.status.records["a"].url == url
        watcher._next_round(new)
        assert {one.state.value for one in watcher.overview().servers} == {"synced"}


@pytest.fixture
def hanging() -> Iterator[str]:
    """The URL of a server that takes connections and never responds."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def begin_to_try(watcher: Watcher, manifests: Manifests, *servers: str) -> None:
    """Servers have failed, and are tried."""
    for name in servers:
        watcher._schedule.ended(name, failures=1)
    watcher._schedule.retry_now(*servers)
    watcher._try_failing(manifests)


def test_a_server_that_responds_again_does_not_wait_for_those_that_hang(watched: WatchedFleet, hanging: str) -> None:
    watched.fleet.add("a")
    watched.fleet.add("b", url=hanging)
    with watched.watcher(watched.options(interval=3600.0)) as watcher:
        manifests = manifests_of(watcher)
        begin_to_try(watcher, manifests, "a", "b")
        (tried,) = watcher._tries
        until(lambda: tried.responded)
        watcher._schedule.start_round_now()
        watcher._next_round(manifests)
        assert watched.fleet.held() == {"a": [ALERTS, FAX]}
        assert watcher._schedule.failing() == tried.servers == {"b"}


def test_a_server_that_is_due_is_tried_although_others_hang(watched: WatchedFleet, hanging: str) -> None:
    watched.fleet.add("a")
    watched.fleet.add("b", url=hanging)
    with watched.watcher(watched.options(interval=3600.0)) as watcher:
        manifests = manifests_of(watcher)
        begin_to_try(watcher, manifests, "b")
        begin_to_try(watcher, manifests, "a")
        watcher._schedule.round_began()
        watcher._wait()
        watcher._next_round(manifests)
        assert watched.fleet.held() == {"a": [ALERTS, FAX]}
        assert watcher._schedule.failing() == {"b"}


def test_servers_that_hang_do_not_take_up_all_threads(
    watched: WatchedFleet, hanging: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "_MOST_TRIES", 2)
    watched.fleet.add("a", url=hanging)
    watched.fleet.add("b", url=hanging.replace("127.0.0.1", "localhost"))
    watched.fleet.add("c", url=DOWN)
    with watched.watcher(watched.options(interval=3600.0)) as watcher:
        manifests = manifests_of(watcher)
        for name in ("a", "b", "c"):
            begin_to_try(watcher, manifests, name)
        assert [tried.servers for tried in sorted(watcher._tries, key=lambda one: min(one.servers))] == [{"a"}, {"b"}]
        assert watcher._schedule.due_retries() == {"c"}


def test_a_new_commit_does_not_wait_for_servers_that_hang(watched: WatchedFleet, hanging: str) -> None:
    watched.fleet.add("a")
    url = watched.fleet.boxes["a"].url
    watched.replace("a", url, hanging)
    with watched.watcher(watched.options(interval=3600.0)) as watcher:
        old = manifests_of(watcher)
        begin_to_try(watcher, old, "a")
        watched.replace("a", hanging, url)
        new = manifests_of(watcher)
        watcher._try_failing(new)
        watcher._next_round(new)
        assert watched.fleet.held() == {"a": [ALERTS, FAX]}


def test_a_hook_resets_the_back_off_of_servers_that_are_being_tried(watched: WatchedFleet) -> None:
    watched.fleet.add("a")
    watched.fleet.add("down", url=DOWN)
    with watched.watcher(watched.options(interval=3600.0)) as watcher:
        manifests = manifests_of(watcher)
        watcher._next_round(manifests)
        hook = Look(triggers=frozenset({"hook"}))
        watcher._take(hook)
        watcher._try_failing(manifests)
        tried = watcher._events.get(timeout=20)
        watcher._take(hook)
        assert isinstance(tried, loop._Try)
        watcher._take_tried(tried)
        assert watcher._schedule.due_retries() == {"down"}
        watcher._try_failing(manifests)
        tried = watcher._events.get(timeout=20)
        assert isinstance(tried, loop._Try)
        watcher._take_tried(tried)
        assert watcher._schedule.due_retries() == frozenset()


def test_a_canary_that_moved_while_it_failed_comes_first(watched: WatchedFleet) -> None:
    (watched.fleet.folder / "fleet.yaml").write_text(
        "version: 1\nfleet: {rollout: {canary: name=a, batches: [1, 100%], max_unreachable: 0, max_failures: 0}}\n"
    )
    watched.fleet.add("a", url=DOWN)
    watched.fleet.add("b")
    with watched.watcher(watched.options(interval=3600.0)) as watcher:
        watcher._next_round(manifests_of(watcher))
        assert watched.fleet.held() == {"b": []}
        watched.replace("a", DOWN, "http://127.0.0.1:11")
        watcher._next_round(manifests_of(watcher))
        assert watched.fleet.held() == {"b": []}
    assert watcher.status.records["a"].state == "unreachable"


def test_a_source_with_a_bug_is_a_problem_that_is_shown_and_not_the_end_of_looking(
    watched: WatchedFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched.fleet.add("a")
    with watched.watcher(watched.options()) as watcher:
        manifests_of(watcher)
        monkeypatch.setattr(watcher._intake.source, "is_intact", lambda _revision: 1 / 0)
        watched.replace("a", "name: Fax", "name: Telefax")
        until(lambda: "ZeroDivisionError" in watcher._intake.look().problem)
        monkeypatch.undo()
        manifests_of(watcher)


def trust_file(watched: WatchedFleet, folder: Path) -> Path:
    path = folder / "trust.yaml"
    servers = "".join(f"  - {{url: '{box.url}', env: [KEY]}}\n" for box in watched.fleet.boxes.values())
    path.write_text(f"version: 1\nservers:\n{servers}")
    return path


def test_a_round_that_fails_leaves_no_server_shown_as_in_sync(watched: WatchedFleet, tmp_path: Path) -> None:
    watched.fleet.add("a", "b")
    trust = trust_file(watched, tmp_path)
    with watched.watcher(watched.options(interval=3600.0), trust=str(trust)) as watcher:
        manifests = manifests_of(watcher)
        states: list[set[str]] = []
        for text in (trust.read_text(), "version: [", trust.read_text()):
            trust.write_text(text)
            if states:
                watched.edit("a", FAX, name="By hand")
            watcher._schedule.start_round_now()
            watcher._next_round(manifests)
            states.append({one.state.value for one in watcher.overview().servers})
            assert bool(watcher.status.notices) == (text == "version: [")
    assert states == [{"synced"}, {"unknown"}, {"synced"}]
    assert watched.value("a", FAX, "name") == "Fax"


def test_servers_that_fail_are_tried_at_once_when_rounds_no_longer_fail(watched: WatchedFleet, tmp_path: Path) -> None:
    watched.fleet.add("a", "b")
    trust = trust_file(watched, tmp_path)
    good = trust.read_text()
    with watched.watcher(watched.options(interval=3600.0), trust=str(trust)) as watcher:
        manifests = manifests_of(watcher)
        trust.write_text("version: [")
        begin_to_try(watcher, manifests, "a")
        tried = watcher._events.get(timeout=20)
        watcher._next_round(manifests)
        assert isinstance(tried, loop._Try)
        watcher._take_tried(tried)
        assert watcher._schedule.due_retries() == frozenset()
        trust.write_text(good)
        watcher._schedule.start_round_now()
        watcher._next_round(manifests)
        assert watcher._schedule.due_retries() == {"a"}
