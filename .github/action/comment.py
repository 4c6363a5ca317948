"""Keeps one comment per server set on the pull request: made the first time, updated in place afterwards."""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path
from typing import Any

import origin
import rest
import workflow

_LIMIT = 65_536
_NO_SERVER = hashlib.sha256(b"").hexdigest()[:12]
"""In the marker line where planning failed before it knew a server."""


def main() -> int:
    """Writes the comment. A missing right is a warning: the plan itself is in the job's summary."""
    number = origin.pull_request_number()
    if number is None or not origin.judge().trusted:
        return 0
    try:
        _upsert(number, Path(os.environ["MARKDOWN"]).read_text(encoding="utf-8"))
    except rest.ForgeError as error:
        workflow.say("warning", f"no comment: {error}. The job needs `permissions: pull-requests: write`.")
    return 0


def _upsert(number: int, markdown: str) -> None:
    marker = rest.marker_of(markdown)
    step = _step()
    comments = [one for one in rest.listed(f"/issues/{number}/comments") if rest.is_by_bot(one)]
    former = next((one for one in comments if _same_servers(one, marker)), None)
    # Planning that fails before it knows the server belongs to the comment of the same step, and so does the plan
    # after it: neither an outdated plan nor an outdated failure is left standing.
    former = former or next((one for one in comments if _same_step(one, marker, step)), None)
    signed = markdown.replace("\n", f"\n{step}\n", 1)
    body = {"body": signed if len(signed) <= _LIMIT else markdown}
    if former:
        rest.call("PATCH", f"/issues/comments/{former['id']}", body)
    else:
        rest.call("POST", f"/issues/{number}/comments", body)


def _step() -> str:
    """A hidden line that tells the steps of a job apart by what they were asked for."""
    asked = "\n".join(os.environ.get(f"INPUT_{name}", "") for name in ("COMMAND", "PATHS", "URL"))
    return f"<!-- reconciler-step: {hashlib.sha256(asked.encode()).hexdigest()[:12]} -->"


def _same_servers(comment: dict[str, Any], marker: str) -> bool:
    return _NO_SERVER not in marker and rest.lines_of(comment)[0] == marker


def _same_step(comment: dict[str, Any], marker: str, step: str) -> bool:
    first, second = (*rest.lines_of(comment), "")[:2]
    return second == step and (_NO_SERVER in marker or _NO_SERVER in first)


if __name__ == "__main__":
    sys.exit(main())
