"""Does what a page says: writes its files and runs its commands, against servers on this machine."""

from __future__ import annotations

import os
import pty
import re
import shlex
import signal
import socket
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Self

import pytest

from reconciler.commands.sample import sample_accounts
from reconciler.commands.sandbox import sandbox as sandbox_command
from tests.support.cli_runner import CliProcess
from tests.support.example_fleet import ExampleFleet
from tests.support.git_remote import GitRemote, isolated
from tests.support.named_network import NamedNetwork
from tests.support.workflow_runner import TOOLS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.conftest import MakeSandbox
    from tests.support.fork_server import Process
    from tests.support.pages import Block
    from tests.support.run_result import RunResult

APPLIANCE = "fw.example.com"
KEY = "the-key"
REPOSITORY = "https://git.example.com/example-org/accounts.git"
PAGE_OF_WATCHER = "127.0.0.1:8080"
_NOT_FOUND = 127
_PROMPT = "Only 'yes' applies them: "
_FOR_A_SHELL = re.compile(r"[$`*?~|&;<>(){}\\#]|^\w+=|^(cd|export|unset|set) ")


class PageWorld:
    """A folder for one page, with what the page takes for granted.

    - ``reconciler sandbox --port N`` is a sandbox on a free port; ``http://127.0.0.1:N`` leads there.
    - ``https://fw.example.com`` is a sandbox with sample accounts, whose API key is ``the-key``.
    - The page that uses ``examples/fleet`` has its twelve servers, and their secrets in ``/run/secrets``.
    - ``/etc/reconciler``, ``/run/secrets`` and ``/var/lib/reconciler`` are folders below this one.
    - The example's Git repository is one on this machine. A file "in the repository" is committed there.
    - A watcher runs until the next one starts, or the page ends.
    """

    def __init__(self, text: str, folder: Path, make_sandbox: MakeSandbox) -> None:
        self._make_sandbox = make_sandbox
        self._home = folder
        self._watcher: Process | None = None
        self._stack = ExitStack()
        folder = folder / "page"
        folder.mkdir()
        self.user = CliProcess(folder, isolated(self._home))
        self.user.environ["PATH"] = f"{TOOLS}{os.pathsep}{os.environ['PATH']}"
        self._places = {KEY: "sandbox-refresh-token", PAGE_OF_WATCHER: _free_address()}
        for place in ("/run/secrets", "/etc/reconciler", "/var/lib/reconciler", "/var/backups"):
            if place in text:
                below = self._home / place.replace("/run/", "").lstrip("/")
                below.mkdir(parents=True, exist_ok=True)
                self._places[place] = str(below)
        if REPOSITORY in text:
            self._remote = GitRemote(self._home)
            self._places[REPOSITORY] = self._remote.url
        self._add_servers(text)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, failure: object, *_: object) -> None:
        if self._watcher and failure:
            self._watcher.kill()
        else:
            self._stop_watcher()
        self._stack.close()

    def _add_servers(self, text: str) -> None:
        if "examples/fleet" in text:
            fleet = self._stack.enter_context(ExampleFleet(self.user.folder, self._make_sandbox))
            self._places["/run/secrets"] = str(fleet.secrets)
            self.user.environ |= fleet.network.environ
        elif APPLIANCE in text:
            box = self._make_sandbox(allowed_hosts=(APPLIANCE,))
            box.seed(sample_accounts())
            ports = {APPLIANCE: int(box.url.rpartition(":")[2])}
            network = self._stack.enter_context(NamedNetwork(ports, self._home / "ca.pem"))
            self.user.environ |= network.environ

    def here(self, text: str) -> str:
        """What the page shows, with the addresses and folders that there are here."""
        for shown in sorted(self._places, key=len, reverse=True):
            text = text.replace(shown, self._places[shown])
        return text

    def write(self, name: str, text: str) -> None:
        """Writes a file; but an example that the page shows is there already, without the line that names it."""
        path, text = self.user.folder / self.here(name), self.here(text)
        path.parent.mkdir(parents=True, exist_ok=True)
        if not (path.exists() and text.partition("\n")[2] == path.read_text(encoding="utf-8")):
            path.write_text(text, encoding="utf-8")
        if text.startswith("#!"):
            path.chmod(0o755)

    def write_manifest(self, block: Block) -> str:
        """Writes a manifest, or commits it if it is in the repository; returns what to validate.

        A manifest in a folder belongs to the set of all files below its first folder. One without a name is alone.
        """
        if re.match(r"# \S+, in the repository\n", block.text):
            assert block.name
            self._remote.commit({block.name: self.here(block.text)})
            return str(self._remote.files)
        name = block.name or f"{self._home}/line-{block.line}/accounts.yaml"
        self.write(name, block.text)
        parts = name.split("/")
        return name if name.startswith("/") else "/".join(parts[: 1 + name.startswith("examples/")])

    def validate(self, name: str) -> None:
        done = self.user.run("validate", self.here(name))
        assert done.code == 0, done.err

    def remove(self, name: str) -> None:
        (self.user.folder / self.here(name)).unlink()

    def patch(self, difference: str) -> None:
        """Makes the changes of a diff."""
        done = self._bash("git apply --whitespace=nowarn -", stdin=self.here(difference))
        assert done.code == 0, done.err

    def run(self, command: str, output: Iterable[str], code: int) -> None:
        """Runs a command; what it prints must be what the page shows, if the page shows anything."""
        command, shown = self.here(command), [self.here(line) for line in output]
        is_answered = any(line.endswith(f"{_PROMPT}yes") for line in shown)
        simple = [] if _FOR_A_SHELL.search(re.sub(r"'[^']*'", "", command)) else shlex.split(command)
        if simple[:2] == ["reconciler", "sandbox"]:
            return self._start_sandbox(simple[2:])
        if simple[:2] == ["reconciler", "watch"]:
            self._stop_watcher()
            if "--once" not in simple:
                return self._start_watcher(simple[1:])
        if simple[:1] == ["reconciler"]:
            done = self._answer(simple[1:]) if is_answered else self.user.run(*simple[1:])
        else:
            done = self._bash(command)
        whole = f"{command}\n{done.out}{done.err}"
        if done.code == _NOT_FOUND and os.environ.get("CI") != "true":
            pytest.skip(f"a program is not installed: {done.err}")
        assert done.code == code, f"ended with {done.code}: {whole}"
        if shown:
            errors = done.err.replace(_PROMPT, f"{_PROMPT}yes\n") if is_answered else done.err
            assert is_shown(shown, done.out, errors), f"prints something else: {whole}"
        return None

    def _start_sandbox(self, arguments: list[str]) -> None:
        given = sandbox_command.make_context("sandbox", arguments).params
        port, is_empty = given.pop("port"), given.pop("empty")
        assert [name for name in ("seed", "mailboxes") if given.pop(name)] == [], "not supported here"
        box = self._make_sandbox(database=given.pop("db"), latency=given.pop("latency") or 0.0, **given)
        if not is_empty:
            box.seed(sample_accounts())
        if port:
            self._places[f"http://127.0.0.1:{port}"] = box.url
        else:
            self.user.connect_to(box)

    def _start_watcher(self, arguments: list[str]) -> None:
        self._watcher = self.user.start(*arguments, "--listen", self._places[PAGE_OF_WATCHER])
        self._watcher.wait_for_error_text("round_finished")

    def _stop_watcher(self) -> None:
        if self._watcher:
            self._watcher.send_signal(signal.SIGTERM)
            assert self._watcher.wait() == 0
            self._watcher = None

    def _answer(self, arguments: list[str]) -> RunResult:
        """Runs the command, and answers "yes" on a terminal."""
        keys, terminal = pty.openpty()
        try:
            os.write(keys, b"yes\n")
            return self.user.start(*arguments, stdin=terminal).finish()
        finally:
            os.close(keys)
            os.close(terminal)

    def _bash(self, command: str, *, stdin: str | None = None) -> RunResult:
        """Runs a command in bash. Where it leads, and the variables that it sets, stay for the next one."""
        state = self._home / "shell"
        script = f'{command}\nended=$?; {{ pwd; env -0; }} > "{state}"; exit $ended'
        done = self.user.run_program(["bash", "-c", script], stdin=stdin)
        folder, _, variables = state.read_text(encoding="utf-8").partition("\n")
        now = dict(one.partition("=")[::2] for one in variables.split("\0") if one)
        kept = {name: value for name, value in now.items() if name not in ("PWD", "OLDPWD", "SHLVL", "_")}
        self.user.folder, self.user.environ = Path(folder), kept
        return done


def is_shown(shown: list[str], out: str, err: str) -> bool:
    """Whether a page shows what was printed, on both streams.

    The lines of each stream are in their order. ``...`` is any number of lines, ``…`` any characters of a line. Spaces
    that align columns do not count, as names have other lengths here; nor does the progress, which a terminal erases.
    """
    lines = [_plain(line) for line in shown]
    printed = [[_plain(line) for line in stream.splitlines()] for stream in (out, err)]
    printed[1] = [line for line in printed[1] if not re.match(r"\[\d+/\d+\] ", line)]
    for stream in (lines, *printed):
        while stream and not stream[-1]:
            stream.pop()

    @cache
    def fits(at: int, in_out: int, in_err: int) -> bool:
        heads = [printed[0][in_out : in_out + 1], printed[1][in_err : in_err + 1]]
        if at == len(lines):
            return not any(heads)
        if lines[at] == "...":
            return (
                fits(at + 1, in_out, in_err)
                or bool(heads[0] and fits(at, in_out + 1, in_err))
                or bool(heads[1] and fits(at, in_out, in_err + 1))
            )
        pattern = ".*".join(re.escape(piece) for piece in lines[at].split("…"))
        return bool(
            (heads[0] and re.fullmatch(pattern, heads[0][0]) and fits(at + 1, in_out + 1, in_err))
            or (heads[1] and re.fullmatch(pattern, heads[1][0]) and fits(at + 1, in_out, in_err + 1))
        )

    return fits(0, 0, 0)


def _plain(line: str) -> str:
    return " ".join(line.split())


def _free_address() -> str:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{taken.getsockname()[1]}"
