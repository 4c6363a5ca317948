"""What is worth a notification: changes of the conditions of servers, source and watcher, grouped by cause."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from reconciler.model.display import display_sentence, shorten
from reconciler.model.outcome import Status
from reconciler.report.server_names import folded_names
from reconciler.watch.outbox import Message
from reconciler.watch.records import SOURCE_NOTICE, Origin, ServerState

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from datetime import datetime

    from reconciler.watch.records import ChangeRecord, Overview, RunRecord, ServerRecord

SOURCE: Final = "the source"
WATCHER: Final = "the watcher"
"""Subjects beside the servers. No server can have such a name."""

_MOST_LINES: Final = 20
"""The most details of one cause that a message lists."""

_LONGEST_DETAIL: Final = 300
_MOST_ACCOUNTS: Final = 5


class State(StrEnum):
    """The part of a condition that counts: a change of the detail alone is not notified."""

    OK = "ok"
    FAILURE = "failure"
    DRIFT = "drift"
    SUSPENDED = "suspended"


_STATES: Final = {state.value: state for state in State}


class Cause(StrEnum):
    """Why something is notified, in the order of a message."""

    FAILURE = "failed"
    DRIFT = "drifted"
    CORRECTED = "drift corrected"
    RECOVERY = "recovered"
    SUSPENDED = "suspended"
    RESUMED = "suspension ended"


_SEVERITIES: Final = {
    Cause.FAILURE: "failure",
    Cause.DRIFT: "warning",
    Cause.SUSPENDED: "warning",
    Cause.CORRECTED: "info",
    Cause.RESUMED: "info",
    Cause.RECOVERY: "success",
}
"""By cause, the most severe first."""


@dataclass(frozen=True, slots=True)
class Condition:
    """How a subject is.

    Attributes:
        detail: Why, redacted.
        about: What a failure is about, as words: another one that comes while it lasts is notified, too.
    """

    state: State = State.OK
    detail: str = ""
    about: frozenset[str] = frozenset()

    @classmethod
    def stored(cls, words: str) -> Condition:
        """A condition that was notified, from ``words``."""
        state, *about = words.split() or [""]
        return cls(_STATES.get(state, State.OK), about=frozenset(about))

    @property
    def words(self) -> str:
        """What is kept of it for the next round."""
        return " ".join([self.state, *sorted(self.about)])


OK: Final = Condition()


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """How everything is at the end of a round.

    Attributes:
        servers: By name, all servers; ``None`` if a server's condition is as before, or not known.
        source: Whether the newest manifests can be used.
        watcher: Whether the watcher itself works: its disk, a rollout that stopped.
        corrected: By server, the drift that was corrected in this round, redacted.
        commit: The commit that is in force; empty if there is none.
    """

    servers: Mapping[str, Condition | None]
    source: Condition = OK
    watcher: Condition = OK
    corrected: Mapping[str, str] = field(default_factory=dict)
    commit: str = ""

    @property
    def subjects(self) -> dict[str, Condition | None]:
        """By subject."""
        return {SOURCE: self.source, WATCHER: self.watcher, **self.servers}


def condition_of(record: ServerRecord) -> Condition | None:
    """The condition of a server; ``None`` if it is as before: nothing new is known, or a change is under way."""
    match record.state:
        case ServerState.DRIFTED | ServerState.PENDING if record.failures or record.error:
            # A write has yet to start: a newer commit came first, a change on the server, or the rollout has stopped.
            return None
        case ServerState.DRIFTED | ServerState.PENDING if record.drift:
            return Condition(State.DRIFT, accounts_phrase(record.changes))
        case ServerState.SYNCED | ServerState.PENDING | ServerState.DRIFTED:
            return OK
        case ServerState.SUSPENDED:
            return Condition(State.SUSPENDED, _suspension(record))
        case ServerState.UNKNOWN:
            return None
        case _:
            return Condition(State.FAILURE, record.error or _suspension(record))


def fleet_conditions(overview: Overview, runs: Mapping[str, RunRecord]) -> Conditions:
    """The conditions at the end of a round.

    Args:
        overview: The fleet.
        runs: The runs of the round, by server.
    """
    others = {about: sentence for about, sentence in overview.notices.items() if about != SOURCE_NOTICE}
    corrected = {}
    for name, run in runs.items():
        done = [one for one in run.changes if one.origin is not Origin.COMMIT and one.status == Status.APPLIED.value]
        if done:
            corrected[name] = accounts_phrase(done)
    failed = overview.notices.get(SOURCE_NOTICE)
    return Conditions(
        servers={record.name: condition_of(record) for record in overview.servers},
        source=Condition(State.FAILURE, failed, frozenset([_gist(failed)])) if failed else OK,
        watcher=Condition(State.FAILURE, "; ".join(others.values()), frozenset(others)) if others else OK,
        corrected=corrected,
        commit=overview.commit,
    )


def accounts_phrase(changes: Sequence[ChangeRecord]) -> str:
    """The accounts that were changed on a server, with the fields: ``a@example.com (smtp_port) and 2 more``."""
    drifted = [change for change in changes if change.origin is not Origin.COMMIT]
    shown = []
    for change in drifted[:_MOST_ACCOUNTS]:
        fields = ", ".join(row.field for row in change.rows if row.changed) if change.action == "update" else ""
        deleted_or_created = {"create": "deleted there", "delete": "created there"}.get(change.action, "")
        words = fields or deleted_or_created
        shown.append(f"{change.address} ({words})" if words else change.address)
    left = len(drifted) - len(shown)
    return ", ".join(shown) + (f" and {left:,} more" if left else "")


def notification(
    before: Mapping[str, str], conditions: Conditions, now: datetime, source: str
) -> tuple[dict[str, str], Message | None]:
    """What is notified after a round.

    Args:
        before: By subject, the state that was notified last; without those that are fine.
        conditions: The conditions now.
        now: The end of the round.
        source: What the manifests come from, safe to show.

    Returns:
        The states that are notified then, and the message; ``None`` if nothing has changed.
    """
    after: dict[str, str] = {}
    changed: dict[Cause, dict[str, str]] = defaultdict(dict)
    for subject, condition in conditions.subjects.items():
        old = Condition.stored(before.get(subject, ""))
        new = condition or old
        if new.state is not State.OK:
            after[subject] = new.words
        for cause in _causes(old, new, is_corrected=subject in conditions.corrected):
            changed[cause][subject] = new.detail
    for server, detail in conditions.corrected.items():
        changed[Cause.CORRECTED][server] = detail
    if not any(changed.values()):
        return after, None
    severity = next(severity for cause, severity in _SEVERITIES.items() if changed[cause])
    ordered = {cause: changed[cause] for cause in Cause if changed[cause]}
    return after, Message(severity, _title(ordered), _body(ordered, conditions.commit, source), now)


def _causes(before: Condition, now: Condition, *, is_corrected: bool) -> Iterator[Cause]:
    old, new = before.state, now.state
    if old is new:
        if before.about and now.about - before.about:
            yield Cause.FAILURE
        return
    if old is State.SUSPENDED:
        yield Cause.RESUMED
    if new is State.FAILURE:
        yield Cause.FAILURE
    elif new is State.DRIFT:
        yield Cause.DRIFT
    elif new is State.SUSPENDED:
        yield Cause.SUSPENDED
    elif old is State.FAILURE or (old is State.DRIFT and not is_corrected):
        yield Cause.RECOVERY


def _gist(sentence: str) -> str:
    """A word for what a sentence is about: the commit that is not in force, or what failed, without the details."""
    return sha256(sentence.partition(":")[0].encode()).hexdigest()[:12]


def _suspension(record: ServerRecord) -> str:
    suspended = record.suspended
    if suspended is None:
        return ""
    user = f" (by {suspended.user})" if suspended.user else ""
    until = f", until {suspended.until:%Y-%m-%d %H:%M} UTC" if suspended.until else ""
    return f"{suspended.reason}{user}{until}"


def _title(changed: Mapping[Cause, Mapping[str, str]]) -> str:
    """``reconciler: 3 failed, b007 drifted``."""
    parts = [
        f"{_names(subjects) if len(subjects) == 1 else f'{len(subjects):,}'} {cause}"
        for cause, subjects in changed.items()
    ]
    return f"reconciler: {', '.join(parts)}"


def _names(subjects: Collection[str]) -> str:
    others = [name for name in (SOURCE, WATCHER) if name in subjects]
    servers = [name for name in subjects if name not in others]
    return ", ".join([*others, *([folded_names(servers)] if servers else [])])


def _body(changed: Mapping[Cause, Mapping[str, str]], commit: str, source: str) -> str:
    lines = []
    for cause, subjects in changed.items():
        lines += [f"{cause.capitalize()} ({len(subjects):,}):", *_details(subjects), ""]
    lines.append(f"Source: {display_sentence(source)}")
    if commit:
        lines.append(f"Commit: {commit}")
    return "\n".join(lines)


def _details(subjects: Mapping[str, str]) -> Iterator[str]:
    """A line for each detail, with all whom it is about."""
    by_detail: dict[str, list[str]] = defaultdict(list)
    for subject, detail in subjects.items():
        by_detail[shorten(detail, _LONGEST_DETAIL)].append(subject)
    for detail, names in list(by_detail.items())[:_MOST_LINES]:
        yield f"- {_names(names)}: {detail}" if detail else f"- {_names(names)}"
    left = sum(map(len, list(by_detail.values())[_MOST_LINES:]))
    if left:
        yield f"- and {left:,} more"
