"""The SMTP server that receives every test mail and delivers none, with a certificate authority of its own."""

from __future__ import annotations

import asyncio
import email
import hmac
import logging
import secrets
import ssl
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email.header import decode_header, make_header
from functools import cache
from typing import TYPE_CHECKING, cast
from weakref import WeakSet

import trustme
from aiosmtpd.smtp import SMTP, AuthResult

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncIterator, Mapping

    from aiosmtpd.smtp import Envelope, LoginPassword, Session


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """A mail that has arrived.

    Attributes:
        sender: Envelope sender.
        recipients: Envelope recipients.
        subject: Decoded.
        user: The user who logged in; ``None`` without a login.
        tls: Whether the connection was encrypted.
        mechanism: How ``user`` logged in: ``plain``, ``login`` or ``cram-md5``.
    """

    sender: str
    recipients: tuple[str, ...]
    subject: str
    user: str | None
    tls: bool
    mechanism: str | None


@dataclass(frozen=True, slots=True)
class SmtpLogin:
    """Who logged in, and how. The password is not kept."""

    user: str
    mechanism: str


@dataclass(slots=True)
class SmtpSink:
    """Two listeners on loopback, one with TLS from the start, and the mails that they received.

    Attributes:
        mailboxes: The password of each address; ``None`` accepts any login.
        mails: The mails, oldest first.
    """

    mailboxes: Mapping[str, str] | None = None
    mails: list[Mail] = field(default_factory=list)

    @asynccontextmanager
    async def listening(self, plain: socket.socket, tls: socket.socket) -> AsyncIterator[None]:
        """Serves both bound sockets in the running event loop; closes them at the end."""
        # At every login, aiosmtpd logs a warning about its own deprecations.
        logging.getLogger("mail.log").setLevel(logging.ERROR)
        loop = asyncio.get_running_loop()
        handler = Handler(self)
        sessions: WeakSet[SMTP] = WeakSet()

        def session(starttls: ssl.SSLContext | None) -> SMTP:
            smtp = SMTP(
                handler,
                enable_SMTPUTF8=True,
                hostname="sandbox.localhost",
                ident="SMTP sink",
                tls_context=starttls,
                auth_require_tls=False,
                authenticator=handler.authenticate,
                loop=loop,
            )
            sessions.add(smtp)
            return smtp

        context = server_context()
        servers = [
            await loop.create_server(lambda: session(context), sock=plain),
            await loop.create_server(lambda: session(None), sock=tls, ssl=context),
        ]
        try:
            yield
        finally:
            for server in servers:
                server.close()
            for smtp in sessions:
                if isinstance(smtp.transport, asyncio.WriteTransport):
                    smtp.transport.abort()

    def accepts_password(self, user: str, password: str) -> bool:
        """Whether this is the user's password."""
        if self.mailboxes is None:
            return True
        expected = self.mailboxes.get(user)
        return expected is not None and hmac.compare_digest(expected.encode(), password.encode())

    def accepts_digest(self, user: str, challenge: bytes, digest: str) -> bool:
        """Whether this is the HMAC-MD5 of ``challenge`` with the user's password as its key (RFC 2195)."""
        if self.mailboxes is None:
            return True
        password = self.mailboxes.get(user)
        return password is not None and hmac.compare_digest(
            hmac.new(password.encode(), challenge, "md5").hexdigest().encode(), digest.encode()
        )


class Handler:
    """The methods that aiosmtpd calls; it finds them by their names."""

    def __init__(self, sink: SmtpSink) -> None:
        self._sink = sink

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's
        """Stores the mail."""
        login = cast("SmtpLogin | None", session.auth_data)
        transport = cast("asyncio.Transport", server.transport)
        self._sink.mails.append(
            Mail(
                sender=envelope.mail_from or "",
                recipients=tuple(envelope.rcpt_tos),
                subject=_subject(cast("bytes", envelope.content)),
                user=login.user if login else None,
                tls=transport.get_extra_info("ssl_object") is not None,
                mechanism=login.mechanism if login else None,
            )
        )
        return "250 2.0.0 Message accepted"

    async def handle_exception(self, error: Exception) -> str:
        """Responds to an invalid conversation; aiosmtpd would print a traceback."""
        return f"500 5.5.0 {type(error).__name__}"

    def authenticate(
        self, _server: SMTP, _session: Session, _envelope: Envelope, mechanism: str, data: LoginPassword
    ) -> AuthResult:
        """Checks PLAIN and LOGIN."""
        user = data.login.decode(errors="replace")
        success = self._sink.accepts_password(user, data.password.decode(errors="replace"))
        return AuthResult(success=success, handled=False, auth_data=SmtpLogin(user, mechanism.lower()))

    async def auth_CRAM__MD5(self, server: SMTP, _args: list[str]) -> AuthResult:  # noqa: N802 - aiosmtpd's
        """Checks CRAM-MD5, which aiosmtpd does not implement."""
        challenge = f"<{secrets.token_hex(8)}@sandbox.localhost>".encode()
        response: object = await server.challenge_auth(challenge)
        if not isinstance(response, bytes):
            # Aborted, or not base64: aiosmtpd has responded already.
            return AuthResult(success=False, handled=True)
        user, _, digest = response.decode(errors="replace").rpartition(" ")
        success = self._sink.accepts_digest(user, challenge, digest)
        return AuthResult(success=success, handled=False, auth_data=SmtpLogin(user, "cram-md5"))


def _subject(content: bytes) -> str:
    raw = str(email.message_from_bytes(content).get("Subject", ""))
    try:
        return str(make_header(decode_header(raw)))
    except (ValueError, LookupError):
        return raw


@cache
def _authority() -> trustme.CA:
    """A certificate authority that exists in this process only."""
    return trustme.CA(organization_name="Reconciler sandbox")


@cache
def server_context() -> ssl.SSLContext:
    """The TLS settings of the sink."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _authority().issue_cert("localhost", "127.0.0.1").configure_cert(context)
    return context


@cache
def client_context() -> ssl.SSLContext:
    """The TLS settings of the sink's client.

    The sandbox's authority must have signed the certificate. The host name is not checked: every name leads to the
    sink, and no certificate can list them all.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    _authority().configure_trust(context)
    return context
