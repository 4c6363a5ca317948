"""Which conditions were notified, and which messages are still to be delivered."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final

from reconciler.watch.stored import CorruptStateError

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Collection, Mapping, Sequence

    from reconciler.watch.database import Database

MOST_MESSAGES: Final = 20
"""The most messages that are kept for a receiver that cannot be reached; older ones are dropped."""

_PUT: Final = "INSERT INTO notified VALUES (?, ?) ON CONFLICT DO UPDATE SET condition = excluded.condition"
_DROP_OLD: Final = """
DELETE FROM message WHERE id <= (SELECT id FROM message ORDER BY id DESC LIMIT 1 OFFSET ?)
AND id NOT IN (SELECT message FROM delivery WHERE is_sending)"""
_DROP_DELIVERED: Final = "DELETE FROM message WHERE id NOT IN (SELECT message FROM delivery)"
_PENDING: Final = """
SELECT id, severity, title, body, at FROM message JOIN delivery ON message = id
WHERE receiver = ? AND NOT is_sending ORDER BY id"""
_ANY_PENDING: Final = f"{_PENDING} LIMIT 1"
_MARK: Final = "UPDATE delivery SET is_sending = ? WHERE message = ? AND receiver = ?"


@dataclass(frozen=True, slots=True)
class Message:
    """A notification.

    Attributes:
        severity: ``failure``, ``warning``, ``success`` or ``info``.
        at: When the round ended that it is about.
        id: Its number in the outbox.
    """

    severity: str
    title: str
    body: str
    at: datetime
    id: int = 0


class Outbox:
    """What is sent is recorded before it is sent, so that no crash sends it twice."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._conditions: dict[str, str] | None = None

    def conditions(self) -> Mapping[str, str]:
        """By subject, the condition that was last notified."""
        with self._database.lock:
            if self._conditions is None:
                query = "SELECT subject, condition FROM notified"
                self._conditions = dict(self._database.run(lambda connection: connection.execute(query).fetchall()))
            return dict(self._conditions)

    def record(self, conditions: Mapping[str, str], message: Message | None, receivers: Collection[str]) -> None:
        """Stores which conditions are notified, and the message that notifies them, all of it or nothing.

        Args:
            conditions: By subject; all others are forgotten.
            message: ``None`` if there is nothing to notify.
            receivers: Whom it is for.
        """
        with self._database.lock:
            known = self.conditions()
            gone = [(subject,) for subject in known.keys() - conditions.keys()]
            changed = sorted(conditions.items() - known.items())
            if not (gone or changed or message):
                return

            def write(connection: sqlite3.Connection) -> None:
                connection.executemany("DELETE FROM notified WHERE subject = ?", gone).close()
                connection.executemany(_PUT, changed).close()
                if message is not None:
                    _put(connection, message, receivers)

            self._database.run(write, write=True)
            self._conditions = dict(conditions)

    def claim(self, receiver: str) -> tuple[Message, ...]:
        """The messages to deliver to a receiver, oldest first. From now on they count as sent, unless given back."""

        def take(connection: sqlite3.Connection) -> tuple[Message, ...]:
            rows = connection.execute(_PENDING, (receiver,)).fetchall()
            connection.executemany(_MARK, [(True, row[0], receiver) for row in rows]).close()
            return tuple(_message(*row) for row in rows)

        # A query of which rows are left would keep its transaction open, until Python frees it, and hide later writes.
        if not self._database.run(lambda connection: connection.execute(_ANY_PENDING, (receiver,)).fetchone()):
            return ()
        return self._database.run(take, write=True)

    def give_back(self, receiver: str, messages: Sequence[Message]) -> None:
        """These messages were certainly not delivered."""
        rows = [(False, message.id, receiver) for message in messages]
        self._database.run(lambda connection: connection.executemany(_MARK, rows).close(), write=True)

    def delivered(self, receiver: str, messages: Sequence[Message]) -> None:
        """These messages were delivered."""

        def write(connection: sqlite3.Connection) -> None:
            rows = [(message.id, receiver) for message in messages]
            connection.executemany("DELETE FROM delivery WHERE message = ? AND receiver = ?", rows).close()
            connection.execute(_DROP_DELIVERED).close()

        self._database.run(write, write=True)

    def begin(self, receivers: Collection[str]) -> None:
        """Forgets deliveries that a process began and did not end: the receiver may have the message.

        Args:
            receivers: All that there are; messages for others are dropped.
        """

        def write(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM delivery WHERE is_sending").close()
            known = {receiver for (receiver,) in connection.execute("SELECT DISTINCT receiver FROM delivery")}
            gone = [(receiver,) for receiver in known.difference(receivers)]
            connection.executemany("DELETE FROM delivery WHERE receiver = ?", gone).close()
            connection.execute(_DROP_DELIVERED).close()

        self._database.run(write, write=True)

    def salt(self) -> bytes:
        """A random key for hashes of receivers, the same as long as the state lasts."""

        def read(connection: sqlite3.Connection) -> str:
            connection.execute("INSERT OR IGNORE INTO setting VALUES ('salt', ?)", (secrets.token_hex(16),)).close()
            return str(connection.execute("SELECT value FROM setting WHERE name = 'salt'").fetchone()[0])

        return self._database.run(read, write=True).encode()

    def restore(self, connection: sqlite3.Connection) -> None:
        """Writes what is known into a new database."""
        connection.executemany(_PUT, sorted((self._conditions or {}).items())).close()

    def forget(self) -> None:
        """Forgets what is known: the database is another one."""
        self._conditions = None


def _put(connection: sqlite3.Connection, message: Message, receivers: Collection[str]) -> None:
    insert = "INSERT INTO message (severity, title, body, at) VALUES (?, ?, ?, ?)"
    values = (message.severity, message.title, message.body, message.at.isoformat())
    number = connection.execute(insert, values).lastrowid
    rows = [(number, receiver) for receiver in receivers]
    connection.executemany("INSERT INTO delivery VALUES (?, ?, FALSE)", rows).close()
    connection.execute(_DROP_OLD, (MOST_MESSAGES,)).close()


def _message(number: int, severity: str, title: str, body: str, at: str) -> Message:
    try:
        return Message(severity, title, body, datetime.fromisoformat(at), number)
    except ValueError as error:
        raise CorruptStateError("a message is damaged") from error
