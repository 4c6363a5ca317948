"""Sends the test mail through smtplib, with the settings that the request gives."""

from __future__ import annotations

import base64
import errno
import hmac
import os
import smtplib
import ssl
from dataclasses import dataclass
from email.header import Header
from email.utils import formatdate, make_msgid
from typing import TYPE_CHECKING, Final

from reconciler.model.redaction import Redactor
from reconciler.model.secret import Secret
from reconciler.sandbox.refusal import not_sent, required

if TYPE_CHECKING:
    from reconciler.sandbox.refusal import Refusal
    from reconciler.sandbox.settings import Settings

_TLS_PORTS: Final = frozenset({465, 2465})
"""SMTP's ports with TLS from the start: the usual one, and the usual unprivileged one. They lead to such a sink."""

_PLAIN_PORTS: Final = frozenset({25, 587, 1025, 2525, 2587})
"""SMTP's ports that begin without TLS, likewise."""

_EXAMPLE_PORT: Final = 1000
"""The port of the vendor's examples, which nothing is known about: it leads to the sink that fits the encryption."""

_PROVIDERS: Final = {
    "gmail": ("smtp.gmail.com", 465, "ssl-tls"),
    "outlook": ("smtp.office365.com", 587, "starttls"),
}
_PORTS: Final = {"none": 25, "starttls": 587, "ssl-tls": 465}
_DEFERRED: Final = 334
_ACCEPTED: Final = 235
_LOCAL_NAME: Final = "localhost"
"""Said in EHLO; smtplib would ask the resolver for a name, which can take seconds."""


class MechanismNotOfferedError(smtplib.SMTPNotSupportedError):
    """The SMTP server does not know the mechanism that the account asks for."""


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a mail goes, and how the way there is encrypted."""

    host: str
    port: int
    crypt: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Mailer:
    """Sends test mails.

    Attributes:
        smtp_port: The sink's port without TLS, which offers STARTTLS.
        smtps_port: The sink's port with TLS from the start.
        trust: Verifies the sink's certificate.
        literal: Whether settings are taken as they are, and no host name leads to the sink.
        timeout: Seconds that each step of a conversation may take.
    """

    smtp_port: int
    smtps_port: int
    trust: ssl.SSLContext
    literal: bool = False
    timeout: float = 5.0

    def send(self, settings: Settings, to_email: str) -> None:
        """Sends a mail from the account's address to ``to_email``.

        Raises:
            Refusal: Something that is needed is missing, or the mail did not go out; with the SMTP server's own words,
                but never with the password.
        """
        if settings.has_auth and not settings.password:
            raise required("password")
        destination = destination_of(settings)
        try:
            self._deliver(destination if self.literal else self._routed(destination), settings, to_email)
        except (OSError, smtplib.SMTPException, ValueError) as error:
            raise _refusal(error, settings.password) from None

    def _routed(self, destination: Destination) -> Destination:
        """The sink that listens there. Nothing else on this machine is reached, whatever port a request names."""
        port = destination.port
        begins_with_tls = port in _TLS_PORTS or (port == _EXAMPLE_PORT and destination.crypt == "ssl-tls")
        if begins_with_tls or port == self.smtps_port:
            port = self.smtps_port
        elif port in _PLAIN_PORTS or port in {_EXAMPLE_PORT, self.smtp_port}:
            port = self.smtp_port
        else:
            raise ConnectionRefusedError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))
        return Destination("127.0.0.1", port, destination.crypt)

    def _deliver(self, destination: Destination, settings: Settings, to_email: str) -> None:
        context = ssl.create_default_context() if self.literal else self.trust
        with self._connect(destination, context) as smtp:
            if destination.crypt == "starttls":
                smtp.starttls(context=context)
            smtp.ehlo_or_helo_if_needed()
            if settings.has_auth:
                authenticate(smtp, settings.smtp_auth_mechanism or "plain", settings.email, settings.password or "")
            international = not f"{settings.email}{to_email}".isascii()
            smtp.sendmail(
                settings.email,
                [to_email],
                _message(settings, to_email),
                mail_options=("SMTPUTF8", "BODY=8BITMIME") if international else (),
            )

    def _connect(self, destination: Destination, context: ssl.SSLContext) -> smtplib.SMTP:
        host, port = destination.host, destination.port
        if destination.crypt == "ssl-tls":
            return smtplib.SMTP_SSL(host, port, _LOCAL_NAME, timeout=self.timeout, context=context)
        return smtplib.SMTP(host, port, _LOCAL_NAME, timeout=self.timeout)


def destination_of(settings: Settings) -> Destination:
    """Where the settings lead, with what they leave open filled in. Raises ``Refusal`` where no server is known."""
    host, port, crypt = settings.smtp_server, settings.smtp_port, settings.smtp_crypt
    if not host:
        if settings.service not in _PROVIDERS:
            raise required("smtp_server")
        host, provider_port, provider_crypt = _PROVIDERS[settings.service]
        if crypt in {None, provider_crypt}:
            port, crypt = port or provider_port, provider_crypt
    crypt = crypt or "none"
    return Destination(host, port or _PORTS[crypt], crypt)


def authenticate(smtp: smtplib.SMTP, mechanism: str, user: str, password: str) -> None:
    """Logs in with exactly this mechanism, in UTF-8 (RFC 4616, 4954, 2195).

    smtplib's own ``login`` chooses the mechanism by itself, and both it and ``auth`` fail on a password beyond ASCII.

    Raises:
        smtplib.SMTPException: The server does not offer the mechanism, or does not let us in.
    """
    name = mechanism.upper()
    offered = smtp.esmtp_features.get("auth", "").upper().split()
    if name not in offered:
        raise MechanismNotOfferedError(f"The server does not offer AUTH {name}")
    match name:
        case "PLAIN":
            code, answer = smtp.docmd("AUTH", "PLAIN " + _base64(f"\0{user}\0{password}"))
        case "LOGIN":
            code, answer = smtp.docmd("AUTH", "LOGIN")
            for value in (user, password):
                if code == _DEFERRED:
                    code, answer = smtp.docmd(_base64(value))
        case _:
            code, answer = smtp.docmd("AUTH", name)
            if code == _DEFERRED:
                digest = hmac.new(password.encode(), base64.b64decode(answer, validate=True), "md5").hexdigest()
                code, answer = smtp.docmd(_base64(f"{user} {digest}"))
    if code != _ACCEPTED:
        raise smtplib.SMTPAuthenticationError(code, answer)


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _message(settings: Settings, to_email: str) -> bytes:
    """The mail. Addresses hold no blanks or line ends, so they cannot forge a header; the name is encoded."""
    subject = Header(f"Teste da conta de email {settings.name}", "utf-8")
    lines = (
        f"From: <{settings.email}>",
        f"To: <{to_email}>",
        "Subject: " + subject.encode(linesep="\r\n"),
        f"Date: {formatdate()}",
        f"Message-ID: {make_msgid(domain=_LOCAL_NAME)}",
        "MIME-Version: 1.0",
        "Content-Type: text/plain; charset=utf-8",
        "Content-Transfer-Encoding: 8bit",
        "",
        "Se este email chegou, as configurações da conta funcionam.",
        "",
    )
    return "\r\n".join(lines).encode()


def _refusal(error: Exception, password: str | None) -> Refusal:
    redactor = Redactor()
    redactor.add(Secret(password or ""))
    return not_sent(_blamed_field(error), redactor.redact(_words(error)))


def _blamed_field(error: Exception) -> str:
    match error:
        case smtplib.SMTPAuthenticationError():
            return "password"
        case smtplib.SMTPRecipientsRefused():
            return "to_email"
        case smtplib.SMTPSenderRefused():
            return "email"
        case MechanismNotOfferedError():
            return "smtp_auth_mechanism"
        case ssl.SSLError() | smtplib.SMTPNotSupportedError():
            return "smtp_crypt"
        case _:
            return "smtp_server"


def _words(error: Exception) -> str:
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return _reply(*next(iter(error.recipients.values())))
    if isinstance(error, smtplib.SMTPResponseException):
        return _reply(error.smtp_code, error.smtp_error)
    return str(error) or type(error).__name__


def _reply(code: int, text: bytes | str) -> str:
    return f"{code} {text.decode(errors='replace') if isinstance(text, bytes) else text}"
