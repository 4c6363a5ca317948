"""The state directory: what it remembers, and what happens if it is damaged, shared or full."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

import pytest

from reconciler.errors import Kind, LockedError, StateError
from reconciler.report.view import FieldRow
from reconciler.watch.heal import Correction
from reconciler.watch.outbox import Message
from reconciler.watch.records import (
    ChangeRecord,
    Origin,
    RunRecord,
    ServerRecord,
    ServerState,
    SuspendedBy,
    Suspension,
    VerifiedAccount,
)
from reconciler.watch.state import MOST_RUNS, WatchState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NOW = datetime(2026, 3, 1, 9, 30, 0, 123456, tzinfo=UTC)
CHANGE = ChangeRecord(
    address="a@example.com",
    action="update",
    origin=Origin.DRIFT,
    rows=(FieldRow("smtp_port", "25", "587"), FieldRow("password", words="unchanged", changed=False)),
    notes=("differs",),
    held="--on-drift report",
)
SUSPENSION = Suspension(reason="move", by=SuspendedBy.COMMAND, user="ana", since=NOW)
RECORD = ServerRecord(
    name="b001",
    url="https://b001.example.com",
    labels={"region": "south"},
    state=ServerState.DRIFTED,
    commit="c1",
    changes=(CHANGE,),
    changed_since=NOW,
    last_success=NOW,
    last_run=NOW,
    next_run=NOW,
    failures=2,
    error="none",
    kinds=(Kind.DNS,),
    suspended=SUSPENSION,
    verified={"a@example.com": VerifiedAccount(declared=True, fields={"smtp_port": 587}, updated_at="now")},
)
RUN = RunRecord(run="r1", trigger="interval", commit="c1", result="unchanged", started_at=NOW, finished_at=NOW)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def state(folder: Path) -> Iterator[WatchState]:
    with_state = WatchState(folder)
    yield with_state
    with_state.close()


def test_notices_are_stored_and_survive_the_loss_of_the_file(folder: Path, state: WatchState) -> None:
    assert state.notices() == {}
    state.save_notices({"source_failed": "a"})
    assert reopened(state).notices() == {"source_failed": "a"}
    (folder / "state.sqlite").unlink()
    state.save(commit="c2")
    assert WatchState(folder, create=False).notices() == {"source_failed": "a"}


def test_the_lock_shows_whether_a_watcher_runs(folder: Path, state: WatchState) -> None:
    assert state.is_watched() is False
    assert not (folder / "watch.lock").exists()
    reader = WatchState(folder, create=False)
    with state.lock():
        assert reader.is_watched() is True
        holder = (folder / "watch.lock").read_text()
    assert reader.is_watched() is False
    assert (folder / "watch.lock").read_text() == holder
    reader.close()


def test_looking_whether_a_watcher_runs_keeps_none_from_starting(state: WatchState) -> None:
    with state.lock():
        pass
    looks = Thread(target=lambda: [state.is_watched() for _ in range(2_000)])
    looks.start()
    while looks.is_alive():
        with state.lock():
            pass
    looks.join()


def reopened(state: WatchState) -> WatchState:
    state.close()
    return WatchState(state.folder)


def after(minutes: int) -> datetime:
    return NOW + timedelta(minutes=minutes)


# What is stored


def test_everything_is_the_same_after_a_restart(state: WatchState) -> None:
    plain = ServerRecord(name="b002", url="https://b002.example.com")
    correction = Correction("b001", "ä\ud800@example.com", "smtp_port", NOW)
    state.save(commit="c1", records=[plain, RECORD], runs={"b001": RUN}, corrections=[correction])
    state.suspend("b002", SUSPENSION)
    again = reopened(state)
    assert again.commit() == "c1"
    assert again.records() == {"b001": RECORD, "b002": plain}
    assert again.runs("b001") == (RUN,)
    assert again.runs("b002") == ()
    assert again.corrections() == (correction,)
    assert again.suspensions(NOW) == {"b002": SUSPENSION}
    assert again.lost == ""


def test_a_new_state_knows_nothing(state: WatchState) -> None:
    assert state.commit() == ""
    assert state.records() == {}
    assert state.runs("b001") == ()
    assert state.suspensions(NOW) == {}
    assert state.corrections() == ()
    assert state.lost == ""


def test_only_this_user_can_read_the_state(state: WatchState, folder: Path) -> None:
    state.save(records=[RECORD])
    with state.lock():
        assert oct(folder.stat().st_mode & 0o777) == "0o700"
        assert {path.name: oct(path.stat().st_mode & 0o777) for path in folder.iterdir()} == dict.fromkeys(
            ["open.lock", "watch.lock", "state.sqlite", "state.sqlite-wal", "state.sqlite-shm"], "0o600"
        )


def test_a_database_that_others_can_read_becomes_private(state: WatchState, folder: Path) -> None:
    state.close()
    (folder / "state.sqlite").chmod(0o644)
    WatchState(folder).close()
    assert (folder / "state.sqlite").stat().st_mode & 0o777 == 0o600


def test_a_link_may_lead_to_the_folder(tmp_path: Path) -> None:
    (tmp_path / "private").mkdir()
    (tmp_path / "state").symlink_to("private")
    WatchState(tmp_path / "state").save(commit="c1")
    assert WatchState(tmp_path / "private").commit() == "c1"


def test_a_record_that_changes_is_written_again(state: WatchState) -> None:
    state.save(records=[RECORD])
    healed = replace(RECORD, state=ServerState.SYNCED, changes=(), verified={})
    state.save(records=[healed])
    assert reopened(state).records() == {"b001": healed}


def test_verified_accounts_are_written_only_if_they_change(state: WatchState, folder: Path) -> None:
    state.save(records=[RECORD])
    with sqlite3.connect(folder / "state.sqlite") as other:
        other.execute("UPDATE part SET body = 'null' WHERE kind = 'verified'")
    state.save(records=[replace(RECORD, last_run=after(5))])
    assert reopened(state).records() == {"b001": replace(RECORD, last_run=after(5), verified=None)}


def test_servers_that_are_gone_are_forgotten_but_not_their_suspensions(state: WatchState) -> None:
    gone = replace(RECORD, name="b002")
    correction = Correction("b002", "a", "name", NOW)
    state.save(records=[RECORD, gone], runs={"b001": RUN, "b002": RUN}, corrections=[correction])
    state.suspend("b002", SUSPENSION)
    state.save(keep=["b001"])
    assert list(state.records()) == ["b001"]
    assert state.runs("b002") == ()
    assert state.runs("b001") == (RUN,)
    assert state.corrections() == ()
    assert list(state.suspensions(NOW)) == ["b002"]
    state.save(records=[gone], runs={"b002": RUN}, keep=["b001", "b002"])
    assert reopened(state).records() == {"b001": RECORD, "b002": gone}


# Runs


def test_runs_that_found_the_same_are_one(state: WatchState) -> None:
    state.save(runs={"b001": RUN})
    state.save(runs={"b001": replace(RUN, run="r2", trigger="hook", started_at=after(5), finished_at=after(6))})
    again = reopened(state)
    again.save(runs={"b001": replace(RUN, run="r3", started_at=after(10), finished_at=after(11))})
    assert again.runs("b001") == (replace(RUN, count=3, finished_at=after(11)),)


@pytest.mark.parametrize(
    "other",
    [
        replace(RUN, result="planned", changes=(CHANGE,)),
        replace(RUN, commit="c2"),
        replace(RUN, result="failed", error="HTTP 500"),
    ],
)
def test_a_run_that_found_something_else_is_another(state: WatchState, other: RunRecord) -> None:
    state.save(runs={"b001": RUN})
    state.save(runs={"b001": other})
    assert state.runs("b001") == (other, RUN)


def test_runs_that_wrote_are_never_merged(state: WatchState) -> None:
    wrote = replace(RUN, result="applied", changes=(replace(CHANGE, held="", status="updated"),))
    state.save(runs={"b001": wrote})
    state.save(runs={"b001": wrote})
    assert state.runs("b001") == (wrote, wrote)


def test_only_the_newest_fifty_runs_are_kept(state: WatchState) -> None:
    for number in range(60):
        state.save(runs={"b001": replace(RUN, run=f"r{number}", commit=f"c{number}")})
    runs = state.runs("b001")
    assert len(runs) == MOST_RUNS
    assert [runs[0].run, runs[-1].run] == ["r59", "r10"]
    with sqlite3.connect(state.folder / "state.sqlite") as other:
        assert other.execute("SELECT count(*) FROM run").fetchone() == (MOST_RUNS,)


# Suspensions and corrections


def test_a_suspension_ends_at_its_time(state: WatchState) -> None:
    ending = replace(SUSPENSION, until=after(5))
    state.suspend("b001", ending)
    assert state.suspensions(after(4)) == {"b001": ending}
    assert state.suspensions(after(5)) == {}


def test_resume_ends_the_suspension_and_forgets_the_corrections(state: WatchState) -> None:
    mine, other = (Correction(name, "a@example.com", "name", NOW) for name in ("b001", "b002"))
    state.save(corrections=[mine, other])
    state.suspend("b001", SUSPENSION)
    assert state.resume("b001") == SUSPENSION
    assert state.resume("b001") is None
    assert state.suspensions(NOW) == {}
    assert state.corrections() == (other,)


def test_corrections_are_kept_for_a_day(state: WatchState) -> None:
    first, last = (Correction("b001", "a", "name", at) for at in (NOW, NOW + timedelta(hours=25)))
    state.save(corrections=[first])
    state.save(corrections=[last])
    assert state.corrections() == (last,)


# Several processes and threads


def test_a_suspension_of_another_process_is_seen_at_once(state: WatchState, folder: Path) -> None:
    other = WatchState(folder, create=False)
    assert state.suspensions(NOW) == {}
    other.suspend("b001", SUSPENSION)
    assert state.suspensions(NOW) == {"b001": SUSPENSION}


def test_no_query_hides_what_others_write_later(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cursors: list[sqlite3.Cursor] = []

    class Keeping(sqlite3.Connection):
        """Keeps every cursor alive, as a garbage collector may for a while."""

        def execute(self, *arguments: Any) -> sqlite3.Cursor:  # noqa: ANN401 - sqlite3's
            cursors.append(super().execute(*arguments))
            return cursors[-1]

    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *given, **named: connect(*given, factory=Keeping, **named))
    state = WatchState(folder)
    other = WatchState(folder)
    state.save(commit="c1", records=[RECORD, replace(RECORD, name="b002")])
    for number in range(2):
        message = Message("info", f"title {number}", "body", NOW)
        state.outbox.record({f"subject {number}": "failure"}, message, ["ana"])
    reads: list[Callable[[], object]] = [
        state.commit,
        state.records,
        state.corrections,
        state.outbox.conditions,
        state.outbox.salt,
        lambda: state.runs("b001"),
        lambda: state.outbox.claim("ana"),
    ]
    for number, read in enumerate(reads):
        read()
        other.suspend(f"b{number}", SUSPENSION)
        assert f"b{number}" in state.suspensions(NOW)
        state.save(runs={"b001": replace(RUN, run=f"r{number}", error=f"{number}")})
    assert len(cursors) > len(reads)


def test_threads_may_share_it(state: WatchState) -> None:
    errors: list[Exception] = []

    def use(number: int) -> None:
        try:
            for round_number in range(20):
                name = f"b{number}"
                state.save(records=[replace(RECORD, name=name)], runs={name: replace(RUN, commit=f"c{round_number}")})
                state.suspensions(NOW)
                assert state.runs(name)
        except Exception as error:  # noqa: BLE001 - for the assertion below
            errors.append(error)

    threads = [Thread(target=use, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert [len(state.runs(f"b{number}")) for number in range(6)] == [20] * 6


def test_one_watcher_at_a_time_holds_the_lock(state: WatchState, folder: Path) -> None:
    other = WatchState(folder)
    with state.lock(), pytest.raises(LockedError, match=f"process {os.getpid()} of ") as caught, other.lock():
        pass
    assert "--state-dir" in caught.value.problems[0].hint
    with other.lock():
        pass


def test_an_error_while_the_lock_is_held_passes_through(state: WatchState) -> None:
    with pytest.raises(OSError, match="mine"), state.lock():
        raise OSError("mine")


@pytest.mark.parametrize("delay", [0.0, 0.03, 0.06])
def test_a_killed_process_leaves_a_usable_state(folder: Path, delay: float) -> None:
    WatchState(folder).suspend("b009", SUSPENSION)
    script = f"""
import sys
from pathlib import Path
from tests.watch.test_state import RECORD, RUN, replace, WatchState
state = WatchState(Path({str(folder)!r}))
print("ready", flush=True)
for number in range(10**6):
    commit = str(number)
    records = [replace(RECORD, name=f"b{{n}}", commit=commit) for n in range(50)]
    state.save(commit=commit, records=records, runs={{one.name: replace(RUN, commit=commit) for one in records}})
"""
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, cwd=Path(__file__).parents[2])
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    try:
        process.wait(delay)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.wait()
    process.stdout.close()
    state = WatchState(folder)
    assert state.lost == ""
    commit = state.commit()
    assert {record.commit for record in state.records().values()} == ({commit} if commit else set())
    assert {state.runs(name)[0].commit for name in state.records()} == ({commit} if commit else set())
    assert state.suspensions(NOW) == {"b009": SUSPENSION}


# Damage


def damage(path: Path, how: str) -> None:
    if how == "garbage":
        path.write_bytes(b"garbage" * 1000)
    elif how == "zeros":
        path.write_bytes(bytes(8192))
    elif how == "truncated":
        os.truncate(path, path.stat().st_size // 2)
    elif how == "header only":
        os.truncate(path, 100)
    elif how == "folder":
        path.unlink()
        (path / "inner").mkdir(parents=True)


@pytest.mark.parametrize("how", ["garbage", "zeros", "truncated", "header only", "folder"])
def test_a_corrupt_database_is_moved_aside(state: WatchState, folder: Path, how: str) -> None:
    state.save(commit="c1", records=[RECORD], runs={"b001": RUN})
    state.close()
    damage(folder / "state.sqlite", how)
    with pytest.raises(StateError, match="cannot be read"):
        WatchState(folder, create=False)
    again = WatchState(folder)
    (aside,) = folder.glob("state.sqlite.corrupt-*[0-9]")
    assert again.lost.startswith("the state was corrupt (")
    assert str(aside) in again.lost
    assert again.commit() == ""
    again.save(commit="c2")
    assert reopened(again).commit() == "c2"
    assert reopened(again).lost == ""


def test_suspensions_in_a_corrupt_database_are_kept(state: WatchState, folder: Path) -> None:
    state.save(commit="c1", records=[RECORD])
    state.suspend("b001", SUSPENSION)
    state.close()
    with sqlite3.connect(folder / "state.sqlite") as other:
        other.execute("UPDATE part SET body = '{' WHERE kind = 'record'")
    again = WatchState(folder)
    assert again.records() == {}
    assert again.suspensions(NOW) == {"b001": SUSPENSION}
    assert again.lost.endswith("are lost, but not suspensions")


def test_an_empty_database_file_is_used_and_reported(folder: Path) -> None:
    folder.mkdir()
    (folder / "state.sqlite").touch()
    state = WatchState(folder)
    assert state.commit() == ""
    assert "was empty" in state.lost


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("PRAGMA user_version = 2", "written by another version of reconciler"),
        ("PRAGMA application_id = 5", "another program's"),
    ],
)
def test_a_newer_or_foreign_database_is_an_error_and_stays(
    state: WatchState, folder: Path, statement: str, reason: str
) -> None:
    state.save(commit="c1")
    state.close()
    with sqlite3.connect(folder / "state.sqlite") as other:
        other.execute(statement)
    before = (folder / "state.sqlite").read_bytes()
    with pytest.raises(StateError, match=reason) as caught:
        WatchState(folder)
    assert caught.value.problems[0].kind == "state_version"
    assert caught.value.problems[0].hint
    assert (folder / "state.sqlite").read_bytes() == before


def test_tables_of_another_program_are_left_alone(folder: Path) -> None:
    folder.mkdir()
    with sqlite3.connect(folder / "state.sqlite") as other:
        other.execute("CREATE TABLE precious (value)")
    with pytest.raises(StateError, match="another program's"):
        WatchState(folder)


@pytest.mark.parametrize("trick", ["link", "hard link", "pipe"])
def test_a_link_or_pipe_in_place_of_the_database_is_an_error(tmp_path: Path, folder: Path, trick: str) -> None:
    folder.mkdir()
    victim = tmp_path / "victim"
    victim.write_text("precious")
    path = folder / "state.sqlite"
    if trick == "link":
        path.symlink_to(victim)
    elif trick == "hard link":
        path.hardlink_to(victim)
    else:
        os.mkfifo(path)
    with pytest.raises(StateError, match="is not an ordinary file"):
        WatchState(folder)
    assert victim.read_text() == "precious"


@pytest.mark.parametrize("missing", ["folder", "database"])
def test_without_create_a_missing_state_is_an_error(folder: Path, missing: str) -> None:
    if missing == "database":
        folder.mkdir()
    with pytest.raises(StateError, match="there is no state of a watcher in") as caught:
        WatchState(folder, create=False)
    assert caught.value.problems[0].kind == "no_state"
    assert not folder.exists() or list(folder.iterdir()) == []


def test_a_file_in_place_of_the_folder_is_an_error(folder: Path) -> None:
    folder.write_text("")
    with pytest.raises(StateError, match="is a link, or no folder"):
        WatchState(folder)


# While it is open


@pytest.mark.parametrize("what", ["database", "folder", "garbage in its place"])
def test_a_state_that_vanishes_is_written_again_from_memory(state: WatchState, folder: Path, what: str) -> None:
    state.save(commit="c1", records=[RECORD], runs={"b001": RUN})
    state.suspend("b001", SUSPENSION)
    assert state.suspensions(NOW)
    if what == "folder":
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()
    else:
        (folder / "state.sqlite").unlink()
        if what.startswith("garbage"):
            (folder / "state.sqlite").write_bytes(b"garbage" * 1000)
    assert state.suspensions(NOW) == {"b001": SUSPENSION}
    assert "lost" in state.lost
    assert state.records() == {"b001": RECORD}
    state.save(runs={"b001": RUN})
    again = WatchState(folder)
    assert (again.commit(), again.records(), again.runs("b001")) == ("c1", {"b001": RECORD}, (RUN,))


def test_a_database_that_replaces_it_wins(state: WatchState, folder: Path, tmp_path: Path) -> None:
    state.save(commit="c1", records=[RECORD])
    backup = WatchState(tmp_path / "backup")
    backup.save(commit="c0", records=[replace(RECORD, commit="c0")])
    backup.suspend("b001", SUSPENSION)
    backup.close()
    (tmp_path / "backup" / "state.sqlite").replace(folder / "state.sqlite")
    assert state.suspensions(NOW) == {"b001": SUSPENSION}
    assert state.commit() == "c0"
    assert "was replaced while it was in use" in state.lost
    state.save(records=[RECORD])
    assert reopened(state).records() == {"b001": RECORD}


def test_a_state_that_cannot_be_restored_at_once_is_restored_later(
    state: WatchState, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state.save(commit="c1", records=[RECORD])
    (folder / "state.sqlite").unlink()

    def full(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(state._database, "reopened", full)
        with pytest.raises(StateError, match="database or disk is full"):
            state.commit()
    assert state.commit() == "c1"
    assert state.records() == {"b001": RECORD}


def test_a_full_disk_changes_nothing_and_reading_goes_on(state: WatchState) -> None:
    state.save(commit="c1", records=[RECORD])
    connection = state._database._connection
    assert connection is not None
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages}")
    big = replace(RECORD, error="x" * 100_000, verified=None)
    with pytest.raises(StateError, match="cannot be written: database or disk is full") as caught:
        state.save(commit="c2", records=[big], runs={"b001": RUN})
    assert caught.value.problems[0].hint == "free some space on that file system"
    assert (state.commit(), state.records(), state.runs("b001")) == ("c1", {"b001": RECORD}, ())
    connection.execute("PRAGMA max_page_count = 1000000")
    state.save(commit="c2", records=[big], runs={"b001": RUN})
    assert reopened(state).records() == {"b001": big}


def test_a_lock_whose_file_was_deleted_is_taken_again_unless_another_watcher_has_begun(
    state: WatchState, folder: Path
) -> None:
    other = WatchState(folder)
    with state.lock():
        assert not state.keep_lock()
        shutil.rmtree(folder)
        assert state.keep_lock()
        with pytest.raises(LockedError), other.lock():
            pass
        shutil.rmtree(folder)
        with other.lock(), pytest.raises(LockedError, match="another watcher uses the state directory"):
            state.keep_lock()
    other.close()


def test_how_far_a_rollout_is_survives_a_restart(state: WatchState) -> None:
    assert state.rollout() == {}
    state.save(rollout={"commit": "c1", "finished": {"b001": "applied"}})
    state.save(commit="c1")
    assert reopened(state).rollout() == {"commit": "c1", "finished": {"b001": "applied"}}
