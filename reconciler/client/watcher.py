"""Asks a watcher for the state of its servers."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from pydantic_core import ValidationError, core_schema

from reconciler.client.errors import error_from_status, final_error, invalid_response
from reconciler.client.network import checked_origin, proxy_for, tls_context
from reconciler.client.session import ConnectionPool, Endpoint, ReadOnlyPool, Request
from reconciler.client.wire import json_validator, object_schema
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


_STRING: Final = core_schema.str_schema()
_STRING_OR_NULL: Final = core_schema.nullable_schema(_STRING)
_SUSPENDED: Final = object_schema(
    {"reason": _STRING, "by": _STRING, "user": _STRING, "since": _STRING_OR_NULL, "until": _STRING_OR_NULL}, {}
)
_SERVER: Final = object_schema(
    {
        "name": _STRING,
        "url": _STRING,
        "labels": core_schema.dict_schema(_STRING, _STRING),
        "state": _STRING,
        "drift": core_schema.int_schema(),
        "last_success": _STRING_OR_NULL,
        "commit": _STRING,
        "suspended": core_schema.nullable_schema(_SUSPENDED),
        "error": _STRING,
    },
    {
        "drift_known": core_schema.bool_schema(),
        "changed_since": _STRING_OR_NULL,
        "next_run": _STRING_OR_NULL,
        "held": core_schema.list_schema(_STRING),
    },
)
_NOTICE: Final = object_schema({"about": _STRING, "message": _STRING}, {})
_SERVER_LIST: Final = json_validator(core_schema.list_schema(_SERVER))
_NOTICE_LIST: Final = json_validator(core_schema.list_schema(_NOTICE))


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
    with suppress(ValidationError):
        return _SERVER_LIST.validate_json(servers), _NOTICE_LIST.validate_json(notices)
    raise ApiError(replace(invalid_response("this is not a watcher's list of servers").problems[0], hint=_URL_HINT))
