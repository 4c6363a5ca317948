"""What is repeated, how long that goes on, and whether the error at the end tells the truth."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any

import pytest

from reconciler.errors import ApiError, OutcomeUnknownError, RejectedError, UnreachableError
from reconciler.model.account import Account
from tests.api.conftest import Clockless
from tests.http_server import Close, Hang, Reply, Reset, ScriptedServer, Step, json_reply

if TYPE_CHECKING:
    from collections.abc import Callable

    from reconciler.model.ports import AccountWriter
    from tests.api.conftest import Open

BARE = {"id": 1, "email": "a@example.com"}
GOOD = json_reply(BARE)
REFUSAL = json_reply({"errors": [{"field": "name", "type": "invalid", "msg": "não"}]}, 400)
BROKEN: dict[str, Step] = {
    "reset": Reset(),
    "closed": Close(),
    "truncated": Close(GOOD.raw()[:-3]),
    "garbage": Close(b"SSH-2.0-OpenSSH\r\n\r\n"),
    "502": Reply(502),
    "503": Reply(503),
    "504": Reply(504),
}
IDEMPOTENT: dict[str, Callable[[AccountWriter], object]] = {
    "get": lambda accounts: accounts.get_account(1),
    "update": lambda accounts: accounts.update_account(Account({"email": "a@example.com"}, 1)),
    "delete": lambda accounts: accounts.delete_account(1),
}
ONCE: dict[str, Callable[[AccountWriter], object]] = {
    "create": lambda accounts: accounts.create_account({"email": "a@example.com"}),
    "test": lambda accounts: accounts.test_account({"email": "a@example.com"}, "b@example.com"),
}
ALL = IDEMPOTENT | ONCE


def failing(call: Callable[[], object]) -> ApiError:
    with pytest.raises(ApiError) as caught:
        call()
    return caught.value


def refused_port() -> int:
    with ScriptedServer(GOOD) as server:
        return server.port


@pytest.mark.parametrize("fault", BROKEN)
@pytest.mark.parametrize("call", IDEMPOTENT)
def test_what_has_the_same_effect_twice_is_repeated(writer: Open, call: str, fault: str) -> None:
    stop = Clockless()
    with ScriptedServer(BROKEN[fault], BROKEN[fault], GOOD) as server:
        IDEMPOTENT[call](writer(server.url, stop=stop))
    assert len(server.requests) == 3
    assert [0.25 <= stop.waits[0] <= 0.5, 0.75 <= stop.waits[1] <= 1.0, len(stop.waits)] == [True, True, 2]


@pytest.mark.parametrize("fault", [*BROKEN, "500"])
@pytest.mark.parametrize("call", ONCE)
def test_what_may_have_arrived_is_never_sent_twice_where_that_would_do_it_twice(
    writer: Open, call: str, fault: str
) -> None:
    with ScriptedServer({**BROKEN, "500": Reply(500)}[fault], GOOD) as server:
        accounts = writer(server.url)
        assert type(failing(lambda: ONCE[call](accounts))) is OutcomeUnknownError
    assert len(server.requests) == 1


@pytest.mark.parametrize("call", ALL)
def test_too_many_requests_is_repeated_for_every_call(writer: Open, call: str) -> None:
    stop = Clockless()
    with ScriptedServer(Reply(429, headers={"Retry-After": "7"}), GOOD) as server:
        ALL[call](writer(server.url, stop=stop))
    assert (len(server.requests), stop.waits) == (2, [7.0])


@pytest.mark.parametrize("call", ALL)
def test_a_refused_connection_is_tried_again_and_ends_with_nothing_done(writer: Open, call: str) -> None:
    stop = Clockless()
    accounts = writer(f"http://127.0.0.1:{refused_port()}", stop=stop)
    error = failing(lambda: ALL[call](accounts))
    assert (type(error), error.problems[0].kind, len(stop.waits)) == (UnreachableError, "connection_refused", 3)


@pytest.mark.parametrize("status", [400, 403, 409, 422])
@pytest.mark.parametrize("call", ALL)
def test_a_refusal_is_not_repeated(writer: Open, call: str, status: int) -> None:
    with ScriptedServer(Reply(status)) as server:
        accounts = writer(server.url)
        assert type(failing(lambda: ALL[call](accounts))) is RejectedError
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("step", "kind", "attempts"),
    [
        (Reply(500), "server_error", 1),
        (Reply(501), "server_error", 1),
        (Reply(503), "server_error", 4),
        (Close(), "connection_lost", 4),
        (Close(Reply(200, b"[]").raw()[:-1]), "connection_lost", 4),
        (Reply(200, b"["), "bad_answer", 1),
    ],
)
def test_a_read_that_fails_is_an_error_and_not_a_doubt(writer: Open, step: Step, kind: str, attempts: int) -> None:
    with ScriptedServer(step) as server:
        accounts = writer(server.url)
        error = failing(accounts.list_accounts)
    assert (type(error), error.problems[0].kind, len(server.requests)) == (ApiError, kind, attempts)


@pytest.mark.parametrize("last", [REFUSAL, Reply(401), Reply(404), Reply(429), Reply(503)])
def test_an_update_that_may_have_worked_once_stays_in_doubt_whatever_is_said_last(writer: Open, last: Step) -> None:
    with ScriptedServer(Reset(), last) as server:
        accounts = writer(server.url)
        error = failing(lambda: IDEMPOTENT["update"](accounts))
    assert type(error) is OutcomeUnknownError
    assert len(server.requests) > 1


def test_the_error_of_a_doubt_tells_both_sides(writer: Open) -> None:
    with ScriptedServer(Reply(502, b"upstream"), REFUSAL) as server:
        accounts = writer(server.url)
        error = failing(lambda: IDEMPOTENT["delete"](accounts))
    assert [(type(error), problem.kind, problem.message) for problem in error.problems] == [
        (
            OutcomeUnknownError,
            "server_error",
            "it is not certain whether the server did it: 502 Bad Gateway: upstream;"
            " another attempt: 400 invalid: name: não",
        )
    ]


def test_a_doubt_stays_when_the_server_is_gone_afterwards(writer: Open) -> None:
    servers: list[ScriptedServer] = []

    def die(_: object) -> Step:
        servers[0]._listener.close()
        return Reset()

    with ScriptedServer(respond=die) as server:
        servers.append(server)
        accounts = writer(server.url)
        error = failing(lambda: IDEMPOTENT["update"](accounts))
    assert (type(error), error.problems[0].kind) == (OutcomeUnknownError, "connection_lost")


@pytest.mark.parametrize("first", [Reset(), Reply(502), Close(Reply(200).raw()[:-4])])
def test_a_delete_that_then_finds_nothing_has_succeeded(writer: Open, first: Step) -> None:
    with ScriptedServer(first, Reply(404)) as server:
        writer(server.url).delete_account(1)
    assert len(server.requests) == 2


def test_there_are_four_attempts_at_most(writer: Open) -> None:
    with ScriptedServer(Reply(503)) as server:
        accounts = writer(server.url)
        failing(accounts.list_accounts)
    assert len(server.requests) == 4


@pytest.mark.parametrize(
    ("value", "shortest", "longest"),
    [
        ("0", 0.25, 0.5),
        ("3", 3.0, 3.0),
        ("Mon, 01 Jan 2001 00:00:00 GMT", 0.25, 0.5),
        ("soon", 0.25, 0.5),
        ("-5", 0.25, 0.5),
        ("Mon, 01 Jan 99999 00:00:00 GMT", 0.25, 0.5),
        ("²", 0.25, 0.5),
    ],
    ids=["zero", "seconds", "past", "words", "negative", "far date", "not ASCII"],
)
def test_retry_after_is_honoured_where_it_is_later_than_our_own_pause(
    writer: Open, value: str, shortest: float, longest: float
) -> None:
    stop = Clockless()
    with ScriptedServer(Reply(503, headers={"Retry-After": value}), GOOD) as server:
        writer(server.url, stop=stop).get_account(1)
    assert [shortest <= wait <= longest for wait in stop.waits] == [True]


def test_retry_after_may_be_a_date(writer: Open) -> None:
    stop = Clockless()
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=40), usegmt=True)
    with ScriptedServer(Reply(503, headers={"Retry-After": date}), GOOD) as server:
        writer(server.url, stop=stop).get_account(1)
    assert [30 <= wait <= 40 for wait in stop.waits] == [True]


def test_a_server_that_asks_for_more_patience_than_there_is_gets_no_further_request(writer: Open) -> None:
    stop = Clockless()
    with ScriptedServer(Reply(429, headers={"Retry-After": "3600"})) as server:
        accounts = writer(server.url, stop=stop)
        error = failing(accounts.list_accounts)
    assert (type(error), len(server.requests), stop.waits) == (RejectedError, 1, [])
    assert error.problems[0].hint == "The server asks to wait for 3600 seconds. A lower --parallelism may help."


@pytest.mark.parametrize("call", ["get", "update"])
def test_an_interrupt_ends_the_waiting_and_nothing_is_sent_again(writer: Open, call: str) -> None:
    stop = Clockless(stops_while_waiting=True)
    with ScriptedServer(Reply(503)) as server:
        accounts = writer(server.url, stop=stop)
        error = failing(lambda: IDEMPOTENT[call](accounts))
    expected = ApiError if call == "get" else OutcomeUnknownError
    assert (type(error), len(server.requests), len(stop.waits)) == (expected, 1, 1)


def test_after_an_interrupt_nothing_is_repeated_at_all(writer: Open) -> None:
    stop = Clockless()
    stop.set()
    with ScriptedServer(Reply(503)) as server:
        accounts = writer(server.url, stop=stop)
        failing(accounts.list_accounts)
    assert (len(server.requests), stop.waits) == (1, [])


@pytest.mark.parametrize("call", ALL)
def test_a_time_out_leaves_a_write_in_doubt_and_is_repeated_only_where_that_is_safe(writer: Open, call: str) -> None:
    with ScriptedServer(Hang()) as server:
        accounts = writer(server.url, timeout=0.05)
        error = failing(lambda: ALL[call](accounts))
    expected: dict[str, Any] = {
        "get": (ApiError, 4),
        "update": (OutcomeUnknownError, 4),
        "delete": (OutcomeUnknownError, 4),
    }
    kind, attempts = expected.get(call, (OutcomeUnknownError, 1))
    assert (type(error), error.problems[0].kind, len(server.requests)) == (kind, "timeout", attempts)


def test_a_connection_that_the_server_closed_while_idle_is_replaced(writer: Open) -> None:
    def respond(_: object) -> Step:
        return Close(GOOD.raw())

    with ScriptedServer(respond=respond) as server:
        accounts = writer(server.url)
        accounts.get_account(1)
        server.await_closed()
        accounts.create_account({"email": "a@example.com"})
    assert [request.connection for request in server.requests] == [0, 1]
