"""Keeps one issue per step while the plan has changes: opened, updated in place, closed when it has none."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import github_api
import workflow

_ACTIONS = ("create", "update", "delete")
_TITLE = "Email accounts have drifted: {create} to create, {update} to update, {delete} to delete"
_NO_DRIFT = "The drift is gone: the server matches the files again. {run}"


def main() -> int:
    """Opens, updates or closes the issue. If that fails, so does the step: the drift would go unnoticed."""
    try:
        markdown = Path(os.environ["MARKDOWN"]).read_text(encoding="utf-8")
        _update_issues(markdown, has_changes=os.environ["CHANGES"] == "true")
    except github_api.GitHubError as error:
        message = f"the issue could not be updated: {error}. The job needs `permissions: issues: write`."
        workflow.annotate("error", message)
        return 1
    return 0


def _update_issues(markdown: str, *, has_changes: bool) -> None:
    # Read to the end before anything is written: closing an issue would shift the pages.
    items = [item for item in github_api.list_all("/issues?state=open") if "pull_request" not in item]
    issues = github_api.find(items, markdown)
    issues.sort(key=lambda issue: int(issue["number"]))
    if has_changes:
        counts = {action: os.environ[action.upper()] for action in _ACTIONS}
        content = {"title": _TITLE.format(**counts), "body": github_api.with_step(markdown)}
        if issues:
            github_api.send("PATCH", f"/issues/{issues[0]['number']}", content)
        else:
            github_api.send("POST", "/issues", content)
    # Two runs at the same time may each open an issue: the oldest is kept.
    for issue in issues[1:] if has_changes else issues:
        _close(int(issue["number"]))


def _close(number: int) -> None:
    run = "{}/{}/actions/runs/{}".format(
        *(os.environ.get(f"GITHUB_{name}", "") for name in ("SERVER_URL", "REPOSITORY", "RUN_ID"))
    )
    github_api.send("POST", f"/issues/{number}/comments", {"body": _NO_DRIFT.format(run=run)})
    github_api.send("PATCH", f"/issues/{number}", {"state": "closed", "state_reason": "completed"})


if __name__ == "__main__":
    sys.exit(main())
