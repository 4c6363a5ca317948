"""Sends the test mail with smtplib and the account's own settings."""

from __future__ import annotations

import base64
import errno
import hmac
import os
import smtplib
import ssl
from dataclasses import dataclass, replace
from email.header import Header
from email.utils import formatdate, make_msgid
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from reconciler.model.redaction import Redactor
from reconciler.model.secret import Secret
from reconciler.sandbox.schemas import ErrorEntry, ErrorResponse

if TYPE_CHECKING:
    from reconciler.sandbox.schemas import AccountFields

_TLS_PORTS: Final = frozenset({465, 2465})
"""The usual ports, privileged and not, for TLS from the start. They lead to the sink with TLS."""

_PLAIN_PORTS: Final = frozenset({25, 587, 1025, 2525, 2587})
"""The usual ports without TLS at the start. They lead to the sink without TLS."""

_EXAMPLE_PORT: Final = 1000
"""The port of the vendor's examples, which has no usual encryption: it leads to the sink that fits the account."""

_PROVIDERS: Final = {
    "gmail": ("smtp.gmail.com", 465, "ssl-tls"),
    "outlook": ("smtp.office365.com", 587, "starttls"),
}
_DEFAULT_PORTS: Final = {"none": 25, "starttls": 587, "ssl-tls": 465}
_DEFERRED: Final = 334
_ACCEPTED: Final = 235
_LOCAL_NAME: Final = "localhost"
"""The name in EHLO; smtplib would ask the resolver for one, which can take seconds."""


class MechanismNotOfferedError(smtplib.SMTPNotSupportedError):
    """The SMTP server does not support the account's mechanism."""


@dataclass(frozen=True, slots=True)
class Destination:
    """The SMTP server for a mail, and the encryption of the connection."""

    host: str
    port: int
    crypt: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Mailer:
    """Sends test mails.

    Attributes:
        smtp_port: The sink's port without TLS, which offers STARTTLS.
        smtps_port: The sink's port with TLS from the start.
        sink_tls: Verifies the sink's certificate.
        real_smtp: Whether to use the account's SMTP server itself, instead of the sink.
        timeout: Seconds that each step of a conversation may take.
    """

    smtp_port: int
    smtps_port: int
    sink_tls: ssl.SSLContext
    real_smtp: bool = False
    timeout: float = 5.0

    def send(self, account: AccountFields, to_email: str) -> None:
        """Sends a mail from the account's address to ``to_email``.

        Raises:
            ErrorResponse: A setting is missing, or the mail was not accepted. It quotes the SMTP
                server, but never the password.
        """
        if account["has_auth"] and not account["password"]:
            raise _required("password")
        destination = destination_of(account)
        try:
            self._deliver(destination if self.real_smtp else self._routed(destination), account, to_email)
        except (OSError, smtplib.SMTPException, ValueError) as error:
            redactor = Redactor()
            redactor.add(Secret(account["password"] or ""))
            message = f"Falha ao enviar o email: {redactor.redact(_reason(error))}"
            # The SMTP settings are the request's, so this is a 400 and no 5XX.
            raise ErrorResponse(HTTPStatus.BAD_REQUEST, ErrorEntry(_wrong_field(error), "rule", message)) from None

    def _routed(self, destination: Destination) -> Destination:
        """The sink in place of the destination. No other port of this machine can be reached."""
        port = destination.port
        starts_with_tls = port in _TLS_PORTS or (port == _EXAMPLE_PORT and destination.crypt == "ssl-tls")
        if starts_with_tls or port == self.smtps_port:
            port = self.smtps_port
        elif port in _PLAIN_PORTS or port in {_EXAMPLE_PORT, self.smtp_port}:
            port = self.smtp_port
        else:
            raise ConnectionRefusedError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))
        return replace(destination, host="127.0.0.1", port=port)

    def _deliver(self, destination: Destination, account: AccountFields, to_email: str) -> None:
        context = ssl.create_default_context() if self.real_smtp else self.sink_tls
        with self._connect(destination, context) as smtp:
            if destination.crypt == "starttls":
                smtp.starttls(context=context)
            smtp.ehlo_or_helo_if_needed()
            email = account["email"]
            if account["has_auth"]:
                authenticate(smtp, account["smtp_auth_mechanism"] or "plain", email, account["password"])
            international = not f"{email}{to_email}".isascii()
            smtp.sendmail(
                email,
                [to_email],
                _message(account["name"], email, to_email),
                mail_options=("SMTPUTF8", "BODY=8BITMIME") if international else (),
            )

    def _connect(self, destination: Destination, context: ssl.SSLContext) -> smtplib.SMTP:
        host, port = destination.host, destination.port
        if destination.crypt == "ssl-tls":
            return smtplib.SMTP_SSL(host, port, _LOCAL_NAME, timeout=self.timeout, context=context)
        return smtplib.SMTP(host, port, _LOCAL_NAME, timeout=self.timeout)


def destination_of(account: AccountFields) -> Destination:
    """The account's SMTP server, with defaults for missing settings. Raises ``ErrorResponse`` if none is known."""
    host, port, crypt = account["smtp_server"], account["smtp_port"], account["smtp_crypt"]
    if not host:
        if account["service"] not in _PROVIDERS:
            raise _required("smtp_server")
        host, provider_port, provider_crypt = _PROVIDERS[account["service"]]
        if crypt in {None, provider_crypt}:
            port, crypt = port or provider_port, provider_crypt
    crypt = crypt or "none"
    return Destination(host, port or _DEFAULT_PORTS[crypt], crypt)


def authenticate(smtp: smtplib.SMTP, mechanism: str, user: str, password: str) -> None:
    """Logs in with exactly this mechanism, in UTF-8 (RFC 4616, 4954, 2195).

    smtplib's own ``login`` chooses the mechanism itself, and both it and ``auth`` fail if a password is not ASCII.

    Raises:
        smtplib.SMTPException: The server does not offer the mechanism, or does not accept the login.
    """
    name = mechanism.upper()
    offered = smtp.esmtp_features.get("auth", "").upper().split()
    if name not in offered:
        raise MechanismNotOfferedError(f"The server does not offer AUTH {name}")
    match name:
        case "PLAIN":
            code, reply = smtp.docmd("AUTH", "PLAIN " + _base64(f"\0{user}\0{password}"))
        case "LOGIN":
            code, reply = smtp.docmd("AUTH", "LOGIN")
            for value in (user, password):
                if code == _DEFERRED:
                    code, reply = smtp.docmd(_base64(value))
        case _:
            code, reply = smtp.docmd("AUTH", name)
            if code == _DEFERRED:
                digest = hmac.new(password.encode(), base64.b64decode(reply, validate=True), "md5").hexdigest()
                code, reply = smtp.docmd(_base64(f"{user} {digest}"))
    if code != _ACCEPTED:
        raise smtplib.SMTPAuthenticationError(code, reply)


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _message(name: str, email: str, to_email: str) -> bytes:
    """The mail. Addresses contain no spaces or line ends, so they cannot forge a header; the name is encoded."""
    subject = Header(f"Teste da conta de email {name}", "utf-8")
    lines = (
        f"From: <{email}>",
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


def _required(field: str) -> ErrorResponse:
    return ErrorResponse(HTTPStatus.BAD_REQUEST, ErrorEntry(field, "required", "Campo obrigatório"))


def _wrong_field(error: Exception) -> str:
    """The field that the error is most likely about."""
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


def _reason(error: Exception) -> str:
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return _reply(*next(iter(error.recipients.values())))
    if isinstance(error, smtplib.SMTPResponseException):
        return _reply(error.smtp_code, error.smtp_error)
    return str(error) or type(error).__name__


def _reply(code: int, text: bytes | str) -> str:
    return f"{code} {text.decode(errors='replace') if isinstance(text, bytes) else text}"
