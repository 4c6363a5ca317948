"""A fake of GitHub's REST API on loopback: comments, issues, merged pull requests, artifacts."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from tests.support.scripted_server import Reply, Request, ScriptedServer, json_reply

if TYPE_CHECKING:
    from pathlib import Path

REPOSITORY = "example-org/accounts"
TOKEN = "github-token-canary"
BOT = {"login": "github-actions[bot]", "type": "Bot"}


@dataclass
class FakeGitHub:
    """GitHub's data about one repository.

    Attributes:
        artifacts: The folder that the replacement of upload-artifact writes to.
        merged: The heads of the merged pull requests that contain the pushed commit.
        refuse: Respond with 403 to every request but GET, as without the permission.
    """

    artifacts: Path
    comments: list[dict[str, Any]] = field(default_factory=list)
    issues: list[dict[str, Any]] = field(default_factory=list)
    merged: list[str] = field(default_factory=list)
    artifact_repository: int = 1
    refuse: bool = False
    server: ScriptedServer = field(init=False)

    def __post_init__(self) -> None:
        self.server = ScriptedServer(respond=self._respond)

    @property
    def written(self) -> list[str]:
        """The requests that write."""
        return [line for line in self.server.lines if not line.startswith("GET ")]

    def _respond(self, request: Request) -> Reply:
        if request.header("Authorization") != f"Bearer {TOKEN}":
            return json_reply({"message": "Bad credentials"}, 401)
        if self.refuse and request.method != "GET":
            return json_reply({"message": "Resource not accessible by integration"}, 403)
        parts = urlsplit(request.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        body = json.loads(request.body) if request.body else {}
        prefix = f"/repos/{REPOSITORY}"
        for method, pattern, handle in (
            ("GET", r"/issues/7/comments", self._comments),
            ("POST", r"/issues/(\d+)/comments", self._add_comment),
            ("PATCH", r"/issues/comments/(\d+)", self._edit_comment),
            ("GET", r"/issues", self._issues),
            ("POST", r"/issues", self._add_issue),
            ("PATCH", r"/issues/(\d+)", self._edit_issue),
            ("GET", r"/commits/[0-9a-f]{40}/pulls", self._pulls),
            ("GET", r"/actions/artifacts", self._artifacts),
        ):
            found = re.fullmatch(prefix + pattern, parts.path)
            if found and method == request.method:
                return json_reply(handle(query, body, *found.groups()))
        return json_reply({"message": "Not Found"}, 404)

    def _comments(self, query: dict[str, str], _body: dict[str, Any]) -> object:
        return _page(self.comments, query)

    def _add_comment(self, _query: dict[str, str], body: dict[str, Any], number: str) -> object:
        self.comments.append({"id": 900 + len(self.comments), "user": BOT, "issue": int(number), **body})
        return self.comments[-1]

    def _edit_comment(self, _query: dict[str, str], body: dict[str, Any], number: str) -> object:
        comment = next(comment for comment in self.comments if comment["id"] == int(number))
        return comment.update(body)

    def _issues(self, query: dict[str, str], _body: dict[str, Any]) -> object:
        return _page([issue for issue in self.issues if issue["state"] == query["state"]], query)

    def _add_issue(self, _query: dict[str, str], body: dict[str, Any]) -> object:
        self.issues.append({"number": 50 + len(self.issues), "user": BOT, "state": "open", **body})
        return self.issues[-1]

    def _edit_issue(self, _query: dict[str, str], body: dict[str, Any], number: str) -> object:
        return next(issue for issue in self.issues if issue["number"] == int(number)).update(body)

    def _pulls(self, _query: dict[str, str], _body: dict[str, Any]) -> object:
        return [{"number": 7, "merged_at": "2026-01-01T00:00:00Z", "head": {"sha": sha}} for sha in self.merged]

    def _artifacts(self, query: dict[str, str], _body: dict[str, Any]) -> object:
        run = self.artifacts / f"{query['name']}.run"
        if not run.exists():
            return {"total_count": 0, "artifacts": []}
        workflow_run = {
            "id": int(run.read_text()),
            "repository_id": 1,
            "head_repository_id": self.artifact_repository,
            "head_sha": query["name"].removeprefix("reconciler-plan-"),
        }
        return {"total_count": 1, "artifacts": [{"expired": False, "workflow_run": workflow_run}]}


def _page(items: list[dict[str, Any]], query: dict[str, str]) -> list[dict[str, Any]]:
    size, page = int(query["per_page"]), int(query["page"])
    return items[(page - 1) * size : page * size]
