"""Requests when the network or the server misbehaves."""

from __future__ import annotations

import gzip
import socket
import ssl
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import trustme

from reconciler.client.gateway import connect
from reconciler.client.session import ConnectionPool, Endpoint, Request, WriteAttemptedError
from reconciler.client.transport import Transport
from reconciler.errors import ApiError, OutcomeUnknownError, Problem, RejectedError, UnreachableError
from reconciler.model.redaction import Redactor
from reconciler.model.secret import Secret
from reconciler.model.server import RefreshToken
from tests.client.conftest import InstantStop, settings_for
from tests.support.scripted_server import Close, Endless, Hang, Reply, ScriptedServer, Step, json_reply
from tests.support.scripted_server import Request as Received

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.client.conftest import Open, OpenReader

LIST = "GET /api/email/accounts"
BARE = {"id": 1, "email": "a@example.com"}
CONTEXT = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
URL_HINT = "check the URL, and whether this machine can reach the server"


def failing(call: Callable[[], object]) -> tuple[type[ApiError], Problem]:
    with pytest.raises(ApiError) as caught:
        call()
    (problem,) = caught.value.problems
    return type(caught.value), problem


def exchange(url: str, *, limit: int = 1024 * 1024, seconds: float = 5.0, **more: Any) -> bytes | ApiError:  # noqa: ANN401
    """One GET: the body, or the error."""
    pool = ConnectionPool(Endpoint(url=httpx.URL(url), context=CONTEXT, **more), Redactor(), limit)
    try:
        return pool.exchange(Request("GET", "/"), deadline=time.monotonic() + seconds).body
    except ApiError as error:
        return error
    finally:
        pool.close()


def kind(result: bytes | ApiError) -> str:
    assert isinstance(result, ApiError)
    (problem,) = result.problems
    return f"{problem.kind}: {problem.message.replace('http://127.0.0.1', 'HOST').split(' (')[0]}"


def test_the_url_of_many_requests_is_parsed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[str] = []
    original = httpx.URL

    def counted(url: str) -> httpx.URL:
        parsed.append(url)
        return original(url)

    monkeypatch.setattr(httpx, "URL", counted)
    with ScriptedServer(*[Reply(200, b"{}") for _ in range(5)]) as server:
        pool = ConnectionPool(Endpoint(url=httpx.URL(server.url), context=CONTEXT), Redactor())
        deadline = time.monotonic() + 5
        for bearer in (b"Bearer one", b"Bearer one", b"Bearer two", None, None):
            pool.exchange(Request("POST", "/path", b"{}"), bearer=bearer, deadline=deadline)
        pool.close()
    assert parsed == [server.url]
    sent = [request.header("authorization") for request in server.requests]
    assert sent == ["Bearer one", "Bearer one", "Bearer two", None, None]


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "GZIP"])
def test_a_compressed_response_is_decompressed(encoding: str) -> None:
    text = b"[" + b" " * 3_000_000 + b"]"
    with ScriptedServer(Reply(200, gzip.compress(text), {"Content-Encoding": encoding})) as server:
        assert exchange(server.url, limit=4_000_000) == text


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (Reply(200, b"x" * 1_048_577), "the response is larger than 1 MiB"),
        (Reply(200, b"x", {"Content-Length": str(10**10)}), "the response is larger than 1 MiB"),
        (Endless(b"HTTP/1.1 200 x\r\n\r\n", b" " * 65536), "the response is larger than 1 MiB"),
        (
            Endless(b"HTTP/1.1 200 x\r\nTransfer-Encoding: chunked\r\n\r\n", b"1000\r\n" + b" " * 4096 + b"\r\n"),
            "the response is larger than 1 MiB",
        ),
        (
            Reply(200, gzip.compress(bytes(20_000_000), 1), {"Content-Encoding": "gzip"}),
            "the response is larger than 1 MiB",
        ),
        (Reply(200, b"x", {"Content-Encoding": "gzip, gzip"}), "the response is in an encoding that was not asked for"),
        (Reply(200, b"x", {"Content-Encoding": "br"}), "the response is in an encoding that was not asked for"),
        (
            Reply(200, zlib.compress(b"x"), {"Content-Encoding": "gzip"}),
            "the response declares gzip but is something else",
        ),
        (
            Reply(200, gzip.compress(b"x" * 99)[:-9], {"Content-Encoding": "gzip"}),
            "the response's gzip is cut short, or continues after its end",
        ),
        (
            Reply(200, gzip.compress(b"[1]") + gzip.compress(b"2"), {"Content-Encoding": "gzip"}),
            "the response's gzip is cut short, or continues after its end",
        ),
    ],
    ids=["large", "declared", "endless", "chunked", "bomb", "nested", "brotli", "no gzip", "cut gzip", "two gzips"],
)
def test_an_unusable_response_is_refused_within_bounds(step: Step, message: str) -> None:
    with ScriptedServer(step) as server:
        assert kind(exchange(server.url)) == f"invalid_response: {message}"


@pytest.mark.parametrize(
    "step",
    [
        Hang(),
        Hang(b"HTTP/1.1 200 x\r\nConte"),
        Hang(b"HTTP/1.1 200 x\r\nContent-Length: 9\r\n\r\n[1,"),
        Endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 99),
        Endless(b"", b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" * 99),
    ],
    ids=["silence", "half a header", "half a body", "continue", "hints"],
)
def test_no_response_can_exceed_the_deadline(step: Step) -> None:
    with ScriptedServer(step) as server:
        message = f"HOST:{server.port} sent no complete response in time"
        start = time.monotonic()
        assert kind(exchange(server.url, seconds=0.2)) == f"timeout: {message}"
        assert time.monotonic() - start < 2


def test_an_endless_header_ends_in_an_error() -> None:
    with ScriptedServer(Endless(b"HTTP/1.1 200 x\r\nX: ", b"x" * 4096)) as server:
        message = f"the connection to HOST:{server.port} broke before the response was complete"
        assert kind(exchange(server.url)) == f"connection_lost: {message}"


def test_a_request_past_its_deadline_is_not_sent() -> None:
    with ScriptedServer(Reply()) as server:
        result = exchange(server.url, seconds=-1)
    assert isinstance(result, UnreachableError)
    assert (result.problems[0].kind, server.connections) == ("connect_timeout", 0)


def test_an_early_response_to_a_large_request_is_read(writer: Open) -> None:
    refusal = Reply(413, b"too much", {"Content-Type": "text/plain", "Connection": "close"})
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def refuse() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.sendall(refusal.raw())
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(65536):
                    pass

        thread = threading.Thread(target=refuse)
        thread.start()
        accounts = writer(f"http://127.0.0.1:{listener.getsockname()[1]}")
        end = failing(lambda: accounts.create_account({"email": "a", "name": "n" * 100_000}))
        thread.join(10)
    phrase = "413 Request Entity Too Large: too much"
    assert (end[0], end[1].message) in {
        (RejectedError, phrase),
        (RejectedError, phrase.replace("Request Entity", "Content")),
    }


@pytest.mark.parametrize(
    ("location", "host"),
    [
        ("https://evil.example.com/x", "evil.example.com"),
        ("/elsewhere", "a path on this server"),
        ("", "nowhere"),
        ("http://[", "an address that cannot be read"),
    ],
)
def test_a_redirect_is_not_followed(writer: Open, location: str, host: str) -> None:
    with ScriptedServer(Reply(307, headers={"Location": location})) as server:
        accounts = writer(server.url)
        hint = "redirects are not followed, so that the token stays with the server it is for: use the final URL"
        message = f"307 Temporary Redirect: the server redirects to {host}"
        expected = (RejectedError, Problem(kind="redirect", message=message, hint=hint))
        assert failing(accounts.list_accounts) == expected
        assert failing(lambda: accounts.create_account({"email": "a"})) == expected
    assert len(server.requests) == 2


def test_the_outcome_of_a_write_is_unknown_after_a_303(writer: Open) -> None:
    with ScriptedServer(Reply(303, headers={"Location": "/done"})) as server:
        accounts = writer(server.url)
        assert failing(lambda: accounts.create_account({"email": "a"}))[0] is OutcomeUnknownError
        assert failing(accounts.list_accounts)[0] is ApiError


def test_an_unexpected_status_leaves_a_write_unknown(writer: Open) -> None:
    with ScriptedServer(Close(b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n")) as server:
        accounts = writer(server.url)
        assert failing(lambda: accounts.create_account({"email": "a"}))[0] is OutcomeUnknownError


@pytest.mark.parametrize("call", ["list", "create"])
def test_a_name_that_cannot_be_resolved_is_an_error(writer: Open, call: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    stop = InstantStop()
    accounts = writer("https://nowhere.invalid", stop=stop)
    waits = 3 if call == "list" else 0
    end = failing(accounts.list_accounts if call == "list" else lambda: accounts.create_account({"email": "a"}))
    message = (
        "cannot reach https://nowhere.invalid: the host name cannot be resolved ([Errno -2] Name or service not known)"
    )
    assert (end, len(stop.waits)) == ((UnreachableError, Problem(kind="dns", message=message, hint=URL_HINT)), waits)


def test_a_connection_timeout_is_an_error(writer: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(*_: object, **__: object) -> None:
        raise TimeoutError("timed out")

    monkeypatch.setattr(socket, "create_connection", slow)
    accounts = writer("https://fw.example.com", timeout=7)
    message = "cannot reach https://fw.example.com: no connection in time (timed out)"
    expected = (UnreachableError, Problem(kind="connect_timeout", message=message, hint=URL_HINT))
    assert failing(lambda: accounts.create_account({"email": "a"})) == expected


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def tls_server(authority: trustme.CA, *names: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names).configure_cert(context)
    return context


def test_a_private_ca_is_trusted_if_it_is_named(writer: Open, authority: trustme.CA, tmp_path: Path) -> None:
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    with ScriptedServer(json_reply(BARE), tls=tls_server(authority, "127.0.0.1")) as server:
        accounts = writer(server.url, ca_file=str(tmp_path / "ca.pem"))
        assert accounts.create_account({"email": "a@example.com"}).id == 1
        assert accounts.get_account(1).id == 1
    assert server.connections == 1


@pytest.mark.parametrize("trusted", [True, False], ids=["wrong name", "unknown authority"])
def test_nothing_is_sent_to_a_server_with_a_wrong_certificate(
    writer: Open, authority: trustme.CA, tmp_path: Path, *, trusted: bool
) -> None:
    (authority if trusted else trustme.CA()).cert_pem.write_to_path(tmp_path / "ca.pem")
    stop = InstantStop()
    with ScriptedServer(Reply(), tls=tls_server(authority, "other.example.com" if trusted else "127.0.0.1")) as server:
        accounts = writer(server.url, ca_file=str(tmp_path / "ca.pem"), stop=stop)
        end = failing(lambda: accounts.create_account({"email": "a"}))
    hint = "for a private CA, name its certificate in ca_file or --ca-file"
    assert (end[0], end[1].kind, end[1].hint) == (UnreachableError, "tls", hint)
    assert end[1].message.startswith(f"cannot reach {server.url}: the server's certificate is not trusted (")
    assert (server.requests, stop.waits) == ([], [])


def test_https_to_a_plain_http_port_is_an_error(writer: Open) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def complain() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(Reply(400).raw())

        thread = threading.Thread(target=complain)
        thread.start()
        accounts = writer(f"https://127.0.0.1:{listener.getsockname()[1]}")
        end = failing(lambda: accounts.create_account({"email": "a"}))
        thread.join(10)
    assert (end[0], end[1].kind) == (UnreachableError, "tls")
    assert end[1].hint.startswith("check that this port speaks https; ")


def test_a_proxy_that_refuses_gets_no_token(writer: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    with ScriptedServer(Reply(403)) as proxy:
        monkeypatch.setenv("https_proxy", proxy.url)
        accounts = writer("https://fw.example.com")
        end = failing(lambda: accounts.create_account({"email": "a"}))
    assert (end[0], end[1].kind) == (UnreachableError, "proxy")
    assert {request.line for request in proxy.requests} == {"CONNECT fw.example.com:443"}
    assert [request.header("Authorization") for request in proxy.requests if request.header("Authorization")] == []


def test_a_reader_can_only_send_get_requests(reader: OpenReader) -> None:
    with ScriptedServer(json_reply([])) as server:
        accounts: Any = reader(server.url)
        pool, soon = accounts._session._pool, time.monotonic() + 5
        for method in ("POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"):
            with pytest.raises(WriteAttemptedError, match=f"does not send {method} /api/email/accounts"):
                pool.exchange(Request(method, "/api/email/accounts"), deadline=soon)
        with pytest.raises(WriteAttemptedError):
            pool.exchange(Request("POST", "/api/v1/oauth2/token", b"{}"), deadline=soon)
        assert server.connections == 0
        pool.exchange(Request("GET", "/", b"a body"), deadline=soon)
        accounts.list_accounts()
    assert [(request.line, request.body) for request in server.requests] == [("GET /", b""), (LIST, b"")]
    assert [name for name in dir(accounts) if not name.startswith("_")] == ["get_account", "list_accounts"]


def test_reader_and_writer_share_one_token_and_one_connection() -> None:
    credentials = RefreshToken(Secret("the-key"))
    replies = [json_reply({"access_token": "token-1"}), json_reply([]), json_reply(BARE)]
    with ScriptedServer(*replies) as server, connect(settings_for(server.url, credentials=credentials)) as opened:
        opened.reader.list_accounts()
        opened.writer.create_account({"email": "a@example.com"})
    assert server.lines == ["POST /api/v1/oauth2/token", LIST, "POST /api/email/accounts"]
    assert server.connections == 1


def test_parallel_requests_use_no_more_connections_than_allowed(writer: Open) -> None:
    busy = threading.Barrier(3)

    def respond(request: Received) -> Step:
        busy.wait(10)
        return json_reply({**BARE, "id": int(request.path.rsplit("/", 1)[1])})

    with ScriptedServer(respond=respond) as server, ThreadPoolExecutor(9) as pool:
        accounts = writer(server.url, parallelism=3)
        found = list(pool.map(accounts.get_account, range(9)))
    assert [account.id for account in found] == list(range(9))
    assert server.connections == 3


def test_consecutive_requests_use_one_connection(writer: Open) -> None:
    with ScriptedServer(json_reply(BARE)) as server:
        accounts = writer(server.url)
        for _ in range(5):
            accounts.get_account(1)
    assert server.connections == 1


def test_connections_opened_while_the_pool_closes_are_closed_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    busy = threading.Barrier(3)

    def respond(request: Received) -> Step:
        if request.path == "/together":
            busy.wait(10)
        return Reply()

    def get(path: str) -> None:
        pool.exchange(Request("GET", path), deadline=time.monotonic() + 10)

    class Interrupted(Transport):
        closed = 0

        def close(self) -> None:
            Interrupted.closed += 1
            if Interrupted.closed == 1:
                with ThreadPoolExecutor(3) as threads:
                    list(threads.map(get, ["/together"] * 3))
            super().close()

    monkeypatch.setattr("reconciler.client.session.Transport", Interrupted)
    with ScriptedServer(respond=respond) as server:
        pool = ConnectionPool(Endpoint(url=httpx.URL(server.url), context=CONTEXT), Redactor())
        get("/alone")
        pool.close()
        server.await_closed()
        assert (server.connections, Interrupted.closed) == (4, 4)
