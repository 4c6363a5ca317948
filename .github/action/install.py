"""Installs reconciler into a virtual environment of its own, outside the checkout."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import author
import workflow

_USAGE = 64
_ANOTHER_PROJECT = re.compile(r"reconciler\s*($|[^\w\s./\\-])", re.IGNORECASE)
"""A requirement of PyPI's project ``reconciler``: its name, perhaps with extras, a version, a URL or a marker."""


def main() -> int:
    """Installs what the input ``version`` names, and sets the output ``executable``."""
    version = os.environ.get("INPUT_VERSION", "").strip()
    installed = shutil.which("reconciler") if version == "installed" else None
    if problem := _problem(version, installed):
        workflow.annotate("error", problem)
        return _USAGE
    if installed:
        workflow.set_outputs(executable=installed)
        return 0
    executable, code = _install(version or os.environ["GITHUB_ACTION_PATH"])
    if code == 0:
        workflow.set_outputs(executable=str(executable))
    return code


def _problem(version: str, installed: str | None) -> str:
    """What is wrong with the input; empty if nothing is."""
    if version == "installed" and not installed:
        return "`version: installed`, but there is no reconciler on the PATH"
    if not author.assess().trusted and _is_in_checkout(installed or version):
        return (
            f"`version: {version}` is in the checkout, whose author may be anybody on this event, so its code is not"
            " run. Leave `version` out, or give a URL"
        )
    if sys.version_info < (3, 11):  # noqa: UP036 - the runner's own Python
        return f"Python 3.11 or newer is needed, not {sys.version.split()[0]}: run actions/setup-python before this"
    if version.startswith("-") or re.fullmatch(r"v?\d[^/@]*", version):
        return (
            f"pip cannot install `version: {version}`: leave it out to use the version of the action, or give a path or"
            " a URL such as git+https://host/reconciler@COMMIT"
        )
    if _ANOTHER_PROJECT.match(version):
        return (
            f"`version: {version}` would install another project: on PyPI, `reconciler` is a pandas tool. This one is"
            " named `email-account-reconciler`; leave `version` out to use the version of the action"
        )
    return ""


def _is_in_checkout(version: str) -> bool:
    if not version or "file:" in version:
        return version != ""
    return "://" not in version and Path(version).resolve().is_relative_to(workflow.workspace())


def _install(requirement: str) -> tuple[Path, int]:
    """Installs a requirement; returns the path of the command, and an exit code."""
    key = hashlib.sha256(requirement.encode()).hexdigest()[:12]
    folder = workflow.temp_folder() / f"reconciler-{key}"
    executable = folder / "bin" / "reconciler"
    if executable.exists():
        return executable, 0
    # Isolated (-I): the working directory is the checkout, whose modules must not be imported.
    pip = [str(folder / "bin" / "python"), "-I", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    for command in ([sys.executable, "-I", "-m", "venv", str(folder)], [*pip, "--", requirement]):
        environment = workflow.environment_without_secrets()
        code = subprocess.run(command, env=environment, check=False).returncode  # noqa: S603 - no shell
        if code:
            workflow.annotate("error", f"installing {requirement} failed; see pip's message above")
            return executable, code
    if not executable.exists():
        workflow.annotate("error", f"{requirement} has no command `reconciler`: it is another project")
        return executable, _USAGE
    return executable, 0


if __name__ == "__main__":
    sys.exit(main())
