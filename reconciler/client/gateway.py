"""The ports of the core, spoken over the vendor's API."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from reconciler.client.completeness import check_headers, check_status
from reconciler.client.failure import AttemptError, Failure, UnreadableError
from reconciler.client.mapping import described
from reconciler.client.session import Call
from reconciler.client.wire import Dialect, is_refusal, read_list, read_one, to_account
from reconciler.errors import Kind, Problem, RejectedError
from reconciler.model.secret import Secret
from reconciler.model.server import Passwords

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from reconciler.client.answer import Answer
    from reconciler.client.session import Session
    from reconciler.client.wire import WireAccount
    from reconciler.model.account import Account, Fields
    from reconciler.model.redaction import Redactor

ACCOUNTS: Final = "/api/email/accounts"
_SHOWN: Final = frozenset({HTTPStatus.OK, HTTPStatus.CREATED})
_DONE: Final = frozenset({HTTPStatus.OK, HTTPStatus.NO_CONTENT})
_NOTHING_TO_SAY: Final = frozenset({b"", b"true", b"null"})
"""The bodies that say that a delete or a test went well."""
_SECRET_NAME: Final = re.compile(r"passw|pwd|senha|secret|token|key", re.IGNORECASE)
"""Of a field that this program does not know: its value goes back to the server, and may come back in an error."""


class ReadGateway:
    """Implements ``AccountReader``. Safe for threads."""

    def __init__(
        self,
        session: Session,
        redactor: Redactor,
        passwords: Passwords = Passwords.AUTO,
        dialect: Dialect | None = None,
    ) -> None:
        """Takes whether the server shows passwords, and what is known of its spelling."""
        self._session = session
        self._passwords = passwords
        self._redactor = redactor
        self._dialect = dialect or Dialect()

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
        if answer.status not in _SHOWN:
            raise UnreadableError(f"status {answer.status} is not what this call ends with")
        wire = read_one(answer.body)
        if account_id is not None and wire["id"] != account_id:
            raise UnreadableError(f"the response is about account {wire['id']}, not {account_id}")
        return self._taken([wire])[0]

    def _taken(self, wires: list[WireAccount]) -> tuple[Account, ...]:
        """Reads accounts, and takes note of what the server shows by them: its spelling, and its passwords."""
        self._dialect.learn(wires)
        accounts = tuple(to_account(wire, self._passwords) for wire in _taken_apart(wires))
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


class WriteGateway(ReadGateway):
    """Implements ``AccountWriter``. Safe for threads."""

    def create_account(self, fields: Fields) -> Account:
        """Creates an account, in a single attempt.

        Raises:
            RejectedError, UnreachableError: The server says that it was not created, or was not asked.
            OutcomeUnknownError: It may have been, also if the response does not show the account.
        """
        call = Call("POST", ACCOUNTS, self._dialect.create_body(fields), writes=True)
        return self._session.make(call, self._one)

    def update_account(self, account: Account) -> Account:
        """Replaces the account ``account.id``, in a single attempt.

        Raises:
            RejectedError, UnreachableError: The server says that it was not changed, or was not asked.
            OutcomeUnknownError: It may have been, also if the response does not show the account.
        """
        if account.id is None:
            raise TypeError("an account without an id cannot be updated")
        account_id = account.id
        body = self._dialect.update_body(account)
        call = Call("PUT", f"{ACCOUNTS}/{account_id}", body, on_account=True, writes=True)
        return self._session.make(call, lambda answer: self._one(answer, account_id))

    def delete_account(self, account_id: int) -> None:
        """Deletes an account, in a single attempt.

        Raises:
            RejectedError, UnreachableError: The server says that it was not deleted, or was not asked.
            NotFoundError: The server says that it has no such account.
            OutcomeUnknownError: It may have been deleted, also if the response is not a documented success.
        """
        self._session.make(Call("DELETE", f"{ACCOUNTS}/{account_id}", on_account=True, writes=True), self._done)

    def run_delivery_test(self, fields: Fields, to_email: str) -> None:
        """Has the server send a mail to ``to_email`` with the given settings; returns if it was sent.

        Raises:
            RejectedError, UnreachableError: The server says that it was not sent, or was not asked.
            OutcomeUnknownError: It may have been.
        """
        self._session.make(
            Call("POST", f"{ACCOUNTS}/test", self._dialect.delivery_test_body(fields, to_email)), self._done
        )

    def _done(self, answer: Answer) -> None:
        """Accepts what the vendor documents for a delete or a test that went well, and nothing else."""
        if answer.status in _DONE and answer.body.strip() in _NOTHING_TO_SAY:
            return
        words = described(answer, self._redactor)
        if is_refusal(answer.body):
            problem = Problem(kind=Kind.REJECTED, message=f"the server says no: {words}")
            raise AttemptError(Failure(problem=problem, error=RejectedError, doubtful=False))
        raise UnreadableError(f"the server's answer does not say that it was done: {words}")
