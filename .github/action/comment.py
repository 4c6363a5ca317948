"""Keeps one comment per set of servers on the pull request: created once, then updated in place."""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path
from typing import Any

import author
import github_api
import workflow

_LONGEST_COMMENT = 65_536
_NO_SERVER = hashlib.sha256(b"").hexdigest()[:12]
"""Part of the marker line if planning failed before the server was known."""


def main() -> int:
    """Writes the comment. A missing permission is only a warning: the plan itself is in the job's summary."""
    number = author.pull_request_number()
    if number is None or not author.assess().trusted:
        return 0
    try:
        _create_or_update(number, Path(os.environ["MARKDOWN"]).read_text(encoding="utf-8"))
    except github_api.GitHubError as error:
        workflow.annotate("warning", f"no comment: {error}. The job needs `permissions: pull-requests: write`.")
    return 0


def _create_or_update(number: int, markdown: str) -> None:
    marker = github_api.marker_of(markdown)
    step = _step_marker()
    comments = [item for item in github_api.list_all(f"/issues/{number}/comments") if github_api.is_by_bot(item)]
    existing = next((comment for comment in comments if _has_same_servers(comment, marker)), None)
    # A plan that fails before the server is known replaces the comment of the same step, and the next plan replaces
    # that: neither an outdated plan nor an outdated failure stays.
    existing = existing or next((comment for comment in comments if _has_same_step(comment, marker, step)), None)
    marked = markdown.replace("\n", f"\n{step}\n", 1)
    body = {"body": marked if len(marked) <= _LONGEST_COMMENT else markdown}
    if existing:
        github_api.send("PATCH", f"/issues/comments/{existing['id']}", body)
    else:
        github_api.send("POST", f"/issues/{number}/comments", body)


def _step_marker() -> str:
    """A hidden line that identifies a step of a job by its inputs."""
    inputs = "\n".join(os.environ.get(f"INPUT_{name}", "") for name in ("COMMAND", "PATHS", "URL"))
    return f"<!-- reconciler-step: {hashlib.sha256(inputs.encode()).hexdigest()[:12]} -->"


def _has_same_servers(comment: dict[str, Any], marker: str) -> bool:
    return _NO_SERVER not in marker and github_api.first_lines(comment)[0] == marker


def _has_same_step(comment: dict[str, Any], marker: str, step: str) -> bool:
    first, second = (*github_api.first_lines(comment), "")[:2]
    return second == step and (_NO_SERVER in marker or _NO_SERVER in first)


if __name__ == "__main__":
    sys.exit(main())
