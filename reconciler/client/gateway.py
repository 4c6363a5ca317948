"""The entry to this package: connects to a server, and implements the core's ports with the vendor's API."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, NamedTuple

from reconciler.client.auth import FixedToken, TokenExchange
from reconciler.client.completeness import check_headers, check_status
from reconciler.client.errors import describe
from reconciler.client.network import checked_origin, proxy_for, tls_context
from reconciler.client.session import ConnectionPool, Endpoint, ReadOnlyPool, Request, Session
from reconciler.client.transport import InvalidResponseError
from reconciler.client.unknown_fields import secrets_in
from reconciler.client.wire import Dialect, is_refusal, read_list, read_one, to_account
from reconciler.errors import Kind, RejectedError
from reconciler.model.secret import UNKNOWN, Secret, looks_masked
from reconciler.model.server import AccessToken, Passwords
from reconciler.retry import Retry

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator

    from reconciler.client.auth import TokenProvider
    from reconciler.client.transport import Response
    from reconciler.client.wire import WireAccount
    from reconciler.model.account import Account, Fields
    from reconciler.model.ports import AccountReader, AccountWriter, TokenKeeper
    from reconciler.model.redaction import Redactor
    from reconciler.model.server import ClientCertificate, Credentials

_ACCOUNTS: Final = "/api/email/accounts"
_WITH_ACCOUNT: Final = frozenset({HTTPStatus.OK, HTTPStatus.CREATED})
_WITHOUT_ACCOUNT: Final = frozenset({HTTPStatus.OK, HTTPStatus.NO_CONTENT})
"""The statuses of a successful response with, and without, an account."""

_DONE: Final = frozenset({b"", b"true", b"null"})
"""The bodies of a successful delete or delivery test."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionSettings:
    """Everything needed to talk to one server.

    Attributes:
        url: ``scheme://host[:port]``.
        credentials: Resolved: secrets, no references.
        keeper: Stores a refresh token between runs, in case the server replaces it.
        ca_file: Path of a file of PEM certificates. If given, only these are trusted.
        client_certificate: For servers that ask for a certificate.
        timeout: Seconds that one request may take, from connecting to the last byte of the response.
        parallelism: The maximum number of connections at a time.
        insecure_http: Whether plain http to another machine is allowed.
        passwords: Whether the server shows passwords.
        redactor: Learns every token and every password that the server shows, and redacts the server's messages.
        stop: Set when the user interrupts: pauses between attempts end at once, and nothing is retried.
        fence: Called at the moment when a write or a delivery test is sent. If it raises ``WithheldError``, nothing is.
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
    fence: Callable[[], None] | None = None


class ServerConnection(NamedTuple):
    """Two views of one session with a server.

    Attributes:
        reader: Cannot write: it sends GET requests only.
        writer: Can read and write.
        release: Closes the idle connections, and keeps the token; the next request opens a new one.
    """

    reader: AccountReader
    writer: AccountWriter
    release: Callable[[], None]


@contextmanager
def connect(settings: ConnectionSettings) -> Iterator[ServerConnection]:
    """Opens a session with a server. Nothing is sent before the first call.

    Raises:
        ApiError: The URL, the CA file, the client certificate or the proxy cannot be used.
    """
    origin = checked_origin(settings.url, insecure_http=settings.insecure_http)
    endpoint = Endpoint(
        url=origin,
        context=tls_context(origin, settings.ca_file, settings.client_certificate),
        proxy=proxy_for(origin, settings.redactor),
        connections=settings.parallelism,
    )
    pool, dialect = ConnectionPool(endpoint, settings.redactor, fence=settings.fence), Dialect()
    retry = Retry(settings.timeout, settings.stop)
    tokens: TokenProvider
    if isinstance(settings.credentials, AccessToken):
        tokens = FixedToken(settings.credentials, settings.redactor)
    else:
        tokens = TokenExchange(settings.credentials, pool, retry, settings.keeper)
    try:
        yield ServerConnection(
            reader=ReadGateway(Session(ReadOnlyPool(pool), tokens, retry), settings, dialect),
            writer=WriteGateway(Session(pool, tokens, retry), settings, dialect),
            release=pool.close,
        )
    finally:
        pool.close()


class ReadGateway:
    """Implements ``AccountReader``. Safe for threads."""

    def __init__(self, session: Session, settings: ConnectionSettings, dialect: Dialect) -> None:
        self._session = session
        self._redactor = settings.redactor
        self._passwords = settings.passwords
        self._dialect = dialect

    def list_accounts(self) -> tuple[Account, ...]:
        """All accounts, in the server's order. Raises ``ApiError`` unless the response is a complete list."""
        return self._session.send(Request("GET", _ACCOUNTS), self._read_all)

    def get_account(self, account_id: int) -> Account:
        """One account as it is now. Raises ``NotFoundError`` if it does not exist, or another ``ApiError``."""
        request = Request("GET", f"{_ACCOUNTS}/{account_id}", on_account=True)
        return self._session.send(request, lambda response: self._read_one(response, account_id))

    def _read_all(self, response: Response) -> tuple[Account, ...]:
        check_status(response, self._redactor)
        wires = read_list(response.body)
        check_headers(response, len(wires), self._redactor)
        return self._convert(wires)

    def _read_one(self, response: Response, account_id: int | None = None) -> Account:
        if response.status not in _WITH_ACCOUNT:
            raise InvalidResponseError(f"status {response.status} is not a documented success")
        wire = read_one(response.body)
        if account_id is not None and wire["id"] != account_id:
            raise InvalidResponseError(f"the response is about account {wire['id']}, not {account_id}")
        return self._convert([wire])[0]

    def _convert(self, wires: list[WireAccount]) -> tuple[Account, ...]:
        """Converts accounts, and learns the server's spelling and the secrets that it shows."""
        self._dialect.learn(wires)
        accounts: list[Account] = []
        secrets: list[Secret] = []
        for wire in _consume(wires):
            account = to_account(wire, self._passwords)
            accounts.append(account)
            secrets += _secrets_of(account, wire)
        self._redactor.add(*secrets)
        return tuple(accounts)


def _secrets_of(account: Account, wire: WireAccount) -> Iterator[Secret]:
    password = account.fields.get("password")
    if isinstance(password, Secret):
        yield password
    elif password is UNKNOWN and (text := wire.get("password")) and not looks_masked(text):
        yield Secret(text)  # with `policy.passwords: hidden`
    if account.extra:
        yield from secrets_in(account.extra)


def _consume(wires: list[WireAccount]) -> Iterator[WireAccount]:
    """Yields each account and drops it, so that converted accounts do not stay in memory."""
    wires.reverse()
    while wires:
        yield wires.pop()


class WriteGateway(ReadGateway):
    """Implements ``AccountWriter``. Safe for threads."""

    def create_account(self, fields: Fields) -> Account:
        """Creates an account. The outcome is unknown if the response does not show the account."""
        body = self._dialect.create_body(fields)
        return self._session.send(Request("POST", _ACCOUNTS, body, writes=True), self._read_one)

    def update_account(self, account: Account) -> Account:
        """Replaces the account ``account.id``. The outcome is unknown if the response does not show the account."""
        if account.id is None:
            raise TypeError("an account without an id cannot be updated")
        account_id = account.id
        body = self._dialect.update_body(account)
        request = Request("PUT", f"{_ACCOUNTS}/{account_id}", body, on_account=True, writes=True)
        return self._session.send(request, lambda response: self._read_one(response, account_id))

    def delete_account(self, account_id: int) -> None:
        """Deletes an account. The outcome is unknown if the response is not a documented success."""
        request = Request("DELETE", f"{_ACCOUNTS}/{account_id}", on_account=True, writes=True)
        self._session.send(request, self._check_done)

    def run_delivery_test(self, fields: Fields, to_email: str) -> None:
        """Has the server mail ``to_email``. The outcome is unknown if the response is not a documented success."""
        body = self._dialect.delivery_test_body(fields, to_email)
        self._session.send(Request("POST", f"{_ACCOUNTS}/test", body), self._check_done)

    def _check_done(self, response: Response) -> None:
        """Accepts only the responses that the vendor documents for a successful delete or test."""
        if response.status in _WITHOUT_ACCOUNT and response.body.strip() in _DONE:
            return
        description = describe(response, self._redactor)
        if is_refusal(response.body):
            raise RejectedError.of(f"the server refuses: {description}", kind=Kind.REJECTED)
        raise InvalidResponseError(f"the response does not confirm that it was done: {description}")
