"""Runs the command in a process of its own, as a user would."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from tests.commands import fork_server
from tests.commands.fork_server import RECONCILER

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from reconciler.sandbox import Sandbox

__all__ = ["RECONCILER", "Finished", "User", "lead_to", "on_server"]

READ_AT_START = ("PYTHON", "LANG", "LC_")
"""How the variables begin that Python reads when it starts."""


@dataclass(frozen=True)
class Finished:
    """What a run left behind."""

    code: int
    out: str
    err: str


@dataclass
class User:
    """Somebody at a prompt, in a folder of their own, with an environment of their own.

    Attributes:
        folder: Where they are.
        environ: Their variables, over an environment with nothing but PATH.
        starts_python: Whether each run starts Python itself, and is not forked from a process that has.
    """

    folder: Path
    environ: dict[str, str] = field(default_factory=dict)
    starts_python: bool = False

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def environment(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if name.startswith("COVERAGE")}
        kept = {name: os.environ[name] for name in ("PATH", "XDG_STATE_HOME")}
        return {**kept, "PYTHONUTF8": "1", **inherited, **self.environ, **(more or {})}

    def run(self, *arguments: str, stdin: str | None = None, environ: Mapping[str, str] | None = None) -> Finished:
        environment = self.environment(environ)
        if self.starts_python or any(name.startswith(READ_AT_START) for name in {*self.environ, *(environ or {})}):
            done = self._start(arguments, environment, stdin)
        else:
            done = fork_server.run(arguments, self.folder, environment, stdin=stdin, timeout=60)
        return Finished(done.returncode, done.stdout, done.stderr)

    def _start(
        self, arguments: Sequence[str], environment: Mapping[str, str], stdin: str | None
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [RECONCILER, *arguments],
            cwd=self.folder,
            env=environment,
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=60,
            check=False,
        )


@pytest.fixture
def user(tmp_path: Path) -> User:
    return User(tmp_path)


def lead_to(user: User, sandbox: Sandbox) -> User:
    """Sets the variables that lead a user to a sandbox."""
    user.environ |= {"RECONCILER_URL": sandbox.url, "RECONCILER_REFRESH_TOKEN": sandbox.refresh_token}
    return user


@pytest.fixture
def at_sandbox(user: User, sandbox: Sandbox) -> User:
    return lead_to(user, sandbox)


def on_server(email: str, **fields: object) -> dict[str, object]:
    """An account as the server's JSON has it."""
    return {
        "email": email,
        "name": email.partition("@")[0].title(),
        "default": False,
        "service": "other",
        "hash_auth": False,
        "smtp_server": "smtp.example.com",
        **fields,
    }
