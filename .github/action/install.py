"""Installs reconciler into a virtual environment of its own, outside the checked-out repository."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import origin
import workflow

_USAGE = 64
_ANOTHER_PROJECT = re.compile(r"reconciler\s*($|[^\w\s./\\-])", re.IGNORECASE)
"""A requirement of PyPI's project ``reconciler``: its name, perhaps with extras, a version, a URL or a marker."""


def main() -> int:
    """Installs what the input ``version`` names, and sets the output ``executable``."""
    wanted = os.environ.get("INPUT_VERSION", "").strip()
    found = shutil.which("reconciler") if wanted == "installed" else None
    if complaint := _complaint(wanted, found):
        workflow.say("error", complaint)
        return _USAGE
    if found:
        workflow.set_outputs(executable=found)
        return 0
    executable, code = _install(wanted or os.environ["GITHUB_ACTION_PATH"])
    if code == 0:
        workflow.set_outputs(executable=str(executable))
    return code


def _complaint(wanted: str, found: str | None) -> str:
    if wanted == "installed" and not found:
        return "`version: installed`, but there is no reconciler on the PATH"
    if not origin.judge().trusted and _is_in_checkout(found or wanted):
        return (
            f"`version: {wanted}` is in the checkout, whose author may be anybody on this event: its code is not run."
            " Leave `version` out, or name a URL"
        )
    if sys.version_info < (3, 11):  # noqa: UP036 - the Python of the runner
        return f"Python 3.11 or newer is needed, not {sys.version.split()[0]}: run actions/setup-python before this"
    if wanted.startswith("-") or re.fullmatch(r"v?\d[^/@]*", wanted):
        return (
            f"`version: {wanted}` is nothing that pip can install: leave it out to get the version of the action,"
            " or give a path or a URL such as git+https://host/reconciler@COMMIT"
        )
    if _ANOTHER_PROJECT.match(wanted):
        return (
            f"`version: {wanted}` would install another project: on PyPI, `reconciler` is a pandas tool. This one is"
            " named `email-account-reconciler`; leave `version` out to get the version of the action"
        )
    return ""


def _is_in_checkout(wanted: str) -> bool:
    if not wanted or "file:" in wanted:
        return wanted != ""
    return "://" not in wanted and Path(wanted).resolve().is_relative_to(workflow.workspace())


def _install(requirement: str) -> tuple[Path, int]:
    # Isolated (-I): the working directory is the repository, and its files are not to be imported.
    key = hashlib.sha256(requirement.encode()).hexdigest()[:12]
    folder = workflow.runner_folder() / f"reconciler-{key}"
    executable = folder / "bin" / "reconciler"
    if executable.exists():
        return executable, 0
    pip = [str(folder / "bin" / "python"), "-I", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    for command in ([sys.executable, "-I", "-m", "venv", str(folder)], [*pip, "--", requirement]):
        code = subprocess.run(command, env=workflow.environment(), check=False).returncode  # noqa: S603 - no shell
        if code:
            workflow.say("error", f"installing {requirement} failed; pip says why above")
            return executable, code
    if not executable.exists():
        workflow.say("error", f"{requirement} has no command `reconciler`: it is another project")
        return executable, _USAGE
    return executable, 0


if __name__ == "__main__":
    sys.exit(main())
