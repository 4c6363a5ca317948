"""The forge's REST API, as far as comments and issues need it.

https://docs.github.com/rest/issues describes the calls; a comment of a pull request is one of its issue.
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
_SECONDS = 30


class ForgeError(Exception):
    """The forge refused, or is not there."""


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """urllib would send the token to wherever it is led."""

    def redirect_request(self, *_arguments: object, **_more: object) -> None:
        return None


_OPENER = urllib.request.build_opener(_NoRedirects)


def marker_of(markdown: str) -> str:
    """The hidden first line, by which a later run finds what this one wrote."""
    found = _MARKER.match(markdown)
    if not found:
        message = "the Markdown has no marker line"
        raise ForgeError(message)
    return found[0]


def is_by_bot(item: dict[str, Any]) -> bool:
    """Whether a comment or an issue can be ours.

    Anybody can write the marker, and could edit afterwards what we would write over it.
    """
    return (item.get("user") or {}).get("type") == "Bot"


def lines_of(item: dict[str, Any]) -> list[str]:
    """The first lines of a comment or an issue; at least one, which may be empty."""
    return str(item.get("body") or "").replace("\r\n", "\n").split("\n", 2)


def listed(path: str) -> Iterator[dict[str, Any]]:
    """Everything in a list, from all its pages."""
    page = 1
    while True:
        items = call("GET", f"{path}{'&' if '?' in path else '?'}per_page=100&page={page}")
        yield from items
        if len(items) < 100:  # noqa: PLR2004 - the length of a full page
            return
        page += 1


def call(method: str, path: str, body: dict[str, Any] | None = None) -> Any:  # noqa: ANN401 - JSON
    """Sends one request about this repository.

    Args:
        method: GET, POST or PATCH.
        path: What follows ``/repos/OWNER/NAME``.
        body: Is sent as JSON.

    Raises:
        ForgeError: The forge refused, or is not there.
    """
    root = os.environ.get("GITHUB_API_URL") or "https://api.github.com"
    request = urllib.request.Request(  # noqa: S310 - the runner names the forge
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
        with _OPENER.open(request, timeout=_SECONDS) as answer:
            return json.loads(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            raise ForgeError(f"{method} {path}: the forge answered {error.code} {error.reason}") from None
    except (OSError, ValueError) as error:
        raise ForgeError(f"{method} {path}: {error}") from None
