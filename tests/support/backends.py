"""Servers for the property tests: what they really hold, other writers, and faults."""

from __future__ import annotations

from collections import defaultdict
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from reconciler.client.gateway import ConnectionSettings, connect
from reconciler.model.redaction import Redactor
from reconciler.model.secret import Secret
from reconciler.model.server import RefreshToken
from reconciler.sandbox import REFRESH_TOKEN
from tests.support.fake_server import BLANK
from tests.support.scenarios import ShortPauses

if TYPE_CHECKING:
    from collections.abc import Callable

    from reconciler.model.account import Account, Fields
    from reconciler.model.ports import AccountWriter
    from tests.support.fake_server import Fault
    from tests.support.fault_control import FaultServerControl
    from tests.support.strategies import ServerCase

T = TypeVar("T")


class Backend(Protocol):
    """A server, and direct access to its accounts for another writer."""

    @property
    def writer(self) -> AccountWriter:
        """The API, as the product uses it."""

    def state(self) -> dict[int, Fields]:
        """The accounts that it really holds, with their passwords, by id."""

    def add(self, fields: Fields) -> None:
        """Creates an account."""

    def set_port(self, account_id: int, smtp_port: int) -> None:
        """Changes an account's port."""

    def remove(self, account_id: int) -> None:
        """Deletes an account."""

    def close(self) -> None:
        """Ends the server."""


class InMemory:
    """The fake server."""

    def __init__(self, case: ServerCase) -> None:
        self._server = case.server()
        self.writer: AccountWriter = self._server

    def state(self) -> dict[int, Fields]:
        return self._server.state()

    def add(self, fields: Fields) -> None:
        self._server.create_account(fields)

    def set_port(self, account_id: int, smtp_port: int) -> None:
        account = self._server.accounts[account_id]
        self._server.accounts[account_id] = account.with_fields({"smtp_port": smtp_port})

    def remove(self, account_id: int) -> None:
        del self._server.accounts[account_id]

    def close(self) -> None:
        """Does nothing."""


class OverHttp:
    """The sandbox in a process of its own, reached over HTTP."""

    def __init__(self, control: FaultServerControl, case: ServerCase, **dialect: Any) -> None:  # noqa: ANN401 - SandboxOptions has their types
        rules = case.rules
        options = {
            "unique_names": rules.unique_names,
            "unique_emails": rules.unique_addresses,
            "single_default": rules.single_default,
            "keep_default": rules.keep_default,
            **dialect,
        }
        self.control = control
        settings = ConnectionSettings(
            url=control.reset([_plain(account.fields) for account in case.held], options=options),
            credentials=RefreshToken(Secret(REFRESH_TOKEN)),
            redactor=Redactor(),
            stop=ShortPauses(1000),
        )
        with ExitStack() as stack:
            self.writer = stack.enter_context(connect(settings)).writer
            self._stack = stack.pop_all()

    def state(self) -> dict[int, Fields]:
        return self.control.accounts()

    def add(self, fields: Fields) -> None:
        self.control.write(None, _plain({**BLANK, **fields}))

    def set_port(self, account_id: int, smtp_port: int) -> None:
        self.control.write(account_id, _plain({**self.state()[account_id], "smtp_port": smtp_port}))

    def remove(self, account_id: int) -> None:
        self.control.write(account_id, None)

    def close(self) -> None:
        self._stack.close()


def _plain(fields: Fields) -> dict[str, object]:
    return {name: value.reveal() if isinstance(value, Secret) else value for name, value in fields.items()}


@dataclass(eq=False)
class FaultyWriter:
    """An ``AccountWriter`` around another one. It is for one thread.

    Attributes:
        calls: Method and subject (id or address) of every call, in order.
        faults: The fault at a call, by the index of the call.
        interventions: What another writer does just before a call, by the index of the call.
        hidden: The place in the list of an account that a list call leaves out, by the index among the list calls.
    """

    inner: AccountWriter
    calls: list[tuple[str, int | str | None]] = field(default_factory=list)
    faults: dict[int, Fault] = field(default_factory=dict)
    interventions: defaultdict[int, list[Callable[[], None]]] = field(default_factory=lambda: defaultdict(list))
    hidden: dict[int, int] = field(default_factory=dict)

    def list_accounts(self) -> tuple[Account, ...]:
        left_out = self.hidden.get(self.calls.count(("list", None)))
        accounts = self._serve("list", None, self.inner.list_accounts)
        if left_out is None or not accounts:
            return accounts
        return tuple(one for index, one in enumerate(accounts) if index != left_out % len(accounts))

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
        for act in self.interventions[index]:
            act()
        self.calls.append((method, subject))
        fault = self.faults.get(index)
        return fault.befall(serve) if fault else serve()

    def is_between_read_and_write(self, account_id: int, index: int) -> bool:
        """Whether call ``index`` came after an account was read and before it was written, which nothing can detect."""
        of_account = [(at, method) for at, (method, subject) in enumerate(self.calls) if subject == account_id]
        before = [method for at, method in of_account if at < index]
        after = [method for at, method in of_account if at >= index]
        return bool(before and after) and before[-1] == "get" and after[0] in ("update", "delete")
