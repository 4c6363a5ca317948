"""``status``: the state of a watched fleet, from the state directory or from the watcher's URL."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from reconciler.report.formats import StatusInput, Style
from reconciler.report.status_text import STATE_COLOURS, status_text
from reconciler.watch.api import server_document
from reconciler.watch.records import ChangeRecord, Origin, ServerRecord, ServerState, SuspendedBy, Suspension
from reconciler.watch.state import WatchState
from tests.support.run_result import help_for
from tests.support.scripted_server import Close, Reply, ScriptedServer, json_reply

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.cli_runner import CliProcess

NOW = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
DRIFT = ChangeRecord(address="a@example.com", action="update", origin=Origin.DRIFT, held="drift is only reported")
COMMIT = "1a2b3c4d5e6f7a8b9c0d1a2b3c4d5e6f7a8b9c0d"
RECORDS = (
    ServerRecord(
        name="b001",
        url="https://b001.example.com",
        labels={"region": "south"},
        state=ServerState.DRIFTED,
        commit=COMMIT,
        changes=(DRIFT,),
        changed_since=NOW - timedelta(minutes=3),
        last_success=NOW - timedelta(hours=26, minutes=5),
        next_run=NOW + timedelta(seconds=70),
    ),
    ServerRecord(
        name="b002",
        url="https://b002.example.com",
        state=ServerState.SYNCED,
        commit=COMMIT,
        last_success=NOW,
        last_run=NOW,
        next_run=NOW,
    ),
    ServerRecord(
        name="b003", url="https://b003.example.com", state=ServerState.FAILED, error="500 Oops\x1b[2J", next_run=NOW
    ),
    ServerRecord(
        name="b004",
        url="https://b004.example.com",
        state=ServerState.SUSPENDED,
        error="connection refused",
        suspended=Suspension(
            reason="move", by=SuspendedBy.COMMAND, user="ana", since=NOW, until=NOW + timedelta(hours=4)
        ),
    ),
    ServerRecord(
        name="b005",
        url="https://b005.example.com",
        state=ServerState.SUSPENDED,
        suspended=Suspension(reason="replaced", by=SuspendedBy.MANIFEST),
        last_run=NOW,
    ),
)
DOCUMENTS = [server_document(record) for record in RECORDS]
NOTICES = [{"about": "source_failed", "message": "commit 77d0e1f2 is not in force: b003.yaml:4:3: unknown key\x1b"}]
TOKEN = "page-token-1234567890"


@pytest.fixture
def folder(user: CliProcess) -> Path:
    folder = user.folder / "state"
    state = WatchState(folder)
    state.save(records=RECORDS)
    for record in RECORDS:
        if record.suspended and record.suspended.by is SuspendedBy.COMMAND:
            state.suspend(record.name, Suspension(reason="move", by=SuspendedBy.COMMAND, user="ana", since=NOW))
    state.close()
    user.environ["RECONCILER_STATE_DIR"] = str(folder)
    return folder


def states(user: CliProcess) -> dict[str, str]:
    return {one["name"]: one["state"] for one in json.loads(user.run("status", "-f", "json").out)["servers"]}


def test_the_table_shows_what_the_page_shows() -> None:
    assert status_text(StatusInput(servers=DOCUMENTS), Style(), NOW) == (
        "5 servers: 1 failed, 1 drifted, 2 suspended, 1 synced\n"
        "\n"
        "SERVER  STATE      DRIFT      COMMIT    LAST SUCCESS  NEXT ROUND  REASON\n"
        "b003    failed     not known  -         never         now         500 Oops\\u001b[2J\n"
        "b001    drifted    1 for 3m   1a2b3c4d  1d 2h ago     in 1m 10s   drift is only reported\n"
        "b004    suspended  not known  -         never         -           suspended by ana for 4h more: move; "
        "connection refused\n"
        "b005    suspended  -          -         never         -           suspended by its manifest: replaced\n"
        "b002    synced     -          1a2b3c4d  0s ago        now         -\n"
    )


def test_every_state_has_a_place_and_a_colour() -> None:
    assert set(STATE_COLOURS) == set(ServerState)


def test_states_are_coloured_on_a_terminal() -> None:
    shown = status_text(StatusInput(servers=DOCUMENTS[:2]), Style(colour=True), NOW)
    assert "\x1b[32msynced \x1b[0m" in shown
    assert "\x1b[33m1 drifted\x1b[0m" in shown


def test_a_watcher_without_servers_says_so() -> None:
    assert status_text(StatusInput(), Style(), NOW) == "No servers yet: the first round has not ended.\n"


def test_what_needs_attention_comes_first() -> None:
    attention = "The watcher needs attention: commit 77d0e1f2 is not in force: b003.yaml:4:3: unknown key\\u001b\n\n"
    shown = status_text(StatusInput(servers=DOCUMENTS, notices=NOTICES), Style(), NOW)
    assert shown == attention + status_text(StatusInput(servers=DOCUMENTS), Style(), NOW)
    assert status_text(StatusInput(notices=NOTICES), Style(), NOW).startswith(attention + "No servers yet")


def test_notices_are_read_from_the_state_directory(user: CliProcess, folder: Path) -> None:
    state = WatchState(folder)
    state.save_notices({one["about"]: one["message"] for one in NOTICES})
    state.close()
    assert user.run("status").out.splitlines()[1].startswith("The watcher needs attention: commit 77d0e1f2 is not in ")
    assert json.loads(user.run("status", "-f", "json").out)["notices"] == NOTICES


def test_status_reads_the_state_directory(user: CliProcess, folder: Path) -> None:
    state = WatchState(folder)
    with state.lock():
        done = user.run("status", "--state-dir", str(folder))
        assert (done.code, done.err) == (0, "")
        assert done.out.startswith("5 servers: 1 failed, 1 drifted, 2 suspended, 1 synced\n")
        done = user.run("status", "-f", "json")
    state.close()
    assert (done.code, done.err) == (0, "")
    document = json.loads(done.out)
    assert document["servers"][:3] == DOCUMENTS[:3]
    assert document["watcher"] == {"running": True, "last_check": "2026-03-01T09:30:00.000Z"}
    assert document["errors"] == []


@pytest.mark.usefixtures("folder")
def test_without_a_watcher_status_says_so_and_of_when_the_state_is(user: CliProcess) -> None:
    done = user.run("status")
    assert done.out.startswith("No watcher is running; this is the state of 2026-03-01 09:30:00 UTC.\n\n5 servers: ")
    assert "  now  " not in done.out
    document = json.loads(user.run("status", "-f", "json").out)
    assert document["watcher"] == {"running": False, "last_check": "2026-03-01T09:30:00.000Z"}
    assert {one["next_run"] for one in document["servers"]} == {None}
    assert status_text(StatusInput(is_running=False), Style(), NOW).startswith(
        "No watcher is running; no server has been checked yet.\n\n"
    )


@pytest.mark.usefixtures("folder")
def test_suspend_and_resume_are_shown_at_once(user: CliProcess) -> None:
    user.run("suspend", "b002", "--reason", "x")
    user.run("resume", "b004")
    assert states(user) == {
        "b001": "drifted",
        "b002": "suspended",
        "b003": "failed",
        "b004": "unknown",
        "b005": "suspended",
    }


def test_a_server_at_the_heal_limit_is_stopped(user: CliProcess, folder: Path) -> None:
    state = WatchState(folder)
    state.suspend("b002", Suspension(reason="corrected three times", by=SuspendedBy.HEAL_LIMIT))
    state.close()
    assert states(user)["b002"] == "stopped"


def test_status_writes_its_document_into_the_state_directory_again_but_not_over_the_state(
    user: CliProcess, folder: Path
) -> None:
    for name, code in (("status.json", 0), ("status.json", 0), ("state.sqlite", 64)):
        done = user.run("status", "--state-dir", str(folder), "-f", "json", "-o", str(folder / name))
        assert done.code == code, done.err


def test_status_needs_a_state(user: CliProcess) -> None:
    done = user.run("status", "--state-dir", "nowhere", "-f", "json")
    assert done.code == 1
    assert json.loads(done.out)["errors"][0]["kind"] == "no_state"
    assert not (user.folder / "nowhere").exists()


def test_a_corrupt_state_is_an_error_and_stays_in_place(user: CliProcess, folder: Path) -> None:
    (folder / "state.sqlite").write_bytes(b"garbage" * 1000)
    done = user.run("status")
    assert (done.code, done.out) == (1, "")
    assert done.err == (
        f"error: the state in {folder} cannot be read: file is not a database\n"
        "  hint: the watcher replaces a corrupt file when it starts\n"
        f"{help_for('state')}"
    )
    assert (folder / "state.sqlite").exists()


def test_status_asks_a_watcher(user: CliProcess) -> None:
    with ScriptedServer(json_reply(DOCUMENTS), json_reply(NOTICES)) as watcher:
        done = user.run("status", "--url", watcher.url, "-f", "json", environ={"RECONCILER_PAGE_TOKEN": TOKEN})
    assert (done.code, done.err) == (0, "")
    assert json.loads(done.out)["servers"] == DOCUMENTS
    assert json.loads(done.out)["notices"] == NOTICES
    assert json.loads(done.out)["watcher"] == {"running": True, "last_check": None}
    assert watcher.lines == ["GET /api/v1/servers", "GET /api/v1/notices"]
    assert {one.header("authorization") for one in watcher.requests} == {f"Bearer {TOKEN}"}


def test_keys_of_a_newer_watcher_are_ignored_and_missing_ones_are_no_error(user: CliProcess) -> None:
    fixed = ("name", "url", "labels", "state", "drift", "last_success", "commit", "suspended", "error")
    documents = [{**{key: one[key] for key in fixed}, "newer": 1} for one in DOCUMENTS]
    with ScriptedServer(json_reply(documents), json_reply([{**NOTICES[0], "newer": 1}])) as watcher:
        done = user.run("status", "--url", watcher.url)
    assert (done.code, done.err) == (0, "")
    assert watcher.requests[0].header("authorization") is None


def test_a_token_is_not_sent_to_the_target_of_a_redirect(user: CliProcess) -> None:
    with (
        ScriptedServer(json_reply([])) as other,
        ScriptedServer(Reply(307, headers={"Location": f"{other.url}/api/v1/servers"})) as watcher,
    ):
        done = user.run("status", "--url", watcher.url, environ={"RECONCILER_PAGE_TOKEN": TOKEN})
    assert done.code == 1
    assert "the server redirects to 127.0.0.1" in done.err
    assert other.lines == []


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (
            json_reply({"detail": f"wrong token {TOKEN}"}, 401),
            "hint: give the token of the watcher's page in RECONCILER_PAGE_TOKEN",
        ),
        (json_reply([], 404), "hint: is this the URL of a watcher, without a path?"),
        (Reply(200, b"<html>"), "this is not a watcher's list of servers"),
        (json_reply([{"name": "b001"}]), "this is not a watcher's list of servers"),
        (Reply(503, b"starting"), "503 Service Unavailable: starting"),
        (Close(), "broke before the response was complete"),
    ],
)
def test_a_watcher_that_refuses_is_an_error(user: CliProcess, step: Reply | Close, message: str) -> None:
    with ScriptedServer(step) as watcher:
        done = user.run("status", "--url", watcher.url, environ={"RECONCILER_PAGE_TOKEN": TOKEN})
    assert (done.code, done.out) == (1, "")
    assert message in done.err
    assert TOKEN not in done.err


def test_an_unreachable_watcher_is_an_error(user: CliProcess) -> None:
    done = user.run("status", "--url", "http://127.0.0.1:9", "-f", "json")
    assert done.code == 1
    assert json.loads(done.out)["errors"][0]["kind"] == "connection_refused"


def test_plain_http_to_another_machine_needs_a_flag(user: CliProcess) -> None:
    done = user.run("status", "--url", "http://watch.example.com")
    assert done.code == 1
    assert "plain http to watch.example.com" in done.err


def test_the_token_may_be_in_a_file(user: CliProcess) -> None:
    user.write("token", f"{TOKEN}\n")
    with ScriptedServer(json_reply([]), json_reply([])) as watcher:
        done = user.run("status", "--url", watcher.url, "--page-token-file", "token")
    assert (done.code, done.out) == (0, "No servers yet: the first round has not ended.\n")
    assert watcher.requests[0].header("authorization") == f"Bearer {TOKEN}"


@pytest.mark.parametrize(
    ("token", "message"),
    [
        ("two\nlines", "RECONCILER_PAGE_TOKEN"),
        ("two words", "contains a space"),
        ("twö", "a character outside ASCII"),
        ("", "RECONCILER_PAGE_TOKEN is empty"),
    ],
)
def test_a_token_that_cannot_be_sent_is_an_error(user: CliProcess, token: str, message: str) -> None:
    done = user.run("status", "--url", "http://127.0.0.1:9", environ={"RECONCILER_PAGE_TOKEN": token})
    assert done.code == 1
    assert message in done.err
    assert "two" not in done.err
    assert "twö" not in done.err


def test_url_and_state_dir_exclude_each_other(user: CliProcess, folder: Path) -> None:
    done = user.run("status", "--url", "http://127.0.0.1:9", "--state-dir", str(folder))
    assert done.code == 64
    assert "--url and --state-dir exclude each other" in done.err
