"""What a soak run has done and seen, and the rules that must hold whatever happens."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from tests.soak.fleet import DECLARED, deviating, is_as_declared
from tests.soak.server_process import WRITES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tests.soak.fleet import Commit, Row
    from tests.soak.watch_process import Event

FULL: Final = frozenset({"interval", "hook", "signal", "start"})
"""What begins a round on all servers that do not fail."""

FAULTS: Final = (
    "500_before",
    "500_after",
    "hang_before",
    "hang_after",
    "reset_before",
    "reset_after",
    "page_before",
    "refused",
    "down",
    "expired",
)
"""Of the servers."""

FAILED: Final = "failed"
IN_MANIFEST: Final = "suspended in its manifest"

ROUNDS: Final = 3
"""A drift is corrected within this many."""

_IN_FLIGHT: Final = 3.0
"""Seconds that a write which has begun may take until the server has it."""


@dataclass
class Span:
    """A time, in seconds; it has not ended if ``end`` is infinite."""

    server: str
    start: float
    end: float = float("inf")
    why: str = ""


@dataclass
class Record:
    """A run.

    Attributes:
        commits: What each commit declares that may be used.
        entries: What has happened on the servers.
        events: The watcher's log.
        excused: When drift on a server cannot be corrected, and why.
        suspended: When a server was suspended for certain.
    """

    commits: Mapping[str, Commit]
    entries: Sequence[Row]
    events: Sequence[Event]
    excused: list[Span] = field(default_factory=list)
    suspended: list[Span] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.entries = sorted(self.entries, key=lambda one: one["at"])
        self.accepted = [(one["at"], one["commit"]) for one in self.events if one["event"] == "commit_accepted"]
        self._accepted_at = [at for at, _ in self.accepted]
        self._extend_excuses()

    def _extend_excuses(self) -> None:
        """A server counts again once the watcher has reached it, or has the commit that ends its suspension."""
        failed = [one for one in self.events if one["event"] == "server_failed"]
        self.excused += [Span(one["server"], one["at"], one["at"], why=FAILED) for one in failed]
        lists = [one for one in self.entries if one["call"] == "list" and one["is_confirmed"]]
        for span in self.excused:
            if span.why in {FAILED, *FAULTS}:
                times = [one["at"] for one in lists if one["server"] == span.server]
            elif span.why == IN_MANIFEST:
                times = self._accepted_at
            else:
                continue
            index = bisect_right(times, span.end)
            span.end = times[index] if index < len(times) else float("inf")

    def violations(self) -> list[str]:
        """What must not have happened."""
        return [
            *self._unknown_commits(),
            *self._undeclared_writes(),
            *self._writes_while_suspended(),
            *self._late_corrections(),
            *self._duplicates(),
        ]

    def _unknown_commits(self) -> Iterator[str]:
        for at, commit in self.accepted:
            if commit not in self.commits:
                yield f"{at:.3f} commit {commit[:12]} was accepted, which must not be used"

    def _in_force(self, at: float) -> list[Commit]:
        """The commits whose writes may arrive at this time: that of the round, and the one before it for a while."""
        index = bisect_right(self._accepted_at, at)
        hashes = [commit for _, commit in self.accepted[max(0, index - 1) : index]]
        if index > 1 and at - self._accepted_at[index - 1] < _IN_FLIGHT:
            hashes.append(self.accepted[index - 2][1])
        return [self.commits[one] for one in hashes if one in self.commits]

    def _watchers_writes(self) -> Iterator[Row]:
        return (one for one in self.entries if one["by"] == "watcher" and one["call"] in WRITES)

    def _undeclared_writes(self) -> Iterator[str]:
        for one in self._watchers_writes():
            if not any(_is_declared(one, commit) for commit in self._in_force(one["at"])):
                yield f"{one['at']:.3f} {one['server']}: no commit in force declares {_short(one)}"

    def _writes_while_suspended(self) -> Iterator[str]:
        for one in self._watchers_writes():
            spans = [span for span in self.suspended if span.server == one["server"]]
            if any(span.start < one["at"] < span.end for span in spans):
                yield f"{one['at']:.3f} {one['server']} is suspended, but it was written: {_short(one)}"
            elif all(one["server"] in commit.suspended for commit in self._in_force(one["at"])):
                yield f"{one['at']:.3f} {one['server']} is suspended in its manifest: {_short(one)}"

    def rounds(self) -> list[tuple[float, float]]:
        """Start and end of each complete round on all servers that do not fail."""
        found, began, is_cut = [], None, False
        for event in self.events:
            match event["event"]:
                case "started" | "round_started":
                    began, is_cut = (event["at"] if event.get("trigger") in FULL else None), False
                case "superseded" | "round_abandoned":
                    is_cut = True
                case "round_finished" if began is not None and not is_cut:
                    found.append((began, event["at"]))
        return found

    def _late_corrections(self) -> Iterator[str]:
        rounds = self.rounds()
        for server, address, start, end in self._deviations():
            excused = sorted((one for one in self.excused if one.server == server), key=lambda one: one.start)
            since, count = start, 0
            for began, ended in rounds:
                if began < since or ended >= end:
                    continue
                until = max((one.end for one in excused if one.start <= ended and one.end > since), default=0.0)
                if until:
                    since, count = max(since, until), 0
                    continue
                count += 1
                if count == ROUNDS:
                    yield f"{start:.3f} {server}: {address} was not corrected within {ROUNDS} rounds (until {end:.3f})"
                    break

    def _deviations(self) -> Iterator[tuple[str, str, float, float]]:
        """Each account that was not as declared: server, address, since the last change on either side, and until."""
        moments: list[tuple[float, Row | str]] = [(one["at"], one) for one in self.entries if one["call"] in WRITES]
        moments += self.accepted
        moments.sort(key=lambda one: one[0])
        rows: dict[str, dict[int, Row]] = defaultdict(dict)
        since: dict[tuple[str, str], float] = {}
        commit: Commit | None = None
        for at, what in moments:
            if isinstance(what, str):
                commit = self.commits.get(what, commit)
                causes = {one for one in _differences(rows, commit) if one not in since}
            else:
                _take(rows[what["server"]], what)
                causes = set() if what["by"] == "watcher" else {(what["server"], one) for one in _addresses(what)}
            now = _differences(rows, commit)
            for one in [one for one in since if one not in now or one in causes]:
                yield *one, since.pop(one), at
            since |= dict.fromkeys(now - since.keys(), at)
        for one, start in since.items():
            yield *one, start, float("inf")

    def _duplicates(self) -> Iterator[str]:
        rows: dict[str, dict[int, Row]] = defaultdict(dict)
        for one in self.entries:
            if one["call"] in WRITES:
                _take(rows[one["server"]], one)
                counts = Counter(row["email"] for row in rows[one["server"]].values())
                for address, count in counts.items():
                    if count > 1 and one["by"] == "watcher" and address in _addresses(one):
                        yield f"{one['at']:.3f} {one['server']}: {address} exists {count} times"


def _take(rows: dict[int, Row], entry: Row) -> None:
    rows.pop(entry["id"], None)
    if entry["after"]:
        rows[entry["id"]] = entry["after"]


def _addresses(entry: Row) -> set[str]:
    return {row["email"] for row in (entry["before"], entry["after"]) if row}


def _differences(rows: Mapping[str, Mapping[int, Row]], commit: Commit | None) -> set[tuple[str, str]]:
    declared = commit.accounts if commit else {}
    return {
        (server, address)
        for server in declared
        for address in deviating(list(rows.get(server, {}).values()), declared[server])
    }


def _is_declared(entry: Row, commit: Commit) -> bool:
    """Whether a commit declares what a write has done."""
    before, after = entry["before"], entry["after"]
    declared = commit.accounts.get(entry["server"])
    if declared is None:
        return False
    if after is None:
        return before is None or before["email"] not in declared
    if not is_as_declared(after, declared.get(after["email"])):
        return False
    unmanaged = after.keys() - {*DECLARED, "email", "updated_at"}
    return before is None or all(before[name] == after[name] for name in unmanaged)


def _short(entry: Row) -> str:
    after = entry["after"] or entry["before"] or {}
    shown = {name: after.get(name) for name in ("email", *DECLARED) if name != "password"}
    return f"{entry['call']} {entry['id']} {shown}"
