"""Keeps one comment per step on the pull request: created once, then updated in place."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import author
import github_api
import workflow


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
    existing = github_api.find(github_api.list_all(f"/issues/{number}/comments"), markdown)
    body = {"body": github_api.with_step(markdown)}
    if existing:
        github_api.send("PATCH", f"/issues/comments/{existing[0]['id']}", body)
    else:
        github_api.send("POST", f"/issues/{number}/comments", body)


if __name__ == "__main__":
    sys.exit(main())
