"""The command in a process of its own, connected to a fault server."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from tests.support import fork_server
from tests.support.scenarios import SECRETS, TOKEN

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.support.fork_server import Process

APPLY = ("apply", "accounts.yaml", "--auto-approve", "--parallelism", "1")


def begun(folder: Path, url: str, *arguments: str, **streams: int) -> Process:
    """Starts the command in ``folder``; ``streams`` are those of ``fork_server.start``."""
    return fork_server.start(arguments, folder, _environ(url), **streams)


def finished(process: Process) -> tuple[int, str, str]:
    """Waits for the process; returns its exit code, standard output and standard error."""
    done = process.finish()
    assert "Traceback" not in done.whole
    return done.code, done.texts.get("stdout", ""), done.texts.get("stderr", "")


def begun_with_python(
    folder: Path,
    url: str,
    *arguments: str,
    environ: Mapping[str, str] | None = None,
    **more: Any,  # noqa: ANN401 - Popen's own
) -> subprocess.Popen[str]:
    """Starts an interpreter that runs the command in ``folder``, with ``environ`` added to its environment."""
    options: dict[str, Any] = {
        "stdout": subprocess.PIPE,
        "stderr": subprocess.PIPE,
        "stdin": subprocess.DEVNULL,
        **more,
    }
    command = [sys.executable, "-m", "reconciler", *arguments]
    return subprocess.Popen(command, cwd=folder, env={**_environ(url), **(environ or {})}, text=True, **options)


def finished_with_python(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """As ``finished``."""
    out, err = process.communicate(timeout=60)
    assert "Traceback" not in (err or "")
    return process.returncode, out or "", err or ""


def _environ(url: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name.startswith(("COVERAGE", "PATH", "XDG_STATE"))}
    return {**kept, "PYTHONUTF8": "1", "RECONCILER_URL": url, **TOKEN, **SECRETS}
