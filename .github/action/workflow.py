"""What GitHub says to a step of a workflow, and how a step answers; the standard library alone, no reconciler."""

from __future__ import annotations

import json
import os
import sys
import uuid
from pathlib import Path
from typing import Any


def event() -> dict[str, Any]:
    """The payload of the event that started the workflow."""
    path = os.environ.get("GITHUB_EVENT_PATH")
    payload = json.loads(Path(path).read_bytes()) if path and Path(path).is_file() else {}
    return payload if isinstance(payload, dict) else {}


def pull_request() -> dict[str, Any] | None:
    """The pull request that this is about; ``None`` for other events."""
    found = event().get("pull_request")
    return found if isinstance(found, dict) else None


def from_fork() -> bool:
    """Whether the YAML comes from a pull request of another repository.

    A head repository that was deleted counts as another one. ``pull_request_target`` gives secrets to such pull
    requests; they are not used for them here all the same.
    """
    found = pull_request()
    if found is None:
        return False
    head = (found.get("head") or {}).get("repo") or {}
    return str(head.get("full_name", "")).casefold() != os.environ.get("GITHUB_REPOSITORY", "").casefold()


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
