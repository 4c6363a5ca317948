"""Opens a connection to a server: the way in to this package."""

from __future__ import annotations

import importlib
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from reconciler.model.desired import Passwords

if TYPE_CHECKING:
    import threading
    from collections.abc import Collection, Iterator
    from types import ModuleType

    from reconciler.api.answer import Answer
    from reconciler.api.session import Session
    from reconciler.model.desired import Credentials
    from reconciler.model.ports import AccountReader, AccountWriter
    from reconciler.model.redaction import Redactor


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """All that it takes to talk to one server.

    Attributes:
        url: ``scheme://host[:port]``.
        credentials: Resolved: secrets, no references.
        ca_file: Path of a file of PEM certificates; where given, these alone are trusted.
        timeout: Seconds that one request may take, from connecting to the last byte of its answer.
        parallelism: The most connections at a time.
        insecure_http: Whether plain http to another machine is accepted.
        passwords: Whether the server shows passwords.
        redactor: Learns every token and every password that the server shows, and cleans the server's texts.
        stop: Set when the user interrupts: pauses between attempts end at once, and nothing is repeated.
    """

    url: str
    credentials: Credentials
    ca_file: str | None = None
    timeout: float = 30.0
    parallelism: int = 10
    insecure_http: bool = False
    passwords: Passwords = Passwords.AUTO
    redactor: Redactor
    stop: threading.Event


@contextmanager
def open_reader(connection: Connection) -> Iterator[AccountReader]:
    """Opens a connection that cannot write: its transport refuses all but GET and the exchange of tokens.

    Raises:
        ApiError: The URL, the CA file or the proxy cannot be used. Nothing is sent before the first call.
    """
    _import_httpx()
    from reconciler.api.auth import TOKEN_PATHS
    from reconciler.api.gateway import ReadingGateway

    with _session(connection, TOKEN_PATHS) as session:
        yield ReadingGateway(session, connection.redactor, connection.passwords)


@contextmanager
def open_writer(connection: Connection) -> Iterator[AccountWriter]:
    """Opens a connection for reading and writing.

    Raises:
        ApiError: The URL, the CA file or the proxy cannot be used. Nothing is sent before the first call.
    """
    _import_httpx()
    from reconciler.api.gateway import WritingGateway

    with _session(connection, None) as session:
        yield WritingGateway(session, connection.redactor, connection.passwords)


@contextmanager
def _session(connection: Connection, posts: Collection[str] | None) -> Iterator[Session]:
    # httpx takes a good part of a second to import: only a command that really connects pays for it.
    from reconciler.api.auth import authority
    from reconciler.api.client import Client, Route
    from reconciler.api.origin import checked, proxy_for, tls_context
    from reconciler.api.session import Session
    from reconciler.retry import Retry

    origin = checked(connection.url, insecure_http=connection.insecure_http)
    route = Route(
        origin=str(origin).rstrip("/"),
        context=tls_context(origin, connection.ca_file),
        proxy=proxy_for(origin),
        lanes=connection.parallelism,
        posts=posts,
    )
    client = Client(route, connection.redactor)
    retry = Retry(connection.timeout, connection.stop)

    def exchange(path: str, body: bytes, deadline: float) -> Answer:
        return client.exchange("POST", path, body=body, deadline=deadline)

    credentials = authority(connection.credentials, exchange=exchange, retry=retry, redactor=connection.redactor)
    try:
        yield Session(client, credentials, retry)
    finally:
        client.close()


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
