"""The installed command in a process of its own, connected to a fault server."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from tests.support.scenarios import SECRETS, TOKEN

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def begun(
    folder: Path,
    url: str,
    *arguments: str,
    environ: Mapping[str, str] | None = None,
    **more: Any,  # noqa: ANN401 - Popen's own
) -> subprocess.Popen[str]:
    """Starts the command in ``folder``, with ``environ`` added to its environment."""
    kept = {name: value for name, value in os.environ.items() if name.startswith(("COVERAGE", "PATH", "XDG_STATE"))}
    options: dict[str, Any] = {
        "stdout": subprocess.PIPE,
        "stderr": subprocess.PIPE,
        "stdin": subprocess.DEVNULL,
        **more,
    }
    return subprocess.Popen(
        [sys.executable, "-m", "reconciler", *arguments],
        cwd=folder,
        env={**kept, "RECONCILER_URL": url, **TOKEN, **SECRETS, **(environ or {})},
        text=True,
        **options,
    )


def finished(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Waits for the process; returns its exit code, standard output and standard error."""
    out, err = process.communicate(timeout=60)
    assert "Traceback" not in (err or "")
    return process.returncode, out or "", err or ""


APPLY = ("apply", "accounts.yaml", "--auto-approve", "--parallelism", "1")
