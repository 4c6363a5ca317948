"""What GitHub says to a step of a workflow, and how a step answers; the standard library alone, no reconciler."""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
import uuid
from pathlib import Path
from typing import Any

_NO_SECRETS = re.compile(
    r"(PATH|HOME|LANG|LC_\w+|TZ|TMPDIR|TEMP|CI|NO_COLOR|FORCE_COLOR|SSL_CERT_\w+|REQUESTS_CA_BUNDLE|XDG_CACHE_HOME"
    r"|PIP_\w+|GIT_\w+|SSH_\w+|\w+_proxy|GITHUB_(WORKSPACE|SERVER_URL|REPOSITORY|RUN_ID))",
    re.IGNORECASE,
)


def event() -> dict[str, Any] | None:
    """The payload of the event that started the workflow; ``None`` if there is none that can be read."""
    path = Path(os.environ.get("GITHUB_EVENT_PATH", ""))
    try:
        payload = json.loads(path.read_bytes()) if path.is_file() else None
    except (OSError, ValueError, RecursionError):
        return None
    return payload if isinstance(payload, dict) else None


class InputError(Exception):
    """An input of the action that cannot be used; its text says why."""


def workspace() -> Path:
    """The folder of the job's checkouts: a pull request decides what is in it."""
    return Path(os.environ.get("GITHUB_WORKSPACE") or ".").resolve()


def runner_folder() -> Path:
    """Where to keep files: the runner's own folder, which it empties after the job, unless a checkout can fill it."""
    given = Path(os.environ.get("RUNNER_TEMP") or workspace()).resolve()
    if given.is_relative_to(workspace()) or not given.is_dir():
        given = Path(tempfile.mkdtemp(prefix="reconciler-")).resolve()
    return given


def scratch() -> Path:
    """A new folder outside the checkouts, for this user alone."""
    return Path(tempfile.mkdtemp(prefix="reconciler-run-", dir=runner_folder()))


def environment() -> dict[str, str]:
    """What a program gets that has no use for secrets: pip, because it runs what it installs, and `validate`."""
    return {name: value for name, value in os.environ.items() if _NO_SECRETS.fullmatch(name)}


def set_outputs(**values: str) -> None:
    """Sets outputs of this step; a value may have any characters."""
    for name, value in values.items():
        fence = uuid.uuid4().hex
        _append("GITHUB_OUTPUT", f"{name}<<{fence}\n{value}\n{fence}\n")


def summarize(markdown: str) -> None:
    """Adds to the job's summary."""
    _append("GITHUB_STEP_SUMMARY", markdown.rstrip("\n") + "\n\n")


def say(level: str, message: str) -> None:
    """Prints an annotation; ``level`` is error, warning or notice."""
    escaped = message.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    sys.stdout.write(f"::{level} title=reconciler::{escaped}\n")
    sys.stdout.flush()


def _append(variable: str, text: str) -> None:
    path = os.environ.get(variable)
    if path:
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(text)
