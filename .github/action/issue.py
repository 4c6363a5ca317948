"""Keeps one issue per server set while the plan has changes: opened, updated in place, closed when there are none."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import rest
import workflow

_ACTIONS = ("create", "update", "delete")
_TITLE = "Email accounts have drifted: {create} to create, {update} to update, {delete} to delete"
_GONE = "No drift any more: the server is as declared again. {run}"


def main() -> int:
    """Opens, updates or closes. A refusal fails the step: without the issue nobody would learn of the drift."""
    try:
        _keep(Path(os.environ["MARKDOWN"]).read_text(encoding="utf-8"), changes=os.environ["CHANGES"] == "true")
    except rest.ForgeError as error:
        workflow.say("error", f"the issue could not be kept: {error}. The job needs `permissions: issues: write`.")
        return 1
    return 0


def _keep(markdown: str, *, changes: bool) -> None:
    marker = rest.marker_of(markdown)
    # Read to the end before anything is written: closing would move the pages.
    everything = [one for one in rest.listed("/issues?state=open") if rest.is_by_bot(one)]
    issues = [one for one in everything if "pull_request" not in one and rest.lines_of(one)[0] == marker]
    issues.sort(key=lambda one: int(one["number"]))
    if changes:
        content = {"title": _TITLE.format(**{name: os.environ[name.upper()] for name in _ACTIONS}), "body": markdown}
        if issues:
            rest.call("PATCH", f"/issues/{issues[0]['number']}", content)
        else:
            rest.call("POST", "/issues", content)
    # Two runs at once can each open one: the oldest is kept.
    for spare in issues[1:] if changes else issues:
        _close(int(spare["number"]))


def _close(number: int) -> None:
    run = "{}/{}/actions/runs/{}".format(
        *(os.environ.get(f"GITHUB_{name}", "") for name in ("SERVER_URL", "REPOSITORY", "RUN_ID"))
    )
    rest.call("POST", f"/issues/{number}/comments", {"body": _GONE.format(run=run)})
    rest.call("PATCH", f"/issues/{number}", {"state": "closed", "state_reason": "completed"})


if __name__ == "__main__":
    sys.exit(main())
