"""The calls of GitHub's REST API for comments and issues.

https://docs.github.com/rest/issues describes them; a comment on a pull request is a comment on an issue.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_MARKER = re.compile(r"<!-- reconciler(-result)?: [0-9a-f]+ -->")
_NO_SERVER = hashlib.sha256(b"").hexdigest()[:12]
"""Part of the marker line if planning failed before the server was known, or if a shard is empty."""
_TIMEOUT = 30
_PAGE = 100


class GitHubError(Exception):
    """GitHub refused a request, or cannot be reached."""


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """urllib would send the token along with a redirect."""

    def redirect_request(self, *_arguments: object, **_more: object) -> None:
        return None


_OPENER = urllib.request.build_opener(_NoRedirects)


def marker_of(markdown: str) -> str:
    """The hidden first line of a comment or an issue, by which later runs find it."""
    found = _MARKER.match(markdown)
    if not found:
        message = "the Markdown has no marker line"
        raise GitHubError(message)
    return found[0]


def with_step(markdown: str) -> str:
    """The Markdown with a second hidden line: a step is the same one as long as its inputs are."""
    return markdown.replace("\n", f"\n{step_marker()}\n", 1)


def step_marker() -> str:
    """A hidden line that identifies a step of a job by its inputs.

    They determine a fleet, even if a change adds a server to it, and one of its shards. ``RECONCILER_URL`` belongs to
    them: it names the server if no input does.
    """
    values = [os.environ.get(f"INPUT_{name}", "") for name in ("COMMAND", "PATHS", "URL", "ARGS")]
    values[2] = values[2] or os.environ.get("RECONCILER_URL", "")
    return f"<!-- reconciler-step: {hashlib.sha256(chr(10).join(values).encode()).hexdigest()[:12]} -->"


def is_by_bot(item: dict[str, Any]) -> bool:
    """Whether a comment or an issue can be the action's own.

    Anyone can write the marker, and could later edit what the action writes over their comment.
    """
    return (item.get("user") or {}).get("type") == "Bot"


def find(items: Iterable[dict[str, Any]], markdown: str) -> list[dict[str, Any]]:
    """The comments or issues of the same step, or else those about the same servers.

    So nothing outdated stays: neither a plan for the servers that a fleet had before, nor a failure before the servers
    were known. Each shard of a fleet is a step of its own.
    """
    own = [item for item in items if is_by_bot(item)]
    marker = marker_of(markdown)
    same_step = [item for item in own if step_marker() in _first_lines(item)]
    return same_step or [item for item in own if _NO_SERVER not in marker and marker in _first_lines(item)]


def _first_lines(item: dict[str, Any]) -> list[str]:
    return str(item.get("body") or "").replace("\r\n", "\n").split("\n", 2)[:2]


def list_all(path: str) -> Iterator[dict[str, Any]]:
    """The items of all pages of a list."""
    page = 1
    while True:
        items = send("GET", f"{path}{'&' if '?' in path else '?'}per_page={_PAGE}&page={page}")
        yield from items
        if len(items) < _PAGE:
            return
        page += 1


def send(method: str, path: str, body: dict[str, Any] | None = None) -> Any:  # noqa: ANN401 - JSON
    """Sends one request about this repository; returns the response's JSON.

    Args:
        method: GET, POST or PATCH.
        path: What follows ``/repos/OWNER/NAME``.
        body: The request's JSON.

    Raises:
        GitHubError: GitHub refused, or cannot be reached.
    """
    root = os.environ.get("GITHUB_API_URL") or "https://api.github.com"
    request = urllib.request.Request(  # noqa: S310 - the runner sets the URL
        f"{root}/repos/{os.environ['GITHUB_REPOSITORY']}{path}",
        data=None if body is None else json.dumps(body).encode(),
        method=method,
        headers={
            "Authorization": f"Bearer {os.environ.get('GITHUB_TOKEN', '')}",
            "Accept": "application/vnd.github+json",
            "Content-Type": "application/json",
            "X-GitHub-Api-Version": "2022-11-28",
            "User-Agent": "reconciler-action",
        },
    )
    try:
        with _OPENER.open(request, timeout=_TIMEOUT) as response:
            return json.loads(response.read())
    except urllib.error.HTTPError as error:
        with error:
            raise GitHubError(f"{method} {path}: GitHub responded with {error.code} {error.reason}") from None
    except (OSError, ValueError) as error:
        raise GitHubError(f"{method} {path}: {error}") from None
