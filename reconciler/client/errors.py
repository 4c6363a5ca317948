"""The one place that converts exceptions and statuses to ``ApiError``.

``UnreachableError`` and ``RejectedError`` mean that nothing happened on the server. ``OutcomeUnknownError`` means that
the request may have taken effect, if it was not a read: ``final_error`` decides that at the end.
"""

from __future__ import annotations

import re
import socket
import ssl
import time
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import urlsplit

import httpcore
import httpx

from reconciler.client.transport import InvalidResponseError
from reconciler.client.wire import VendorError, read_errors
from reconciler.errors import (
    ApiError,
    Kind,
    NotFoundError,
    OutcomeUnknownError,
    Problem,
    RejectedError,
    UnreachableError,
)
from reconciler.model.display import sanitize

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconciler.client.transport import Response
    from reconciler.model.redaction import Redactor

TRANSPORT_ERRORS: Final = (
    httpx.HTTPError,
    httpx.InvalidURL,
    httpx.CookieConflict,
    httpx.StreamError,
    httpcore.ProxyError,
    httpcore.UnsupportedProtocol,
    httpcore.ProtocolError,
    httpcore.TimeoutException,
    httpcore.NetworkError,
    httpcore.ConnectionNotAvailable,
    OSError,  # includes ssl.SSLError, socket.gaierror and the built-in TimeoutError
    ValueError,  # includes the Unicode errors, and those of json and pydantic-core
    InvalidResponseError,
)
"""Exceptions that sending a request may raise without a bug in our code."""


class _Case(NamedTuple):
    kind: str
    message: str
    hint: str = ""
    transient: bool = True


_URL_HINT: Final = "check the URL, and whether this machine can reach the server"
_API_HINT: Final = "is this the URL of the server's API, without a path?"
_CA_HINT: Final = "for a private CA, name its certificate in ca_file or --ca-file"
_TLS_HINT: Final = f"check that this port speaks https; {_CA_HINT}"
_CERTIFICATE_HINT: Final = (
    "name one that the server accepts: server.client_cert in the YAML, or --client-cert or RECONCILER_CLIENT_CERT"
)
_PROXY_HINT: Final = "check HTTPS_PROXY, or name the server in NO_PROXY"
_PROXY_LOGIN_HINT: Final = (
    "put a user name and password into HTTPS_PROXY, as in http://USER:PASSWORD@proxy.example.com:3128"
)
UNAUTHORIZED_HINT: Final = (
    "the token or key is wrong or has expired: check server.auth, or RECONCILER_REFRESH_TOKEN (for an API key) and"
    " RECONCILER_TOKEN (for an access token)"
)

_UNSENT: Final[tuple[tuple[type[Exception], _Case], ...]] = (
    (
        ssl.SSLCertVerificationError,
        _Case(Kind.TLS, "the server's certificate is not trusted", _CA_HINT, transient=False),
    ),
    (ssl.SSLEOFError, _Case(Kind.TLS, "the TLS connection was cut off", _TLS_HINT)),
    (ssl.SSLError, _Case(Kind.TLS, "no TLS connection", _TLS_HINT, transient=False)),
    (socket.gaierror, _Case(Kind.DNS, "the host name cannot be resolved", _URL_HINT)),
    (UnicodeError, _Case(Kind.DNS, "the host name is not valid", _URL_HINT, transient=False)),
    (ConnectionRefusedError, _Case(Kind.CONNECTION_REFUSED, "connection refused", _URL_HINT)),
    (httpcore.TimeoutException, _Case(Kind.CONNECT_TIMEOUT, "no connection in time", _URL_HINT)),
    (httpcore.NetworkError, _Case(Kind.CONNECTION_FAILED, "no connection", _URL_HINT)),
)
_OTHER_UNSENT: Final = _Case(Kind.NOT_SENT, "the request could not be sent", _URL_HINT, transient=False)
_INVALID_FROM_PROXY: Final = _Case(Kind.PROXY, "it sent no valid response", _PROXY_HINT)
_ALERTS: Final = (
    (
        re.compile("ALERT_(CERTIFICATE_|BAD_CERTIFICATE|UNSUPPORTED_CERTIFICATE|UNKNOWN_CA|ACCESS_DENIED)"),
        "the server asks for a client certificate, and does not accept this one, or there is none",
    ),
    (
        re.compile("ALERT_HANDSHAKE_FAILURE"),
        "the server ends the TLS handshake, and may ask for a client certificate",
    ),
)
"""How a server rejects the client certificate, possibly after the handshake: RFC 8446, section 6.2."""


def error_from_exception(
    error: Exception, *, origin: str, sent: bool, redactor: Redactor, proxy: str | None = None
) -> ApiError:
    """Converts an exception from sending a request to ``origin``, one of ``TRANSPORT_ERRORS``.

    Args:
        error: The exception.
        origin: The server.
        sent: Whether any of the request's bytes may have been sent. If not, nothing happened on the server.
        redactor: Redacts the exception's message.
        proxy: The proxy, without its credentials, if it was still the peer: then it is what failed.
    """
    chain = _chain(error)
    detail = sanitize(str(chain[-1]), redactor)
    if proxy is not None:
        return _proxy_error(chain, detail, origin, proxy)
    if (refusal := _certificate_refusal(chain[-1])) is not None:
        message = f"cannot reach {origin}: {refusal} ({detail})"
        kind = OutcomeUnknownError if sent else UnreachableError
        return kind.of(message, kind=Kind.TLS, hint=_CERTIFICATE_HINT)
    if not sent:
        case = _case(chain, _OTHER_UNSENT)
        message = f"cannot reach {origin}: {case.message}" + (f" ({detail})" if detail else "")
        problem = Problem(kind=case.kind, message=message, hint=case.hint)
        return UnreachableError(problem, transient=case.transient)
    if isinstance(error, InvalidResponseError):
        return invalid_response(detail)
    if isinstance(error, httpcore.TimeoutException):
        message, hint = f"{origin} sent no complete response in time", "a longer --timeout may help"
        problem = Problem(kind=Kind.TIMEOUT, message=message, hint=hint)
    else:
        message = f"the connection to {origin} broke before the response was complete ({detail})"
        hint = "the server may be restarting, or a proxy timed out"
        problem = Problem(kind=Kind.CONNECTION_LOST, message=message, hint=hint)
    return OutcomeUnknownError(problem, transient=True)


def _chain(error: BaseException) -> list[BaseException]:
    """``error`` and its causes, the root cause last."""
    chain = [error]
    while isinstance(cause := chain[-1].__cause__, TRANSPORT_ERRORS):
        chain.append(cause)
    return chain


def _case(chain: Sequence[BaseException], default: _Case) -> _Case:
    return next((case for kind, case in _UNSENT if any(isinstance(link, kind) for link in chain)), default)


def _certificate_refusal(error: BaseException) -> str | None:
    reason = (error.reason or "") if isinstance(error, ssl.SSLError) else ""
    return next((message for pattern, message in _ALERTS if pattern.search(reason)), None)


def _proxy_error(chain: Sequence[BaseException], detail: str, origin: str, proxy: str) -> UnreachableError:
    if isinstance(chain[-1], httpcore.ProxyError):
        message = f"the proxy {proxy} does not connect to {origin}: {detail.strip()}"
        hint = _PROXY_LOGIN_HINT if detail.startswith("407") else _PROXY_HINT
        transient = detail.startswith(("5", "429"))
    else:
        case = _case(chain, _INVALID_FROM_PROXY)
        message = f"cannot reach the proxy {proxy}: {case.message}" + (f" ({detail})" if detail else "")
        hint, transient = _PROXY_HINT, case.transient
    return UnreachableError(Problem(kind=Kind.PROXY, message=message, hint=hint), transient=transient)


def invalid_response(message: str) -> OutcomeUnknownError:
    """The error for a response that cannot be used."""
    return OutcomeUnknownError.of(message, kind=Kind.INVALID_RESPONSE, hint=_API_HINT)


def final_error(error: OutcomeUnknownError, *, is_read: bool) -> ApiError:
    """The error for the caller. A read changes nothing on the server, so its outcome does not matter."""
    (problem,) = error.problems
    if is_read:
        return ApiError(problem, transient=error.transient, retry_after=error.retry_after)
    message = f"it is not certain whether the server did it: {problem.message}"
    problem = Problem(kind=problem.kind, message=message, hint=problem.hint)
    return OutcomeUnknownError(problem, transient=error.transient, retry_after=error.retry_after)


def error_from_status(response: Response, redactor: Redactor, *, on_account: bool = False) -> ApiError:
    """Converts a status other than 2XX. ``on_account``: the request named an account."""
    status = response.status
    if status >= 500:  # noqa: PLR2004 - 5XX
        after = retry_after(response)
        problem = Problem(kind=Kind.SERVER_ERROR, message=describe(response, redactor), hint=_wait_hint(after))
        return OutcomeUnknownError(problem, transient=status in {502, 503, 504}, retry_after=after)
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        after = retry_after(response)
        hint = "; ".join(filter(None, (_wait_hint(after), "a lower --parallelism may help")))
        problem = Problem(kind=Kind.TOO_MANY_REQUESTS, message=describe(response, redactor), hint=hint)
        return RejectedError(problem, transient=True, retry_after=after)
    if status >= 400:  # noqa: PLR2004 - 4XX
        return _refusal(response, redactor, on_account=on_account)
    if status >= 300:  # noqa: PLR2004 - 3XX
        return _redirect(response, redactor)
    return invalid_response(f"the server responded with status {status}, which is not valid here")


def _refusal(response: Response, redactor: Redactor, *, on_account: bool) -> RejectedError:
    error, kind, hint = RejectedError, _kind(response, redactor), ""
    if response.status == HTTPStatus.UNAUTHORIZED:
        kind, hint = Kind.UNAUTHORIZED, UNAUTHORIZED_HINT
    elif response.status == HTTPStatus.FORBIDDEN:
        kind, hint = Kind.FORBIDDEN, "the key may not do this: check its permissions on the server"
    elif response.status == HTTPStatus.NOT_FOUND:
        kind = Kind.NOT_FOUND
        error, hint = (NotFoundError, "") if on_account else (RejectedError, _API_HINT)
    return error.of(describe(response, redactor), kind=kind, hint=hint)


def _kind(response: Response, redactor: Redactor) -> str:
    """The server's own name for the error, if there is exactly one and it is a single word."""
    errors = read_errors(response.body)
    if len(errors) == 1 and len(errors[0].type) <= _LONGEST_KIND:
        kind = redactor.redact(errors[0].type)
        if re.fullmatch(r"[a-z][a-z0-9_]*", kind):
            return kind
    return Kind.REJECTED


def _redirect(response: Response, redactor: Redactor) -> ApiError:
    # Redacted before it is cut: a lower-case host name, or one cut from a longer string, could hide a secret.
    target = _location_host(redactor.redact(response.headers.get("location", "")))
    message = f"{_status(response.status)}: the server redirects to {sanitize(target, redactor) or 'nowhere'}"
    hint = "redirects are not followed, so that the token stays with the server it is for: use the final URL"
    # A server may send 301 to 303 after doing the work; 307 and 308 ask the client to send the request elsewhere.
    elsewhere = response.status in {HTTPStatus.TEMPORARY_REDIRECT, HTTPStatus.PERMANENT_REDIRECT}
    return (RejectedError if elsewhere else OutcomeUnknownError).of(message, kind=Kind.REDIRECT, hint=hint)


def _location_host(location: str) -> str:
    try:
        return urlsplit(location).hostname or ("a path on this server" if location else "")
    except ValueError:
        return "an address that cannot be read"


def _status(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


_ENTRIES: Final = 20
_LONGEST_KIND: Final = 40
_LONGEST_BODY: Final = 64 * 1024
"""The largest body of a refusal, in bytes, that a message shows."""


def describe(response: Response, redactor: Redactor) -> str:
    """A response's status and body, as a message may show them."""
    body = response.body
    if len(body) > _LONGEST_BODY:
        return f"{_status(response.status)} (with a body of {len(body)} bytes)"
    if errors := read_errors(body):
        entries = "; ".join(_entry(error, redactor) for error in errors[:_ENTRIES])
        more = f"; and {len(errors) - _ENTRIES} more" if len(errors) > _ENTRIES else ""
        return f"{response.status} {entries}{more}"
    text = sanitize(body.decode("utf-8", "replace"), redactor)
    return f"{_status(response.status)}: {text}" if text else _status(response.status)


def _entry(error: VendorError, redactor: Redactor) -> str:
    return ": ".join(sanitize(part, redactor, limit=500) for part in (error.type, error.field, error.msg) if part)


_LONGEST_WAIT: Final = 1e9
"""Seconds. No run waits that long, and a larger number could overflow."""


def retry_after(response: Response) -> float | None:
    """Seconds that the server asks to wait: RFC 9110's ``Retry-After``, a number or a date."""
    value = response.headers.get("retry-after", "").strip()
    if re.fullmatch(r"[0-9]+", value):
        return min(float(value), _LONGEST_WAIT)
    try:
        moment = parsedate_to_datetime(value)
        return max(0.0, moment.timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return None


def _wait_hint(seconds: float | None) -> str:
    return "" if seconds is None else f"the server asks to wait for {seconds:.0f} seconds"
