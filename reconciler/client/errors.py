"""The one place where foreign exceptions and bad statuses become failures in our words."""

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

from reconciler.client.failure import Failure, UnreadableError
from reconciler.client.wire import VendorError, read_errors
from reconciler.errors import ApiError, Kind, NotFoundError, Problem, RejectedError, UnreachableError
from reconciler.model.display import sanitize

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconciler.client.answer import Answer
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
    OSError,  # with ssl.SSLError, socket.gaierror and the built-in TimeoutError
    ValueError,  # with the Unicode errors, JSON's and pydantic's
    UnreadableError,
)
"""What an exchange can raise that is no bug of ours."""


class _Case(NamedTuple):
    kind: str
    message: str
    hint: str = ""
    transient: bool = True


_URL_HINT = "Check the URL, and whether this machine can reach the server."
_TLS_HINT = "For a private CA, name its certificate in ca_file or --ca-file; check also that this port speaks https."
_UNSENT: Final[tuple[tuple[type[Exception], _Case], ...]] = (
    (
        ssl.SSLCertVerificationError,
        _Case(Kind.TLS, "the server's certificate is not trusted", _TLS_HINT, transient=False),
    ),
    (ssl.SSLEOFError, _Case(Kind.TLS, "the TLS connection broke off", _TLS_HINT)),
    (ssl.SSLError, _Case(Kind.TLS, "no TLS connection", _TLS_HINT, transient=False)),
    (socket.gaierror, _Case(Kind.DNS, "the host name cannot be resolved", _URL_HINT)),
    (UnicodeError, _Case(Kind.DNS, "the host name is not valid", _URL_HINT, transient=False)),
    (ConnectionRefusedError, _Case(Kind.CONNECTION_REFUSED, "connection refused", _URL_HINT)),
    (httpx.TimeoutException, _Case(Kind.CONNECT_TIMEOUT, "no connection in time", _URL_HINT)),
    (httpx.NetworkError, _Case(Kind.CONNECTION_FAILED, "no connection", _URL_HINT)),
)
_CERTIFICATE_HINT: Final = (
    "Name one that the server accepts: server.client_cert in the YAML, or --client-cert or RECONCILER_CLIENT_CERT."
)
_ALERTS: Final = (
    (
        re.compile("ALERT_(CERTIFICATE_|BAD_CERTIFICATE|UNSUPPORTED_CERTIFICATE|UNKNOWN_CA|ACCESS_DENIED)"),
        _Case(Kind.TLS, "the server asks for a client certificate, and takes none or not this one", _CERTIFICATE_HINT),
    ),
    (
        re.compile("ALERT_HANDSHAKE_FAILURE"),
        _Case(Kind.TLS, "the server ends the TLS handshake, and may ask for a client certificate", _CERTIFICATE_HINT),
    ),
)
"""What the server may say against our certificate: RFC 8446, section 6.2. It may do so only after the handshake."""
_PROXY_HINT: Final = "Check HTTPS_PROXY, or name the server in NO_PROXY."
_PROXY_BROKE = _Case(Kind.PROXY, "it gave no valid response", _PROXY_HINT)
_PROXY_LOGIN: Final = (
    "Put a user name and password into HTTPS_PROXY, as in http://USER:PASSWORD@proxy.example.com:3128."
)
_ANY_UNSENT = _Case(Kind.NOT_SENT, "the request could not be sent", _URL_HINT, transient=False)


def error_from_exception(
    error: Exception, *, origin: str, touched: bool, redactor: Redactor, proxy: str | None = None
) -> Failure:
    """What it means that an exchange with ``origin`` raised ``error``, one of ``TRANSPORT_ERRORS``.

    Args:
        error: What was raised.
        origin: The server.
        touched: Whether bytes of the request may have left; where not, nothing happened on the server.
        redactor: Cleans the error's text.
        proxy: The proxy, without its credentials, where it was still the other end; then it is what failed.
    """
    chain = _chain(error)
    detail = sanitize(str(chain[-1]), redactor)
    if proxy is not None:
        return _failure_of_proxy(chain, detail, origin, proxy)
    if (case := _refusal_of_certificate(chain[-1])) is not None:
        problem = Problem(kind=case.kind, message=f"cannot reach {origin}: {case.message} ({detail})", hint=case.hint)
        return Failure(problem=problem, error=ApiError if touched else UnreachableError, doubtful=touched)
    if not touched:
        case = next((case for kind, case in _UNSENT if any(isinstance(link, kind) for link in chain)), _ANY_UNSENT)
        text = f"cannot reach {origin}: {case.message}" + (f" ({detail})" if detail else "")
        problem = Problem(kind=case.kind, message=text, hint=case.hint)
        return Failure(problem=problem, error=UnreachableError, doubtful=False, transient=case.transient)
    if isinstance(error, UnreadableError):
        return invalid_response(detail)
    if isinstance(error, httpx.TimeoutException):
        problem = Problem(
            kind=Kind.TIMEOUT, message=f"{origin} gave no complete answer in time", hint="A longer --timeout may help."
        )
    else:
        problem = Problem(
            kind=Kind.CONNECTION_LOST,
            message=f"the connection to {origin} broke before its answer ended ({detail})",
            hint="Is the server restarting, or a proxy between impatient?",
        )
    return Failure(problem=problem, error=ApiError, doubtful=True, transient=True)


def _refusal_of_certificate(error: BaseException) -> _Case | None:
    reason = (error.reason or "") if isinstance(error, ssl.SSLError) else ""
    return next((case for pattern, case in _ALERTS if pattern.search(reason)), None)


def _failure_of_proxy(chain: Sequence[BaseException], detail: str, origin: str, proxy: str) -> Failure:
    """What it means that a proxy did not let us through to ``origin``: the server knows nothing of it."""
    if isinstance(chain[-1], httpcore.ProxyError):
        message = f"the proxy {proxy} does not connect to {origin}: {detail.strip()}"
        hint = _PROXY_LOGIN if detail.startswith("407") else _PROXY_HINT
        transient = detail.startswith(("5", "429"))
    else:
        case = next((case for kind, case in _UNSENT if any(isinstance(link, kind) for link in chain)), _PROXY_BROKE)
        message = f"cannot reach the proxy {proxy}: {case.message}" + (f" ({detail})" if detail else "")
        hint, transient = _PROXY_HINT, case.transient
    problem = Problem(kind=Kind.PROXY, message=message, hint=hint)
    return Failure(problem=problem, error=UnreachableError, doubtful=False, transient=transient)


def invalid_response(message: str) -> Failure:
    """An answer that came, and makes no sense."""
    hint = "Is this the URL of the server's API, without a path?"
    problem = Problem(kind=Kind.INVALID_RESPONSE, message=message, hint=hint)
    return Failure(problem=problem, error=ApiError, doubtful=True)


def _chain(error: BaseException) -> list[BaseException]:
    """``error`` and what it came from, the origin last; what the caller happened to be handling is not part of it."""
    chain = [error]
    # httpcore's pool raises "from None", which leaves the context alone.
    while isinstance(origin := chain[-1].__cause__ or chain[-1].__context__, TRANSPORT_ERRORS):
        chain.append(origin)
    return chain


def error_from_status(answer: Answer, redactor: Redactor, *, on_account: bool = False) -> Failure:
    """What an answer other than 2XX means; ``on_account`` where the request named an account."""
    status = answer.status
    if status >= 500:  # noqa: PLR2004 - 5XX
        problem = Problem(kind=Kind.SERVER_ERROR, message=described(answer, redactor), hint=_patience(answer))
        transient = status in {502, 503, 504}
        return Failure(problem=problem, error=ApiError, doubtful=True, transient=transient, after=retry_after(answer))
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        hint = f"{_patience(answer)} A lower --parallelism may help.".strip()
        problem = Problem(kind=Kind.TOO_MANY_REQUESTS, message=described(answer, redactor), hint=hint)
        return Failure(problem=problem, error=RejectedError, doubtful=False, transient=True, after=retry_after(answer))
    if status >= 400:  # noqa: PLR2004 - 4XX
        return _refusal(answer, redactor, on_account=on_account)
    if status >= 300:  # noqa: PLR2004 - 3XX
        return _redirect(answer, redactor)
    return invalid_response(f"the server answers with status {status}, which makes no sense here")


UNAUTHORIZED_HINT: Final = (
    "The token or key is wrong or has expired: check server.auth, or RECONCILER_TOKEN and RECONCILER_REFRESH_TOKEN."
)
_REFUSALS: Final = {
    HTTPStatus.UNAUTHORIZED: (
        Kind.UNAUTHORIZED,
        UNAUTHORIZED_HINT,
    ),
    HTTPStatus.FORBIDDEN: (Kind.FORBIDDEN, "The key may not do this: check its permissions on the server."),
}


def _refusal(answer: Answer, redactor: Redactor, *, on_account: bool) -> Failure:
    error, kind, hint = RejectedError, _kind(answer, redactor), ""
    if answer.status in _REFUSALS:
        kind, hint = _REFUSALS[HTTPStatus(answer.status)]
    elif answer.status == HTTPStatus.NOT_FOUND:
        kind = Kind.NOT_FOUND
        if on_account:
            error = NotFoundError
        else:
            hint = "Is this the URL of the server's API, without a path?"
    problem = Problem(kind=kind, message=described(answer, redactor), hint=hint)
    return Failure(problem=problem, error=error, doubtful=False)


def _kind(answer: Answer, redactor: Redactor) -> str:
    errors = read_errors(answer.body)
    if len(errors) == 1 and len(errors[0].type) <= _LONGEST_KIND:
        kind = redactor.redact(errors[0].type)
        if re.fullmatch(r"[a-z][a-z0-9_]*", kind):
            return kind
    return Kind.REJECTED


def _redirect(answer: Answer, redactor: Redactor) -> Failure:
    # Redacted as a whole: a host name in lower case, or cut out of a longer text, may hide what it is made of.
    target = _location_host(redactor.redact(answer.headers.get("location", "")))
    message = f"{_status(answer.status)}: the server redirects to {sanitize(target, redactor) or 'nowhere'}"
    hint = "Redirects are not followed, so that the token stays with the server it is for: give the final URL."
    # Redirects of 301 to 303 may be sent after the work is done; 307 and 308 ask to send the request elsewhere.
    doubtful = answer.status not in {HTTPStatus.TEMPORARY_REDIRECT, HTTPStatus.PERMANENT_REDIRECT}
    problem = Problem(kind=Kind.REDIRECT, message=message, hint=hint)
    return Failure(problem=problem, error=RejectedError, doubtful=doubtful)


def _location_host(location: str) -> str:
    try:
        return urlsplit(location).hostname or ("a path of its own" if location else "")
    except ValueError:
        return "an address that cannot be read"


def _status(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


_ENTRIES = 20
_LONGEST_KIND = 40
_EXPLAINED = 64 * 1024
"""The largest body of a refusal that is looked into, in bytes."""


def described(answer: Answer, redactor: Redactor) -> str:
    """An answer's status and body, as a message may show it."""
    body = answer.body
    if len(body) > _EXPLAINED:
        return f"{_status(answer.status)} (with {len(body)} bytes of explanation)"
    if errors := read_errors(body):
        entries = "; ".join(_entry(error, redactor) for error in errors[:_ENTRIES])
        more = f"; and {len(errors) - _ENTRIES} more" if len(errors) > _ENTRIES else ""
        return f"{answer.status} {entries}{more}"
    text = sanitize(body.decode("utf-8", "replace"), redactor)
    return f"{_status(answer.status)}: {text}" if text else _status(answer.status)


def _entry(error: VendorError, redactor: Redactor) -> str:
    return ": ".join(sanitize(part, redactor, limit=500) for part in (error.type, error.field, error.msg) if part)


_LONGEST_WAIT: Final = 1e9
"""Seconds; nobody waits for so long, and larger numbers only get in the way."""


def retry_after(answer: Answer) -> float | None:
    """Seconds that the server asks to wait: RFC 9110's ``Retry-After``, a number or a date."""
    value = answer.headers.get("retry-after", "").strip()
    if re.fullmatch(r"[0-9]+", value):
        return min(float(value), _LONGEST_WAIT)
    try:
        moment = parsedate_to_datetime(value)
        return max(0.0, moment.timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return None


def _patience(answer: Answer) -> str:
    seconds = retry_after(answer)
    return "" if seconds is None else f"The server asks to wait for {seconds:.0f} seconds."
