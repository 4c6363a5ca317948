"""Servers for the long properties: what they really hold, who else writes to them, and what goes wrong on the way."""

from __future__ import annotations

import sqlite3
import tempfile
import threading
from collections import defaultdict
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from reconciler.api.connect import Connection, open_writer
from reconciler.model.account import FIELDS, Account, Fields
from reconciler.model.desired import RefreshToken
from reconciler.model.redaction import Redactor
from reconciler.model.secret import Secret
from tests.fake_server import BLANK

if TYPE_CHECKING:
    from collections.abc import Callable

    from reconciler.model.ports import AccountWriter
    from tests.fake_server import Fault
    from tests.worlds import World

T = TypeVar("T")


class Host(Protocol):
    """A server, and the back door through which somebody else sees and changes everything on it."""

    @property
    def writer(self) -> AccountWriter:
        """The front door."""

    def truth(self) -> dict[int, Fields]:
        """What it really holds, passwords and all, by id."""

    def add(self, fields: Fields) -> None:
        """Somebody else creates an account."""

    def move(self, account_id: int, smtp_port: int) -> None:
        """Somebody else changes an account's port."""

    def remove(self, account_id: int) -> None:
        """Somebody else deletes an account."""

    def close(self) -> None:
        """Ends the server."""


class InMemory:
    """The fake server."""

    def __init__(self, world: World) -> None:
        self._server = world.server()
        self.writer: AccountWriter = self._server

    def truth(self) -> dict[int, Fields]:
        return self._server.state()

    def add(self, fields: Fields) -> None:
        self._server.create_account(fields)

    def move(self, account_id: int, smtp_port: int) -> None:
        account = self._server.accounts[account_id]
        self._server.accounts[account_id] = account.overlaid({"smtp_port": smtp_port})

    def remove(self, account_id: int) -> None:
        del self._server.accounts[account_id]

    def close(self) -> None:
        """Has nothing to end."""


class OverHttp:
    """The sandbox, reached over HTTP; the back door is its database."""

    def __init__(self, world: World, **dialect: Any) -> None:  # noqa: ANN401 - SandboxOptions has their types
        from reconciler.sandbox.server import Sandbox, SandboxOptions

        with ExitStack() as stack:
            database = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "accounts.db"
            rules = world.rules
            options = SandboxOptions(
                database=str(database),
                unique_names=rules.unique_names,
                unique_emails=rules.unique_addresses,
                single_default=rules.single_default,
                keep_default=rules.keep_default,
                **dialect,
            )
            sandbox = stack.enter_context(Sandbox(options))
            back_door = sqlite3.connect(database, isolation_level=None, check_same_thread=False)
            self._database = stack.enter_context(closing(back_door))
            for account in world.held:
                self.add(account.fields)
            connection = Connection(
                url=sandbox.url,
                credentials=RefreshToken(Secret(sandbox.refresh_token)),
                redactor=Redactor(),
                stop=threading.Event(),
            )
            self.writer = stack.enter_context(open_writer(connection))
            self._stack = stack.pop_all()

    def truth(self) -> dict[int, Fields]:
        found: dict[int, Fields] = {}
        for account_id, *values in self._database.execute(_SELECT):
            fields = dict(zip(FIELDS, values, strict=True))
            flags = {name: bool(fields[name]) for name in ("default", "has_auth")}
            password = Secret(fields["password"]) if fields["password"] is not None else None
            found[account_id] = {**fields, **flags, "password": password}
        return found

    def add(self, fields: Fields) -> None:
        given = {**BLANK, **fields}
        values = [value.reveal() if isinstance(value, Secret) else value for value in map(given.__getitem__, FIELDS)]
        self._database.execute(_INSERT, values)

    def move(self, account_id: int, smtp_port: int) -> None:
        self._database.execute("UPDATE accounts SET smtp_port = ? WHERE id = ?", (smtp_port, account_id))

    def remove(self, account_id: int) -> None:
        self._database.execute("DELETE FROM accounts WHERE id = ?", (account_id,))

    def close(self) -> None:
        self._stack.close()


@dataclass(eq=False)
class Disturbed:
    """An ``AccountWriter`` over another one, for one write after the other.

    Attributes:
        calls: Method and subject (id or address) of every call, in the order in which they were served.
        faults: By the index of the call, what goes wrong there.
        strangers: By the index of the call, what somebody else does just before it.
    """

    inner: AccountWriter
    calls: list[tuple[str, int | str | None]] = field(default_factory=list)
    faults: dict[int, Fault] = field(default_factory=dict)
    strangers: defaultdict[int, list[Callable[[], None]]] = field(default_factory=lambda: defaultdict(list))

    def list_accounts(self) -> tuple[Account, ...]:
        return self._serve("list", None, self.inner.list_accounts)

    def get_account(self, account_id: int) -> Account:
        return self._serve("get", account_id, lambda: self.inner.get_account(account_id))

    def create_account(self, fields: Fields) -> Account:
        return self._serve("create", str(fields["email"]), lambda: self.inner.create_account(fields))

    def update_account(self, account: Account) -> Account:
        return self._serve("update", account.id, lambda: self.inner.update_account(account))

    def delete_account(self, account_id: int) -> None:
        self._serve("delete", account_id, lambda: self.inner.delete_account(account_id))

    def test_account(self, fields: Fields, to_email: str) -> None:
        self._serve("test", str(fields["email"]), lambda: self.inner.test_account(fields, to_email))

    def _serve(self, method: str, subject: int | str | None, serve: Callable[[], T]) -> T:
        index = len(self.calls)
        for act in self.strangers[index]:
            act()
        self.calls.append((method, subject))
        fault = self.faults.get(index)
        return fault.befall(serve) if fault else serve()

    def writes_next(self, account_id: int, index: int) -> bool:
        """Whether an account had been read, and was not yet written, when call ``index`` came: the window."""
        of_account = [(at, method) for at, (method, subject) in enumerate(self.calls) if subject == account_id]
        before = [method for at, method in of_account if at < index]
        after = [method for at, method in of_account if at >= index]
        return bool(before and after) and before[-1] == "get" and after[0] in ("update", "delete")


_COLUMNS = ", ".join(f'"{name}"' for name in FIELDS)
_SELECT = f"SELECT id, {_COLUMNS} FROM accounts"  # noqa: S608 - constants
_INSERT = (
    f"INSERT INTO accounts ({_COLUMNS}, created_at, updated_at) "  # noqa: S608 - constants
    f"VALUES ({', '.join('?' * len(FIELDS))}, '', '')"
)
