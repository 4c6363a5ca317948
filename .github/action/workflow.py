"""A step's side of GitHub's workflows: event, outputs, summary, annotations. Uses the standard library only."""

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


class InputError(Exception):
    """An input of the action is wrong; the message says why."""


def event() -> dict[str, Any] | None:
    """The payload of the event that started the workflow; ``None`` if it cannot be read."""
    path = Path(os.environ.get("GITHUB_EVENT_PATH", ""))
    try:
        payload = json.loads(path.read_bytes()) if path.is_file() else None
    except (OSError, ValueError, RecursionError):
        return None
    return payload if isinstance(payload, dict) else None


def workspace() -> Path:
    """The folder of the job's checkouts: a pull request decides what is in it."""
    return Path(os.environ.get("GITHUB_WORKSPACE") or ".").resolve()


def temp_folder() -> Path:
    """The runner's temporary folder, which is emptied after the job; a new folder if a checkout could fill that one."""
    folder = Path(os.environ.get("RUNNER_TEMP") or workspace()).resolve()
    if folder.is_relative_to(workspace()) or not folder.is_dir():
        folder = Path(tempfile.mkdtemp(prefix="reconciler-")).resolve()
    return folder


def new_folder() -> Path:
    """A new folder outside the checkouts, for this user only."""
    return Path(tempfile.mkdtemp(prefix="reconciler-run-", dir=temp_folder()))


def environment_without_secrets() -> dict[str, str]:
    """The environment of programs that need no secrets: `validate`, and pip, because it runs what it installs."""
    return {name: value for name, value in os.environ.items() if _NO_SECRETS.fullmatch(name)}


def set_outputs(**values: str) -> None:
    """Sets outputs of this step; a value may contain any characters."""
    for name, value in values.items():
        delimiter = uuid.uuid4().hex
        _append("GITHUB_OUTPUT", f"{name}<<{delimiter}\n{value}\n{delimiter}\n")


def add_summary(markdown: str) -> None:
    """Adds to the job's summary."""
    _append("GITHUB_STEP_SUMMARY", markdown.rstrip("\n") + "\n\n")


def annotate(level: str, message: str) -> None:
    """Prints an annotation; ``level`` is error, warning or notice."""
    escaped = message.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    sys.stdout.write(f"::{level} title=reconciler::{escaped}\n")
    sys.stdout.flush()


def _append(variable: str, text: str) -> None:
    path = os.environ.get(variable)
    if path:
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(text)
