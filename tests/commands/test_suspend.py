"""``suspend`` and ``resume``: people stop the watcher, and let it go on."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from reconciler.applying.lock import current_user
from reconciler.watch.records import ServerRecord, ServerState, SuspendedBy, Suspension
from reconciler.watch.state import WatchState
from tests.support.run_result import help_for

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.cli_runner import CliProcess

USER = current_user()
DECLARED = Suspension(reason="replaced in May", by=SuspendedBy.MANIFEST)


@pytest.fixture
def folder(user: CliProcess) -> Path:
    """A state directory with two servers."""
    folder = user.folder / "state"
    records = [
        ServerRecord(name="b001", url="https://b001.example.com"),
        ServerRecord(name="b002", url="https://b002.example.com", state=ServerState.SUSPENDED, suspended=DECLARED),
    ]
    state = WatchState(folder)
    state.save(commit="c1", records=records)
    state.close()
    user.environ["RECONCILER_STATE_DIR"] = str(folder)
    return folder


def suspensions(folder: Path) -> dict[str, Suspension]:
    state = WatchState(folder, create=False)
    found = dict(state.suspensions(datetime.now(UTC)))
    state.close()
    return found


def test_a_server_is_suspended_and_resumed(user: CliProcess, folder: Path) -> None:
    done = user.run("suspend", "b001", "--reason", " move ")
    assert (done.code, done.out, done.err) == (0, f"b001 is suspended by {USER}: move\n", "")
    (found,) = suspensions(folder).values()
    assert (found.reason, found.by, found.user, found.until) == ("move", SuspendedBy.COMMAND, USER, None)
    assert found.since is not None
    done = user.run("resume", "b001")
    assert (done.code, done.out, done.err) == (0, f"b001 is resumed; it was suspended by {USER}: move\n", "")
    assert suspensions(folder) == {}


def test_a_suspension_with_an_end_says_when_it_ends(user: CliProcess, folder: Path) -> None:
    done = user.run("suspend", "b001", "--reason", "move", "--for", "4h")
    until = suspensions(folder)["b001"].until
    assert until is not None
    assert timedelta(hours=3, minutes=59) < until - datetime.now(UTC) <= timedelta(hours=4)
    assert done.out == f"b001 is suspended by {USER} until {until:%Y-%m-%d %H:%M:%S} UTC: move\n"


def test_suspending_again_replaces_and_says_what_it_replaced(user: CliProcess, folder: Path) -> None:
    user.run("suspend", "b001", "--reason", "first")
    done = user.run("suspend", "b001", "--reason", "second")
    assert done.code == 0
    assert done.err == f"this replaces the former suspension: suspended by {USER}: first\n"
    assert suspensions(folder)["b001"].reason == "second"


def test_the_user_behind_sudo_is_named(user: CliProcess, folder: Path) -> None:
    user.run("suspend", "b001", "--reason", "move", environ={"SUDO_USER": "ana"})
    assert suspensions(folder)["b001"].user == ("ana" if os.geteuid() == 0 else USER)


@pytest.mark.parametrize("command", [("suspend", "--reason", "move"), ("resume",)])
def test_an_unknown_server_is_an_error_with_a_suggestion(user: CliProcess, folder: Path, command: tuple[str]) -> None:
    done = user.run(*command, "b01")
    assert (done.code, done.out) == (1, "")
    assert done.err == (
        "error: the watcher knows no server b01; it knows 2 servers\n"
        '  hint: did you mean "b001"?\n'
        f"{help_for('unknown_server')}"
    )
    assert suspensions(folder) == {}


def test_resume_of_a_server_that_is_not_suspended_is_an_error(user: CliProcess, folder: Path) -> None:
    done = user.run("resume", "b001", "--state-dir", str(folder))
    assert (done.code, done.err) == (1, f"error: b001 is not suspended\n{help_for('not_suspended')}")


def test_resume_does_not_end_the_suspension_of_a_manifest(user: CliProcess, folder: Path) -> None:
    done = user.run("resume", "b002")
    assert (done.code, done.err) == (
        1,
        "error: b002 is suspended in its manifest: replaced in May\n"
        "  hint: only the manifest can end that: remove server.suspended there\n"
        f"{help_for('not_suspended')}",
    )
    user.run("suspend", "b002", "--reason", "mine")
    done = user.run("resume", "b002")
    assert (done.code, done.err) == (0, "its manifest still suspends it: replaced in May\n")
    assert suspensions(folder) == {}


def test_resume_ends_what_the_heal_limit_stopped(user: CliProcess, folder: Path) -> None:
    state = WatchState(folder)
    state.suspend("b001", Suspension(reason="corrected three times", by=SuspendedBy.HEAL_LIMIT))
    state.close()
    assert user.run("resume", "b001").code == 0
    assert suspensions(folder) == {}


def test_time_alone_does_not_end_what_the_heal_limit_stopped(user: CliProcess, folder: Path) -> None:
    state = WatchState(folder)
    state.suspend("b001", Suspension(reason="corrected three times", by=SuspendedBy.HEAL_LIMIT))
    state.close()
    done = user.run("suspend", "b001", "--reason", "looking", "--for", "2s", "--state-dir", str(folder))
    assert (done.code, suspensions(folder)["b001"].until) == (0, None)
    assert "only `reconciler resume` ends this, and not --for" in done.err


def test_suspend_works_before_the_first_watcher(user: CliProcess) -> None:
    user.environ["XDG_STATE_HOME"] = str(user.folder)
    folder = user.folder / "reconciler" / "watch"
    done = user.run("suspend", "b007", "--reason", "move")
    assert (done.code, done.err) == (
        0,
        f"{folder} is created: no watcher has used it yet\n"
        "the watcher has not stored any server yet, so the name b007 was not checked\n",
    )
    assert list(suspensions(folder)) == ["b007"]


def test_resume_needs_a_state_directory(user: CliProcess) -> None:
    done = user.run("resume", "b001", "--state-dir", "nowhere")
    message = f"there is no state of a watcher in {user.folder}/nowhere"
    hint = "name the --state-dir of the watcher"
    assert (done.code, done.err) == (1, f"error: {message}\n  hint: {hint}\n{help_for('no_state')}")
    assert not (user.folder / "nowhere").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "Missing option '--reason'."),
        (("--reason", " "), "--reason is empty."),
        (("--reason", "two\nlines"), "--reason contains the control character U+000A."),
        (("--reason", "x" * 501), "--reason has 501 characters."),
        (("--reason", "x", "--for", "2d"), "'2d' is not a duration up to a day"),
        (("--reason", "x", "--for", "4"), "'4' has no unit; write 4m for minutes, or 4h for hours"),
    ],
)
def test_suspend_needs_a_good_reason_and_duration(
    user: CliProcess, folder: Path, arguments: tuple[str, ...], message: str
) -> None:
    done = user.run("suspend", "b001", *arguments)
    assert done.code == 64
    assert message in done.err
    assert suspensions(folder) == {}


def test_suspend_works_although_the_state_was_corrupt(user: CliProcess, folder: Path) -> None:
    (folder / "state.sqlite").write_bytes(b"garbage" * 1000)
    done = user.run("suspend", "b001", "--reason", "move")
    assert done.code == 0
    assert done.err.startswith("warning: the state was corrupt (file is not a database) and is now ")
    assert list(suspensions(folder)) == ["b001"]
