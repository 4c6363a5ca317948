"""Servers for the long properties: what they really hold, who else writes to them, and what goes wrong on the way."""

from __future__ import annotations

from collections import defaultdict
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from reconciler.client.gateway import ConnectionSettings, connect
from reconciler.model.fields import FIELDS
from reconciler.model.redaction import Redactor
from reconciler.model.secret import Secret
from reconciler.model.server import RefreshToken
from reconciler.sandbox import REFRESH_TOKEN
from tests.support.fake_server import BLANK
from tests.support.scenarios import Hurried

if TYPE_CHECKING:
    from collections.abc import Callable

    from reconciler.model.account import Account, Fields
    from reconciler.model.ports import AccountWriter
    from tests.support.fake_server import Fault
    from tests.support.fault_control import Remote
    from tests.support.strategies import World

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
        self._server.accounts[account_id] = account.with_fields({"smtp_port": smtp_port})

    def remove(self, account_id: int) -> None:
        del self._server.accounts[account_id]

    def close(self) -> None:
        """Has nothing to end."""


class OverHttp:
    """The sandbox in a process of its own, reached over HTTP."""

    def __init__(self, remote: Remote, world: World, **dialect: Any) -> None:  # noqa: ANN401 - SandboxOptions has their types
        rules = world.rules
        options = {
            "unique_names": rules.unique_names,
            "unique_emails": rules.unique_addresses,
            "single_default": rules.single_default,
            "keep_default": rules.keep_default,
            **dialect,
        }
        self.remote = remote
        settings = ConnectionSettings(
            url=remote.reset([_plain(account.fields) for account in world.held], options=options),
            credentials=RefreshToken(Secret(REFRESH_TOKEN)),
            redactor=Redactor(),
            stop=Hurried(1000),
        )
        with ExitStack() as stack:
            self.writer = stack.enter_context(connect(settings)).writer
            self._stack = stack.pop_all()

    def truth(self) -> dict[int, Fields]:
        found: dict[int, Fields] = {}
        for row in self.remote.peek():
            password = None if row["password"] is None else Secret(row["password"])
            found[row["id"]] = {**{name: row[name] for name in FIELDS}, "password": password}
        return found

    def add(self, fields: Fields) -> None:
        self.remote.write(None, _plain({**BLANK, **fields}))

    def move(self, account_id: int, smtp_port: int) -> None:
        self.remote.write(account_id, _plain({**self.truth()[account_id], "smtp_port": smtp_port}))

    def remove(self, account_id: int) -> None:
        self.remote.write(account_id, None)

    def close(self) -> None:
        self._stack.close()


def _plain(fields: Fields) -> dict[str, object]:
    return {name: value.reveal() if isinstance(value, Secret) else value for name, value in fields.items()}


@dataclass(eq=False)
class Disturbed:
    """An ``AccountWriter`` over another one, for one write after the other.

    Attributes:
        calls: Method and subject (id or address) of every call, in the order in which they were served.
        faults: By the index of the call, what goes wrong there.
        strangers: By the index of the call, what somebody else does just before it.
        hidden: By how many list calls came before, the place in the list of an account that it misses.
    """

    inner: AccountWriter
    calls: list[tuple[str, int | str | None]] = field(default_factory=list)
    faults: dict[int, Fault] = field(default_factory=dict)
    strangers: defaultdict[int, list[Callable[[], None]]] = field(default_factory=lambda: defaultdict(list))
    hidden: dict[int, int] = field(default_factory=dict)

    def list_accounts(self) -> tuple[Account, ...]:
        place = self.hidden.get(self.calls.count(("list", None)))
        accounts = self._serve("list", None, self.inner.list_accounts)
        if place is None or not accounts:
            return accounts
        return tuple(one for index, one in enumerate(accounts) if index != place % len(accounts))

    def get_account(self, account_id: int) -> Account:
        return self._serve("get", account_id, lambda: self.inner.get_account(account_id))

    def create_account(self, fields: Fields) -> Account:
        return self._serve("create", str(fields["email"]), lambda: self.inner.create_account(fields))

    def update_account(self, account: Account) -> Account:
        return self._serve("update", account.id, lambda: self.inner.update_account(account))

    def delete_account(self, account_id: int) -> None:
        self._serve("delete", account_id, lambda: self.inner.delete_account(account_id))

    def run_delivery_test(self, fields: Fields, to_email: str) -> None:
        self._serve("test", str(fields["email"]), lambda: self.inner.run_delivery_test(fields, to_email))

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
