from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from reconciler.client.auth import FixedToken
from reconciler.errors import ApiError, Position, Problem, RejectedError, UnreachableError
from reconciler.model.redaction import Redactor
from reconciler.model.secret import Secret, SecretReference
from reconciler.model.server import AccessToken, Login, RefreshToken
from tests.client.conftest import InstantStop, settings_for
from tests.support.scripted_server import Close, Reply, Request, ScriptedServer, Step, json_reply

if TYPE_CHECKING:
    from collections.abc import Callable

    from reconciler.model.ports import AccountWriter
    from reconciler.model.server import Credentials
    from tests.client.conftest import Open

KEY = RefreshToken(Secret("the-key"))
V1, V0 = "POST /api/v1/oauth2/token", "POST /api/oauth2/token"
LIST = "GET /api/email/accounts"
HINT = (
    "the token or key is wrong or has expired: check server.auth, or RECONCILER_REFRESH_TOKEN (for an API key) and"
    " RECONCILER_TOKEN (for an access token)"
)


class Server:
    """Issues token-1, token-2, … and accepts only the last one."""

    def __init__(self, **token: object) -> None:
        self.given = 0
        self.accepted = ""
        self.token = token
        self.lock = threading.Lock()

    def __call__(self, request: Request) -> Step:
        with self.lock:
            if request.path.endswith("/token"):
                self.given += 1
                self.accepted = f"token-{self.given}"
                return json_reply({"access_token": self.accepted, "expires_in": 900, **self.token})
            if request.header("Authorization") != f"Bearer {self.accepted}":
                return Reply(401)
        if request.path.endswith("/test"):
            return Reply(200)
        return json_reply([] if request.method == "GET" else {"id": 1, "email": "a@example.com"})


def problem_of(call: Callable[[], object]) -> tuple[type[ApiError], Problem]:
    with pytest.raises(ApiError) as caught:
        call()
    (problem,) = caught.value.problems
    return type(caught.value), problem


@pytest.mark.parametrize(
    ("credentials", "grant"),
    [
        (KEY, {"grant_type": "refresh_token", "refresh_token": "the-key"}),
        (
            Login(Secret("admin"), Secret("s3cret!!")),
            {"grant_type": "password", "username": "admin", "password": "s3cret!!"},
        ),
    ],
)
def test_credentials_are_exchanged_once_at_the_first_request(
    writer: Open, credentials: Credentials, grant: dict[str, str]
) -> None:
    with ScriptedServer(respond=Server()) as server:
        accounts = writer(server.url, credentials=credentials)
        assert server.requests == []
        accounts.list_accounts()
        accounts.list_accounts()
    assert server.lines == [V1, LIST, LIST]
    assert [server.requests[0].json, server.requests[0].header("Authorization")] == [grant, None]
    assert [request.header("Authorization") for request in server.requests[1:]] == ["Bearer token-1"] * 2
    assert server.connections == 1


def test_the_sdks_path_is_used_if_the_documented_one_is_missing(writer: Open) -> None:
    give = Server()

    def respond(request: Request) -> Step:
        if request.line == V1:
            return Reply(404)
        response = give(request)
        if len(server.requests) == 3:
            give.accepted = "another"
        return response

    with ScriptedServer(respond=respond) as server:
        accounts = writer(server.url, credentials=KEY)
        accounts.list_accounts()
        accounts.list_accounts()
    assert server.lines == [V1, V0, LIST, LIST, V0, LIST]


def test_a_server_without_a_token_endpoint_is_an_error(writer: Open) -> None:
    with ScriptedServer(Reply(404)) as server:
        accounts = writer(server.url, credentials=KEY)
        kind, problem = problem_of(accounts.list_accounts)
    hint = "is this the URL of the server's API, without a path?"
    assert (kind, problem) == (RejectedError, Problem(kind="not_found", message="404 Not Found", hint=hint))
    assert server.lines == [V1, V0]


def test_a_request_is_sent_again_if_its_token_has_expired(writer: Open) -> None:
    give = Server()
    with ScriptedServer(respond=give) as server:
        accounts = writer(server.url, credentials=KEY)
        accounts.list_accounts()
        give.accepted = "another"
        accounts.run_delivery_test({"email": "a@example.com"}, "b@example.com")
    test = "POST /api/email/accounts/test"
    assert server.lines == [V1, LIST, test, V1, test]
    assert server.requests[2].body == server.requests[4].body
    assert server.connections == 1


def test_a_token_refused_twice_is_an_error_after_one_renewal(writer: Open) -> None:
    with ScriptedServer(
        json_reply({"access_token": "t" * 9}), Reply(401), json_reply({"access_token": "u" * 9}), Reply(401)
    ) as server:
        accounts = writer(server.url, credentials=KEY)
        kind, problem = problem_of(accounts.list_accounts)
    assert (kind, problem) == (RejectedError, Problem(kind="unauthorized", message="401 Unauthorized", hint=HINT))
    assert server.lines == [V1, LIST, V1, LIST]


@pytest.mark.parametrize("call", ["list", "test"])
def test_a_new_token_that_was_accepted_before_may_expire_as_well(writer: Open, call: str) -> None:
    give = Server()
    accounts: AccountWriter

    def make() -> None:
        if call == "list":
            accounts.list_accounts()
        else:
            accounts.run_delivery_test({"email": "a@example.com"}, "b@example.com")

    def respond(request: Request) -> Step:
        if request.header("Authorization") == "Bearer token-2" and give.given == 2 and not others:
            others.append(request)
            make()  # another request of the run succeeds, and then the token expires
            give.accepted = "token-3"
            return Reply(401)
        return give(request)

    others: list[Request] = []
    with ScriptedServer(respond=respond) as server:
        accounts = writer(server.url, credentials=KEY)
        accounts.list_accounts()
        give.accepted = "token-2"
        make()
    assert server.lines.count(V1) == 3


def test_a_fixed_token_that_is_refused_is_an_error(writer: Open) -> None:
    with ScriptedServer(Reply(401)) as server:
        accounts = writer(server.url)
        kind, problem = problem_of(accounts.list_accounts)
    assert (kind, problem) == (RejectedError, Problem(kind="unauthorized", message="401 Unauthorized", hint=HINT))
    assert server.lines == [LIST]


@pytest.mark.parametrize(
    ("lifetime", "exchanges"), [(1e-9, 3), (900, 1), ("900", 1), (0, 1), (-5, 1), (None, 1)], ids=repr
)
def test_a_token_is_replaced_before_it_runs_out(writer: Open, lifetime: object, exchanges: int) -> None:
    with ScriptedServer(respond=Server(expires_in=lifetime)) as server:
        accounts = writer(server.url, credentials=KEY)
        for _ in range(3):
            accounts.list_accounts()
    assert (server.lines.count(V1), server.lines.count(LIST)) == (exchanges, 3)


def test_a_new_refresh_token_is_used_from_then_on(writer: Open) -> None:
    redactor = Redactor()
    with ScriptedServer(respond=Server(refresh_token="another-key", expires_in=1e-9)) as server:
        accounts = writer(server.url, credentials=KEY, redactor=redactor)
        accounts.list_accounts()
        accounts.list_accounts()
    keys = [json.loads(request.body)["refresh_token"] for request in server.requests if request.line == V1]
    assert keys == ["the-key", "another-key"]
    assert redactor.redact("the-key another-key token-1 token-2") == "*** *** *** ***"


def test_a_login_is_repeated_even_if_a_refresh_token_is_returned(writer: Open) -> None:
    with ScriptedServer(respond=Server(refresh_token="another-key", expires_in=1e-9)) as server:
        accounts = writer(server.url, credentials=Login(Secret("admin"), Secret("s3cret!!")))
        accounts.list_accounts()
        accounts.list_accounts()
    assert [json.loads(request.body)["grant_type"] for request in server.requests if request.line == V1] == [
        "password"
    ] * 2


def test_parallel_requests_share_one_exchange_and_one_renewal(writer: Open) -> None:
    give = Server()
    with ScriptedServer(respond=give) as server, ThreadPoolExecutor(8) as pool:
        accounts = writer(server.url, credentials=KEY)
        together = threading.Barrier(8)

        def ask(_: int) -> None:
            together.wait()
            accounts.list_accounts()

        list(pool.map(ask, range(8)))
        give.accepted = "another"
        list(pool.map(ask, range(8)))
    assert server.lines.count(V1) == 2
    assert 16 <= server.lines.count(LIST) <= 24


@pytest.mark.parametrize("status", [400, 401, 403])
def test_refused_credentials_are_not_tried_again(writer: Open, status: int) -> None:
    refusal = {"errors": [{"field": "refresh_token", "type": "invalid", "msg": "Chave the-key inválida"}]}
    with ScriptedServer(json_reply(refusal, status)) as server:
        accounts = writer(server.url, credentials=KEY)
        first = problem_of(accounts.list_accounts)
        second = problem_of(lambda: accounts.create_account({"email": "a@example.com"}))
    message = f"the server refuses the credentials: {status} invalid: refresh_token: Chave *** inválida"
    assert first == second == (RejectedError, Problem(kind="unauthorized", message=message, hint=HINT))
    assert server.lines == [V1]


class CountingLock:
    """A lock that counts the threads that ask for it."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.arrived = threading.Semaphore(0)

    def __enter__(self) -> None:
        self.arrived.release()
        self.lock.acquire()

    def __exit__(self, *_: object) -> None:
        self.lock.release()


def test_parallel_requests_share_the_failure_of_an_exchange(writer: Open) -> None:
    all_are_waiting = threading.Event()

    def respond(_: Request) -> Step:
        all_are_waiting.wait(10)
        return Reply(500)

    with ScriptedServer(respond=respond) as server, ThreadPoolExecutor(8) as pool:
        accounts = writer(server.url, credentials=KEY)
        lock = CountingLock()
        accounts._session._tokens._lock = lock  # type: ignore[attr-defined]
        ends = [pool.submit(problem_of, accounts.list_accounts) for _ in range(8)]
        assert all(lock.arrived.acquire(timeout=10) for _ in range(8))
        all_are_waiting.set()
        expected = (UnreachableError, Problem(kind="server_error", message="500 Internal Server Error"))
        assert [end.result(10) for end in ends] == [expected] * 8
    assert server.lines == [V1]


@pytest.mark.parametrize(
    ("step", "kind", "attempts"),
    [(Reply(503), "server_error", 4), (Close(), "connection_lost", 4), (Reply(200, b"<html>"), "invalid_response", 1)],
)
def test_a_failed_exchange_is_repeated_if_that_may_help(writer: Open, step: Step, kind: str, attempts: int) -> None:
    with ScriptedServer(step) as server:
        accounts = writer(server.url, credentials=KEY)
        error, problem = problem_of(lambda: accounts.create_account({"email": "a@example.com"}))
    assert (error, problem.kind, server.lines) == (UnreachableError, kind, [V1] * attempts)


def test_the_next_request_repeats_a_failed_exchange(writer: Open) -> None:
    with ScriptedServer(Reply(500), json_reply({"access_token": "t" * 9}), json_reply([])) as server:
        accounts = writer(server.url, credentials=KEY)
        assert problem_of(accounts.list_accounts)[0] is UnreachableError
        assert accounts.list_accounts() == ()
    assert server.lines == [V1, V1, LIST]


def test_a_write_refused_with_two_tokens_is_not_transient(writer: Open) -> None:
    steps = [json_reply({"access_token": "t" * 9}), Reply(401), json_reply({"access_token": "u" * 9}), Reply(401)]
    with ScriptedServer(*steps, json_reply({"access_token": "v" * 9})) as server:
        accounts = writer(server.url, credentials=KEY)
        errors = []
        for _ in range(2):
            with pytest.raises(RejectedError) as caught:
                accounts.delete_account(1)
            errors.append(caught.value)
    delete = "DELETE /api/email/accounts/1"
    assert server.lines == [V1, delete, V1, delete]
    assert [error.transient for error in errors] == [True, False]


@pytest.mark.parametrize("token", ["", "Bearer abc", "a\r\nX: y", "tokên", "a b", "\x00", "****", "t" * 65_537])
def test_an_impossible_token_is_refused_before_anything_is_sent(writer: Open, token: str) -> None:
    message = "the access token is empty, a mask, longer than 64 KiB, or contains characters that no token has"
    expected = (RejectedError, Problem(kind="unauthorized", message=message, hint=HINT))
    with ScriptedServer(json_reply([])) as server:
        accounts = writer(server.url, credentials=AccessToken(Secret(token)))
        assert problem_of(accounts.list_accounts) == expected
    assert server.requests == []


@pytest.mark.parametrize("token", ["a\r\nX: y", "********"])
def test_an_impossible_token_from_the_server_is_refused(writer: Open, token: str) -> None:
    with ScriptedServer(json_reply({"access_token": token})) as server:
        accounts = writer(server.url, credentials=KEY)
        assert problem_of(accounts.list_accounts)[1].kind == "unauthorized"
    assert server.lines == [V1]


def test_unresolved_credentials_raise_a_type_error(writer: Open) -> None:
    reference = SecretReference("env", ("X",), Position("f.yaml"))
    for credentials in (AccessToken(reference), RefreshToken(reference), Login(Secret("u"), reference)):
        with pytest.raises(TypeError, match="credentials must be resolved"):
            writer("http://127.0.0.1:1", credentials=credentials)


def test_cookies_of_the_exchange_are_not_sent_back(writer: Open) -> None:
    cookies = {"Set-Cookie": "access-token=abc; Path=/"}
    exchange = Reply(200, b'{"access_token": "ttttttttt"}', cookies)
    with ScriptedServer(exchange, Reply(200, b"[]", cookies)) as server:
        accounts = writer(server.url, credentials=KEY)
        accounts.list_accounts()
        accounts.list_accounts()
    assert [request.header("Cookie") for request in server.requests] == [None, None, None]


def test_no_repr_shows_a_secret() -> None:
    connection = settings_for("http://127.0.0.1:1", credentials=KEY, stop=InstantStop())
    token = FixedToken(AccessToken(Secret("the-token")), Redactor()).bearer()
    assert ["the-" in repr(holder) for holder in (connection, token)] == [False, False]
