"""An ``AccountWriter`` in memory, with optional rules of real servers, and faults on demand."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Literal, NoReturn, TypeVar

from reconciler.errors import ApiError, Kind, NotFoundError, OutcomeUnknownError, RejectedError
from reconciler.model.account import Account, Fields, Value
from reconciler.model.secret import UNKNOWN, Secret, SecretReference

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

T = TypeVar("T")
Method = Literal["list", "get", "create", "update", "delete", "test"]
When = Literal["before", "after"]

GMAIL: Fields = {"smtp_server": "smtp.gmail.com", "smtp_port": 587, "smtp_crypt": "starttls"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """Which undocumented behaviours the server has."""

    unique_names: bool = False
    unique_addresses: bool = False
    single_default: bool = False
    keep_default: bool = False
    first_is_default: bool = False
    hidden_password_warning: bool = False
    lower_case: bool = False
    fills_gmail: bool = False
    times: bool = False


@dataclass(frozen=True, slots=True)
class Call:
    """A received call; ``subject`` is the id if there is one, else the address."""

    method: Method
    subject: int | str | None = None
    fields: Fields | None = None


@dataclass(frozen=True, slots=True)
class Fault:
    """The fault of one call: ``error`` is raised before or after the call takes effect."""

    error: ApiError
    when: When = "before"

    def befall(self, serve: Callable[[], object]) -> NoReturn:
        """Raises the error, before or after the call takes effect."""
        if self.when == "after":
            serve()
        raise self.error


def lost(message: str = "connection reset") -> OutcomeUnknownError:
    """An error that leaves the outcome unknown."""
    return OutcomeUnknownError.of(message, kind=Kind.TIMEOUT)


@dataclass(eq=False)
class FakeServer:
    """Accounts in memory. Thread-safe.

    Attributes:
        rules: The server's behaviours.
        calls: Every call, in the order of arrival.
        faults: The fault at a call, by the index of the call.
        scripts: By method, the faults of its next calls; ``None`` for no fault.
        hooks: By method, what another writer does before a call is served; called outside the lock, so it may wait.
        answers: By method, a function that changes its responses.
        tests_fail: Returns why a delivery test with these settings fails; ``None`` if it passes.
        mails: The recipients of the test mails.
    """

    accounts: dict[int, Account] = field(default_factory=dict)
    rules: Rules = field(default_factory=Rules)
    calls: list[Call] = field(default_factory=list)
    faults: dict[int, Fault] = field(default_factory=dict)
    scripts: dict[Method, deque[Fault | None]] = field(default_factory=dict)
    hooks: dict[Method, Callable[[Call], None]] = field(default_factory=dict)
    answers: dict[Method, Callable[[Account], Account]] = field(default_factory=dict)
    tests_fail: Callable[[Fields], str | None] = lambda _fields: None
    mails: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._lock = threading.RLock()
        self._next_id = max(self.accounts, default=0) + 1
        self._seconds = 0
        if self.rules.times:
            self.accounts = {account_id: self._changed(account) for account_id, account in self.accounts.items()}

    @classmethod
    def holding(cls, *accounts: Fields, rules: Rules | None = None) -> FakeServer:
        """A server with these accounts; their ids count from 1."""
        held = {index: Account({**BLANK, **fields}, index) for index, fields in enumerate(accounts, start=1)}
        return cls(held, rules or Rules())

    def state(self) -> dict[int, Fields]:
        """What the server really holds, including passwords."""
        with self._lock:
            return {account_id: dict(account.fields) for account_id, account in self.accounts.items()}

    def methods(self) -> list[str]:
        """The calls in short: method and subject."""
        return [f"{call.method} {call.subject}" if call.subject is not None else call.method for call in self.calls]

    def writes(self) -> list[str]:
        """The calls that change something."""
        return [call for call in self.methods() if call.startswith(("create", "update", "delete"))]

    def script(self, method: Method, *faults: Fault | None) -> None:
        """Sets the faults of the next calls of a method."""
        self.scripts[method] = deque(faults)

    def list_accounts(self) -> tuple[Account, ...]:
        return self._serve(Call("list"), lambda: tuple(map(self._shown, self.accounts.values())))

    def get_account(self, account_id: int) -> Account:
        return self._serve(Call("get", account_id), lambda: self._answer("get", self._get(account_id)))

    def create_account(self, fields: Fields) -> Account:
        return self._serve(Call("create", str(fields["email"]), fields), lambda: self._create(fields))

    def update_account(self, account: Account) -> Account:
        assert account.id is not None
        return self._serve(Call("update", account.id, account.fields), lambda: self._update(account))

    def delete_account(self, account_id: int) -> None:
        self._serve(Call("delete", account_id), lambda: self._delete(account_id))

    def run_delivery_test(self, fields: Fields, to_email: str) -> None:
        self._serve(Call("test", str(fields["email"]), fields), lambda: self._test(fields, to_email))

    def _serve(self, call: Call, serve: Callable[[], T]) -> T:
        if hook := self.hooks.get(call.method):
            hook(call)
        with self._lock:
            fault = self.faults.get(len(self.calls))
            self.calls.append(call)
            if not fault and (script := self.scripts.get(call.method)):
                fault = script.popleft()
            return fault.befall(serve) if fault else serve()

    def _answer(self, method: Method, account: Account) -> Account:
        shown = self._shown(account)
        return self.answers[method](shown) if method in self.answers else shown

    def _shown(self, account: Account) -> Account:
        if self.rules.hidden_password_warning and account.fields.get("has_auth"):
            return account.with_fields({"password": UNKNOWN})
        return account

    def _get(self, account_id: int) -> Account:
        if account_id not in self.accounts:
            raise NotFoundError.of("404 not found", kind=Kind.NOT_FOUND)
        return self.accounts[account_id]

    def _create(self, fields: Fields) -> Account:
        first = self.rules.first_is_default and not self.accounts
        account = self._checked(Account({**BLANK, **fields, **({"default": True} if first else {})}, self._next_id))
        self._next_id += 1
        return self._answer("create", self._store(account))

    def _update(self, account: Account) -> Account:
        assert account.id is not None
        former = self._get(account.id)
        if self.rules.keep_default and former.is_default and not account.is_default:
            raise RejectedError.of("400 rule: the default account stays the default", kind=Kind.REJECTED)
        updated = self._checked(account)._replace(created_at=former.created_at)
        return self._answer("update", self._store(updated))

    def _delete(self, account_id: int) -> None:
        if self._get(account_id).is_default and self.rules.keep_default:
            raise RejectedError.of("400 rule: the default account stays", kind=Kind.REJECTED)
        del self.accounts[account_id]

    def _test(self, fields: Fields, to_email: str) -> None:
        _refuse_unsendable(fields.values())
        if reason := self.tests_fail(fields):
            raise RejectedError.of(reason, kind=Kind.REJECTED)
        self.mails.append(to_email)

    def _checked(self, account: Account) -> Account:
        _refuse_unsendable(account.fields.values())
        fields: dict[str, Value] = {**BLANK, **account.fields}
        if self.rules.lower_case:
            for name in ("email", "smtp_server"):
                value = fields[name]
                fields[name] = value.lower() if isinstance(value, str) else value
        if self.rules.fills_gmail and fields["service"] == "gmail":
            fields.update({name: value for name, value in GMAIL.items() if fields[name] is None})
        account = Account(fields, account.id, account.extra)
        others = [one for one in self.accounts.values() if one.id != account.id]
        if self.rules.unique_names and account.name in [one.name for one in others]:
            raise RejectedError.of(f"409 duplicated: name: {account.name}", kind=Kind.REJECTED)
        if self.rules.unique_addresses and account.key in [one.key for one in others]:
            raise RejectedError.of(f"409 duplicated: email: {account.email}", kind=Kind.REJECTED)
        return account

    def _store(self, account: Account) -> Account:
        assert account.id is not None
        if self.rules.single_default and account.is_default:
            for other in list(self.accounts.values()):
                if other.is_default and other.id != account.id and other.id is not None:
                    self.accounts[other.id] = self._changed(other.with_fields({"default": False}))
        account = self.accounts[account.id] = self._changed(account)
        return account

    def stores_instead(self, method: Method, **fields: Value) -> None:
        """Makes a write store and return these values, whatever was sent."""

        def bent(response: Account) -> Account:
            assert response.id is not None
            self.edit(response.id, **fields)
            return response.with_fields(fields)

        self.answers[method] = bent

    def edit(self, account_id: int, **fields: Value) -> None:
        """Changes an account as another writer."""
        self.accounts[account_id] = self._changed(self.accounts[account_id].with_fields(fields))

    def reuse(self, account_id: int, email: str) -> None:
        """Creates an account as another writer, under an id that was in use before."""
        account = Account({**BLANK, "email": email, "name": email}, account_id)
        self.accounts[account_id] = self._changed(account)

    def _changed(self, account: Account) -> Account:
        """The account with the time of this change, if the server has times."""
        if not self.rules.times:
            return account
        self._seconds += 1
        now = (datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self._seconds)).isoformat()
        return account._replace(created_at=account.created_at or now, updated_at=now)


BLANK: Fields = {
    "email": "",
    "name": "",
    "default": False,
    "service": "other",
    "has_auth": False,
    "password": None,
    "smtp_server": None,
    "smtp_port": None,
    "smtp_crypt": None,
    "smtp_auth_mechanism": None,
}


def _refuse_unsendable(values: Iterable[object]) -> None:
    """Fails on values that must never be sent: that is a bug of the client, and not a rejection by the server."""
    for value in values:
        assert value is not UNKNOWN
        assert not isinstance(value, SecretReference)


def account(email: str, account_id: int | None = None, **fields: Value) -> Account:
    """An account as the server has it."""
    return Account({**BLANK, "email": email, "name": email, **fields}, account_id)


def secret(value: str = "s3cret") -> Secret:
    """A password."""
    return Secret(value)
