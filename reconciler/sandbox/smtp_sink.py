"""The SMTP server that receives every test mail and delivers none."""

from __future__ import annotations

import asyncio
import email
import hmac
import logging
import secrets
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email.header import decode_header, make_header
from typing import TYPE_CHECKING, cast
from weakref import WeakSet

from aiosmtpd.smtp import SMTP, AuthResult

from reconciler.sandbox.certificate import server_context

if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import AsyncIterator, Mapping

    from aiosmtpd.smtp import Envelope, LoginPassword, Session


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """A mail that has arrived.

    Attributes:
        sender: Envelope sender.
        recipients: Envelope recipients.
        subject: Decoded.
        user: Who logged in; ``None`` without a login.
        tls: Whether the way here was encrypted.
        mechanism: How ``user`` logged in: ``plain``, ``login`` or ``cram-md5``.
    """

    sender: str
    recipients: tuple[str, ...]
    subject: str
    user: str | None
    tls: bool
    mechanism: str | None


@dataclass(frozen=True, slots=True)
class Identity:
    """Who has logged in, and how. The password is not kept."""

    user: str
    mechanism: str


@dataclass(slots=True)
class Sink:
    """Two listeners on loopback, one with TLS from the start, and the mails that they got.

    Attributes:
        mailboxes: The right password of each address; ``None`` lets anybody in.
        mails: What has arrived, oldest first.
    """

    mailboxes: Mapping[str, str] | None = None
    mails: list[Mail] = field(default_factory=list)

    @asynccontextmanager
    async def listening(self, plain: socket.socket, tls: socket.socket) -> AsyncIterator[None]:
        """Serves both sockets, which are bound already, in the running loop; closes them at the end."""
        # aiosmtpd warns of its own deprecations at every login, on a terminal that is not its own.
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
        """Whether ``password`` is the right one."""
        if self.mailboxes is None:
            return True
        right = self.mailboxes.get(user)
        return right is not None and hmac.compare_digest(right.encode(), password.encode())

    def lets_in_by_digest(self, user: str, challenge: bytes, digest: str) -> bool:
        """Whether ``digest`` is the HMAC-MD5 of ``challenge`` under the right password (RFC 2195)."""
        if self.mailboxes is None:
            return True
        right = self.mailboxes.get(user)
        return right is not None and hmac.compare_digest(
            hmac.new(right.encode(), challenge, "md5").hexdigest().encode(), digest.encode()
        )


class Handler:
    """What aiosmtpd calls; it finds the methods by their names."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's
        """Keeps the mail."""
        identity = cast("Identity | None", session.auth_data)
        transport = cast("asyncio.Transport", server.transport)
        self._sink.mails.append(
            Mail(
                sender=envelope.mail_from or "",
                recipients=tuple(envelope.rcpt_tos),
                subject=_subject(cast("bytes", envelope.content)),
                user=identity.user if identity else None,
                tls=transport.get_extra_info("ssl_object") is not None,
                mechanism=identity.mechanism if identity else None,
            )
        )
        return "250 2.0.0 Message accepted"

    async def handle_exception(self, error: Exception) -> str:
        """Answers a conversation that makes no sense; aiosmtpd would print a traceback."""
        return f"500 5.5.0 {type(error).__name__}"

    def authenticate(
        self, _server: SMTP, _session: Session, _envelope: Envelope, mechanism: str, data: LoginPassword
    ) -> AuthResult:
        """Checks PLAIN and LOGIN."""
        user = data.login.decode(errors="replace")
        success = self._sink.accepts_password(user, data.password.decode(errors="replace"))
        return AuthResult(success=success, handled=False, auth_data=Identity(user, mechanism.lower()))

    async def auth_CRAM__MD5(self, server: SMTP, _args: list[str]) -> AuthResult:  # noqa: N802 - aiosmtpd's
        """Checks CRAM-MD5, which aiosmtpd leaves to its users."""
        challenge = f"<{secrets.token_hex(8)}@sandbox.localhost>".encode()
        answer: object = await server.challenge_auth(challenge)
        if not isinstance(answer, bytes):
            # Aborted, or not base64: aiosmtpd has told the client already.
            return AuthResult(success=False, handled=True)
        user, _, digest = answer.decode(errors="replace").rpartition(" ")
        success = self._sink.lets_in_by_digest(user, challenge, digest)
        return AuthResult(success=success, handled=False, auth_data=Identity(user, "cram-md5"))


def _subject(content: bytes) -> str:
    raw = str(email.message_from_bytes(content).get("Subject", ""))
    try:
        return str(make_header(decode_header(raw)))
    except (ValueError, LookupError):
        return raw
