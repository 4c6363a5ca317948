"""Linters that nobody here wrote. Those that are slow to start are called in this process."""

from __future__ import annotations

import io
import subprocess
from contextlib import redirect_stderr, redirect_stdout
from typing import TYPE_CHECKING

from click.testing import CliRunner

from tests.support.workflow_runner import ROOT, tool

if TYPE_CHECKING:
    from pathlib import Path


def lint(*command: str | Path) -> str:
    """What a linter says, or nothing if it accepts everything."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    return "" if done.returncode == 0 else done.stdout + done.stderr


def lint_schema(schema: str, *paths: Path) -> str:
    """As ``lint``, for one of the schemas that check-jsonschema brings."""
    tool("check-jsonschema")
    from check_jsonschema import main  # type: ignore[import-untyped]

    done = CliRunner().invoke(main, ["--builtin-schema", schema, *map(str, paths)])
    return "" if done.exit_code == 0 else done.output or repr(done.exception)


def lint_kubernetes(*paths: Path) -> str:
    """As ``lint``, for the objects of the newest Kubernetes that kubernetes-validate knows."""
    tool("kubernetes-validate")
    from kubernetes_validate.utils import latest_version, validate_file  # type: ignore[import-untyped]

    said = io.StringIO()
    with redirect_stdout(said), redirect_stderr(said):
        codes = [validate_file(path, latest_version(), strict=True, quiet=True, no_warn=False) for path in paths]
    return said.getvalue() if any(codes) else ""
