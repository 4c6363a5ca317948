"""The accounts in SQLite, with the rules that a server may or may not have."""

from __future__ import annotations

import os
import sqlite3
from contextlib import contextmanager, suppress
from dataclasses import astuple, fields
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

from reconciler.errors import Kind, ReconcilerError
from reconciler.sandbox.refusal import default_kept, duplicated, no_such_account
from reconciler.sandbox.settings import Settings, StoredAccount

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from reconciler.sandbox import SandboxOptions

_LARGEST_ID: Final = 2**63 - 1
_COLUMNS: Final = tuple(f'"{field.name}"' for field in fields(Settings))
_TABLE: Final = f"""
CREATE TABLE IF NOT EXISTS accounts (
    id INTEGER PRIMARY KEY AUTOINCREMENT, {", ".join(_COLUMNS)}, created_at TEXT NOT NULL, updated_at TEXT NOT NULL
)"""
_SELECT: Final = f"SELECT id, {', '.join(_COLUMNS)}, created_at, updated_at FROM accounts"  # noqa: S608 - constants
_INSERT: Final = (
    f"INSERT INTO accounts ({', '.join(_COLUMNS)}, created_at, updated_at) "  # noqa: S608 - constants
    f"VALUES ({', '.join('?' * (len(_COLUMNS) + 2))})"
)
_UPDATE: Final = (
    f"UPDATE accounts SET {', '.join(f'{column} = ?' for column in _COLUMNS)}, updated_at = ? "  # noqa: S608 - constants
    "WHERE id = ?"
)


class AccountStore:
    """Accounts on disk or in memory; safe to share between threads.

    One connection under one lock: an in-memory database belongs to its connection, and a sandbox has no load that
    would want more.
    """

    def __init__(self, options: SandboxOptions) -> None:
        """Opens, and where needed creates, the database.

        Raises:
            ReconcilerError: The file cannot be opened, or is not a database of accounts.
        """
        self._options = options
        self._lock = Lock()
        file = None if options.database in ("", ":memory:") else Path(options.database).resolve()
        try:
            if file:
                _create_private(file)
            self._connection = sqlite3.connect(options.database, check_same_thread=False, isolation_level=None)
        except (OSError, sqlite3.Error) as error:
            raise _unusable(options.database, error) from error
        try:
            # SQLite's own lower() knows ASCII alone. A server's database mostly knows the case of every letter, and
            # still takes NFC and NFD, or a domain in Unicode and in ASCII, for different addresses.
            self._connection.create_function("lower_case", 1, str.lower, deterministic=True)
            self._connection.execute(_TABLE).close()
            self._connection.execute(f"{_SELECT} LIMIT 1").close()
            if file:
                _make_private(file)
            self._connection.execute("PRAGMA journal_mode = WAL").close()
            self._connection.execute("PRAGMA synchronous = NORMAL").close()
        except (OSError, sqlite3.Error) as error:
            self._connection.close()
            raise _unusable(options.database, error) from error

    def close(self) -> None:
        """Closes the database; what is in memory is gone."""
        with self._lock:
            self._connection.close()

    def list(self) -> list[StoredAccount]:
        """All accounts, oldest first."""
        with self._lock:
            return [_account(row) for row in self._connection.execute(f"{_SELECT} ORDER BY id")]

    def get(self, account_id: int) -> StoredAccount:
        """One account. Raises ``Refusal`` where there is none."""
        with self._lock:
            return self._get(account_id)

    def create(self, settings: Settings) -> StoredAccount:
        """Stores a new account. Raises ``Refusal`` where a rule is in the way."""
        with self._writing():
            return self._insert(settings)

    def fill(self, accounts: Sequence[Settings]) -> bool:
        """Stores new accounts, all or none, where there are none yet; returns whether it did.

        Raises:
            Refusal: A rule is in the way of one of them.
        """
        with self._writing() as connection:
            if connection.execute(f"{_SELECT} LIMIT 1").fetchone():
                return False
            for settings in accounts:
                self._insert(settings)
            return True

    def replace(self, account_id: int, settings: Settings) -> StoredAccount:
        """Replaces an account's settings. Raises ``Refusal`` where there is none, or a rule is in the way."""
        now = _now()
        with self._writing() as connection:
            current = self._get(account_id).settings
            if self._options.keep_default and current.default and not settings.default:
                raise default_kept("A conta padrão não pode deixar de ser a padrão")
            self._check_unique(settings, account_id)
            connection.execute(_UPDATE, (*astuple(settings), now, account_id))
            self._clear_other_defaults(settings, account_id, now)
            return self._get(account_id)

    def delete(self, account_id: int) -> None:
        """Deletes an account. Raises ``Refusal`` where there is none, or a rule is in the way."""
        with self._writing() as connection:
            if self._get(account_id).settings.default and self._options.keep_default:
                raise default_kept("A conta padrão não pode ser removida")
            connection.execute("DELETE FROM accounts WHERE id = ?", (account_id,))

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction: checks and writes happen together or not at all."""
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    def _insert(self, settings: Settings) -> StoredAccount:
        now = _now()
        self._check_unique(settings, 0)
        account_id = self._connection.execute(_INSERT, (*astuple(settings), now, now)).lastrowid or 0
        self._clear_other_defaults(settings, account_id, now)
        return self._get(account_id)

    def _get(self, account_id: int) -> StoredAccount:
        if not 0 < account_id <= _LARGEST_ID:
            raise no_such_account()
        row = self._connection.execute(f"{_SELECT} WHERE id = ?", (account_id,)).fetchone()
        if row is None:
            raise no_such_account()
        return _account(row)

    def _check_unique(self, settings: Settings, account_id: int) -> None:
        if self._options.unique_names and self._taken("name = ?", settings.name, account_id):
            raise duplicated("name", settings.name)
        if self._options.unique_emails and self._taken("lower_case(email) = lower_case(?)", settings.email, account_id):
            raise duplicated("email", settings.email)

    def _taken(self, condition: str, value: str, account_id: int) -> bool:
        query = f"SELECT 1 FROM accounts WHERE {condition} AND id <> ?"  # noqa: S608 - the condition is a constant
        return self._connection.execute(query, (value, account_id)).fetchone() is not None

    def _clear_other_defaults(self, settings: Settings, account_id: int, now: str) -> None:
        if self._options.single_default and settings.default:
            self._connection.execute(
                'UPDATE accounts SET "default" = 0, updated_at = ? WHERE "default" AND id <> ?', (now, account_id)
            )


def _account(row: tuple[Any, ...]) -> StoredAccount:
    account_id, default, name, email, service, has_auth, *optional, created_at, updated_at = row
    password, smtp_server, smtp_port, smtp_crypt, smtp_auth_mechanism = optional
    settings = Settings(
        default=bool(default),
        name=name,
        email=email,
        service=service,
        has_auth=bool(has_auth),
        password=password,
        smtp_server=smtp_server,
        smtp_port=smtp_port,
        smtp_crypt=smtp_crypt,
        smtp_auth_mechanism=smtp_auth_mechanism,
    )
    return StoredAccount(account_id, settings, created_at, updated_at)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")


def _create_private(file: Path) -> None:
    """Creates the file for its owner alone, if it is not there: it will hold passwords. SQLite would ask the umask."""
    with suppress(FileExistsError):
        os.close(os.open(file, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))


def _make_private(file: Path) -> None:
    """Takes a database, and the files that SQLite keeps next to it, from everybody but the owner.

    Files that SQLite adds later get the permissions of the database.
    """
    for ending in ("", "-wal", "-shm", "-journal"):
        with suppress(FileNotFoundError):
            file.with_name(file.name + ending).chmod(0o600)


def _unusable(database: str, error: sqlite3.Error | OSError) -> ReconcilerError:
    return ReconcilerError.of(
        f"{database} cannot be used as the sandbox's database: {getattr(error, 'strerror', None) or error}",
        kind=Kind.SANDBOX_DATABASE,
        hint="Name a new file, or one that a sandbox has written.",
    )
