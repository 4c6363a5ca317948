"""The sandbox as other code uses it: a context manager around a server in this process."""

from __future__ import annotations

import asyncio
import socket
from concurrent.futures import Future
from contextlib import ExitStack, closing
from dataclasses import replace
from ipaddress import ip_address
from threading import Thread
from typing import TYPE_CHECKING, Any, Self

from reconciler.errors import Kind, ReconcilerError
from reconciler.sandbox import REFRESH_TOKEN, SandboxOptions
from reconciler.sandbox.app import build_app
from reconciler.sandbox.certificate import client_context
from reconciler.sandbox.http import HttpServer
from reconciler.sandbox.mailer import Mailer
from reconciler.sandbox.parts import Parts
from reconciler.sandbox.presentation import present
from reconciler.sandbox.refusal import Refusal
from reconciler.sandbox.seed import read_accounts, refused
from reconciler.sandbox.smtp_sink import Mail, Sink
from reconciler.sandbox.store import AccountStore
from reconciler.sandbox.tokens import Tokens

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

__all__ = ["Mail", "Sandbox", "SandboxOptions"]

_DEFAULTS = SandboxOptions()
_WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104 - recognised, not bound


class Sandbox:
    """A local server with the vendor's API, and an SMTP server for its test mails.

    Used as a context manager: both serve, in a thread of this process, from entering to leaving.

    Attributes:
        url: Where the API is, without a trailing slash.
        is_exposed: Whether other machines can reach the API.
        refresh_token: The integrator's key; ``admin`` with the password ``sandbox`` does as well.
        smtp_port: The sink's port without TLS, which offers STARTTLS.
        smtps_port: The sink's port with TLS from the start.
    """

    url: str
    smtp_port: int
    smtps_port: int
    is_exposed: bool
    refresh_token = REFRESH_TOKEN

    def __init__(self, options: SandboxOptions = _DEFAULTS) -> None:
        self.options = options
        self._sink = Sink(options.mailboxes)
        self._tokens = Tokens(options.token_lifetime, rotates=options.rotate_refresh_tokens)

    def __enter__(self) -> Self:
        """Starts both servers; they take requests when this returns.

        Raises:
            ReconcilerError: The port cannot be listened on, or the database cannot be used.
        """
        with ExitStack() as opened:
            listener = opened.enter_context(_listen(self.options.host, self.options.port))
            self._store = opened.enter_context(closing(AccountStore(self.options)))
            plain = opened.enter_context(_listen("127.0.0.1", 0))
            tls = opened.enter_context(_listen("127.0.0.1", 0))
            self._start(listener, plain, tls)
            self._opened = opened.pop_all()
        return self

    def _start(self, listener: socket.socket, plain: socket.socket, tls: socket.socket) -> None:
        self.smtp_port, self.smtps_port = plain.getsockname()[1], tls.getsockname()[1]
        address, port = listener.getsockname()[:2]
        self.url = _url(self.options.host, port)
        self.is_exposed = not ip_address(address).is_loopback
        mailer = Mailer(
            smtp_port=self.smtp_port,
            smtps_port=self.smtps_port,
            trust=client_context(),
            literal=self.options.real_smtp,
        )
        parts = Parts(options=self.options, store=self._store, tokens=self._tokens, mailer=mailer, sink=self._sink)
        ready: Future[None] = Future()
        self._http = HttpServer(build_app(parts), lambda: ready.set_result(None))
        self._thread = Thread(target=self._run, args=(ready, listener, plain, tls), name="sandbox", daemon=True)
        self._thread.start()
        ready.result(timeout=30)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Ends both servers and closes the database."""
        self._http.stop()
        self._thread.join()
        self._opened.close()

    @property
    def token(self) -> str:
        """A new access token."""
        return self._tokens.issue()

    def mails(self) -> list[Mail]:
        """The mails that have arrived, oldest first."""
        return list(self._sink.mails)

    def accounts(self) -> list[dict[str, Any]]:
        """The accounts, as the API's responses show them."""
        return [present(account, self.options) for account in self._store.list()]

    def change_account(self, account_id: int, **fields: Any) -> None:  # noqa: ANN401 - the fields' own types
        """Changes some fields of an account, as somebody does in the server's own interface."""
        settings = replace(self._store.get(account_id).settings, **fields)
        self._store.replace(account_id, settings)

    def expire_tokens(self) -> None:
        """Lets every access token given out so far expire now, as time would."""
        self._tokens.expire()

    def seed(self, accounts: Sequence[object]) -> bool:
        """Stores accounts, given as the API's JSON has them, where there are none yet; returns whether it did.

        Raises:
            ReconcilerError: One of them is not what the API takes, or breaks a rule that this server was told to
                have; then none is stored.
        """
        settings = read_accounts(accounts)
        try:
            return self._store.fill(settings)
        except Refusal as refusal:
            raise refused(refusal) from None

    def _run(self, ready: Future[None], *sockets: socket.socket) -> None:
        try:
            asyncio.run(self._serve(*sockets))
        except BaseException as error:
            if ready.done():
                raise
            ready.set_exception(error)

    async def _serve(self, listener: socket.socket, plain: socket.socket, tls: socket.socket) -> None:
        async with self._sink.listening(plain, tls):
            await self._http.serve(sockets=[listener])


def _listen(host: str, port: int) -> socket.socket:
    """A bound socket. Binding before the server's thread starts gives the error, and the port, right here."""
    listener = None
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        # With the protocol left at 0, asyncio would not turn Nagle's algorithm off: 40 ms more for each answer.
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen()
    except (OSError, OverflowError, UnicodeError) as error:
        if listener:
            listener.close()
        raise ReconcilerError.of(
            f"The sandbox cannot listen on {host}, port {port}: {getattr(error, 'strerror', None) or error}",
            kind=Kind.SANDBOX_PORT,
            hint="Name another --port, or leave it out to take a free one.",
        ) from error
    return listener


def _url(host: str, port: int) -> str:
    """The URL to reach the server by from this machine."""
    name = _WILDCARDS.get(host) or (f"[{host}]" if ":" in host else host)
    return f"http://{name}:{port}"
