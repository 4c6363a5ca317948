"""Installs reconciler into a virtual environment of its own, outside the checked-out repository."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import workflow

_USAGE = 64
_PASSED = re.compile(
    r"(PATH|HOME|LANG|LC_\w+|TMPDIR|TEMP|SSL_CERT_\w+|REQUESTS_CA_BUNDLE|XDG_CACHE_HOME"
    r"|PIP_\w+|GIT_\w+|SSH_\w+|\w+_proxy)",
    re.IGNORECASE,
)
"""The variables that pip gets. What it installs may run code, which has no use for the secrets of the job."""


def main() -> int:
    """Installs what the input ``version`` names, and sets the output ``executable``."""
    wanted = os.environ.get("INPUT_VERSION", "").strip()
    if wanted == "installed":
        found = shutil.which("reconciler")
        if not found:
            workflow.say("error", "`version: installed`, but there is no reconciler on the PATH")
            return _USAGE
        workflow.set_outputs(executable=found)
        return 0
    if complaint := _complaint(wanted):
        workflow.say("error", complaint)
        return _USAGE
    executable, code = _install(wanted or os.environ["GITHUB_ACTION_PATH"])
    if code == 0:
        workflow.set_outputs(executable=str(executable))
    return code


def _complaint(wanted: str) -> str:
    if sys.version_info < (3, 11):  # noqa: UP036 - the Python of the runner
        return f"Python 3.11 or newer is needed, not {sys.version.split()[0]}: run actions/setup-python before this"
    if wanted.startswith("-") or re.fullmatch(r"v?\d[^/@]*", wanted):
        return (
            f"`version: {wanted}` is nothing that pip can install: leave it out to get the version of the action,"
            " or give a path or a URL such as git+https://host/reconciler@COMMIT"
        )
    return ""


def _install(requirement: str) -> tuple[Path, int]:
    # Isolated (-I): the working directory is the repository, and its files are not to be imported.
    key = hashlib.sha256(requirement.encode()).hexdigest()[:12]
    folder = Path(os.environ.get("RUNNER_TEMP") or ".").resolve() / f"reconciler-{key}"
    executable = folder / "bin" / "reconciler"
    if executable.exists():
        return executable, 0
    environment = {name: value for name, value in os.environ.items() if _PASSED.fullmatch(name)}
    pip = [str(folder / "bin" / "python"), "-I", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    for command in ([sys.executable, "-I", "-m", "venv", str(folder)], [*pip, "--", requirement]):
        code = subprocess.run(command, env=environment, check=False).returncode  # noqa: S603 - no shell
        if code:
            workflow.say("error", f"installing {requirement} failed; pip says why above")
            return executable, code
    return executable, 0


if __name__ == "__main__":
    sys.exit(main())
