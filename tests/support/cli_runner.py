"""Runs the command line: in this process, or in a process of its own as a user would."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING

from reconciler import cli
from tests.support import fork_server
from tests.support.fork_server import RECONCILER, Process
from tests.support.pauses import short_pauses
from tests.support.run_result import RunResult

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from reconciler.sandbox import Sandbox

__all__ = ["RECONCILER", "CliProcess", "CliRunner", "RunResult"]


@dataclass
class CliProcess:
    """Runs the command in a process of its own.

    Attributes:
        folder: The working directory.
        environ: Its variables, in addition to PATH and a few more.
        starts_python: Whether each run starts an interpreter, instead of being forked from one that is running.
    """

    folder: Path
    environ: dict[str, str] = field(default_factory=dict)
    starts_python: bool = False

    def connect_to(self, sandbox: Sandbox) -> CliProcess:
        """Sets the variables for a sandbox."""
        self.environ |= {"RECONCILER_URL": sandbox.url, "RECONCILER_REFRESH_TOKEN": sandbox.refresh_token}
        return self

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def environment(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if name.startswith("COVERAGE")}
        kept = {name: os.environ[name] for name in ("PATH", "XDG_STATE_HOME")}
        return {**kept, "PYTHONUTF8": "1", **inherited, **self.environ, **(more or {})}

    def run(
        self,
        *arguments: str,
        stdin: str | None = None,
        stdout: IO[str] | None = None,
        stderr: IO[str] | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> RunResult:
        """Runs the command to its end. What it writes to a given stream is not in the result."""
        if self.starts_python:
            return self.run_program([str(RECONCILER), *arguments], stdin=stdin, environ=environ)
        outputs = {
            name: stream.fileno() for name, stream in (("stdout", stdout), ("stderr", stderr)) if stream is not None
        }
        process = fork_server.start(arguments, self.folder, self.environment(environ), stdin=stdin, **outputs)
        return process.finish()

    def start(self, *arguments: str, stdin: int | None = None, environ: Mapping[str, str] | None = None) -> Process:
        """Starts the command and returns at once."""
        return fork_server.start(arguments, self.folder, self.environment(environ), stdin=stdin)

    def run_program(
        self,
        command: list[str],
        *,
        folder: Path | None = None,
        stdin: str | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> RunResult:
        """Runs any program in this folder and environment, such as a shell that starts the command."""
        done = subprocess.run(
            command,
            cwd=folder or self.folder,
            env=self.environment(environ),
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="replace",
            timeout=60,
            check=False,
        )
        return RunResult(done.returncode, {"stdout": done.stdout, "stderr": done.stderr})


@dataclass
class CliRunner:
    """Runs the command in this process, and collects everything that it leaves behind.

    Attributes:
        inputs: The folder for the files that the command reads; it may hold secrets.
        outputs: The working directory, and the folder of temporary files: no secret may appear there.
    """

    inputs: Path
    outputs: Path
    environ: dict[str, str] = field(default_factory=dict)

    def run(self, *arguments: str, environ: Mapping[str, str] | None = None) -> RunResult:
        for path in self.outputs.iterdir():
            path.unlink()
        out, err = _Stream(), _Stream()
        with _surroundings(self.outputs, {**self.environ, **(environ or {})}), _streams(out, err), short_pauses():
            try:
                cli.main(arguments)
            except SystemExit as ended:
                code = int(ended.code or 0)
        return RunResult(code, {"stdout": out.text, "stderr": err.text, **self.files()})

    def files(self) -> dict[str, str]:
        """The contents of ``outputs``, by file name."""
        return {path.name: path.read_bytes().decode("utf-8", "replace") for path in self.outputs.iterdir()}


class _Stream(io.TextIOWrapper):
    """A stream in memory that behaves like a pipe."""

    def __init__(self) -> None:
        super().__init__(io.BytesIO(), encoding="utf-8", write_through=True)

    @property
    def text(self) -> str:
        buffer = self.buffer
        assert isinstance(buffer, io.BytesIO)
        return buffer.getvalue().decode("utf-8", "replace")


@contextlib.contextmanager
def _surroundings(folder: Path, environ: Mapping[str, str]) -> Iterator[None]:
    kept = dict(os.environ)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    tempdir = tempfile.tempdir
    inherited = {name: value for name, value in kept.items() if name.startswith(("PATH", "COV", "XDG_STATE"))}
    try:
        os.environ.clear()
        os.environ.update({**inherited, **environ})
        tempfile.tempdir = str(folder)
        with contextlib.chdir(folder):
            yield
    finally:
        os.environ.clear()
        os.environ.update(kept)
        tempfile.tempdir = tempdir
        for number, handler in handlers.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _streams(out: io.TextIOBase, err: io.TextIOBase) -> Iterator[None]:
    stdin = sys.stdin
    with (
        open(os.devnull, encoding="utf-8") as nothing,  # noqa: PTH123 - a device
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        sys.stdin = nothing
        try:
            yield
        finally:
            sys.stdin = stdin
