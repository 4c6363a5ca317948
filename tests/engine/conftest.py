"""Sandboxes, a broker, and workers and clients in processes of their own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from reconciler.errors import StateError
from reconciler.watch.state import WatchState
from tests.support.broker import Broker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from reconciler.sandbox import Sandbox
    from reconciler.watch.records import ServerRecord
    from tests.conftest import MakeSandbox

KEY = "sandbox-refresh-token"
PASSWORD = "canary-4711-account-password"
RECONCILER = Path(sys.executable).with_name("reconciler")


class Program:
    """A command in a process group of its own. Its output goes to files, so that it never waits for a reader."""

    def __init__(self, folder: Path, name: str, arguments: list[str], environ: Mapping[str, str]) -> None:
        self._files = [folder / f"{name}.{stream}" for stream in ("out", "err")]
        with self._files[0].open("wb") as out, self._files[1].open("wb") as err:
            self._process = subprocess.Popen(
                [str(RECONCILER), *arguments],
                cwd=folder,
                env=dict(environ),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
        self.pid = self._process.pid

    @property
    def out(self) -> str:
        return self._files[0].read_text(encoding="utf-8")

    @property
    def err(self) -> str:
        return self._files[1].read_text(encoding="utf-8")

    def send(self, number: int, *, to_group: bool = False) -> None:
        (os.killpg if to_group else os.kill)(self.pid, number)

    def wait(self, timeout: float = 90) -> int:
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running: {self.out}{self.err}") from None

    def wait_for(self, words: str, timeout: float = 30) -> None:
        until(lambda: words in self.err or self._process.poll() is not None, timeout)
        assert words in self.err, self.err

    def end(self) -> None:
        for number in (signal.SIGCONT, signal.SIGKILL):
            with suppress(ProcessLookupError):
                self.send(number, to_group=True)
        self._process.wait(10)


def until(condition: Callable[[], object], timeout: float = 30) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


@dataclass
class Site:
    """A fleet of sandboxes with its broker, clients and workers.

    Attributes:
        environ: The environment of workers; a client has no secrets.
    """

    folder: Path
    make_sandbox: MakeSandbox
    broker: Broker
    boxes: dict[str, Sandbox] = field(default_factory=dict)
    programs: list[Program] = field(default_factory=list)

    def add(self, *names: str, more: str = "", key: str = "KEY", **options: Any) -> None:  # noqa: ANN401 - SandboxOptions has their types
        """Adds servers with three accounts each."""
        for name in names:
            self.boxes[name] = self.make_sandbox(**options)
            url = self.boxes[name].url
            path = self.folder / "fleet" / f"{name}.yaml"
            path.parent.mkdir(exist_ok=True)
            path.write_text(
                f"version: 1\n"
                f"server: {{name: {name}, url: '{url}', auth: {{refresh_token: {{env: {key}}}}}{more}}}\n"
                "defaults: {service: other, smtp_server: mx.example.com}\n"
                "accounts:\n"
                f"  - {{email: alerts@{name}.example.com, name: Alerts, password: {{env: MAIL_PASSWORD}}}}\n"
                f"  - {{email: fax@{name}.example.com, name: Fax}}\n"
                f"  - {{email: scans@{name}.example.com, name: Scans}}\n"
            )

    @property
    def client_environ(self) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if name.startswith("COVERAGE")}
        state = {"XDG_STATE_HOME": str(self.folder / ".state")}
        return {"PATH": os.environ["PATH"], "PYTHONUTF8": "1", **state, **inherited}

    @property
    def worker_environ(self) -> dict[str, str]:
        return {**self.client_environ, "KEY": KEY, "MAIL_PASSWORD": PASSWORD}

    def worker(self, *arguments: str, manifests: str = "fleet", environ: Mapping[str, str] | None = None) -> Program:
        """A worker that takes messages."""
        command = ["worker", "--engine", self.broker.url, manifests, *arguments]
        worker = self._start("worker", command, environ or self.worker_environ)
        worker.wait_for("event=started")
        return worker

    def client(self, *arguments: str, command: str = "apply", environ: Mapping[str, str] | None = None) -> Program:
        approval = ["--auto-approve"] if command == "apply" else []
        options = [command, "fleet", *approval, "--engine", self.broker.url, "-f", "json", *arguments]
        return self._start("client", options, {**self.client_environ, **(environ or {})})

    def watcher(self, *arguments: str, manifests: str = "fleet", state: str = "state") -> Program:
        """A watcher without a page, which looks often."""
        options = ["watch", manifests, "--engine", self.broker.url, "--state-dir", state, "--listen", "off"]
        return self._start("watcher", [*options, "--interval", "2s", *arguments], self.client_environ)

    def once(self, *arguments: str, state: str = "state") -> Program:
        """One round of a watcher, which has ended."""
        watcher = self.watcher("--once", *arguments, state=state)
        watcher.wait()
        return watcher

    def state(self, state: str = "state") -> WatchState:
        """The state of a watcher; to be closed."""
        return WatchState(self.folder / state, create=False)

    def records(self, state: str = "state") -> dict[str, ServerRecord]:
        """What a watcher knows of its servers; nothing before it has begun."""
        try:
            with closing(self.state(state)) as found:
                return found.records()
        except StateError:
            return {}

    def states(self, state: str = "state") -> dict[str, str]:
        """The state of each server, as a watcher knows it."""
        return {name: record.state.value for name, record in self.records(state).items()}

    def apply(self, *arguments: str) -> tuple[int, dict[str, Any]]:
        """A whole run."""
        client = self.client(*arguments)
        code = client.wait()
        assert client.out, client.err
        return code, json.loads(client.out)

    def _start(self, name: str, arguments: list[str], environ: Mapping[str, str]) -> Program:
        program = Program(self.folder, f"{name}{len(self.programs)}", arguments, environ)
        self.programs.append(program)
        return program

    def count(self, name: str) -> int:
        return len(self.boxes[name].accounts())

    @property
    def counts(self) -> list[int]:
        return [self.count(name) for name in self.boxes]

    def check_no_duplicates(self) -> None:
        for name, box in self.boxes.items():
            emails = [one["email"] for one in box.accounts()]
            assert sorted(emails) == sorted(set(emails)), name

    def check_truth(self, document: dict[str, Any]) -> None:
        """What was reported as done is there, and what was reported as not done is not."""
        for one in document["results"]:
            emails = {account["email"] for account in self.boxes[one["server"]].accounts()}
            if one["status"] == "applied":
                assert one["address"] in emails, one
            if one["status"] in {"not_attempted", "skipped"}:
                assert one["address"] not in emails, one

    def end(self) -> None:
        for program in self.programs:
            program.end()


def statuses(document: dict[str, Any]) -> dict[str, str]:
    return {one["name"]: one["status"] for one in document["servers"]}


@pytest.fixture
def site(tmp_path: Path, make_sandbox: MakeSandbox) -> Iterator[Site]:
    data = tmp_path / "valkey"
    data.mkdir()
    with Broker(data) as broker:
        found = Site(tmp_path, make_sandbox, broker)
        try:
            yield found
        finally:
            found.end()
