"""Opens a connection to a server: the way in to this package."""

from __future__ import annotations

import importlib
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from reconciler.model.server import Passwords

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator
    from types import ModuleType

    from reconciler.client.answer import Answer
    from reconciler.client.client import Client
    from reconciler.model.ports import AccountReader, AccountWriter, TokenKeeper
    from reconciler.model.redaction import Redactor
    from reconciler.model.server import ClientCertificate, Credentials


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """All that it takes to talk to one server.

    Attributes:
        url: ``scheme://host[:port]``.
        credentials: Resolved: secrets, no references.
        keeper: Where a refresh token is kept between runs, should the server replace it.
        ca_file: Path of a file of PEM certificates; where given, these alone are trusted.
        client_certificate: What is shown to a server that asks for a certificate.
        timeout: Seconds that one request may take, from connecting to the last byte of its answer.
        parallelism: The most connections at a time.
        insecure_http: Whether plain http to another machine is accepted.
        passwords: Whether the server shows passwords.
        redactor: Learns every token and every password that the server shows, and cleans the server's texts.
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


@contextmanager
def open_reader(connection: Connection) -> Iterator[AccountReader]:
    """Opens a connection that cannot write: it refuses all but GET and the exchange of tokens.

    Raises:
        ApiError: The URL, the CA file or the proxy cannot be used. Nothing is sent before the first call.
    """
    with open_server(connection) as (reader, _):
        yield reader


@contextmanager
def open_writer(connection: Connection) -> Iterator[AccountWriter]:
    """Opens a connection for reading and writing.

    Raises:
        ApiError: The URL, the CA file or the proxy cannot be used. Nothing is sent before the first call.
    """
    with open_server(connection) as (_, writer):
        yield writer


@contextmanager
def open_server(connection: Connection) -> Iterator[tuple[AccountReader, AccountWriter]]:
    """Opens one session, with one token, and gives two views of it: one that cannot write, and one that can.

    Raises:
        ApiError: The URL, the CA file or the proxy cannot be used. Nothing is sent before the first call.
    """
    _import_httpx()
    # httpx takes a good part of a second to import: only a command that really connects pays for it.
    from reconciler.client.auth import TOKEN_PATHS, authority
    from reconciler.client.client import ReadClient
    from reconciler.client.gateway import ReadGateway, WriteGateway
    from reconciler.client.session import Session
    from reconciler.client.wire import Dialect
    from reconciler.retry import Retry

    client = _client(connection)
    reading = ReadClient(client, TOKEN_PATHS)
    retry = Retry(connection.timeout, connection.stop)

    def exchange(path: str, body: bytes, deadline: float) -> Answer:
        return reading.exchange("POST", path, body=body, deadline=deadline)

    redactor, dialect = connection.redactor, Dialect()
    credentials = authority(
        connection.credentials, exchange=exchange, retry=retry, redactor=redactor, keeper=connection.keeper
    )
    try:
        yield (
            ReadGateway(Session(reading, credentials, retry), redactor, connection.passwords, dialect),
            WriteGateway(Session(client, credentials, retry), redactor, connection.passwords, dialect),
        )
    finally:
        client.close()


def _client(connection: Connection) -> Client:
    from reconciler.client.client import Client, Route
    from reconciler.client.origin import checked, tls_context
    from reconciler.client.proxies import proxy_for, remember_login

    origin = checked(connection.url, insecure_http=connection.insecure_http)
    proxy = proxy_for(origin)
    if proxy is not None:
        remember_login(proxy, connection.redactor)
    route = Route(
        origin=str(origin).rstrip("/"),
        context=tls_context(origin, connection.ca_file, connection.client_certificate),
        proxy=proxy,
        lanes=connection.parallelism,
    )
    return Client(route, connection.redactor)


_UNUSED: Final = ("httpx._main", "anyio", "trio")
"""What httpx and httpcore import where it is installed, and nobody here uses: a command line, which brings rich and
pygments along, and two libraries for asynchronous clients. Together they take longer than all the rest."""


def _import_httpx() -> None:
    """Imports httpx and httpcore as if what is not used were not installed."""
    if "httpcore" in sys.modules:
        return
    former: dict[str, ModuleType] = {name: sys.modules[name] for name in _UNUSED if name in sys.modules}
    sys.modules.update(dict.fromkeys(_UNUSED))  # type: ignore[arg-type]  # None means: not installed
    try:
        importlib.import_module("httpx")
        importlib.import_module("httpcore")
    finally:
        for name in _UNUSED:
            del sys.modules[name]
        sys.modules.update(former)
