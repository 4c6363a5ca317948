"""The way in to this package: opens a server, and implements the core's ports with the vendor's API."""

from __future__ import annotations

import re
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, NamedTuple

from reconciler.client.auth import TOKEN_PATHS, authority
from reconciler.client.client import Client, ReadClient, Route
from reconciler.client.completeness import check_headers, check_status
from reconciler.client.errors import described
from reconciler.client.failure import AttemptError, Failure, UnreadableError
from reconciler.client.network import checked, tls_context
from reconciler.client.proxies import proxy_for, remember_login
from reconciler.client.session import Call, Session
from reconciler.client.wire import Dialect, is_refusal, read_list, read_one, to_account
from reconciler.errors import Kind, Problem, RejectedError
from reconciler.model.secret import Secret
from reconciler.model.server import Passwords
from reconciler.retry import Retry

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator, Mapping

    from reconciler.client.answer import Answer
    from reconciler.client.wire import WireAccount
    from reconciler.model.account import Account, Fields
    from reconciler.model.ports import AccountReader, AccountWriter, TokenKeeper
    from reconciler.model.redaction import Redactor
    from reconciler.model.server import ClientCertificate, Credentials

ACCOUNTS: Final = "/api/email/accounts"
_SHOWN: Final = frozenset({HTTPStatus.OK, HTTPStatus.CREATED})
_DONE: Final = frozenset({HTTPStatus.OK, HTTPStatus.NO_CONTENT})
_NOTHING_TO_SAY: Final = frozenset({b"", b"true", b"null"})
"""The bodies that say that a delete or a test went well."""
_SECRET_NAME: Final = re.compile(r"passw|pwd|senha|secret|token|key", re.IGNORECASE)
"""Of a field that this program does not know: its value goes back to the server, and may come back in an error."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionSettings:
    """Everything that it takes to talk to one server.

    Attributes:
        url: ``scheme://host[:port]``.
        credentials: Resolved: secrets, no references.
        keeper: Where a refresh token is kept between runs, in case the server replaces it.
        ca_file: Path of a file of PEM certificates. If given, only these are trusted.
        client_certificate: For servers that ask for a certificate.
        timeout: Seconds that one request may take, from connecting to the last byte of the response.
        parallelism: The maximum number of connections at a time.
        insecure_http: Whether plain http to another machine is accepted.
        passwords: Whether the server shows passwords.
        redactor: Learns every token and every password that the server shows, and redacts the server's messages.
        stop: Set when the user interrupts: pauses between attempts end at once, and nothing is repeated.
    """

    url: str
    credentials: Credentials
    keeper: TokenKeeper | None = None
    ca_file: str | None = None
    client_certificate: ClientCertificate | None = None
    timeout: float = 30.0
    parallelism: int = 10
    insecure_http: bool = False
    passwords: Passwords = Passwords.AUTO
    redactor: Redactor
    stop: threading.Event


class ServerConnection(NamedTuple):
    """Two views of one session with a server.

    Attributes:
        reader: Cannot write: it sends GET requests only.
        writer: Can read and write.
    """

    reader: AccountReader
    writer: AccountWriter


@contextmanager
def connect(settings: ConnectionSettings) -> Iterator[ServerConnection]:
    """Opens a session with a server. Nothing is sent before the first call, which also fetches the token for all.

    Raises:
        ApiError: The URL, the CA file, the client certificate or the proxy cannot be used.
    """
    client = _client(settings)
    retry = Retry(settings.timeout, settings.stop)
    reading = ReadClient(client, TOKEN_PATHS)

    def exchange(path: str, body: bytes, deadline: float) -> Answer:
        return reading.exchange("POST", path, body=body, deadline=deadline)

    redactor, dialect = settings.redactor, Dialect()
    tokens = authority(settings.credentials, exchange=exchange, retry=retry, redactor=redactor, keeper=settings.keeper)
    try:
        yield ServerConnection(
            ReadGateway(Session(reading, tokens, retry), redactor, settings.passwords, dialect),
            WriteGateway(Session(client, tokens, retry), redactor, settings.passwords, dialect),
        )
    finally:
        client.close()


def _client(settings: ConnectionSettings) -> Client:
    origin = checked(settings.url, insecure_http=settings.insecure_http)
    proxy = proxy_for(origin)
    if proxy is not None:
        remember_login(proxy, settings.redactor)
    route = Route(
        origin=str(origin).rstrip("/"),
        context=tls_context(origin, settings.ca_file, settings.client_certificate),
        proxy=proxy,
        lanes=settings.parallelism,
    )
    return Client(route, settings.redactor)


class ReadGateway:
    """Implements ``AccountReader``. Safe for threads."""

    def __init__(
        self,
        session: Session,
        redactor: Redactor,
        passwords: Passwords,
        dialect: Dialect,
    ) -> None:
        """Takes whether the server shows passwords, and what is known of its spelling."""
        self._session = session
        self._passwords = passwords
        self._redactor = redactor
        self._dialect = dialect

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
