"""Starts and stops a sandbox: its API on uvicorn and its SMTP sink, in a thread of this process."""

from __future__ import annotations

from contextlib import ExitStack, closing
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Self

from reconciler.errors import Kind, ReconcilerError
from reconciler.http_server.server import HttpServer, ListenError, listen, url_of
from reconciler.sandbox import REFRESH_TOKEN, SandboxOptions
from reconciler.sandbox.api import AppState, TokenStore, account_response
from reconciler.sandbox.app import build_app
from reconciler.sandbox.mailer import Mailer
from reconciler.sandbox.smtp_sink import Mail, SmtpSink, client_context
from reconciler.sandbox.store import AccountStore

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence
    from types import TracebackType

__all__ = ["Mail", "Sandbox"]

_DEFAULTS = SandboxOptions()


class Sandbox:
    """A local server with the vendor's API, and an SMTP server for its test mails.

    A context manager: both servers run while it is entered.

    Attributes:
        url: The URL of the API, without a trailing slash.
        is_exposed: Whether other machines can reach the API.
        refresh_token: The API key. The user ``admin`` with the password ``sandbox`` can log in, too.
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
        self._sink = SmtpSink(options.mailboxes)
        self._tokens = TokenStore(options.token_lifetime, rotates=options.rotate_refresh_tokens)

    def __enter__(self) -> Self:
        """Starts both servers; they accept requests when this returns.

        Raises:
            ReconcilerError: The port is not available, or the database cannot be used.
        """
        with ExitStack() as opened:
            listener = opened.enter_context(self._listener())
            self._store = opened.enter_context(closing(AccountStore(self.options)))
            plain = opened.enter_context(listen("127.0.0.1", 0))
            tls = opened.enter_context(listen("127.0.0.1", 0))
            self._start(listener, plain, tls)
            self._opened = opened.pop_all()
        return self

    def _listener(self) -> socket.socket:
        host, port = self.options.host, self.options.port
        try:
            return listen(host, port)
        except ListenError as error:
            raise ReconcilerError.of(
                f"the sandbox cannot listen on {host}, port {port}: {error}",
                kind=Kind.SANDBOX_PORT,
                hint="name another --port, or leave it out to use any free port",
            ) from error

    def _start(self, listener: socket.socket, plain: socket.socket, tls: socket.socket) -> None:
        self.smtp_port, self.smtps_port = plain.getsockname()[1], tls.getsockname()[1]
        self.url = url_of(self.options.host, listener)
        self.is_exposed = not ip_address(listener.getsockname()[0]).is_loopback
        state = AppState(
            options=self.options,
            store=self._store,
            tokens=self._tokens,
            mailer=Mailer(
                smtp_port=self.smtp_port,
                smtps_port=self.smtps_port,
                sink_tls=client_context(),
                real_smtp=self.options.real_smtp,
            ),
            sink=self._sink,
        )
        self._http = HttpServer(build_app(state))
        self._http.start("sandbox", lambda: self._serve(listener, plain, tls))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stops both servers and closes the database."""
        self._http.stop()
        self._opened.close()

    @property
    def token(self) -> str:
        """A new access token."""
        return self._tokens.issue()

    def seed(self, accounts: Sequence[object]) -> bool:
        """Stores accounts, all or none, unless there are some already; returns whether it did.

        Args:
            accounts: As in the API's JSON.

        Raises:
            ReconcilerError: The API would refuse one of them.
        """
        return self._store.seed(accounts)

    def accounts(self) -> list[dict[str, Any]]:
        """The accounts, as the API's responses show them."""
        return [account_response(account, self.options) for account in self._store.list()]

    def change_account(self, account_id: int, **fields: Any) -> None:  # noqa: ANN401 - the fields' own types
        """Changes some fields of an account, as an administrator does in the server's own interface."""
        self._store.replace(account_id, {**self._store.get(account_id).fields, **fields})

    def mails(self) -> list[Mail]:
        """The mails that have arrived, oldest first."""
        return list(self._sink.mails)

    def expire_tokens(self) -> None:
        """Makes every access token expire now."""
        self._tokens.expire()

    async def _serve(self, listener: socket.socket, plain: socket.socket, tls: socket.socket) -> None:
        async with self._sink.listening(plain, tls):
            await self._http.serve(sockets=[listener])
