"""The accounts in SQLite, and the rules that the options turn on."""

from __future__ import annotations

import os
import sqlite3
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Final

from pydantic import ValidationError

from reconciler.errors import Kind, Problem, ReconcilerError
from reconciler.sandbox.schemas import FIELDS, NO_SUCH_ACCOUNT, AccountBody, ErrorEntry, ErrorResponse

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from reconciler.sandbox import SandboxOptions
    from reconciler.sandbox.schemas import AccountFields

_LARGEST_ID: Final = 2**63 - 1
_COLUMNS: Final = ", ".join(f'"{name}"' for name in FIELDS)
_VALUES: Final = ", ".join(f":{name}" for name in FIELDS)
_TABLE: Final = f"""
CREATE TABLE IF NOT EXISTS accounts (
    id INTEGER PRIMARY KEY AUTOINCREMENT, {_COLUMNS}, created_at TEXT NOT NULL, updated_at TEXT NOT NULL
)"""
_SELECT: Final = f"SELECT id, {_COLUMNS}, created_at, updated_at FROM accounts"  # noqa: S608 - constants
_INSERT: Final = f"INSERT INTO accounts ({_COLUMNS}, created_at, updated_at) VALUES ({_VALUES}, :now, :now)"  # noqa: S608 - constants
_UPDATE: Final = f"UPDATE accounts SET ({_COLUMNS}, updated_at) = ({_VALUES}, :now) WHERE id = :id"  # noqa: S608 - constants


@dataclass(frozen=True, slots=True)
class StoredAccount:
    """An account with what the server adds to it; the times are ISO 8601 strings."""

    id: int
    fields: AccountFields = field(repr=False)
    created_at: str
    updated_at: str


class AccountStore:
    """Accounts on disk or in memory; threads may share it.

    It has one connection under one lock: an in-memory database belongs to its connection, and no sandbox has a load
    that needs more.
    """

    def __init__(self, options: SandboxOptions) -> None:
        """Opens the database; creates it if there is none.

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
            self._connection.row_factory = sqlite3.Row
            # SQLite's own lower() only knows ASCII. Most servers' databases fold the case of every letter, but
            # distinguish NFC from NFD, and a domain in Unicode from the same domain in ASCII.
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
        """Closes the database; accounts in memory are lost."""
        with self._lock:
            self._connection.close()

    def list(self) -> list[StoredAccount]:
        """All accounts, oldest first."""
        with self._lock:
            return [_account(row) for row in self._connection.execute(f"{_SELECT} ORDER BY id")]

    def get(self, account_id: int) -> StoredAccount:
        """One account. Raises ``ErrorResponse`` if there is none."""
        with self._lock:
            return self._get(account_id)

    def create(self, fields: AccountFields) -> StoredAccount:
        """Stores a new account. Raises ``ErrorResponse`` if it breaks a rule."""
        with self._writing():
            return self._insert(fields)

    def seed(self, accounts: Sequence[object]) -> bool:
        """Stores accounts, all or none, unless there are some already; returns whether it did.

        Args:
            accounts: As in the API's JSON.

        Raises:
            ReconcilerError: The API would refuse one of them, or a rule is broken.
        """
        valid = _validated(accounts)
        try:
            with self._writing() as connection:
                if connection.execute(f"{_SELECT} LIMIT 1").fetchone():
                    return False
                for fields in valid:
                    self._insert(fields)
        except ErrorResponse as error:
            raise ReconcilerError.of(
                f"the accounts cannot be on this server together: {error}",
                kind=Kind.SANDBOX_SEED,
                hint="change one of them, or leave out the option that makes the rule",
            ) from None
        return True

    def replace(self, account_id: int, fields: AccountFields) -> StoredAccount:
        """Replaces an account's fields. Raises ``ErrorResponse`` if there is none, or a rule is broken."""
        now = _now()
        with self._writing() as connection:
            was_default = self._get(account_id).fields["default"]
            if self._options.keep_default and was_default and not fields["default"]:
                raise _default_kept("A conta padrão não pode deixar de ser a padrão")
            self._check_unique(fields, account_id)
            connection.execute(_UPDATE, {**fields, "now": now, "id": account_id})
            self._clear_other_defaults(fields, account_id, now)
            return self._get(account_id)

    def delete(self, account_id: int) -> None:
        """Deletes an account. Raises ``ErrorResponse`` if there is none, or a rule is broken."""
        with self._writing() as connection:
            if self._get(account_id).fields["default"] and self._options.keep_default:
                raise _default_kept("A conta padrão não pode ser removida")
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

    def _insert(self, fields: AccountFields) -> StoredAccount:
        now = _now()
        self._check_unique(fields, 0)
        account_id = self._connection.execute(_INSERT, {**fields, "now": now}).lastrowid or 0
        self._clear_other_defaults(fields, account_id, now)
        return self._get(account_id)

    def _get(self, account_id: int) -> StoredAccount:
        if 0 < account_id <= _LARGEST_ID:
            row = self._connection.execute(f"{_SELECT} WHERE id = ?", (account_id,)).fetchone()
            if row:
                return _account(row)
        raise ErrorResponse(HTTPStatus.NOT_FOUND, NO_SUCH_ACCOUNT)

    def _check_unique(self, fields: AccountFields, account_id: int) -> None:
        for name, label, condition, is_rule in (
            ("name", "nome", "name = ?", self._options.unique_names),
            ("email", "email", "lower_case(email) = lower_case(?)", self._options.unique_emails),
        ):
            query = f"SELECT 1 FROM accounts WHERE {condition} AND id <> ?"  # noqa: S608 - the condition is a constant
            if is_rule and self._connection.execute(query, (fields[name], account_id)).fetchone():
                message = f"Já existe um item com o {label} '{fields[name]}'"
                raise ErrorResponse(HTTPStatus.CONFLICT, ErrorEntry(name, "duplicated", message))

    def _clear_other_defaults(self, fields: AccountFields, account_id: int, now: str) -> None:
        if self._options.single_default and fields["default"]:
            self._connection.execute(
                'UPDATE accounts SET "default" = 0, updated_at = ? WHERE "default" AND id <> ?', (now, account_id)
            )


def _validated(accounts: Sequence[object]) -> list[AccountFields]:
    valid: list[AccountFields] = []
    problems = []
    for index, account in enumerate(accounts):
        try:
            valid.append(AccountBody.model_validate(account).model_dump())
        except ValidationError as error:
            problems += [
                Problem(
                    kind=Kind.SANDBOX_SEED,
                    message=f"account [{index}]{''.join(f'.{part}' for part in found['loc'])}: {found['msg']}",
                    hint="write each account as in the body of the API's POST",
                )
                for found in error.errors(include_input=False)
            ]
    if problems:
        raise ReconcilerError(*problems)
    return valid


def _account(row: sqlite3.Row) -> StoredAccount:
    fields = {name: bool(row[name]) if field.type is bool else row[name] for name, field in FIELDS.items()}
    return StoredAccount(row["id"], fields, row["created_at"], row["updated_at"])


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")


def _default_kept(message: str) -> ErrorResponse:
    return ErrorResponse(HTTPStatus.CONFLICT, ErrorEntry("default", "rule", message))


def _create_private(file: Path) -> None:
    """Creates a missing file, readable for its owner only: it will hold passwords. SQLite would apply the umask."""
    with suppress(FileExistsError):
        os.close(os.open(file, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))


def _make_private(file: Path) -> None:
    """Leaves the database, and the files that SQLite keeps next to it, to their owner only.

    Files that SQLite adds later get the permissions of the database.
    """
    for ending in ("", "-wal", "-shm", "-journal"):
        with suppress(FileNotFoundError):
            file.with_name(file.name + ending).chmod(0o600)


def _unusable(database: str, error: sqlite3.Error | OSError) -> ReconcilerError:
    return ReconcilerError.of(
        f"{database} cannot be used as the sandbox's database: {getattr(error, 'strerror', None) or error}",
        kind=Kind.SANDBOX_DATABASE,
        hint="name a new file, or one that a sandbox has created",
    )
