"""Asks a watcher for the state of its servers."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from functools import cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, NotRequired, TypeAlias

from pydantic import ConfigDict, TypeAdapter, ValidationError, with_config
from typing_extensions import TypedDict

from reconciler.client.errors import error_from_status, final_error, invalid_response
from reconciler.client.network import checked_origin, proxy_for, tls_context
from reconciler.client.session import ConnectionPool, Endpoint, ReadOnlyPool, Request
from reconciler.errors import ApiError, Kind, OutcomeUnknownError, SecretError

if TYPE_CHECKING:
    from reconciler.model.redaction import Redactor
    from reconciler.model.secret import Secret

_SERVERS: Final = "/api/v1/servers"
_NOTICES: Final = "/api/v1/notices"
_LARGEST: Final = 64 * 1024 * 1024
_TOKEN_HINT: Final = "give the token of the watcher's page in RECONCILER_PAGE_TOKEN or --page-token-file"  # noqa: S105 - not a token
_URL_HINT: Final = "is this the URL of a watcher, without a path?"

Document: TypeAlias = dict[str, Any]


@with_config(ConfigDict(extra="ignore"))
class _Suspended(TypedDict):
    reason: str
    by: str
    user: str
    since: str | None
    until: str | None


@with_config(ConfigDict(extra="ignore"))
class _Server(TypedDict):
    name: str
    url: str
    labels: dict[str, str]
    state: str
    drift: int
    drift_known: NotRequired[bool]
    changed_since: NotRequired[str | None]
    last_success: str | None
    next_run: NotRequired[str | None]
    commit: str
    suspended: _Suspended | None
    error: str
    held: NotRequired[list[str]]


@with_config(ConfigDict(extra="ignore"))
class _Notice(TypedDict):
    about: str
    message: str


@cache
def _servers() -> TypeAdapter[list[_Server]]:
    return TypeAdapter(list[_Server])


@cache
def _notices() -> TypeAdapter[list[_Notice]]:
    return TypeAdapter(list[_Notice])


@dataclass(frozen=True, slots=True, kw_only=True)
class WatcherAddress:
    """Where a watcher is.

    Attributes:
        url: Scheme, host and port.
        ca_file: A private CA's certificate; ``None`` for the default authorities.
        timeout: Seconds for both requests.
        insecure_http: Whether plain http to another machine is allowed.
    """

    url: str
    ca_file: str | None = None
    timeout: float = 30.0
    insecure_http: bool = False


def watched_fleet(
    address: WatcherAddress, token: Secret | None, redactor: Redactor
) -> tuple[list[Document], list[Document]]:
    """The servers of a watcher, and what is wrong with the watcher or its source, as its API lists them.

    Args:
        address: The watcher.
        token: The token of its page; ``None`` if it needs none. It is sent to this address only, and to no redirect.
        redactor: Masks the token in messages.

    Raises:
        ApiError: There is no valid response.
        SecretError: The token cannot be sent.
    """
    bearer = None if token is None else _bearer(token)
    if token is not None:
        redactor.add(token)
    origin = checked_origin(address.url, insecure_http=address.insecure_http)
    endpoint = Endpoint(
        url=origin,
        context=tls_context(origin, address.ca_file),
        proxy=proxy_for(origin, redactor),
        connections=1,
    )
    pool = ConnectionPool(endpoint, redactor, _LARGEST)
    try:
        deadline = time.monotonic() + address.timeout
        bodies = []
        for path in (_SERVERS, _NOTICES):
            response = ReadOnlyPool(pool).exchange(Request("GET", path), bearer=bearer, deadline=deadline)
            if not response.is_success:
                raise _refused(error_from_status(response, redactor), response.status)
            bodies.append(response.body)
        return _read(*bodies)
    except OutcomeUnknownError as error:
        raise final_error(error, is_read=True) from None
    finally:
        pool.close()


def _bearer(token: Secret) -> bytes:
    text = token.reveal()
    if not (text.isascii() and text.isprintable() and " " not in text):
        message = "the token of the watcher's page contains a space, or a character outside ASCII"
        raise SecretError.of(message, kind=Kind.BAD_SECRET, hint=_TOKEN_HINT)
    return b"Bearer " + text.encode("ascii")


def _refused(error: ApiError, status: int) -> ApiError:
    """The error with a hint about the watcher; the usual ones are about an appliance."""
    if status not in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND}:
        return error
    hint = _URL_HINT if status == HTTPStatus.NOT_FOUND else _TOKEN_HINT
    return type(error)(*(replace(problem, hint=hint) for problem in error.problems))


def _read(servers: bytes, notices: bytes) -> tuple[list[Document], list[Document]]:
    try:
        listed = _servers().validate_json(servers)
        return [dict(one) for one in listed], [dict(one) for one in _notices().validate_json(notices)]
    except ValidationError:
        problem = replace(invalid_response("this is not a watcher's list of servers").problems[0], hint=_URL_HINT)
        raise ApiError(problem) from None
