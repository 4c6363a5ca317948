"""``watch`` as a user runs it: a process that goes on until a signal ends it."""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import json
import os
import re
import shutil
import signal
import socket
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from reconciler.watch.state import WatchState
from tests.commands.test_lock import until
from tests.fleet.conftest import DOWN, KEY, FleetOfSandboxes
from tests.support import plain_http
from tests.support.git_remote import GitRemote

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconciler.sandbox import Sandbox
    from tests.conftest import MakeSandbox
    from tests.support.cli_runner import CliProcess
    from tests.support.fork_server import Process
    from tests.support.run_result import RunResult

ALERTS, FAX = "alerts@a.example.com", "fax@example.com"
OPTIONS = ("--interval", "0.3s", "--state-dir", "state", "--log-format", "json")


@pytest.fixture
def fleet(user: CliProcess, make_sandbox: MakeSandbox, tmp_path: Path) -> FleetOfSandboxes:
    user.environ |= {"KEY": KEY, "XDG_STATE_HOME": str(tmp_path / ".state")}
    (tmp_path / "fleet").mkdir()
    return FleetOfSandboxes(tmp_path / "fleet", make_sandbox)


@contextmanager
def watching(user: CliProcess, *arguments: str, listen: str = "off") -> Iterator[Process]:
    """A running watcher; it must end with 0 when it is asked to."""
    process = user.start("watch", *arguments, *OPTIONS, "--listen", listen)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        done = process.finish()
        print(done.err)  # noqa: T201 - pytest shows it if the test fails
        assert (done.code, done.out) == (0, "")


def value(box: Sandbox, address: str, name: str) -> object:
    return next(one[name] for one in box.accounts() if one["email"] == address)


def address_of(box: Sandbox) -> str:
    """The address of the account that only this server has."""
    found: str = next(one["email"] for one in box.accounts() if one["email"] != FAX)
    return found


def edit(box: Sandbox, address: str = ALERTS, **fields: str) -> None:
    """Somebody changes an account in the server's interface."""
    box.change_account(next(one["id"] for one in box.accounts() if one["email"] == address), **fields)


def events(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def once(user: CliProcess, *arguments: str) -> RunResult:
    return user.run("watch", *(arguments or ("fleet",)), "--once", "--state-dir", "state")


def test_drift_and_commits_are_applied_until_a_signal_ends_the_watcher(
    user: CliProcess, fleet: FleetOfSandboxes
) -> None:
    fleet.add("a")
    box = fleet.boxes["a"]
    with watching(user, "fleet"):
        until(lambda: len(box.accounts()) == 2)
        edit(box, smtp_server="by-hand.example.com")
        until(lambda: value(box, ALERTS, "smtp_server") == "mx.example.com")
        path = fleet.folder / "a.yaml"
        path.write_text(path.read_text().replace("name: Fax", "name: Telefax"))
        until(lambda: value(box, FAX, "name") == "Telefax")


def test_a_bad_commit_keeps_the_last_good_one_in_force(user: CliProcess, fleet: FleetOfSandboxes) -> None:
    fleet.add("a")
    box, path = fleet.boxes["a"], fleet.folder / "a.yaml"
    with watching(user, "fleet") as watcher:
        until(lambda: len(box.accounts()) == 2)
        good = path.read_text()
        path.write_text("version: 1\nserver:\n")
        watcher.wait_for_error_text('"event": "source_failed"')
        edit(box, smtp_server="by-hand.example.com")
        until(lambda: value(box, ALERTS, "smtp_server") == "mx.example.com")
        path.write_text(good)
        watcher.wait_for_error_text('"event": "source_failed_ended"')
        path.unlink()
        watcher.wait_for_error_text('"event": "source_failed"', count=2)
        assert len(box.accounts()) == 2


def test_each_signal_hook_and_interval_begins_a_round(user: CliProcess, fleet: FleetOfSandboxes) -> None:
    fleet.add("a")
    port, secret = free_port(), "a-secret-for-the-hook"
    user.environ["RECONCILER_HOOK_SECRET"] = secret
    arguments = ("watch", "fleet", "--state-dir", "state", "--log-format", "json", "--listen", f"127.0.0.1:{port}")
    process = user.start(*arguments, "--interval", "1h")
    try:
        process.wait_for_error_text('"event": "round_finished"')
        process.send_signal(signal.SIGHUP)
        process.wait_for_error_text('"trigger": "signal"')
        body = b'{"ref": "refs/heads/main"}'
        signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
        hook = f"http://127.0.0.1:{port}/hook"
        forged = plain_http.post(hook, content=body, headers={"X-Hub-Signature-256": f"sha256={signature[::-1]}"})
        signed = plain_http.post(hook, content=body, headers={"X-Hub-Signature-256": f"sha256={signature}"})
        assert (forged.status_code, signed.status_code) == (403, 202)
        process.wait_for_error_text('"trigger": "hook"')
        shown = plain_http.get(f"http://127.0.0.1:{port}/api/v1/servers").json()
        assert [(one["name"], one["state"]) for one in shown] == [("a", "synced")]
        process.send_signal(signal.SIGINT)
        done = process.finish()
    finally:
        process.kill()
    triggers = [event["trigger"] for event in events(done.err) if event["event"] == "round_started"]
    assert (done.code, triggers) == (0, ["start", "signal", "hook"])
    assert secret not in done.err


def test_commits_come_from_a_repository_and_a_rewind_is_refused(
    user: CliProcess, fleet: FleetOfSandboxes, tmp_path: Path
) -> None:
    fleet.add("a")
    box, text = fleet.boxes["a"], (fleet.folder / "a.yaml").read_text()
    (tmp_path / "remote").mkdir()
    remote = GitRemote(tmp_path / "remote")
    first = remote.commit({"fleet/a.yaml": text})
    source = ("--git", remote.url, "--ref", "main", "--path", "fleet")
    with watching(user, *source) as watcher:
        until(lambda: len(box.accounts()) == 2)
        remote.commit({"fleet/a.yaml": text.replace("name: Fax", "name: Telefax")})
        until(lambda: value(box, FAX, "name") == "Telefax")
        remote.git("update-ref", "refs/heads/main", first)
        watcher.wait_for_error_text('"event": "source_failed"')
        assert value(box, FAX, "name") == "Telefax"


def test_a_server_that_hangs_does_not_slow_the_others(user: CliProcess, fleet: FleetOfSandboxes) -> None:
    fleet.add("a")
    with socket.create_server(("127.0.0.1", 0)) as hanging:
        fleet.add("hangs", url=f"http://127.0.0.1:{hanging.getsockname()[1]}")
        box = fleet.boxes["a"]
        with watching(user, "fleet", "--timeout", "2s") as watcher:
            watcher.wait_for_error_text('"event": "server_failed"')
            for host in ("one.example.com", "two.example.com"):
                edit(box, smtp_server=host)
                until(lambda: value(box, ALERTS, "smtp_server") == "mx.example.com")
            text = watcher.wait_for_error_text('"event": "change"', count=4)
        seconds = [one["seconds"] for one in events(text) if one["event"] == "round_finished"][1:]
        assert all(one < 1.5 for one in seconds)


def test_drift_is_corrected_while_a_rollout_pauses(user: CliProcess, fleet: FleetOfSandboxes) -> None:
    fleet.add("a", "b", "c")
    rollout = "version: 1\nfleet: {rollout: {canary: name=a, batches: [1, 100%], pause: 8s}}\n"
    with watching(user, "fleet") as watcher:
        until(lambda: all(len(box.accounts()) == 2 for box in fleet.boxes.values()))
        for name in fleet.boxes:
            path = fleet.folder / f"{name}.yaml"
            path.write_text(path.read_text().replace("name: Fax", "name: Telefax"))
        (fleet.folder / "fleet.yaml").write_text(rollout)
        until(lambda: value(fleet.boxes["a"], FAX, "name") == "Telefax")
        for box in (fleet.boxes["a"], fleet.boxes["b"]):
            edit(box, smtp_server="by-hand.example.com", address=address_of(box))
        until(
            lambda: all(value(box, address_of(box), "smtp_server") == "mx.example.com" for box in fleet.boxes.values())
        )
        assert [value(fleet.boxes[name], FAX, "name") for name in "bc"] == ["Fax", "Fax"]
        until(lambda: all(value(fleet.boxes[name], FAX, "name") == "Telefax" for name in "bc"))
        text = watcher.wait_for_error_text('"message": "update fax@example.com", "origin": "commit"', count=3)
    runs = {one["server"]: one["run"] for one in events(text) if one["event"] == "change" and FAX in one["message"]}
    assert runs["a"] != runs["b"] == runs["c"]


def test_a_restart_does_not_end_the_pause_of_a_rollout(user: CliProcess, fleet: FleetOfSandboxes) -> None:
    fleet.add("a", "b")
    user.write("fleet/fleet.yaml", "version: 1\nfleet: {rollout: {batches: [1], pause: 1h}}\n")
    with watching(user, "fleet") as watcher:
        watcher.wait_for_error_text('"event": "round_finished"')
    with watching(user, "fleet") as watcher:
        text = watcher.wait_for_error_text('"event": "round_finished"', count=2)
    assert "the rollout pauses for 1h before the next batch" in text
    assert [len(fleet.boxes[name].accounts()) for name in ("a", "b")] == [2, 0]


def test_a_watcher_whose_state_directory_was_deleted_keeps_others_out_or_ends(
    user: CliProcess, fleet: FleetOfSandboxes
) -> None:
    fleet.add("a")
    with watching(user, "fleet") as watcher:
        watcher.wait_for_error_text('"event": "round_finished"')
        shutil.rmtree(user.folder / "state")
        watcher.wait_for_error_text('"event": "state_locked_again"')
        assert "another watcher uses the state directory" in once(user).err
    process = user.start("watch", "fleet", *OPTIONS, "--listen", "off")
    process.wait_for_error_text('"event": "round_finished"')
    shutil.rmtree(user.folder / "state")
    with closing(WatchState(user.folder / "state")) as other, other.lock():
        done = process.finish()
    assert (done.code, "another watcher uses the state directory" in done.err) == (1, True)


def test_one_watcher_uses_a_state_directory_at_a_time(user: CliProcess, fleet: FleetOfSandboxes) -> None:
    fleet.add("a")
    with watching(user, "fleet") as watcher:
        watcher.wait_for_error_text('"event": "round_finished"')
        second = once(user)
        assert second.code == 1
        assert "another watcher uses the state directory" in second.err
        assert re.search(r"process \d+ of \S+, since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC$", second.err, re.MULTILINE)
        assert "if this one is for other servers, give it a --state-dir of its own" in second.err


def test_a_server_that_replaces_refresh_tokens_is_watched_for_many_rounds(
    user: CliProcess, fleet: FleetOfSandboxes
) -> None:
    fleet.add("a", rotate_refresh_tokens=True, token_lifetime=1)
    with watching(user, "fleet") as watcher:
        until(lambda: len(fleet.boxes["a"].accounts()) == 2)
        text = watcher.wait_for_error_text('"results": {"unchanged": 1}', count=4)
    assert '"server_failed"' not in text
    assert text.count("may not work again") == 1


def test_suspend_and_resume_reach_a_running_watcher(user: CliProcess, fleet: FleetOfSandboxes) -> None:
    fleet.add("a")
    box = fleet.boxes["a"]
    with watching(user, "fleet") as watcher:
        until(lambda: len(box.accounts()) == 2)
        assert user.run("suspend", "a", "--reason", "firmware", "--state-dir", "state").code == 0
        watcher.wait_for_error_text('"event": "suspended"')
        edit(box, smtp_server="by-hand.example.com")
        watcher.wait_for_error_text('"event": "change_held"')
        status = user.run("status", "--state-dir", "state").out
        assert "suspended" in status
        assert "firmware" in status
        assert value(box, ALERTS, "smtp_server") == "by-hand.example.com"
        assert user.run("resume", "a", "--state-dir", "state").code == 0
        until(lambda: value(box, ALERTS, "smtp_server") == "mx.example.com")


def test_once_exits_with_the_codes_of_apply(user: CliProcess, fleet: FleetOfSandboxes) -> None:
    fleet.add("a")
    assert once(user).code == 0
    fleet.add("down", url=DOWN)
    assert once(user).code == 3
    (fleet.folder / "a.yaml").unlink()
    assert once(user).code == 1
    fleet.add("a", url=fleet.boxes["a"].url)
    (fleet.folder / "down.yaml").unlink()
    path = fleet.folder / "a.yaml"
    good = path.read_text()
    path.write_text(good.partition("accounts:")[0] + "accounts: []\n")
    assert once(user).code == 5
    path.write_text("nonsense")
    refused = once(user)
    assert refused.code == 1
    assert "source_failed" in refused.err
    path.write_text(good)
    assert once(user).code == 0


def test_a_signal_ends_one_round_whose_repository_does_not_respond(user: CliProcess) -> None:
    with socket.create_server(("127.0.0.1", 0)) as remote:
        url = f"http://127.0.0.1:{remote.getsockname()[1]}/mail.git"
        process = user.start("watch", "--git", url, "--once", "--state-dir", "state")
        connection, _ = remote.accept()
        with connection:
            process.send_signal(signal.SIGTERM)
            assert process.finish(timeout=15).code == 130


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_that_comes_before_there_is_a_watcher_ends_it_as_any_other(user: CliProcess, number: int) -> None:
    user.write("a.yaml", "version: 1\nserver: {name: a, url: 'http://127.0.0.1:9'}\naccounts: []\n")
    folder = user.folder / "state"
    folder.mkdir(mode=0o700)
    with (folder / "open.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        process = user.start("watch", "a.yaml", *OPTIONS, "--listen", "off")
        files = Path(f"/proc/{process.pid}/fd")
        until(lambda: any("open.lock" in str(one.readlink()) for one in files.iterdir() if one.is_symlink()))
        process.send_signal(signal.SIGHUP)  # there is nothing to begin yet
        process.send_signal(number)
        assert process.finish().code == 0


def test_a_signal_ends_a_secret_command_of_a_server_that_is_tried_again(
    user: CliProcess, fleet: FleetOfSandboxes, tmp_path: Path
) -> None:
    failed, begun = tmp_path / "failed", tmp_path / "begun"
    script = f"[ -e {failed} ] || {{ touch {failed}; exit 1; }}; touch {begun}; exec sleep 1000"
    fleet.add("a", url=DOWN, key=f"{{command: [sh, -c, '{script}']}}")
    process = user.start("watch", "fleet", "--allow-commands", *OPTIONS, "--listen", "off")
    until(begun.exists)
    process.send_signal(signal.SIGTERM)
    assert process.finish(timeout=15).code == 0


def test_once_reports_drift_without_failing(user: CliProcess, fleet: FleetOfSandboxes) -> None:
    fleet.add("a")
    box = fleet.boxes["a"]
    once(user)
    edit(box, smtp_server="by-hand.example.com")
    done = once(user, "fleet", "--on-drift", "report")
    assert done.code == 0
    assert "drift is only reported" in done.err
    assert value(box, ALERTS, "smtp_server") == "by-hand.example.com"


def test_one_server_may_be_named_by_the_environment(user: CliProcess, make_sandbox: MakeSandbox) -> None:
    box = make_sandbox()
    user.connect_to(box).write(
        "accounts.yaml",
        "version: 1\naccounts:\n  - {email: a@x.org, name: A, service: other, smtp_server: mx.example.com}\n",
    )
    done = once(user, "accounts.yaml")
    assert done.code == 0, done.err
    assert [one["email"] for one in box.accounts()] == ["a@x.org"]
    listed = user.run("status", "--state-dir", "state", "-f", "json")
    assert json.loads(listed.out)["servers"][0]["url"] == box.url


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((), "Name the manifests, or a repository with --git."),
        (("fleet", "--git", "https://git.example.com/x.git"), "--git and PATH exclude each other."),
        (("fleet", "--ref", "main"), "--ref needs --git: it is about a repository."),
        (("fleet", "--verify-signatures"), "--verify-signatures needs --git: it is about a repository."),
        (("fleet", "--listen", "nowhere"), "--listen or --host"),
        (("fleet", "--heal-limit", "often"), "is not a limit"),
    ],
)
def test_wrong_usage_is_explained(user: CliProcess, arguments: tuple[str, ...], expected: str) -> None:
    done = user.run("watch", *arguments, "--state-dir", "state")
    assert done.code == 64
    assert expected in done.err.replace("\n", " ")


def test_a_trust_file_in_the_work_tree_is_refused(user: CliProcess, tmp_path: Path) -> None:
    (tmp_path / "remote").mkdir()
    remote = GitRemote(tmp_path / "remote")
    remote.commit({"trust.yaml": "version: 1\n", "a.yaml": "version: 1\naccounts: []\n"})
    once(user, "--git", remote.url)
    (tree,) = (tmp_path / "state").rglob("trust.yaml")
    done = once(user, "--git", remote.url, "--trust", str(tree))
    assert done.code == 1
    assert "the trust file" in done.err
    assert os.path.exists(tree)  # noqa: PTH110 - a name


def test_options_that_narrow_a_plan_narrow_every_round(user: CliProcess, fleet: FleetOfSandboxes) -> None:
    fleet.add("a")
    assert once(user, "fleet", "--only", FAX).code == 0
    assert fleet.held()["a"] == [FAX]
    (fleet.folder / "a.yaml").write_text((fleet.folder / "a.yaml").read_text().replace(FAX, "new@example.com"))
    assert once(user, "fleet", "--no-prune").code == 0
    assert fleet.held()["a"] == [ALERTS, FAX, "new@example.com"]
    assert once(user, "fleet").code == 0
    assert fleet.held()["a"] == [ALERTS, "new@example.com"]


def test_once_reports_a_server_that_the_heal_limit_has_stopped(user: CliProcess, fleet: FleetOfSandboxes) -> None:
    fleet.add("a")
    limited = ("fleet", "--heal-limit", "1/1h")
    once(user)
    for code in (0, 5):
        edit(fleet.boxes["a"], smtp_server="by-hand.example.com")
        assert once(user, *limited).code == code
    fleet.add("b")
    assert once(user, *limited).code == 3
    assert user.run("resume", "a", "--state-dir", "state").code == 0
    assert once(user, *limited).code == 0
    assert user.run("suspend", "a", "--reason", "x", "--state-dir", "state").code == 0
    edit(fleet.boxes["a"], smtp_server="by-hand.example.com")
    assert once(user).code == 0
    (fleet.folder / "b.yaml").unlink()
    assert once(user).code == 5


def test_a_signal_in_the_middle_of_a_commit_is_no_failure(user: CliProcess, fleet: FleetOfSandboxes) -> None:
    fleet.add("a", latency=0.3)
    path = fleet.folder / "a.yaml"
    more = (
        f"  - {{email: m{n}@example.com, name: M{n}, service: other, smtp_server: mx.example.com}}" for n in range(40)
    )
    path.write_text("\n".join([path.read_text().rstrip(), *more, ""]))
    with watching(user, "fleet", "--parallelism", "1"):
        until(lambda: len(fleet.boxes["a"].accounts()) > 2)
    status = json.loads(user.run("status", "--state-dir", "state", "-f", "json").out)["servers"][0]
    done = len(fleet.boxes["a"].accounts())
    assert 2 < done < 42
    assert (status["state"], status["error"]) == (
        "pending",
        f"the round was ended: {done} of 42 changes were made, and the rest follows",
    )
