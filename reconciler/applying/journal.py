"""The journal: for each write, a JSON line with the intent before it and a line with the outcome after it.

A line is with the operating system before its write starts. After a crash of this program, even a kill, the intents
without an outcome have to be checked. Lines are not forced onto the disk, which would take as long as the writes
themselves; after a power failure, the next plan compares everything anyway. No line contains the value of a field.

An intent covers all attempts of one write. If more than one request was sent, its outcome says how many.
"""

from __future__ import annotations

import errno
import json
import os
import threading
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reconciler.errors import Kind, Problem, ReconcilerError
from reconciler.model.account import label_key
from reconciler.model.plan import Action
from reconciler.model.ports import RunObserver
from reconciler.writable_file import open_to_append

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconciler.model.outcome import Outcome, Status
    from reconciler.model.plan import Change, Plan

_BEGINNING = b'{"at": "'
"""The start of each line."""


@dataclass(frozen=True, slots=True)
class Intent:
    """A write that has no outcome in the journal."""

    address: str
    action: str
    id: int | None
    at: str

    @property
    def key(self) -> tuple[tuple[str, str], str]:
        """Identifies the write: a later intent for it replaces this one."""
        return (label_key(self.address), self.action)


class Journal:
    """An open journal. Several threads may write to it.

    Attributes:
        has_new_lines: Whether a line was appended.
    """

    def __init__(self, path: str) -> None:
        """Reads the journal, and opens it for appending.

        Args:
            path: The file; created if it does not exist.

        Raises:
            ReconcilerError: The file cannot be read or written, or is not a journal.
        """
        self.has_new_lines = False
        self._path = path
        self._lock = threading.Lock()
        try:
            self._unfinished = _unfinished(Path(path))
            # Unbuffered: what could not be written is not written again when the file is closed.
            self._file = open_to_append(path, buffering=0)
            _cut_torn_line(Path(path))
        except OSError as error:
            raise self._error(error) from error

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    def of(self, server: str) -> ServerJournal:
        """The part of the journal that is about the server with this URL."""
        return ServerJournal(self, server, tuple(self._unfinished.pop(server, {}).values()))

    def write(self, server: str, entry: dict[str, Any]) -> None:
        """Appends a line. Raises ``ReconcilerError`` if that is impossible."""
        line = f"{json.dumps({'at': datetime.now(UTC).isoformat(), 'server': server, **entry})}\n".encode()
        with self._lock:
            try:
                written = self._file.write(line)
            except OSError as error:
                raise self._error(error) from error
            if written != len(line):
                _cut_torn_line(Path(self._path))
                raise self._error(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
            self.has_new_lines = True

    def _error(self, error: OSError) -> ReconcilerError:
        message = f"the journal {self._path} cannot be used: {error.strerror}"
        return ReconcilerError(
            Problem(kind=Kind.JOURNAL, message=message, hint="nothing is written without a journal line")
        )


class ServerJournal(RunObserver):
    """The part of a journal that is about one server, as an observer of the run.

    Attributes:
        unfinished: The writes without an outcome.
    """

    def __init__(self, journal: Journal, server: str, unfinished: tuple[Intent, ...]) -> None:
        """Use ``Journal.of``."""
        self.unfinished = unfinished
        self._journal = journal
        self._server = server

    def step_started(self, change: Change) -> None:
        """Appends the intent. Raises ``ReconcilerError`` if that is impossible."""
        # All of the change's fields, even if the step gives a temporary name: it writes the others too.
        self._append("intent", change, fields=[one.field for one in change.fields])

    def step_finished(self, change: Change, outcome: Outcome) -> None:
        """Appends the outcome."""
        more = {"attempts": outcome.attempts} if outcome.attempts > 1 else {}
        self._append("outcome", change, status=outcome.status.value, id=outcome.id, **more)

    def outcome_changed(self, change: Change, status: Status) -> None:
        """Appends that the final check found another outcome."""
        self._append("check", change, status=status.value)

    def rollback_started(self, change: Change) -> None:
        """Appends the intent of a rollback. Raises ``ReconcilerError`` if that is impossible."""
        self._append("intent", change, fields=[one.field for one in change.fields], rollback=True)

    def rollback_finished(self, change: Change, status: Status) -> None:
        """Appends the outcome of a rollback."""
        self._append("outcome", change, status=status.value, rollback=True)

    def checked(self, intent: Intent, found: str) -> None:
        """Appends that an unfinished intent was checked. It is not unfinished any more."""
        self._journal.write(
            self._server,
            {"event": "looked_at", "address": intent.address, "action": intent.action, "id": intent.id, "found": found},
        )

    def _append(self, event: str, change: Change, **more: object) -> None:
        self._journal.write(
            self._server,
            {"event": event, "address": change.address, "action": change.action.value, "id": change.id, **more},
        )


def check_unfinished(unfinished: Sequence[Intent], plan: Plan) -> list[tuple[Intent, str]]:
    """Checks intents without an outcome against a plan made after them.

    Returns:
        Each intent, and a phrase for the user that describes what was found.
    """
    planned = {label_key(change.address): change for change in plan.changes}
    in_place = {account.key for account in plan.unchanged}
    present = {account.id for account in (*plan.unchanged, *plan.untouched)}
    present |= {change.id for change in plan.changes if change.before}
    return [
        (intent, _finding(intent, planned.get(label_key(intent.address)), in_place, present)) for intent in unfinished
    ]


def _finding(intent: Intent, planned: Change | None, in_place: set[str], present: set[int | None]) -> str:
    if intent.action == Action.DELETE:
        return "it is gone" if intent.id not in present else "it is still there"
    if planned is not None:
        return "it is not on the server" if planned.action is Action.CREATE else f"it still needs: {planned.action}"
    return "it is in place" if label_key(intent.address)[0] in in_place else "it is not declared any more"


def _unfinished(path: Path) -> dict[str, dict[tuple[tuple[str, str], str], Intent]]:
    """The intents without an outcome, by server."""
    found: defaultdict[str, dict[tuple[tuple[str, str], str], Intent]] = defaultdict(dict)
    if not path.is_file():
        return found
    lines = path.read_bytes().split(b"\n")
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            intent, event, where = _entry(line)
        except (ValueError, LookupError, TypeError, RecursionError) as error:
            if number == len(lines) and _is_torn(line):
                continue
            message = f"{path}:{number}: this is not a journal line"
            raise ReconcilerError(Problem(kind=Kind.JOURNAL, message=message, hint="use a new journal file")) from error
        if event == "intent":
            found[where][intent.key] = intent
        else:
            found[where].pop(intent.key, None)
    return found


def _entry(line: bytes) -> tuple[Intent, str, str]:
    """The write, the event and the server in a line. Raises various errors for a line that is not a journal line."""
    entry = json.loads(line)
    intent = Intent(entry["address"], entry["action"], entry["id"], entry["at"])
    event, where = entry["event"], entry["server"]
    if not all(isinstance(one, str) for one in (intent.address, intent.action, intent.at, event, where)):
        raise TypeError
    return intent, event, where


def _is_torn(line: bytes) -> bool:
    """Whether the last line was cut short by a crash or a full disk."""
    return line.startswith(_BEGINNING) or _BEGINNING.startswith(line)


def _cut_torn_line(path: Path) -> None:
    """Removes an incomplete last line, so that the next one starts on a new line."""
    if path.is_file() and (torn := path.read_bytes().rpartition(b"\n")[2]):
        os.truncate(path, path.stat().st_size - len(torn))
