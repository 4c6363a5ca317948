"""Whose YAML a job has checked out. Only if it is certain that its author can write here does it meet secrets."""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

import workflow

_PULL_REQUEST_EVENTS = ("pull_request", "pull_request_target")
_EVENTS_WITH_REF = ("push", "workflow_dispatch")
_WRITERS_EVENTS = (*_EVENTS_WITH_REF, "schedule", "repository_dispatch")
_OTHER_EVENTS_PARTS = frozenset(
    {"pull_request", "issue", "comment", "review", "workflow_run", "merge_group", "discussion"}
)
"""Keys that the file of a writers' event does not have."""

_FORK = "This pull request comes from a fork"
_QUEUE = "A merge queue can hold pull requests from forks"
_UNREADABLE = "the file of the event (GITHUB_EVENT_PATH) is missing or is not what GitHub writes"
_CONTRADICTION = "the file of the event does not fit the job's environment variables"


class Origin(Enum):
    """What the event says about the author."""

    WRITER = auto()
    FORK = auto()
    UNKNOWN = auto()


@dataclass(frozen=True)
class Verdict:
    """Whether the YAML may be used together with secrets.

    Attributes:
        reason: Why not; a sentence without its full stop.
    """

    origin: Origin
    reason: str = ""

    @property
    def trusted(self) -> bool:
        """Whether it is certain that the author can write to this repository."""
        return self.origin is Origin.WRITER


def judge() -> Verdict:
    """Judges the event that started the job. What is not listed here is not trusted.

    `workflow_run` and `issue_comment`, for example, run with secrets whoever started them, and often check out the head
    of a pull request. https://docs.github.com/actions/reference/workflows-and-actions/events-that-trigger-workflows
    describes the events.
    """
    name, payload = os.environ.get("GITHUB_EVENT_NAME", ""), workflow.event()
    if payload is None:
        return Verdict(Origin.UNKNOWN, _UNREADABLE)
    if name in _PULL_REQUEST_EVENTS:
        return _judge_pull_request(payload)
    if name in _WRITERS_EVENTS:
        return _judge_writers_event(name, payload)
    if name == "merge_group":
        return Verdict(Origin.FORK, _QUEUE)
    return Verdict(Origin.UNKNOWN, f"on the event `{name}` it is not certain whose YAML is checked out")


def _judge_pull_request(payload: dict[str, Any]) -> Verdict:
    """Judges by the head: only who can write to this repository can push a branch to it.

    A head repository that was deleted is another one.
    """
    pull = _part(payload, "pull_request")
    head, base = _part(pull, "head"), _part(pull, "base")
    if not head or not (_is_this(_part(base, "repo")) and _is_this(_part(payload, "repository"))):
        return Verdict(Origin.UNKNOWN, _CONTRADICTION)
    if not _is_this(_part(head, "repo")):
        return Verdict(Origin.FORK, _FORK)
    if _part(head, "repo").get("id") != _part(base, "repo").get("id"):
        return Verdict(Origin.UNKNOWN, _CONTRADICTION)
    return Verdict(Origin.WRITER)


def _judge_writers_event(name: str, payload: dict[str, Any]) -> Verdict:
    """Judges an event that only who can write can start, for a branch or a tag of this repository."""
    silent = name == "schedule" and "repository" not in payload
    foreign = os.environ.get("GITHUB_HEAD_REF") or not _OTHER_EVENTS_PARTS.isdisjoint(payload)
    if foreign or not (silent or _is_this(_part(payload, "repository"))):
        return Verdict(Origin.UNKNOWN, _CONTRADICTION)
    ref = str(payload.get("ref")) if name in _EVENTS_WITH_REF else os.environ.get("GITHUB_REF", "refs/heads/")
    if ref.startswith("refs/heads/gh-readonly-queue/"):
        return Verdict(Origin.FORK, _QUEUE)
    if not ref.startswith(("refs/heads/", "refs/tags/")) or ref != os.environ.get("GITHUB_REF", ref):
        return Verdict(Origin.UNKNOWN, _CONTRADICTION)
    return Verdict(Origin.WRITER)


def pull_request_number() -> int | None:
    """The pull request that this is about; ``None`` for other events."""
    number = _part(workflow.event() or {}, "pull_request").get("number")
    return number if isinstance(number, int) else None


def _part(whole: dict[str, Any], name: str) -> dict[str, Any]:
    found = whole.get(name)
    return found if isinstance(found, dict) else {}


def _is_this(repository: dict[str, Any]) -> bool:
    this = os.environ.get("GITHUB_REPOSITORY", "").lower()
    return this != "" and str(repository.get("full_name")).lower() == this
