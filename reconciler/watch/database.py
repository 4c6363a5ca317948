"""The SQLite file in the watcher's state directory: shared by threads and processes, and replaced if it is corrupt.

SQLite keeps it consistent if the process is killed at any moment.
"""

from __future__ import annotations

import os
import sqlite3
import stat
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from threading import RLock
from typing import TYPE_CHECKING, Final, TypeVar

from reconciler.applying.lock import UnsafeFolderError, open_private
from reconciler.errors import Kind, StateError
from reconciler.watch.stored import CorruptStateError, load_suspension

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

FILE: Final = "state.sqlite"
_LOCK: Final = "open.lock"
_LOGS: Final = ("-wal", "-shm")

_VERSION: Final = 1
_APPLICATION: Final = 0x7265636F  # "reco"
_BUSY: Final = 10.0
"""Seconds to wait for another process, which writes for milliseconds."""

_SCHEMA: Final = """
CREATE TABLE setting (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE part (server TEXT, kind TEXT, body TEXT NOT NULL, PRIMARY KEY (server, kind));
CREATE TABLE run (
    id INTEGER PRIMARY KEY, server TEXT NOT NULL, body TEXT NOT NULL, count INTEGER NOT NULL, finished_at TEXT NOT NULL
);
CREATE INDEX run_of_server ON run (server, id);
CREATE TABLE suspension (server TEXT PRIMARY KEY, body TEXT NOT NULL);
CREATE TABLE correction (server TEXT NOT NULL, body TEXT NOT NULL, at TEXT NOT NULL);
CREATE TABLE notified (subject TEXT PRIMARY KEY, condition TEXT NOT NULL);
CREATE TABLE message (
    id INTEGER PRIMARY KEY, severity TEXT NOT NULL, title TEXT NOT NULL, body TEXT NOT NULL, at TEXT NOT NULL
);
CREATE TABLE delivery (
    message INTEGER NOT NULL REFERENCES message ON DELETE CASCADE, receiver TEXT NOT NULL, is_sending INTEGER NOT NULL,
    PRIMARY KEY (message, receiver)
);
"""
_CORRUPT: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_HINTS: Final = {
    sqlite3.SQLITE_FULL: "free some space on that file system",
    sqlite3.SQLITE_READONLY: "make the folder writable for this user",
    sqlite3.SQLITE_CANTOPEN: "make the folder and its files readable and writable for this user",
    sqlite3.SQLITE_BUSY: "another process keeps the file locked; end it, or try again",
}

T = TypeVar("T")


class Database:
    """A file with the watcher's tables. Threads may share it.

    Args:
        folder: The state directory.
        create: Whether to create what is missing, and to replace what is corrupt. Otherwise, both are errors.

    Attributes:
        lost: Why what was stored before is lost, as a sentence; empty if nothing is.
        lock: Held during each transaction.
        reopened: Called in a transaction when the file was opened again: it may be another one, and empty.
    """

    def __init__(self, folder: Path, *, create: bool) -> None:
        self.lost = ""
        self.lock = RLock()
        self.reopened: Callable[[sqlite3.Connection], None] = lambda _connection: None
        self._folder = folder
        self._create = create
        self._connection: sqlite3.Connection | None = None
        self._inode: tuple[int, int] | None = None
        self._log: tuple[int, int] | None = None
        self.run(lambda _connection: None)

    def run(self, work: Callable[[sqlite3.Connection], T], *, write: bool = False) -> T:
        """Does work with the database, in one transaction.

        Args:
            work: Called with the connection; a second time if the file is corrupt and has been replaced.
            write: Whether the work changes anything.

        Raises:
            StateError: The database cannot be read or written; nothing was changed.
        """
        with self.lock:
            try:
                try:
                    return self._transact(work, write=write)
                except (sqlite3.Error, CorruptStateError) as error:
                    if not self._is_replaceable(error):
                        raise
                    self._replace(str(error))
                    return self._transact(work, write=write)
            except (OSError, UnsafeFolderError, sqlite3.Error, CorruptStateError) as error:
                raise self._unusable(error, write=write) from error

    def close(self) -> None:
        """Closes the file. The next use opens it again."""
        with self.lock:
            if self._connection is not None:
                with suppress(sqlite3.Error):
                    self._connection.close()
            self._connection = None

    def _transact(self, work: Callable[[sqlite3.Connection], T], *, write: bool) -> T:
        return _in_transaction(self._current(), work, write=write)

    def _current(self) -> sqlite3.Connection:
        """The connection to the file that is in the folder now."""
        if self._connection is not None:
            found = _inode(self._folder / FILE)
            if found == self._inode:
                return self._connection
            what = "deleted" if found is None else "replaced"
            self.lost = f"{self._folder / FILE} was {what} while it was in use: what was stored in it is lost"
            self._abandon()
        with self._opening():
            return self._open()

    def _abandon(self) -> None:
        """Closes a file that is no longer in the folder. SQLite would apply its log to the one that is there now."""
        self.close()
        if self._log is not None and _inode(self._folder / (FILE + "-wal")) == self._log:
            for ending in _LOGS:
                with suppress(FileNotFoundError):
                    (self._folder / (FILE + ending)).unlink()

    def _open(self) -> sqlite3.Connection:
        """Opens the file, and creates it if need be."""
        path = self._folder / FILE
        existed = os.path.lexists(path)
        if not existed:
            os.close(open_private(self._folder, FILE))  # once it is open, closing it here would release SQLite's locks
        status = path.lstat()
        if stat.S_ISDIR(status.st_mode):
            raise CorruptStateError("a folder is in its place")
        if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
            raise UnsafeFolderError(f"{path} is not an ordinary file")
        if status.st_uid == os.geteuid() and status.st_mode & 0o077:  # as restored from a backup
            path.chmod(0o600)
        if existed and not status.st_size and not self.lost:
            self.lost = f"{path} was empty: if it had stored anything, that is lost"
        self._connection = connection = sqlite3.connect(
            f"{path.as_uri()}?mode=rw", uri=True, timeout=_BUSY, isolation_level=None, check_same_thread=False
        )
        inode, self._inode = self._inode, _inode(path)
        try:
            _prepare(connection)
            if inode is not None:
                _in_transaction(connection, self.reopened, write=True)
        except (StateError, sqlite3.OperationalError):  # a corrupt file stays open: it may have suspensions
            self.close()
            raise
        self._log = _inode(path.with_name(FILE + "-wal"))
        return connection

    def _replace(self, reason: str) -> None:
        """Moves a corrupt file aside. The suspensions in it are kept if they can be read: people rely on them."""
        path = self._folder / FILE
        with self._opening():
            if self._inode is not None and _inode(path) != self._inode:
                return  # another process has replaced it
            suspensions = self._readable_suspensions()
            self.close()
            aside = path.with_name(f"{FILE}.corrupt-{datetime.now(UTC):%Y%m%dT%H%M%S%f}")
            path.rename(aside)
            for ending in _LOGS:
                with suppress(FileNotFoundError):
                    path.with_name(FILE + ending).rename(aside.with_name(aside.name + ending))
            self.lost = (
                f"the state was corrupt ({reason}) and is now {aside}: the history, the last good commit and what was "
                f"notified are lost, {'but not suspensions' if suspensions else 'and suspensions by command, too'}"
            )
            connection = self._open()
            connection.executemany("INSERT OR IGNORE INTO suspension VALUES (?, ?)", suspensions or ()).close()

    def _readable_suspensions(self) -> list[tuple[str, str]] | None:
        """The suspensions in a corrupt file; ``None`` if they cannot be read."""
        if self._connection is None:
            return None
        try:
            rows = self._connection.execute("SELECT server, body FROM suspension").fetchall()
            for _server, body in rows:
                load_suspension(body)
        except (sqlite3.Error, CorruptStateError):
            return None
        return rows

    def _is_replaceable(self, error: Exception) -> bool:
        return self._create and (isinstance(error, CorruptStateError) or _code(error) in _CORRUPT)

    @contextmanager
    def _opening(self) -> Iterator[None]:
        """One process at a time opens or replaces the file."""
        import fcntl

        if not self._create and not os.path.lexists(self._folder / FILE):
            message, hint = f"there is no state of a watcher in {self._folder}", "name the --state-dir of the watcher"
            raise StateError.of(message, kind=Kind.NO_STATE, hint=hint)
        descriptor = open_private(self._folder, _LOCK)
        try:
            with suppress(OSError):  # a file system without locks
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _unusable(self, error: Exception, *, write: bool) -> StateError:
        code = _code(error)
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        hint = _HINTS.get(code, "check the folder, its owner, its permissions, and the free space")
        if code in _CORRUPT or isinstance(error, CorruptStateError):
            hint = "the watcher replaces a corrupt file when it starts"
        verb = "written" if write or code == sqlite3.SQLITE_FULL else "read"
        message = f"the state in {self._folder} cannot be {verb}: {reason}"
        return StateError.of(message, kind=Kind.STATE, hint=hint)


def _in_transaction(connection: sqlite3.Connection, work: Callable[[sqlite3.Connection], T], *, write: bool) -> T:
    connection.execute("BEGIN IMMEDIATE" if write else "BEGIN").close()
    try:
        result = work(connection)
        connection.execute("COMMIT").close()
    except BaseException:
        with suppress(sqlite3.Error):  # SQLite has already rolled back after some errors, such as a full disk
            connection.execute("ROLLBACK").close()
        raise
    return result


def _prepare(connection: sqlite3.Connection) -> None:
    """Checks the file, and creates the tables in a new one."""
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if (application, version) not in {(_APPLICATION, _VERSION), (0, 0)} or (tables and not version):
        is_ours = application == _APPLICATION
        message = "the state was written by another version of reconciler" if is_ours else "it is another program's"
        hint = "use the version that wrote it, or another state directory"
        raise StateError.of(f"{message}, so it is not used: {_path(connection)}", kind=Kind.STATE_VERSION, hint=hint)
    (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if found != "ok":
        raise CorruptStateError("some of its pages are damaged")
    connection.execute("PRAGMA journal_mode = WAL").close()
    connection.execute("PRAGMA synchronous = FULL").close()  # what was sent must not be forgotten in a power failure
    connection.execute("PRAGMA foreign_keys = ON").close()
    if not tables:
        statements = f"PRAGMA application_id = {_APPLICATION}; PRAGMA user_version = {_VERSION};"
        connection.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} {statements} COMMIT")


def _path(connection: sqlite3.Connection) -> str:
    return str(connection.execute("PRAGMA database_list").fetchone()[2])


def _code(error: Exception) -> int:
    """SQLite's primary code for an error; 0 if it has none."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _inode(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino
