"""Who wrote the YAML that a job has checked out. It meets secrets only if its author certainly has write access."""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

import workflow

_PULL_REQUEST_EVENTS = ("pull_request", "pull_request_target")
_EVENTS_WITH_REF = ("push", "workflow_dispatch")
_WRITER_EVENTS = (*_EVENTS_WITH_REF, "schedule", "repository_dispatch")
_KEYS_OF_OTHER_EVENTS = frozenset(
    {"pull_request", "issue", "comment", "review", "workflow_run", "merge_group", "discussion"}
)
"""Keys that the payload of a writer's event does not have."""

_FORK = "This pull request comes from a fork"
_QUEUE = "A merge queue can contain pull requests from forks"
_UNREADABLE = "the file of the event (GITHUB_EVENT_PATH) is missing or is not what GitHub writes"
_CONTRADICTION = "the file of the event does not match the job's environment variables"


class Author(Enum):
    """Who wrote the YAML, according to the event."""

    WRITER = auto()
    FORK = auto()
    UNKNOWN = auto()


@dataclass(frozen=True)
class Assessment:
    """Whether the YAML may be used with secrets.

    Attributes:
        reason: Why not; a sentence without its full stop.
    """

    author: Author
    reason: str = ""

    @property
    def trusted(self) -> bool:
        """Whether the author can write to this repository for certain."""
        return self.author is Author.WRITER


def assess() -> Assessment:
    """Assesses the event that started the job. Events that are not listed here are not trusted.

    `workflow_run` and `issue_comment`, for example, run with secrets regardless of who triggered them, and often check
    out the head of a pull request. All events are described at
    https://docs.github.com/actions/reference/workflows-and-actions/events-that-trigger-workflows
    """
    name, payload = os.environ.get("GITHUB_EVENT_NAME", ""), workflow.event()
    if payload is None:
        return Assessment(Author.UNKNOWN, _UNREADABLE)
    if name in _PULL_REQUEST_EVENTS:
        return _assess_pull_request(payload)
    if name in _WRITER_EVENTS:
        return _assess_writer_event(name, payload)
    if name == "merge_group":
        return Assessment(Author.FORK, _QUEUE)
    return Assessment(Author.UNKNOWN, f"it is not certain who wrote the YAML that is checked out on the event `{name}`")


def _assess_pull_request(payload: dict[str, Any]) -> Assessment:
    """Assesses the head: pushing a branch to this repository takes write access.

    A head repository that has been deleted is a fork.
    """
    pull_request = _object(payload, "pull_request")
    head, base = _object(pull_request, "head"), _object(pull_request, "base")
    if not head or not (_is_this(_object(base, "repo")) and _is_this(_object(payload, "repository"))):
        return Assessment(Author.UNKNOWN, _CONTRADICTION)
    if not _is_this(_object(head, "repo")):
        return Assessment(Author.FORK, _FORK)
    if _object(head, "repo").get("id") != _object(base, "repo").get("id"):
        return Assessment(Author.UNKNOWN, _CONTRADICTION)
    return Assessment(Author.WRITER)


def _assess_writer_event(name: str, payload: dict[str, Any]) -> Assessment:
    """Assesses an event that takes write access, on a branch or a tag of this repository."""
    is_empty_schedule = name == "schedule" and "repository" not in payload
    foreign = os.environ.get("GITHUB_HEAD_REF") or not _KEYS_OF_OTHER_EVENTS.isdisjoint(payload)
    if foreign or not (is_empty_schedule or _is_this(_object(payload, "repository"))):
        return Assessment(Author.UNKNOWN, _CONTRADICTION)
    ref = str(payload.get("ref")) if name in _EVENTS_WITH_REF else os.environ.get("GITHUB_REF", "refs/heads/")
    if ref.startswith("refs/heads/gh-readonly-queue/"):
        return Assessment(Author.FORK, _QUEUE)
    if not ref.startswith(("refs/heads/", "refs/tags/")) or ref != os.environ.get("GITHUB_REF", ref):
        return Assessment(Author.UNKNOWN, _CONTRADICTION)
    return Assessment(Author.WRITER)


def pull_request_number() -> int | None:
    """The number of the event's pull request; ``None`` for other events."""
    number = _object(workflow.event() or {}, "pull_request").get("number")
    return number if isinstance(number, int) else None


def _object(parent: dict[str, Any], name: str) -> dict[str, Any]:
    value = parent.get(name)
    return value if isinstance(value, dict) else {}


def _is_this(repository: dict[str, Any]) -> bool:
    this = os.environ.get("GITHUB_REPOSITORY", "").lower()
    return this != "" and str(repository.get("full_name")).lower() == this
