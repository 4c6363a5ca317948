"""What the watcher remembers when it is restarted, and what other processes tell it: the state directory."""

from __future__ import annotations

import json
import os
import time
from collections import defaultdict
from contextlib import contextmanager
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from reconciler.applying.lock import UnsafeFolderError, is_locked, lock_holder, open_private, take_lock
from reconciler.errors import Kind, LockedError, StateError
from reconciler.watch.database import Database
from reconciler.watch.heal import Correction
from reconciler.watch.outbox import Outbox
from reconciler.watch.stored import (
    dump,
    dump_record,
    dump_run,
    load_record,
    load_run,
    load_suspension,
    merged_run,
    reading,
)

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Collection, Iterable, Iterator, Mapping
    from pathlib import Path

    from reconciler.watch.records import RunRecord, ServerRecord, Suspension

MOST_RUNS: Final = 50
"""The runs of a server that are kept."""

_LONGEST: Final = timedelta(days=1)
"""How long corrections are kept; no heal limit is about a longer time."""

_LOCK: Final = "watch.lock"
_MOMENT: Final = 0.5
"""Seconds to wait for the lock: ``is_watched`` shares it for much less."""

_PAUSE: Final = 0.02
_NO_RUNS: Final[Mapping[str, RunRecord]] = MappingProxyType({})
_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})
_PUT_PART: Final = "INSERT INTO part VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET body = excluded.body"
_PUT_SUSPENSION: Final = "INSERT INTO suspension VALUES (?, ?) ON CONFLICT DO UPDATE SET body = excluded.body"
_PUT_SETTING: Final = "INSERT INTO setting VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value"
_NEWEST_RUN: Final = "SELECT id, body, count, finished_at FROM run WHERE server = ? ORDER BY id DESC LIMIT 1"
_OLD_RUNS: Final = """
DELETE FROM run WHERE server = ?1
AND id <= (SELECT id FROM run WHERE server = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)"""


class WatchState:
    """The state directory. Threads may share it, and other processes may use it at the same time.

    Methods raise ``StateError`` if the state cannot be read or written; then nothing was changed. If the file is
    deleted or becomes corrupt while it is in use, it is created again from what this object has read and written.

    Args:
        folder: The state directory.
        create: Whether to create it if it is missing, and to move a corrupt database aside. Otherwise, both are errors.

    Attributes:
        outbox: Which notifications were sent.
    """

    def __init__(self, folder: Path, *, create: bool = True) -> None:
        self.folder = folder.resolve()  # systemd's DynamicUser= makes it a link
        self._database = Database(self.folder, create=create)
        self._database.reopened = self._restore
        self.outbox = Outbox(self._database)
        self._commit: str | None = None
        self._records: dict[str, ServerRecord] = {}
        self._newest: dict[str, tuple[int, RunRecord]] = {}
        self._suspensions: dict[str, Suspension] = {}
        self._kept: Collection[str] | None = None
        self._notices: Mapping[str, str] | None = None
        self._lock: int | None = None

    @property
    def lost(self) -> str:
        """Why what was stored before is lost, as a sentence; empty if nothing is."""
        return self._database.lost

    def close(self) -> None:
        """Closes the database."""
        self._database.close()

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Holds the lock of the state directory: one watcher uses it at a time.

        Raises:
            LockedError: Another watcher has it; the error names its process.
        """
        self._lock = self._locked()
        try:
            yield
        finally:
            os.close(self._lock)
            self._lock = None

    def keep_lock(self) -> bool:
        """Takes the lock again if its file was deleted, so that no other watcher can begin beside this one.

        Returns:
            Whether that was necessary.

        Raises:
            LockedError: Another watcher has begun.
            StateError: It cannot be taken now; nothing has changed.
        """
        if self._lock is None or _is_at(self._lock, self.folder / _LOCK):
            return False
        former, self._lock = self._lock, self._locked()
        os.close(former)
        return True

    def _locked(self) -> int:
        """A descriptor of the lock's file, with the lock."""
        try:
            descriptor = open_private(self.folder, _LOCK)
        except (OSError, UnsafeFolderError) as error:
            raise _unlocked(self.folder, error) from error
        try:
            if _take_lock(descriptor, str(self.folder)):
                return descriptor
            message = f"another watcher uses the state directory {self.folder}: {lock_holder(descriptor)}"
        except OSError as error:
            os.close(descriptor)
            raise _unlocked(self.folder, error) from error
        os.close(descriptor)
        hint = "stop it; or, if this one is for other servers, give it a --state-dir of its own"
        raise LockedError.of(message, kind=Kind.LOCKED, hint=hint)

    def is_watched(self) -> bool | None:
        """Whether a watcher uses the state directory now; ``None`` if that cannot be found out."""
        return is_locked(self.folder / _LOCK)

    def commit(self) -> str:
        """The last good commit; empty if there is none."""
        return self._database.run(lambda connection: _setting(connection, "commit"))

    def records(self) -> dict[str, ServerRecord]:
        """All servers by name, sorted."""

        def read(connection: sqlite3.Connection) -> dict[str, ServerRecord]:
            parts: dict[str, dict[str, str]] = defaultdict(dict)
            for server, kind, body in connection.execute("SELECT server, kind, body FROM part ORDER BY server"):
                parts[server][kind] = body
            return {server: load_record(server, bodies) for server, bodies in parts.items()}

        with self._database.lock:
            records = self._database.run(read)
            self._records = dict(records)
            return records

    def runs(self, server: str) -> tuple[RunRecord, ...]:
        """The runs of a server, newest first, at most fifty."""
        query = "SELECT body, count, finished_at FROM run WHERE server = ? ORDER BY id DESC LIMIT ?"

        def read(connection: sqlite3.Connection) -> tuple[RunRecord, ...]:
            return tuple(load_run(*row) for row in connection.execute(query, (server, MOST_RUNS)))

        return self._database.run(read)

    def suspensions(self, now: datetime) -> Mapping[str, Suspension]:
        """The suspensions by command and by the heal limit, by server, without those that have ended."""

        def read(connection: sqlite3.Connection) -> dict[str, Suspension]:
            rows = connection.execute("SELECT server, body FROM suspension ORDER BY server")
            return {server: load_suspension(body) for server, body in rows}

        with self._database.lock:
            self._suspensions = self._database.run(read)
            return {server: one for server, one in self._suspensions.items() if one.until is None or one.until > now}

    def suspend(self, server: str, suspension: Suspension) -> None:
        """Suspends a server; replaces its suspension, if it has one."""
        row = server, dump(suspension)
        self._database.run(lambda connection: connection.execute(_PUT_SUSPENSION, row).close(), write=True)

    def resume(self, server: str) -> Suspension | None:
        """Ends a server's suspension and forgets its corrections, so that the heal limit counts from the start.

        Returns:
            The suspension, even if its time was over; ``None`` if there was none.
        """

        def remove(connection: sqlite3.Connection) -> Suspension | None:
            row = connection.execute("SELECT body FROM suspension WHERE server = ?", (server,)).fetchone()
            connection.execute("DELETE FROM suspension WHERE server = ?", (server,)).close()
            connection.execute("DELETE FROM correction WHERE server = ?", (server,)).close()
            return load_suspension(row[0]) if row else None

        return self._database.run(remove, write=True)

    def rollout(self) -> dict[str, Any]:
        """How far the last rollout was; empty if there was none."""

        def read(connection: sqlite3.Connection) -> dict[str, Any]:
            with reading():
                return dict(json.loads(_setting(connection, "rollout") or "{}"))

        return self._database.run(read)

    def notices(self) -> dict[str, str]:
        """What is wrong with the watcher or its source, as sentences, by what it is about."""

        def read(connection: sqlite3.Connection) -> dict[str, str]:
            with reading():
                stored = json.loads(_setting(connection, "notices") or "{}")
                return {str(about): str(sentence) for about, sentence in stored.items()}

        return self._database.run(read)

    def save_notices(self, notices: Mapping[str, str]) -> None:
        """Stores what is wrong with the watcher or its source, for ``status``."""
        text = dump(dict(notices))
        with self._database.lock:
            self._database.run(lambda connection: _put_setting(connection, "notices", text), write=True)
            self._notices = notices

    def corrections(self) -> tuple[Correction, ...]:
        """The corrections of drift within the last day, oldest first."""

        def read(connection: sqlite3.Connection) -> tuple[Correction, ...]:
            rows = connection.execute("SELECT server, body, at FROM correction ORDER BY at")
            with reading():
                return tuple(_correction(*row) for row in rows)

        return self._database.run(read)

    def save(
        self,
        *,
        commit: str | None = None,
        rollout: Mapping[str, Any] = _NOTHING,
        records: Iterable[ServerRecord] = (),
        runs: Mapping[str, RunRecord] = _NO_RUNS,
        corrections: Iterable[Correction] = (),
        keep: Collection[str] | None = None,
    ) -> None:
        """Stores what a round found and did, all of it or nothing.

        Args:
            commit: The last good commit; ``None`` if it is as before.
            rollout: How far its rollout is; empty if that is as before.
            records: The servers that were processed. Only what differs from what is stored is written.
            runs: A run of each of them. One that found the same as the newest and did nothing is merged into it.
            corrections: The drift that was corrected.
            keep: The names of the servers that still exist; all others are forgotten, but not their suspensions.
        """
        records = tuple(records)
        corrections = tuple(corrections)

        def write(connection: sqlite3.Connection) -> dict[str, tuple[int, RunRecord]]:
            if commit is not None:
                _put_setting(connection, "commit", commit)
            if rollout:
                _put_setting(connection, "rollout", dump(dict(rollout)))
            connection.executemany(_PUT_PART, self._changed_parts(records)).close()
            _put_corrections(connection, corrections)
            newest = {server: self._put_run(connection, server, run) for server, run in runs.items()}
            if keep is not None and keep != self._kept:
                _forget_all_but(connection, keep)
            return newest

        with self._database.lock:
            newest = self._database.run(write, write=True)
            self._newest |= newest
            self._records |= {record.name: record for record in records}
            self._commit = self._commit if commit is None else commit
            if keep is not None and keep != self._kept:
                self._kept = frozenset(keep)
                for known in (self._newest, self._records):
                    for server in known.keys() - self._kept:
                        del known[server]

    def _changed_parts(self, records: Iterable[ServerRecord]) -> Iterator[tuple[str, str, str]]:
        """What differs from what is stored of each server."""
        for record in records:
            before = self._records.get(record.name)
            if before is record:
                continue
            yield record.name, "record", dump_record(record)
            if before is None or not _is_same(before.changes, record.changes):
                yield record.name, "changes", dump(record.changes)
            if before is None or not _is_same(before.verified, record.verified):
                yield record.name, "verified", dump(record.verified)

    def _put_run(self, connection: sqlite3.Connection, server: str, run: RunRecord) -> tuple[int, RunRecord]:
        """Stores a run. Returns the newest of the server then, with its number."""
        found = self._newest.get(server)
        if found is None and (row := connection.execute(_NEWEST_RUN, (server,)).fetchone()):
            found = row[0], load_run(*row[1:])
        merged = found and merged_run(found[1], run)
        if found and merged:
            values = (merged.count, merged.finished_at.isoformat(), found[0])
            connection.execute("UPDATE run SET count = ?, finished_at = ? WHERE id = ?", values).close()
            return found[0], merged
        insert = "INSERT INTO run (server, body, count, finished_at) VALUES (?, ?, ?, ?)"
        cursor = connection.execute(insert, (server, dump_run(run), run.count, run.finished_at.isoformat()))
        connection.execute(_OLD_RUNS, (server, MOST_RUNS)).close()
        return cursor.lastrowid or 0, run

    def _restore(self, connection: sqlite3.Connection) -> None:
        """Writes what is known into the file, if that is a new one; another one may have been put in its place."""
        records, self._records = self._records, {}
        self._newest.clear()
        self._kept = None
        if connection.execute("SELECT 1 FROM part LIMIT 1").fetchone():
            self.outbox.forget()
            return
        if self._commit is not None:
            _put_setting(connection, "commit", self._commit)
        if self._notices is not None:
            _put_setting(connection, "notices", dump(self._notices))
        connection.executemany(_PUT_PART, self._changed_parts(records.values())).close()
        rows = [(server, dump(one)) for server, one in self._suspensions.items()]
        connection.executemany("INSERT OR IGNORE INTO suspension VALUES (?, ?)", rows).close()
        self.outbox.restore(connection)
        self._records = records


def _setting(connection: sqlite3.Connection, name: str) -> str:
    """A value that is stored under a name; empty if there is none."""
    row = connection.execute("SELECT value FROM setting WHERE name = ?", (name,)).fetchone()
    return str(row[0]) if row else ""


def _put_setting(connection: sqlite3.Connection, name: str, value: str) -> None:
    connection.execute(_PUT_SETTING, (name, value)).close()


def _is_at(descriptor: int, path: Path) -> bool:
    """Whether the path leads to the open file."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    except OSError:
        return False


def _take_lock(descriptor: int, what: str) -> bool:
    """Takes the lock, unless a watcher has it."""
    end = time.monotonic() + _MOMENT
    while not take_lock(descriptor, what):
        if time.monotonic() >= end:
            return False
        time.sleep(_PAUSE)
    return True


def _unlocked(folder: Path, error: Exception) -> StateError:
    reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
    hint = "check the folder, its owner, its permissions, and the free space"
    return StateError.of(f"the state directory {folder} cannot be locked: {reason}", kind=Kind.STATE, hint=hint)


def _is_same(one: object, other: object) -> bool:
    return one is other or one == other


def _correction(server: str, body: str, at: str) -> Correction:
    account, field = json.loads(body)
    return Correction(server, account, field, datetime.fromisoformat(at))


def _put_corrections(connection: sqlite3.Connection, corrections: Collection[Correction]) -> None:
    if not corrections:
        return
    rows = [(one.server, dump([one.account, one.field]), one.at.isoformat()) for one in corrections]
    connection.executemany("INSERT INTO correction VALUES (?, ?, ?)", rows).close()
    oldest = max(one.at for one in corrections) - _LONGEST
    connection.execute("DELETE FROM correction WHERE at < ?", (oldest.isoformat(),)).close()


def _forget_all_but(connection: sqlite3.Connection, keep: Collection[str]) -> None:
    for table in ("part", "run", "correction"):
        known = {server for (server,) in connection.execute(f"SELECT DISTINCT server FROM {table}")}  # noqa: S608 - constants
        gone = [(server,) for server in sorted(known.difference(keep))]
        connection.executemany(f"DELETE FROM {table} WHERE server = ?", gone).close()  # noqa: S608 - constants
