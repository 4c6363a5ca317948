"""Without the extra ``sandbox`` everything but the sandbox works, and an error says what to install."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from importlib.metadata import requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.run_result import help_for

PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
WITHOUT_EXTRA = """
import sys
sys.modules.update(dict.fromkeys(["aiosmtpd", "fastapi", "starlette", "trustme", "uvicorn"]))
"""
LINE = "the sandbox is not installed: run `pip install 'email-account-reconciler[sandbox]'`"


def python(code: str, *arguments: str) -> tuple[int, str, str]:
    command = [sys.executable, "-W", "error", "-c", WITHOUT_EXTRA + code, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("command", ["sandbox", "demo"])
def test_a_command_that_needs_the_extra_says_what_to_install(command: str) -> None:
    run = "from reconciler.cli import main; main()"
    assert python(run, command) == (1, "", f"error: {LINE}\n{help_for('missing_extra')}")


def test_importing_the_sandbox_without_the_extra_is_an_import_error() -> None:
    code = """
from reconciler.errors import ReconcilerError
from reconciler.sandbox import SandboxOptions
try:
    from reconciler.sandbox import Sandbox
except ImportError as error:
    print(isinstance(error, ReconcilerError), error)
"""
    assert python(code) == (0, f"True {LINE}\n", "")


def test_help_works_without_the_extra() -> None:
    code, out, _ = python("from reconciler.cli import main; main()", "sandbox", "--help")
    assert (code, out.startswith("Usage: reconciler sandbox ")) == (0, True)


def needed(requirements: list[str]) -> set[str]:
    """The names of those distributions that are needed here, without any extra."""
    parsed = map(Requirement, requirements)
    return {canonicalize_name(one.name) for one in parsed if not one.marker or one.marker.evaluate({"extra": ""})}


def test_a_plain_install_brings_no_server() -> None:
    installed: set[str] = set()
    waiting = needed(PROJECT["dependencies"])
    while waiting:
        distribution = waiting.pop()
        installed.add(distribution)
        waiting |= needed(requires(distribution) or []) - installed
    servers = needed(PROJECT["optional-dependencies"]["sandbox"])
    assert "fastapi" in servers
    assert installed.isdisjoint({*servers, "starlette"})
