"""The calls of GitHub's REST API for comments and issues.

https://docs.github.com/rest/issues describes them; a comment on a pull request is a comment on an issue.
"""

from __future__ import annotations

import json
import os
import re
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_MARKER = re.compile(r"<!-- reconciler(-result)?: [0-9a-f]+ -->")
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


def is_by_bot(item: dict[str, Any]) -> bool:
    """Whether a comment or an issue can be the action's own.

    Anyone can write the marker, and could later edit what the action writes over their comment.
    """
    return (item.get("user") or {}).get("type") == "Bot"


def first_lines(item: dict[str, Any]) -> list[str]:
    """The first lines of a comment or an issue; at least one, which may be empty."""
    return str(item.get("body") or "").replace("\r\n", "\n").split("\n", 2)


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
