"""What git may do, and for how long."""

from __future__ import annotations

import os
import select
import shutil
import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from reconciler.errors import SourceError
from tests.source.conftest import Following, shown

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def program(folder: Path, name: str, script: str) -> Path:
    """A shell script that git runs."""
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


@contextmanager
def silent_server() -> Iterator[str]:
    """A server that accepts connections and never responds."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


def ended(number: int) -> bool:
    """Whether a process ends, at most a moment later."""
    try:
        process = os.pidfd_open(number)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([process], [], [], 5)[0])
    finally:
        os.close(process)


@pytest.mark.parametrize("scheme", ["git", "http"])
def test_a_remote_that_never_responds_is_given_up(following: Following, scheme: str) -> None:
    with silent_server() as address:
        following.url = f"{scheme}://{address}/mail.git"
        following.start(timeout=0.3)
        assert following.error() == (
            "git_timeout | git ls-remote took longer than 0.3 seconds"
            " | check whether the remote can be reached, and whether it responds"
        )


def test_what_git_started_is_killed_too(following: Following, tmp_path: Path) -> None:
    following.remote.environ["GIT_SSH_COMMAND"] = str(
        program(tmp_path, "slow", f"echo $$ > {tmp_path}/number; sleep 60")
    )
    following.url = "git.example.com:mail.git"
    following.start(timeout=0.3)
    assert following.error().startswith("git_timeout | ")
    assert ended(int((tmp_path / "number").read_text()))


def test_a_fetch_is_ended_from_another_thread(following: Following) -> None:
    with silent_server() as address:
        following.url = f"git://{address}/mail.git"
        source = following.start()
        timer = threading.Timer(0.2, source.close)
        timer.start()
        assert following.error() == "interrupted | the fetch was stopped | "
        timer.join()
        assert following.error() == "interrupted | the fetch was stopped | "


def test_a_background_process_of_a_helper_is_not_waited_for(following: Following, tmp_path: Path) -> None:
    script = f"setsid sleep 30 & echo $! > {tmp_path}/number\nexec git upload-pack {following.remote.bare}"
    following.remote.environ["GIT_SSH_COMMAND"] = str(program(tmp_path, "shared", script))
    following.url = "git.example.com:mail.git"
    following.start(timeout=10)
    try:
        assert following.accept_newest()
    finally:
        os.kill(int((tmp_path / "number").read_text()), 9)


def ssh_call(following: Following, tmp_path: Path) -> str:
    """The arguments and the environment that ssh gets."""
    program(tmp_path, "ssh", f'echo "$@" > {tmp_path}/call; env >> {tmp_path}/call')
    following.remote.environ["PATH"] = f"{tmp_path}:{os.environ['PATH']}"
    following.url = "git@git.example.com:mail.git"
    following.start()
    assert following.error().startswith("git_failed | git ls-remote failed: ")
    return (tmp_path / "call").read_text()


def test_ssh_never_asks(following: Following, tmp_path: Path) -> None:
    assert ssh_call(following, tmp_path).startswith("-o BatchMode=yes ")


@pytest.mark.parametrize("by", ["GIT_SSH_COMMAND", "core.sshCommand"])
def test_how_the_user_calls_ssh_is_respected(following: Following, tmp_path: Path, by: str) -> None:
    if by.startswith("GIT"):
        following.remote.environ[by] = "ssh -4"
    else:
        following.remote.configure(by, "ssh -4")
    assert ssh_call(following, tmp_path).startswith("-4 ")


def test_git_does_not_see_our_credentials(following: Following, tmp_path: Path) -> None:
    following.remote.environ["RECONCILER_TOKEN"] = "t0ken"
    assert "t0ken" not in ssh_call(following, tmp_path)


def test_credentials_that_git_adds_to_a_url_are_not_shown(following: Following) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
    following.remote.configure(f"url.http://ada:t0ken@{address}/.insteadOf", "https://git.example.com/")
    following.url = "https://git.example.com/mail.git"
    following.start()
    error = following.error()
    assert f"unable to access 'http://{address}/mail.git/'" in error
    assert "t0ken" not in error


@pytest.mark.parametrize("rewritten", ["ext::touch touched %", "fd::0/"])
def test_configuration_cannot_make_a_url_a_program(following: Following, tmp_path: Path, rewritten: str) -> None:
    following.remote.configure(f"url.{rewritten}.insteadOf", "https://git.example.com/")
    following.remote.configure("protocol.allow", "always")
    following.url = "https://git.example.com/mail.git"
    following.start()
    assert "not allowed" in following.error()
    assert not list(tmp_path.rglob("touched"))


def test_hooks_do_not_run(following: Following, tmp_path: Path) -> None:
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    for name in ("reference-transaction", "post-checkout", "post-index-change"):
        program(hooks, name, f"touch {tmp_path}/ran")
    following.remote.configure("core.hooksPath", str(hooks))
    following.accept_newest()
    assert not (tmp_path / "ran").exists()


def test_attributes_of_the_repository_run_no_filter(following: Following) -> None:
    following.remote.commit({".gitattributes": "*.yaml filter=lfs diff=lfs ident\n"})
    assert following.files()["a.yaml"] == "one"


def test_without_git_the_error_says_so(following: Following) -> None:
    following.remote.environ["PATH"] = "/nonexistent"
    following.start()
    assert following.error() == "git_missing | the git program is not installed | install git"


def test_a_full_disk_is_reported_as_such(following: Following, tmp_path: Path) -> None:
    real = shutil.which("git")
    failure = 'echo "fatal: write error: No space left on device" >&2; exit 128'
    script = f'case "$*" in *" fetch "*) {failure};; esac\nexec {real} "$@"'
    (tmp_path / "bin").mkdir()
    program(tmp_path / "bin", "git", script)
    following.accept_newest()
    following.remote.commit({"a.yaml": "two"})
    following.remote.environ["PATH"] = f"{tmp_path}/bin:{os.environ['PATH']}"
    following.start()
    assert following.error() == (
        "disk_full | no space is left for the Git repository | free some space on the disk of the state directory"
    )


def test_what_git_prints_is_escaped_and_shortened(following: Following, tmp_path: Path) -> None:
    script = "printf 'fatal: \\033[31mred\\n##[error] password=t0ken12345 ' >&2; yes long | head -c 9999 >&2; exit 128"
    following.remote.environ["GIT_SSH_COMMAND"] = str(program(tmp_path, "loud", script))
    following.url = "git.example.com:mail.git"
    with pytest.raises(SourceError) as caught:
        following.start().fetch()
    message = shown(caught.value)
    assert message.startswith(
        "git_failed | git ls-remote failed: \\u001b[31mred #\\u0023[error] password=*** long long"
    )
    assert len(message) < 600
