"""What is repeated, for how long, and which error is raised at the end."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import TYPE_CHECKING

import pytest

from reconciler.errors import ApiError, OutcomeUnknownError, RejectedError, UnreachableError
from reconciler.model.account import Account
from reconciler.model.secret import Secret
from reconciler.model.server import RefreshToken
from reconciler.retry import Retry
from tests.client.conftest import InstantStop
from tests.support.scripted_server import Close, Hang, Reply, Request, Reset, ScriptedServer, Step, json_reply

if TYPE_CHECKING:
    from collections.abc import Callable

    from reconciler.model.ports import AccountWriter
    from tests.client.conftest import Open

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
READS: dict[str, Callable[[AccountWriter], object]] = {
    "list": lambda accounts: accounts.list_accounts(),
    "get": lambda accounts: accounts.get_account(1),
}
ONCE: dict[str, Callable[[AccountWriter], object]] = {
    "create": lambda accounts: accounts.create_account({"email": "a@example.com"}),
    "update": lambda accounts: accounts.update_account(Account({"email": "a@example.com"}, 1)),
    "delete": lambda accounts: accounts.delete_account(1),
    "test": lambda accounts: accounts.run_delivery_test({"email": "a@example.com"}, "b@example.com"),
}
ALL = READS | ONCE
DONE: dict[str, Step] = {"list": json_reply([BARE]), "get": GOOD, "create": GOOD, "update": GOOD}
TOKEN = "POST /api/v1/oauth2/token"


def failing(call: Callable[[], object]) -> ApiError:
    with pytest.raises(ApiError) as caught:
        call()
    return caught.value


def refused_port() -> int:
    with ScriptedServer(GOOD) as server:
        return server.port


@pytest.mark.parametrize("fault", BROKEN)
@pytest.mark.parametrize("call", READS)
def test_a_read_is_repeated(writer: Open, call: str, fault: str) -> None:
    stop = InstantStop()
    with ScriptedServer(BROKEN[fault], BROKEN[fault], DONE[call]) as server:
        READS[call](writer(server.url, stop=stop))
    assert len(server.requests) == 3
    assert [0.25 <= stop.waits[0] <= 0.5, 0.75 <= stop.waits[1] <= 1.0, len(stop.waits)] == [True, True, 2]


@pytest.mark.parametrize("fault", [*BROKEN, "500"])
@pytest.mark.parametrize("call", ONCE)
def test_anything_but_a_read_is_sent_once_and_its_outcome_is_unknown(writer: Open, call: str, fault: str) -> None:
    stop = InstantStop()
    with ScriptedServer({**BROKEN, "500": Reply(500)}[fault], GOOD) as server:
        accounts = writer(server.url, stop=stop)
        error = failing(lambda: ONCE[call](accounts))
    assert (type(error), error.transient, len(server.requests)) == (OutcomeUnknownError, fault != "500", 1)
    assert stop.waits == []


@pytest.mark.parametrize("call", ALL)
def test_after_too_many_requests_only_a_read_is_repeated(writer: Open, call: str) -> None:
    stop = InstantStop()
    with ScriptedServer(Reply(429, headers={"Retry-After": "7"}), DONE.get(call, GOOD)) as server:
        accounts = writer(server.url, stop=stop)
        if call in READS:
            READS[call](accounts)
            assert (len(server.requests), stop.waits) == (2, [7.0])
            return
        error = failing(lambda: ONCE[call](accounts))
    assert (type(error), error.transient, error.retry_after) == (RejectedError, True, 7.0)
    assert (len(server.requests), stop.waits) == (1, [])


@pytest.mark.parametrize("call", ALL)
def test_a_refused_connection_means_that_nothing_happened(writer: Open, call: str) -> None:
    stop = InstantStop()
    accounts = writer(f"http://127.0.0.1:{refused_port()}", stop=stop)
    error = failing(lambda: ALL[call](accounts))
    waits = 3 if call in READS else 0
    assert (type(error), error.problems[0].kind, len(stop.waits)) == (UnreachableError, "connection_refused", waits)
    assert error.transient


@pytest.mark.parametrize(("call", "times"), [("get", 2), ("test", 2), ("create", 1), ("update", 1), ("delete", 1)])
def test_a_write_is_not_sent_again_even_with_a_new_token(writer: Open, call: str, times: int) -> None:
    """The token exchange takes time, so the account has to be read again first."""

    def respond(request: Request) -> Step:
        if request.path.endswith("/token"):
            return json_reply({"access_token": f"token-{len(server.requests)}"})
        sent = [line for line in server.lines if "token" not in line]
        done = GOOD if call == "get" else Reply(200)
        return json_reply({}, 401) if len(sent) == 1 else done

    with ScriptedServer(respond=respond) as server:
        accounts = writer(server.url, credentials=RefreshToken(Secret("refresh")))
        if times == 1:
            error = failing(lambda: ALL[call](accounts))
            assert (type(error), error.transient) == (RejectedError, True)
        else:
            ALL[call](accounts)
    assert [len([line for line in server.lines if "token" not in line]), server.lines.count(TOKEN)] == [times, 2]


def test_a_read_within_a_run_is_repeated_by_that_run_only(writer: Open) -> None:
    stop = InstantStop()
    with ScriptedServer(Reply(503), Reply(503), GOOD) as server:
        accounts = writer(server.url, stop=stop)
        Retry(5.0, stop).run(lambda _: accounts.get_account(1))
    assert (len(server.requests), len(stop.waits)) == (3, 2)


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
        (Reply(200, b"["), "invalid_response", 1),
    ],
)
def test_a_failed_read_is_never_an_unknown_outcome(writer: Open, step: Step, kind: str, attempts: int) -> None:
    with ScriptedServer(step) as server:
        accounts = writer(server.url)
        error = failing(accounts.list_accounts)
    assert (type(error), error.problems[0].kind, len(server.requests)) == (ApiError, kind, attempts)


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
def test_retry_after_is_respected_if_it_is_longer_than_our_pause(
    writer: Open, value: str, shortest: float, longest: float
) -> None:
    stop = InstantStop()
    with ScriptedServer(Reply(503, headers={"Retry-After": value}), GOOD) as server:
        writer(server.url, stop=stop).get_account(1)
    assert [shortest <= wait <= longest for wait in stop.waits] == [True]


def test_retry_after_may_be_a_date(writer: Open) -> None:
    stop = InstantStop()
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=40), usegmt=True)
    with ScriptedServer(Reply(503, headers={"Retry-After": date}), GOOD) as server:
        writer(server.url, stop=stop).get_account(1)
    assert [30 <= wait <= 40 for wait in stop.waits] == [True]


@pytest.mark.parametrize(("asked", "seconds"), [("3600", "3600"), ("9" * 30, "1000000000"), ("9" * 9999, "1000000000")])
def test_nothing_is_repeated_if_the_wait_exceeds_the_time_left(writer: Open, asked: str, seconds: str) -> None:
    stop = InstantStop()
    with ScriptedServer(Reply(429, headers={"Retry-After": asked})) as server:
        accounts = writer(server.url, stop=stop)
        error = failing(accounts.list_accounts)
    assert (type(error), len(server.requests), stop.waits) == (RejectedError, 1, [])
    assert error.problems[0].hint == f"the server asks to wait for {seconds} seconds; a lower --parallelism may help"


def test_an_interrupt_ends_the_pause_and_nothing_is_sent_again(writer: Open) -> None:
    stop = InstantStop(stops_while_waiting=True)
    with ScriptedServer(Reply(503)) as server:
        accounts = writer(server.url, stop=stop)
        error = failing(lambda: accounts.get_account(1))
    assert (type(error), len(server.requests), len(stop.waits)) == (ApiError, 1, 1)


def test_nothing_is_repeated_after_an_interrupt(writer: Open) -> None:
    stop = InstantStop()
    stop.set()
    with ScriptedServer(Reply(503)) as server:
        accounts = writer(server.url, stop=stop)
        failing(accounts.list_accounts)
    assert (len(server.requests), stop.waits) == (1, [])


@pytest.mark.parametrize("call", ALL)
def test_after_a_timeout_only_a_read_is_repeated(writer: Open, call: str) -> None:
    with ScriptedServer(Hang()) as server:
        accounts = writer(server.url, timeout=0.25)
        error = failing(lambda: ALL[call](accounts))
    kind, attempts = (ApiError, 4) if call in READS else (OutcomeUnknownError, 1)
    assert (type(error), error.problems[0].kind, len(server.requests)) == (kind, "timeout", attempts)


def test_an_idle_connection_that_the_server_closed_is_replaced(writer: Open) -> None:
    def respond(_: object) -> Step:
        return Close(GOOD.raw())

    with ScriptedServer(respond=respond) as server:
        accounts = writer(server.url)
        accounts.get_account(1)
        server.await_closed()
        accounts.create_account({"email": "a@example.com"})
    assert [request.connection for request in server.requests] == [0, 1]
