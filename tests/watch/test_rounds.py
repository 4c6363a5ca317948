"""What a round writes, what it holds back, and what it remembers for the next one."""

from __future__ import annotations

import gc
import weakref
from contextlib import closing
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from reconciler.errors import Kind
from reconciler.sandbox.schemas import ErrorEntry, ErrorResponse
from reconciler.watch.records import ServerState, SuspendedBy, Suspension
from reconciler.watch.state import WatchState
from tests.fleet.conftest import DOWN, FleetOfSandboxes
from tests.watch.watched_fleet import WatchedFleet

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import MakeSandbox

ALERTS, FAX = "alerts@a.example.com", "fax@example.com"


@pytest.fixture
def watched(tmp_path: Path, make_sandbox: MakeSandbox) -> WatchedFleet:
    (tmp_path / "fleet").mkdir()
    return WatchedFleet(FleetOfSandboxes(tmp_path / "fleet", make_sandbox), tmp_path / "state")


def test_a_first_round_applies_what_is_declared(watched: WatchedFleet) -> None:
    watched.fleet.add("a", "b")
    done = watched.once()
    assert done.changes("a") == [f"create {ALERTS} commit: applied", f"create {FAX} commit: applied"]
    assert done.states() == {"a": "synced", "b": "synced"}
    record = done.record("a")
    assert record.commit == done.overview.commit
    assert (record.drift, record.changes, record.error, record.changed_since) == (0, (), "", None)
    assert record.last_success == record.last_run
    again = watched.once()
    assert (again.changes("a"), again.results["a"].run.result) == ([], "unchanged")


def test_a_round_collects_cyclic_garbage(watched: WatchedFleet, monkeypatch: pytest.MonkeyPatch) -> None:
    class Node:
        def __init__(self) -> None:
            self.itself = self

    watched.fleet.add("a")
    garbage = weakref.ref(Node())
    monkeypatch.setattr(gc, "freeze", lambda: None)  # what is there now belongs to other tests
    gc.disable()
    watched.once()
    gc.enable()
    assert garbage() is None


def test_drift_is_corrected(watched: WatchedFleet) -> None:
    watched.fleet.add("a")
    watched.once()
    watched.edit("a", ALERTS, smtp_server="by-hand.example.com", smtp_port=2525)
    done = watched.once()
    assert done.changes("a") == [f"update {ALERTS} drift: applied"]
    assert [row.field for row in done.results["a"].run.changes[0].rows] == ["smtp_server"]
    assert watched.value("a", ALERTS, "smtp_server") == "mx.example.com"


def test_drift_that_is_only_reported_stays_visible_and_is_not_written(watched: WatchedFleet) -> None:
    watched.fleet.add("a")
    watched.once(drift=False)
    watched.edit("a", ALERTS, smtp_server="by-hand.example.com")
    first, second = watched.once(drift=False), watched.once(drift=False)
    held = f"update {ALERTS} drift: drift is only reported (--on-drift report)"
    assert (first.changes("a"), second.changes("a")) == ([held], [held])
    assert second.states() == {"a": "drifted"}
    assert second.record("a").drift == 1
    assert first.record("a").changed_since == second.record("a").changed_since
    assert watched.value("a", ALERTS, "smtp_server") == "by-hand.example.com"


def test_a_commit_is_applied_beside_drift_that_is_only_reported(watched: WatchedFleet) -> None:
    watched.fleet.add("a")
    watched.once(drift=False)
    watched.edit("a", ALERTS, smtp_server="by-hand.example.com")
    watched.replace("a", "name: Fax", "name: Telefax")
    done = watched.once(drift=False)
    assert done.changes("a") == [
        f"update {ALERTS} drift: drift is only reported (--on-drift report)",
        f"update {FAX} commit: applied",
    ]
    assert done.record("a").commit == done.overview.commit
    assert watched.value("a", FAX, "name") == "Telefax"
    assert watched.value("a", ALERTS, "smtp_server") == "by-hand.example.com"


def test_drift_is_corrected_beside_a_commit_that_is_only_planned(watched: WatchedFleet) -> None:
    watched.fleet.add("a")
    first = watched.once()
    watched.edit("a", ALERTS, smtp_server="by-hand.example.com")
    watched.replace("a", "name: Fax", "name: Telefax")
    done = watched.once(commits=False)
    assert done.changes("a") == [
        f"update {ALERTS} drift: applied",
        f"update {FAX} commit: commits are only planned (--on-commit plan)",
    ]
    assert done.states() == {"a": "pending"}
    assert done.record("a").commit == first.overview.commit != done.overview.commit


def test_without_a_state_updates_and_deletes_count_as_drift(watched: WatchedFleet) -> None:
    watched.fleet.add("a")
    watched.once()
    watched.edit("a", ALERTS, smtp_server="by-hand.example.com")
    watched.state = watched.state.with_name("other")
    done = watched.once(drift=False)
    assert done.changes("a") == [f"update {ALERTS} drift: drift is only reported (--on-drift report)"]
    assert watched.once(drift=False).changes("a") == done.changes("a")


DEFAULTS = """accounts:
  - {email: one@x.org, name: One, default: true, service: other, smtp_server: mx.example.com}
  - {email: two@x.org, name: Two, service: other, smtp_server: mx.example.com}
"""


def declare_defaults(watched: WatchedFleet, accounts: str) -> None:
    path = watched.fleet.folder / "a.yaml"
    path.write_text(path.read_text().partition("accounts:")[0] + accounts)


def test_a_change_that_needs_one_that_is_held_is_held_too(watched: WatchedFleet) -> None:
    watched.fleet.add("a")
    declare_defaults(watched, DEFAULTS)
    watched.once()
    watched.edit("a", "two@x.org", smtp_server="by-hand.example.com")
    two = DEFAULTS.splitlines()[2].replace("Two,", "Two, default: true,")
    declare_defaults(watched, f"accounts:\n{two}\n")
    done = watched.once(drift=False)
    assert done.changes("a") == [
        "delete one@x.org commit: needs the change of two@x.org, which is held",
        "update two@x.org both: drift is only reported (--on-drift report)",
    ]
    assert done.states() == {"a": "pending"}
    assert watched.value("a", "one@x.org", "default")
    assert watched.once().states() == {"a": "synced"}
    assert watched.fleet.held() == {"a": ["two@x.org"]}


def test_a_second_default_account_is_corrected(watched: WatchedFleet) -> None:
    watched.fleet.add("a")
    declare_defaults(watched, DEFAULTS)
    watched.once()
    watched.edit("a", "two@x.org", default=True)
    done = watched.once()
    assert done.changes("a") == ["update two@x.org drift: applied"]
    assert done.states() == {"a": "synced"}
    assert not watched.value("a", "two@x.org", "default")


def test_an_account_that_somebody_created_or_deleted_is_drift(watched: WatchedFleet) -> None:
    watched.fleet.add("a")
    watched.once()
    box = watched.fleet.boxes["a"]
    fax = next(one for one in box._store.list() if one.fields["email"] == FAX)
    box._store.create({**fax.fields, "email": "extra@example.com", "name": "Extra"})
    box._store.delete(fax.id)
    done = watched.once()
    assert done.changes("a") == ["delete extra@example.com drift: applied", f"create {FAX} drift: applied"]
    assert watched.fleet.held()["a"] == [ALERTS, FAX]


def test_a_guard_refuses_a_round_and_says_so(watched: WatchedFleet) -> None:
    watched.fleet.add("a")
    watched.once()
    text = (watched.fleet.folder / "a.yaml").read_text()
    (watched.fleet.folder / "a.yaml").write_text(text.partition("accounts:")[0] + "accounts: []\n")
    done = watched.once()
    assert done.states() == {"a": "refused"}
    assert "delete" in done.record("a").error
    assert watched.fleet.held()["a"] == [ALERTS, FAX]


# Suspensions.


def suspend(watched: WatchedFleet, server: str, **more: datetime) -> None:
    with closing(WatchState(watched.state)) as state:
        state.suspend(server, Suspension(reason="firmware upgrade", by=SuspendedBy.COMMAND, user="ana", **more))


def test_a_suspended_server_is_planned_and_shown_and_never_written(watched: WatchedFleet) -> None:
    watched.fleet.add("a", "b")
    watched.once()
    suspend(watched, "a")
    watched.edit("a", ALERTS, smtp_server="by-hand.example.com")
    done = watched.once()
    assert done.changes("a") == [f"update {ALERTS} drift: suspended: firmware upgrade"]
    assert done.states() == {"a": "suspended", "b": "synced"}
    assert done.record("a").suspended == Suspension(reason="firmware upgrade", by=SuspendedBy.COMMAND, user="ana")
    assert watched.value("a", ALERTS, "smtp_server") == "by-hand.example.com"


def test_a_suspended_server_in_sync_is_not_shown_as_in_sync(watched: WatchedFleet) -> None:
    watched.fleet.add("a")
    suspend(watched, "a")
    watched.once()
    assert watched.fleet.held()["a"] == []
    watched.fleet.add("b", more=", suspended: moving house")
    done = watched.once()
    assert done.states() == {"a": "suspended", "b": "suspended"}
    assert done.record("b").suspended == Suspension(reason="moving house", by=SuspendedBy.MANIFEST)


def test_a_server_that_is_suspended_during_its_round_is_shown_as_suspended(
    watched: WatchedFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched.fleet.add("a")
    store = watched.fleet.boxes["a"]._store
    create = store.create

    def suspending(fields: Any) -> Any:  # noqa: ANN401 - those of the store
        suspend(watched, "a")
        return create(fields)

    monkeypatch.setattr(store, "create", suspending)
    done = watched.once(parallelism=1)
    assert done.changes("a") == [f"create {ALERTS} commit: applied", f"create {FAX} commit: failed"]
    assert done.states() == {"a": "suspended"}
    assert done.record("a").error.endswith("not written: the server was suspended in the meantime (firmware upgrade)")
    assert watched.fleet.held() == {"a": [ALERTS]}


def test_a_write_is_not_repeated_on_a_server_that_was_suspended_meanwhile(
    watched: WatchedFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched.fleet.add("a")
    watched.once()
    watched.edit("a", ALERTS, smtp_server="by-hand.example.com")
    writes: list[object] = []

    def unavailable(*arguments: object) -> None:
        writes.append(arguments)
        suspend(watched, "a")
        raise ErrorResponse(HTTPStatus.SERVICE_UNAVAILABLE, ErrorEntry("server", "rule", "restarting"))

    monkeypatch.setattr(watched.fleet.boxes["a"]._store, "replace", unavailable)
    done = watched.once()
    assert (len(writes), done.states()) == (1, {"a": "suspended"})
    assert done.record("a").error.endswith(
        "not written again: the server was suspended in the meantime (firmware upgrade)"
    )


def test_a_suspension_ends_by_itself_or_by_command(watched: WatchedFleet) -> None:
    watched.fleet.add("a", "b")
    suspend(watched, "a", until=datetime.now(UTC) - timedelta(seconds=1))
    suspend(watched, "b")
    assert watched.once().states() == {"a": "synced", "b": "suspended"}
    with closing(WatchState(watched.state)) as state:
        state.resume("b")
    assert watched.once().states() == {"a": "synced", "b": "synced"}


# The heal limit.


def test_the_heal_limit_stops_a_server_until_people_resume_it(watched: WatchedFleet) -> None:
    watched.fleet.add("a", "b")
    watched.once()
    seen = []
    for host in ("one.example.com", "two.example.com", "three.example.com"):
        watched.edit("a", ALERTS, smtp_server=host)
        done = watched.once(heal_limit="2/1h")
        seen.append((done.states()["a"], watched.value("a", ALERTS, "smtp_server")))
    assert seen == [("synced", "mx.example.com"), ("stopped", "mx.example.com"), ("stopped", "three.example.com")]
    suspended = done.record("a").suspended
    assert suspended
    assert (suspended.by, suspended.reason) == (
        SuspendedBy.HEAL_LIMIT,
        f"smtp_server of {ALERTS} was corrected as often as --heal-limit 2/1h allows: somebody else changes it",
    )
    with closing(WatchState(watched.state)) as state:
        state.resume("a")
    assert watched.once(heal_limit="2/1h").states()["a"] == "synced"
    assert watched.value("a", ALERTS, "smtp_server") == "mx.example.com"


def test_a_correction_that_is_undone_at_once_counts_against_the_heal_limit(
    watched: WatchedFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched.fleet.add("a")
    watched.once()
    watched.edit("a", ALERTS, smtp_server="by-hand.example.com")
    store = watched.fleet.boxes["a"]._store
    replace, writes = store.replace, []

    def undone(account_id: int, fields: Any) -> Any:  # noqa: ANN401 - those of the store
        writes.append(account_id)
        written = replace(account_id, fields)
        replace(account_id, {**fields, "smtp_server": "by-hand.example.com"})
        return written

    monkeypatch.setattr(store, "replace", undone)
    states = [watched.once(heal_limit="2/1h").states()["a"] for _ in range(3)]
    assert (states, len(writes)) == (["failed", "stopped", "stopped"], 2)


def test_commits_do_not_count_against_the_heal_limit(watched: WatchedFleet) -> None:
    watched.fleet.add("a")
    names = ["Fax", "Fax1", "Fax2", "Fax3"]
    for old, new in pairwise(names):
        watched.once(heal_limit="1/1h")
        watched.replace("a", f"name: {old},", f"name: {new},")
    assert watched.once(heal_limit="1/1h").states() == {"a": "synced"}


# Rollouts and failures.


def test_a_canary_that_fails_keeps_the_others_at_their_commit(watched: WatchedFleet) -> None:
    watched.fleet.add("a", "b", "c")
    first = watched.once()
    (watched.fleet.folder / "fleet.yaml").write_text(
        "version: 1\nfleet: {rollout: {canary: name=a, batches: [1, 100%], max_unreachable: 0}}\n"
    )
    watched.replace("a", watched.fleet.boxes["a"].url, DOWN)
    for name in "abc":
        watched.replace(name, "name: Fax", "name: Telefax")
    for waiting in (["b", "c"], []):  # a server that goes on waiting is logged once
        done = watched.once()
        assert [one["server"] for one in done.events if one["event"] == "server_waits"] == waiting
        assert [one["server"] for one in done.events if one["event"] == "server_failed"] == ["a"]
        assert done.states() == {"a": "unreachable", "b": "pending", "c": "pending"}
        assert done.record("b").commit == first.overview.commit
        assert "1 of 3 servers could not be reached" in done.record("b").error
        assert "1 of 3 servers could not be reached" in done.notices["rollout_stopped"]
    assert watched.value("b", FAX, "name") == "Fax"


def test_drift_is_corrected_although_a_rollout_has_stopped(watched: WatchedFleet) -> None:
    watched.fleet.add("a", "b", "c")
    watched.once()
    (watched.fleet.folder / "fleet.yaml").write_text(
        "version: 1\nfleet: {rollout: {canary: name=a, batches: [1, 100%], max_unreachable: 0}}\n"
    )
    watched.replace("a", watched.fleet.boxes["a"].url, DOWN)
    watched.replace("a", "name: Fax", "name: Telefax")
    watched.replace("b", "name: Fax", "name: Telefax")
    watched.edit("c", FAX, name="By hand")
    done = watched.once()
    assert done.states() == {"a": "unreachable", "b": "pending", "c": "synced"}


def test_a_server_that_cannot_be_reached_does_not_hold_the_others_back(watched: WatchedFleet) -> None:
    watched.fleet.add("a")
    watched.fleet.add("down", url=DOWN)
    done = watched.once()
    assert done.states() == {"a": "synced", "down": "unreachable"}
    assert (done.record("down").failures, watched.once().record("down").failures) == (1, 2)
    assert "connect" in done.record("down").error
    assert done.record("down").kinds == (Kind.CONNECTION_REFUSED,)


def test_a_server_that_moves_to_another_url_starts_from_nothing(watched: WatchedFleet) -> None:
    watched.fleet.add("a")
    watched.once()
    watched.fleet.add("a")
    done = watched.once(drift=False)
    assert done.changes("a") == [f"create {ALERTS} commit: applied", f"create {FAX} commit: applied"]


# The source.


def test_a_bad_commit_leaves_nothing_in_force_at_first_and_names_the_problem(watched: WatchedFleet) -> None:
    watched.fleet.add("a")
    watched.replace("a", "version: 1", "version: one")
    done = watched.once()
    assert (done.results, done.overview.servers) == ({}, ())
    assert "version" in done.notices["source_failed"]


def test_fewer_servers_than_declared_are_a_bad_commit(watched: WatchedFleet) -> None:
    watched.fleet.add("a")
    (watched.fleet.folder / "fleet.yaml").write_text("version: 1\nfleet: {min_servers: 2}\n")
    done = watched.once()
    assert "min_servers is 2" in done.notices["source_failed"]
    assert watched.fleet.held()["a"] == []


def test_a_server_whose_file_is_gone_is_forgotten_and_nothing_on_it_is_deleted(watched: WatchedFleet) -> None:
    watched.fleet.add("a", "b")
    watched.once()
    (watched.fleet.folder / "b.yaml").unlink()
    assert watched.once().states() == {"a": "synced"}
    assert len(watched.fleet.held()["b"]) == 2


def test_the_log_has_event_server_commit_and_run_on_every_line(watched: WatchedFleet) -> None:
    watched.fleet.add("a")
    done = watched.once()
    assert all({"time", "level", "event", "server", "commit", "run"} <= set(event) for event in done.events)
    changes = [event for event in done.events if event["event"] == "change"]
    assert [(event["server"], event["status"]) for event in changes] == [("a", "applied"), ("a", "applied")]
    assert {event["commit"] for event in changes} == {done.overview.commit}
    assert len({event["run"] for event in changes}) == 1


def test_states_are_kept_for_the_next_process(watched: WatchedFleet) -> None:
    watched.fleet.add("a")
    done = watched.once()
    with closing(WatchState(watched.state)) as state:
        assert state.commit() == done.overview.commit
        assert state.records()["a"].state is ServerState.SYNCED
        assert [run.result for run in state.runs("a")] == ["applied"]


def test_a_renamed_server_stays_suspended_and_keeps_what_is_known_of_it(watched: WatchedFleet) -> None:
    watched.fleet.add("a", "b")
    watched.once()
    suspend(watched, "a")
    watched.edit("a", ALERTS, smtp_server="by-hand.example.com")
    watched.once()
    watched.replace("a", "name: a,", "name: moved,")
    done = watched.once()
    assert done.changes("moved") == [f"update {ALERTS} drift: suspended: firmware upgrade"]
    assert done.states() == {"b": "synced", "moved": "suspended"}
    assert watched.once().states() == {"b": "synced", "moved": "suspended"}
    assert watched.value("a", ALERTS, "smtp_server") == "by-hand.example.com"
