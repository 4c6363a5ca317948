"""The ports of the core, spoken over the vendor's API."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from reconciler.api.completeness import check_headers, check_status
from reconciler.api.dialect import Dialect
from reconciler.api.failure import UnreadableError
from reconciler.api.session import Call
from reconciler.api.wire import read_list, read_one, to_account
from reconciler.errors import ApiError, OutcomeUnknownError
from reconciler.model.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from reconciler.api.answer import Answer
    from reconciler.api.forms import WireAccount
    from reconciler.api.session import Session
    from reconciler.model.account import Account, Fields
    from reconciler.model.redaction import Redactor

ACCOUNTS: Final = "/api/email/accounts"
_SECRET_NAME: Final = re.compile(r"passw|pwd|senha|secret|token|key", re.IGNORECASE)
"""Of a field that this program does not know: its value goes back to the server, and may come back in an error."""


class ReadingGateway:
    """Implements ``AccountReader``. Safe for threads."""

    def __init__(self, session: Session, redactor: Redactor) -> None:
        self._session = session
        self._redactor = redactor
        self._dialect = Dialect()

    def list_accounts(self) -> tuple[Account, ...]:
        """All accounts, in the server's order. Raises ``ApiError`` for anything but a complete list of accounts."""
        return self._session.make(Call("GET", ACCOUNTS), self._all)

    def get_account(self, account_id: int) -> Account:
        """One account as it is now. Raises ``NotFoundError`` where there is none, other ``ApiError`` s otherwise."""
        call = Call("GET", f"{ACCOUNTS}/{account_id}", on_account=True)
        return self._session.make(call, lambda answer: self._one(answer, account_id))

    def _all(self, answer: Answer) -> tuple[Account, ...]:
        check_status(answer, self._redactor)
        wires = read_list(answer.body)
        check_headers(answer, len(wires), self._redactor)
        return self._taken(wires)

    def _one(self, answer: Answer, account_id: int | None = None) -> Account:
        wire = read_one(answer.body)
        if account_id is not None and wire["id"] != account_id:
            raise UnreadableError(f"the answer is about account {wire['id']}, not {account_id}")
        return self._taken([wire])[0]

    def _taken(self, wires: list[WireAccount]) -> tuple[Account, ...]:
        """Reads accounts, and takes note of what the server shows by them: its spelling, and its passwords."""
        self._dialect.learn(wires)
        accounts = tuple(map(to_account, _taken_apart(wires)))
        for account in accounts:
            if isinstance(password := account.fields.get("password"), Secret):
                self._redactor.add(password)
            if account.extra:
                self._note_secrets(account.extra)
        return accounts

    def _note_secrets(self, extra: Mapping[str, object]) -> None:
        for name, value in extra.items():
            if isinstance(value, str) and _SECRET_NAME.search(name):
                self._redactor.add(Secret(value))


def _taken_apart(wires: list[WireAccount]) -> Iterator[WireAccount]:
    """Each account once; what has been taken is not kept in memory beside what is made of it."""
    wires.reverse()
    while wires:
        yield wires.pop()


class WritingGateway(ReadingGateway):
    """Implements ``AccountWriter``. Safe for threads."""

    def create_account(self, fields: Fields) -> Account:
        """Creates an account, in a single attempt once the request has left.

        Raises:
            RejectedError, UnreachableError: It was certainly not created.
            OutcomeUnknownError: It may have been, also where the answer does not show the account.
        """
        call = Call("POST", ACCOUNTS, self._dialect.created(fields))
        return self._session.make(call, self._one)

    def update_account(self, account: Account) -> Account:
        """Replaces the account ``account.id``; where the server does not answer with the account, it is read again.

        Raises:
            RejectedError, UnreachableError: It was certainly not changed.
            OutcomeUnknownError: It may have been.
        """
        if account.id is None:
            raise TypeError("an account without an id cannot be updated")
        account_id = account.id
        call = Call("PUT", f"{ACCOUNTS}/{account_id}", self._dialect.updated(account), on_account=True)
        updated = self._session.make(
            call, lambda answer: self._one(answer, account_id) if answer.body.strip() else None
        )
        if updated is not None:
            return updated
        try:
            return self.get_account(account_id)
        except ApiError as error:
            raise OutcomeUnknownError(*error.problems) from None

    def delete_account(self, account_id: int) -> None:
        """Deletes an account; one that is not there (any more) counts as deleted.

        Raises:
            RejectedError, UnreachableError: It was certainly not deleted.
            OutcomeUnknownError: It may have been.
        """
        self._session.make(Call("DELETE", f"{ACCOUNTS}/{account_id}", on_account=True), _done)

    def test_account(self, fields: Fields, to_email: str) -> None:
        """Has the server send a mail to ``to_email`` with the given settings; returns where it was sent.

        Raises:
            RejectedError, UnreachableError: It was certainly not sent.
            OutcomeUnknownError: It may have been.
        """
        self._session.make(Call("POST", f"{ACCOUNTS}/test", self._dialect.tested(fields, to_email)), _done)


def _done(answer: Answer) -> None:
    """Accepts whatever an API may say where it has nothing to say; a log-in page is no such thing."""
    if answer.good and answer.is_html:
        raise UnreadableError("the answer is a page for people")
