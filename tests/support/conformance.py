"""Whether a server does what its OpenAPI document says, as schemathesis sees it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.support.workflow_runner import ROOT


def check_conformance(url: str, token: str, folder: Path, *options: str, config: str = "") -> str:
    """Sends requests of all kinds; returns the summary."""
    (folder / "schemathesis.toml").write_text(config)
    command: list[str | Path] = [
        Path(sys.executable).with_name("schemathesis"),
        "--config-file=schemathesis.toml",
        "run",
        f"{url}/openapi.json",
        f"--header=Authorization: Bearer {token}",
        *options,
        "--generation-deterministic",
        "--checks=all",
        "--no-color",
    ]
    # In a new folder, hypothesis would spend seconds on a table of all characters.
    environ = {**os.environ, "HYPOTHESIS_STORAGE_DIRECTORY": str(ROOT / ".hypothesis")}
    run = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=False, timeout=600)
    assert run.returncode == 0, run.stdout + run.stderr
    summary: str = run.stdout
    return summary
