"""Every exception of the libraries is converted, and every text from the server is sanitized."""

from __future__ import annotations

import json
import socket
import ssl
import zlib
from typing import TYPE_CHECKING

import h11
import httpcore
import httpx
import pytest
from pydantic import TypeAdapter, ValidationError

from reconciler.client.errors import TRANSPORT_ERRORS, error_from_exception, error_from_status
from reconciler.client.transport import Response
from reconciler.errors import ApiError, NotFoundError, OutcomeUnknownError, Problem, RejectedError, UnreachableError
from reconciler.model.display import sanitize
from reconciler.model.redaction import Redactor
from reconciler.model.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

ORIGIN = "https://fw.example.com"


def family(*roots: type[BaseException]) -> Iterator[type[BaseException]]:
    for root in roots:
        yield root
        yield from family(*root.__subclasses__())


def exceptions_of(module: ModuleType) -> list[type[BaseException]]:
    members = (getattr(module, name) for name in module.__all__)
    return [member for member in members if isinstance(member, type) and issubclass(member, Exception)]


@pytest.mark.parametrize(
    "error", exceptions_of(httpx) + exceptions_of(httpcore), ids=lambda e: f"{e.__module__}.{e.__name__}"
)
def test_every_exception_of_httpx_and_httpcore_is_mapped(error: type[Exception]) -> None:
    assert issubclass(error, TRANSPORT_ERRORS)


def test_the_exceptions_of_lower_layers_are_mapped() -> None:
    below = [ssl.SSLError, socket.gaierror, TimeoutError, UnicodeDecodeError, json.JSONDecodeError, ValidationError]
    assert [error for error in family(*below) if not issubclass(error, TRANSPORT_ERRORS)] == []
    # Converted elsewhere: h11's by httpcore, and zlib's by transport.py.
    assert [issubclass(error, TRANSPORT_ERRORS) for error in (h11.RemoteProtocolError, zlib.error)] == [False, False]


def instance(error: type[Exception]) -> Exception:
    if issubclass(error, httpx.HTTPStatusError):
        return error("text", request=httpx.Request("GET", ORIGIN), response=httpx.Response(500))
    try:
        return error("text")
    except TypeError:
        return error()


@pytest.mark.parametrize("sent", [True, False])
@pytest.mark.parametrize("error", exceptions_of(httpx), ids=lambda e: e.__name__)
def test_every_exception_shows_whether_the_request_may_have_arrived(error: type[Exception], *, sent: bool) -> None:
    converted = error_from_exception(instance(error), origin=ORIGIN, sent=sent, redactor=Redactor())
    assert type(converted) is (OutcomeUnknownError if sent else UnreachableError)


def test_an_unrelated_exception_is_not_taken_as_a_cause() -> None:
    error = httpcore.ConnectError("no route")
    error.__context__ = KeyError("unrelated")
    failure = error_from_exception(error, origin=ORIGIN, sent=False, redactor=Redactor())
    assert failure.problems[0].message == f"cannot reach {ORIGIN}: no connection (no route)"


def test_an_exception_without_a_message_adds_no_empty_brackets() -> None:
    failure = error_from_exception(httpcore.ConnectError(""), origin=ORIGIN, sent=False, redactor=Redactor())
    assert failure.problems[0].message == f"cannot reach {ORIGIN}: no connection"
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(int).validate_python("x")
    other = error_from_exception(caught.value, origin=ORIGIN, sent=False, redactor=Redactor())
    assert other.problems[0].kind == "not_sent"


def refusal(status: int, body: bytes, redactor: Redactor | None = None, *, on_account: bool = False) -> ApiError:
    return error_from_status(Response(status, (), body), redactor or Redactor(), on_account=on_account)


def vendor(*errors: dict[str, str]) -> bytes:
    return json.dumps({"errors": errors}, ensure_ascii=False).encode()


DUPLICATED = {"field": "name", "type": "duplicated", "msg": "Já existe um item com o nome 'item01'"}
REQUIRED = {"field": "data_list[1].value", "type": "required", "msg": "Campo obrigatório"}
HINT_401 = (
    "the token or key is wrong or has expired: check server.auth, or RECONCILER_REFRESH_TOKEN (for an API key) and"
    " RECONCILER_TOKEN (for an access token)"
)
HINT_404 = "is this the URL of the server's API, without a path?"


@pytest.mark.parametrize(
    ("status", "body", "problem"),
    [
        (
            409,
            vendor(DUPLICATED),
            Problem(kind="duplicated", message="409 duplicated: name: Já existe um item com o nome 'item01'"),
        ),
        (
            400,
            vendor(DUPLICATED, REQUIRED),
            Problem(
                kind="rejected",
                message="400 duplicated: name: Já existe um item com o nome 'item01';"
                " required: data_list[1].value: Campo obrigatório",
            ),
        ),
        (400, vendor({"type": "Odd Type", "msg": "x"}), Problem(kind="rejected", message="400 Odd Type: x")),
        (400, b"", Problem(kind="rejected", message="400 Bad Request")),
        (499, b"", Problem(kind="rejected", message="499")),
        (401, b"", Problem(kind="unauthorized", message="401 Unauthorized", hint=HINT_401)),
        (
            403,
            vendor({"type": "rule", "msg": "Sem permissão"}),
            Problem(
                kind="forbidden",
                message="403 rule: Sem permissão",
                hint="the key may not do this: check its permissions on the server",
            ),
        ),
        (404, b"<h1>no</h1>", Problem(kind="not_found", message="404 Not Found: <h1>no</h1>", hint=HINT_404)),
        (400, b"\xff\x00\x1b[2J", Problem(kind="rejected", message="400 Bad Request: \ufffd\\u0000\\u001b[2J")),
        (400, b"a" * 300, Problem(kind="rejected", message=f"400 Bad Request: {'a' * 199}…")),
        (400, b"a" * 70_000, Problem(kind="rejected", message="400 Bad Request (with a body of 70000 bytes)")),
    ],
    ids=["one", "two", "odd", "empty", "unknown", "401", "403", "404", "binary", "long", "huge"],
)
def test_a_refusal_is_reported_in_the_servers_words(status: int, body: bytes, problem: Problem) -> None:
    error = refusal(status, body)
    assert (type(error), error.problems, error.transient) == (RejectedError, (problem,), False)


def test_only_the_first_of_many_errors_are_reported() -> None:
    failure = refusal(400, vendor(*[REQUIRED] * 23))
    entries = "; ".join(["required: data_list[1].value: Campo obrigatório"] * 20)
    assert failure.problems[0].message == f"400 {entries}; and 3 more"


def test_an_unexpected_status_is_an_invalid_response() -> None:
    message = "the server responded with status 101, which is not valid here"
    problem = Problem(kind="invalid_response", message=message, hint=HINT_404)
    error = refusal(101, b"")
    assert (type(error), error.problems, error.transient) == (OutcomeUnknownError, (problem,), False)


def test_a_missing_account_is_distinguished_from_a_missing_page() -> None:
    assert [type(refusal(404, b"", on_account=which)) for which in (True, False)] == [NotFoundError, RejectedError]


@pytest.mark.parametrize("body", [b"password hunter22 is bad", b"password=hunter22", b'{"x": "hunter22"}'])
def test_a_secret_that_the_server_echoes_is_masked(body: bytes) -> None:
    redactor = Redactor()
    redactor.add(Secret("hunter22"))
    assert "hunter22" not in refusal(500, body, redactor).problems[0].message


def test_a_secret_is_masked_before_the_message_is_cut() -> None:
    redactor = Redactor()
    redactor.add(Secret("s" * 50))
    assert sanitize("a" * 180 + "s" * 50 + "z" * 50, redactor) == "a" * 180 + "***" + "z" * 16 + "…"


def test_text_from_the_server_cannot_forge_or_reverse_a_line() -> None:
    text = "one\r\ntwo\ttabs \x1b[31m\u202eright\u200b \x85 ação"
    assert sanitize(text, Redactor()) == "one two tabs \\u001b[31m\\u202eright\\u200b ação"
