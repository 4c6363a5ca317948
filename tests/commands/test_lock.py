"""One run at a time for each server: what a second ``apply`` does meanwhile, and what happens without a lock."""

from __future__ import annotations

import json
import os
import signal
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.cli_runner import CliProcess

YAML = "version: 1\naccounts:\n" + "".join(
    f"  - {{email: a{n}@example.com, name: A{n}, service: other, smtp_server: smtp.example.com}}\n" for n in range(12)
)
APPLY = ("apply", "accounts.yaml", "--auto-approve")


@pytest.fixture
def state(at_sandbox: CliProcess) -> Path:
    """The folder with the locks."""
    at_sandbox.write("accounts.yaml", YAML)
    at_sandbox.environ["XDG_STATE_HOME"] = str(at_sandbox.folder / ".state")
    return at_sandbox.folder / ".state" / "reconciler"


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


class Asking:
    """An ``apply`` that waits for approval, and holds the lock meanwhile."""

    def __init__(self, user: CliProcess, state: Path) -> None:
        self.terminal, child = os.openpty()
        self.process = user.start("apply", "accounts.yaml", stdin=child)
        os.close(child)
        until(lambda: any(path.stat().st_size for path in state.glob("*.lock")))

    def __enter__(self) -> Asking:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.finish()
        os.close(self.terminal)


def test_three_runs_at_once_create_each_account_once(at_sandbox: CliProcess, state: Path) -> None:
    runs = [at_sandbox.start(*APPLY) for _ in range(3)]
    ends = [run.finish() for run in runs]
    assert [end.code for end in ends] == [0, 0, 0], ends
    assert at_sandbox.run("export").out.count("- email:") == 12
    (lock,) = state.iterdir()
    assert [path.stat().st_mode & 0o777 for path in (state, lock)] == [0o700, 0o600]


def test_the_error_of_a_locked_run_names_the_other_process(at_sandbox: CliProcess, state: Path) -> None:
    with Asking(at_sandbox, state) as other:
        done = at_sandbox.run(*APPLY, "--lock-timeout", "0.3s", "-f", "json")
        plan = at_sandbox.run("plan", "accounts.yaml")
    assert done.code == 1
    assert f"process {other.process.pid} of " in done.err
    (error,) = json.loads(done.out)["errors"]
    assert error["kind"] == "locked"
    assert f"process {other.process.pid} of " in error["message"]
    assert "nothing was written" in error["message"]
    assert (plan.code, plan.err) == (0, "")


def test_killing_a_run_releases_its_lock(at_sandbox: CliProcess, state: Path) -> None:
    with Asking(at_sandbox, state):
        pass
    assert at_sandbox.run(*APPLY, "--lock-timeout", "0s").code == 0


def test_each_server_has_its_own_lock(at_sandbox: CliProcess, state: Path) -> None:
    with Asking(at_sandbox, state):
        at_sandbox.environ["RECONCILER_URL"] = "http://127.0.0.1:9"
        assert "cannot reach" in at_sandbox.run(*APPLY, "--lock-timeout", "0s", "--timeout", "1s").err


def test_waiting_for_the_lock_can_be_interrupted(at_sandbox: CliProcess, state: Path) -> None:
    with Asking(at_sandbox, state):
        waiting = at_sandbox.start(*APPLY)
        waiting.wait_for_error_text("Waiting for another run on http://127.0.0.1:")
        waiting.send_signal(signal.SIGINT)
        assert waiting.finish().code == 130


def test_a_waiting_run_continues_when_the_other_ends(at_sandbox: CliProcess, state: Path) -> None:
    with Asking(at_sandbox, state) as other:
        waiting = at_sandbox.start(*APPLY)
        waiting.wait_for_error_text("Waiting for another run")
        os.write(other.terminal, b"no\n")
        done = waiting.finish()
    assert done.code == 0, done.whole


@pytest.mark.parametrize("trick", ["link", "dangling link", "file", "linked lock", "folder in its place"])
def test_an_unusable_lock_folder_is_only_a_warning(at_sandbox: CliProcess, state: Path, trick: str) -> None:
    victim = at_sandbox.write("victim/file", "precious")
    state.parent.mkdir()
    if trick == "link":
        state.symlink_to(victim.parent)
    elif trick == "dangling link":
        state.symlink_to(at_sandbox.folder / "nowhere")
    elif trick == "file":
        state.write_text("")
    else:
        assert at_sandbox.run(*APPLY).code == 0
        (lock,) = state.iterdir()
        lock.unlink()
        if trick == "linked lock":
            lock.symlink_to(victim)
        else:
            lock.mkdir()
    done = at_sandbox.run(*APPLY)
    assert done.code == 0
    assert "warning: no lock keeps other runs on this machine from applying at the same time: " in done.err
    assert victim.read_text() == "precious"
    assert [path.name for path in victim.parent.iterdir()] == ["file"]
    assert not (at_sandbox.folder / "nowhere").exists()


def test_a_relative_state_folder_is_ignored(at_sandbox: CliProcess, state: Path) -> None:
    at_sandbox.environ |= {"XDG_STATE_HOME": "state", "HOME": str(at_sandbox.folder / ".home")}
    assert at_sandbox.run(*APPLY).code == 0
    assert not (at_sandbox.folder / "state").exists()
    assert len(list((at_sandbox.folder / ".home/.local/state/reconciler").iterdir())) == 1
    assert not state.exists()


def test_a_run_warns_if_it_cannot_create_the_lock_folder(at_sandbox: CliProcess, state: Path) -> None:
    at_sandbox.environ["XDG_STATE_HOME"] = "/proc/nowhere"
    done = at_sandbox.run(*APPLY)
    assert done.code == 0
    assert "warning: no lock keeps other runs" in done.err
    assert not state.exists()
