"""Who may read the page, under which names, and what every response says."""

from __future__ import annotations

import base64
import resource
import socket
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from reconciler.errors import ReconcilerError
from reconciler.report.html_page import source_hash
from tests.support import plain_http
from tests.watch.fleets import SampleView, overview, small
from tests.watch.page_client import SECRET, TOKEN, parse, raw

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.watch.conftest import Serve

READ = ["/", "/servers/b001", "/api/v1/servers", "/api/v1/servers/b001", "/metrics", "/openapi.json"]
PROBES = ["/healthz", "/readyz"]
CHALLENGE = 'Basic realm="reconciler", charset="UTF-8"'


def basic(token: str, user: str = "anyone") -> dict[str, str]:
    return {"Authorization": f"Basic {base64.b64encode(f'{user}:{token}'.encode()).decode()}"}


def statuses(url: str, paths: list[str], headers: dict[str, str] | None = None) -> dict[str, int]:
    with plain_http.Client(base_url=url, headers=headers) as client:
        return {path: client.get(path).status_code for path in paths}


def test_without_a_token_loopback_reads_everything(serve: Serve) -> None:
    assert set(statuses(serve().url, [*READ, *PROBES]).values()) == {200}


def test_a_token_is_needed_for_everything_but_probes_and_hook(serve: Serve) -> None:
    url = serve(RECONCILER_PAGE_TOKEN=TOKEN, RECONCILER_HOOK_SECRET=SECRET).url
    assert set(statuses(url, [*READ, "/nowhere"]).values()) == {401}
    assert set(statuses(url, PROBES).values()) == {200}
    response = plain_http.get(url)
    assert response.headers["WWW-Authenticate"] == CHALLENGE
    assert "b001" not in response.text
    assert plain_http.post(f"{url}/hook").status_code == 403


@pytest.mark.parametrize(
    "headers",
    [{"Authorization": f"Bearer {TOKEN}"}, {"Authorization": f"bearer  {TOKEN}"}, basic(TOKEN), basic(TOKEN, "")],
)
def test_the_token_is_a_bearer_or_a_password(serve: Serve, headers: dict[str, str]) -> None:
    url = serve(RECONCILER_PAGE_TOKEN=f"{TOKEN}\n").url
    assert set(statuses(url, READ, headers).values()) == {200}


@pytest.mark.parametrize(
    "value",
    [
        "",
        "Bearer",
        f"Bearer {TOKEN}x",
        f"Bearer {TOKEN[:-1]}",
        f"Token {TOKEN}",
        TOKEN,
        "Basic",
        "Basic !",
        basic("")["Authorization"],
        basic(TOKEN[::-1])["Authorization"],
        f"Basic {base64.b64encode(TOKEN.encode()).decode()}",
        b"Basic 4bCA" + b"\xff",
        b"Bearer \xff\xfe",
    ],
)
def test_anything_else_is_refused(serve: Serve, value: str | bytes) -> None:
    url = serve(RECONCILER_PAGE_TOKEN=TOKEN).url
    content = value.encode() if isinstance(value, str) else value
    assert plain_http.get(url, headers=[(b"Authorization", content)]).status_code == 401


def test_two_authorization_headers_are_refused(serve: Serve) -> None:
    url = serve(RECONCILER_PAGE_TOKEN=TOKEN).url
    headers = [("Authorization", f"Bearer {TOKEN}"), ("Authorization", "Bearer x")]
    assert plain_http.get(url, headers=headers).status_code == 401


def test_a_token_in_the_address_is_of_no_use(serve: Serve) -> None:
    url = serve(RECONCILER_PAGE_TOKEN=TOKEN).url
    assert plain_http.get(f"{url}/?token={TOKEN}&access_token={TOKEN}").status_code == 401


@pytest.mark.parametrize("path", [*READ, "/hook", "/nowhere"])
def test_a_foreign_host_is_refused(serve: Serve, path: str) -> None:
    url = serve(None, "watch.example.com", RECONCILER_HOOK_SECRET=SECRET).url
    for host, status in (("evil.example", 421), ("watch.example.com.evil.example", 421), ("a b", 400), ("", 400)):
        assert plain_http.get(url + path, headers={"Host": host}).status_code == status
    message = plain_http.get(f"{url}/metrics", headers={"Host": "evil.example"}).text
    assert message == "this watcher is not evil.example; to accept that name, start it with --host\n"


def test_own_names_and_probes_by_any_name_are_accepted(serve: Serve) -> None:
    url = serve(None, "watch.example.com", "other.example.com").url
    for host in ("watch.example.com", "WATCH.example.com:443", "other.example.com.", "localhost", "127.0.0.1", "[::1]"):
        assert plain_http.get(url, headers={"Host": host}).status_code == 200
    for path in PROBES:
        assert plain_http.get(url + path, headers={"Host": "10.1.2.3:8080"}).status_code == 200


def test_a_wildcard_address_has_the_name_of_the_machine(serve: Serve) -> None:
    page = serve(None, listen="0.0.0.0:0", RECONCILER_PAGE_TOKEN=TOKEN)
    assert page.url.startswith("http://127.0.0.1:")
    for host, status in ((socket.gethostname(), 200), ("0.0.0.0", 200), ("evil.example", 421)):  # noqa: S104
        assert plain_http.get(page.url, headers={"Host": host, **basic(TOKEN)}).status_code in {status, 421}
    assert plain_http.get(page.url, headers={"Host": socket.gethostname(), **basic(TOKEN)}).status_code == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"])
def test_everything_is_read_only(serve: Serve, method: str) -> None:
    url = serve(RECONCILER_HOOK_SECRET=SECRET).url
    for path in [*READ, *PROBES, "/nowhere"]:
        response = plain_http.request(method, url + path)
        assert (response.status_code, response.headers["Allow"]) == (405, "GET, HEAD")


def test_the_hook_takes_nothing_but_post(serve: Serve) -> None:
    for method in ("GET", "HEAD", "PUT"):
        response = plain_http.request(method, f"{serve().url}/hook")
        assert (response.status_code, response.headers["Allow"]) == (405, "POST")


def test_head_has_the_headers_of_get_and_no_body(serve: Serve) -> None:
    url = serve().url
    for path in [*READ, *PROBES, "/nowhere", "/servers/nowhere"]:
        got, head = plain_http.get(url + path), plain_http.head(url + path)
        assert head.status_code == got.status_code
        assert head.headers == got.headers
        assert head.content == b""
        assert int(head.headers["Content-Length"]) == len(got.content) > 0


@pytest.mark.parametrize("path", [*READ, *PROBES, "/hook", "/nowhere", "/servers/nowhere", "/api/v1/servers/nowhere"])
@pytest.mark.parametrize("host", ["localhost", "evil.example"])
def test_every_response_is_protected(serve: Serve, path: str, host: str) -> None:
    response = plain_http.get(serve().url + path, headers={"Host": host})
    headers = response.headers
    assert "server" not in headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cache-Control"] == "no-store"
    policy = dict(part.strip().partition(" ")[::2] for part in headers["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert "script-src" not in policy
    if "text/html" in headers["Content-Type"]:
        (style,) = parse(response.text).all("style")
        (content,) = style.children
        assert isinstance(content, str)
        assert policy["style-src"] == source_hash(content)
        assert policy["form-action"] == "'self'"


def test_errors_are_written_for_their_readers(serve: Serve) -> None:
    url = serve().url
    api = plain_http.get(f"{url}/api/v1/servers/nowhere")
    assert (api.status_code, api.json()) == (404, {"error": "no server is named nowhere"})
    assert plain_http.get(f"{url}/api/v1/nowhere").json() == {"error": "not found"}
    assert plain_http.get(f"{url}/nowhere").text == "not found\n"
    assert parse(plain_http.get(f"{url}/servers/").text).all("h1")[0].text == "Not Found"


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("//", 404),
        ("//evil.example/", 404),
        ("/%2e%2e/etc/passwd", 404),
        ("/servers/%2e%2e/%2e%2e/metrics", 404),
        ("/servers/..", 404),
        ("/servers//b001", 404),
        ("/servers/b001/", 404),
        ("/servers/b001%2F", 404),
        ("/servers/b001%00", 404),
        ("/servers/%ff", 404),
        ("/servers/" + "x" * 8_000, 404),
        ("/healthz/", 404),
        ("/HEALTHZ", 404),
        ("/hook/", 404),
        ("/;/metrics", 404),
        ("/?" + "state=x&" * 1_500, 200),
        ("/?name=" + "*a" * 3_000, 200),
        ("/?%ff=%ff&name=%ff", 200),
        ("/x" * 9_000, 431),
    ],
)
def test_path_tricks_lead_nowhere(serve: Serve, path: str, status: int) -> None:
    response = raw(serve().url, f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    assert response.startswith(f"HTTP/1.1 {status} ".encode())


def test_percent_encoding_cannot_pass_the_token(serve: Serve) -> None:
    url = serve(RECONCILER_PAGE_TOKEN=TOKEN).url
    for path in (
        "/%68ealthz/../metrics",
        "/healthz/../metrics",
        "/healthz%2f..%2fmetrics",
        "/metrics?x=/healthz",
        "//",
    ):
        request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        assert raw(url, request.encode()).startswith(b"HTTP/1.1 401 ")


def test_a_flood_of_headers_is_refused(serve: Serve) -> None:
    url = serve().url
    headers = "".join(f"X-{number}: {'y' * 100}\r\n" for number in range(1_000))
    answer = raw(url, f"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n".encode())
    # 400 if they come in pieces: h11 then stops reading before they end.
    assert answer.startswith((b"HTTP/1.1 431 ", b"HTTP/1.1 400 "))
    assert plain_http.get(url).status_code == 200


def test_what_is_not_http_is_refused_in_silence(serve: Serve, capfd: pytest.CaptureFixture[str]) -> None:
    url = serve().url
    assert raw(url, b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n").startswith(b"HTTP/1.1 400 ")
    assert plain_http.get(f"{url}/?token={TOKEN}").status_code == 200
    assert capfd.readouterr() == ("", "")


@pytest.fixture
def many_files() -> Iterator[None]:
    """Allows this process as many open files as the test needs."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4_096, hard), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("many_files")
def test_a_thousand_slow_clients_do_not_hold_up_others(serve: Serve) -> None:
    url = serve().url
    address = httpx.URL(url)
    before = len(list(Path("/proc/self/fd").iterdir()))
    with ExitStack() as stack:
        for _ in range(1_000):
            client = stack.enter_context(socket.create_connection((address.host, address.port), timeout=10))
            client.sendall(b"GET / HTTP/1.1\r\nHost: lo")
            if len(stack._exit_callbacks) % 250 == 0:  # type: ignore[attr-defined]
                began = time.monotonic()
                assert plain_http.get(f"{url}/healthz").status_code == 200
                assert time.monotonic() - began < 5
        # Both ends are in this process: the server has at most 200 of them.
        assert len(list(Path("/proc/self/fd").iterdir())) - before < 1_300
    assert plain_http.get(url).status_code == 200


def test_a_connection_that_sends_nothing_is_closed(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reconciler.watch.page_server._HEAD_SECONDS", 0.2)
    assert raw(serve().url, b"") == b""


def test_a_client_that_does_not_read_is_cut_off(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reconciler.watch.page_server._REQUEST_SECONDS", 0.3)
    address = httpx.URL(serve().url)
    with socket.create_connection((address.host, address.port), timeout=10) as client:
        for _ in range(300):
            try:
                client.sendall(b"GET /servers/b001 HTTP/1.1\r\nHost: localhost\r\n\r\n")
            except OSError:
                return
            time.sleep(0.01)
    pytest.fail("the connection was never closed")


def test_a_connection_in_use_lasts(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reconciler.watch.page_server._REQUEST_SECONDS", 0.5)
    with plain_http.Client(base_url=serve().url) as client:
        began = time.monotonic()
        while time.monotonic() - began < 1.5:
            assert client.get("/healthz").status_code == 200


def test_a_bug_is_an_error_without_its_message(
    serve: Serve, bugs: list[Exception], capfd: pytest.CaptureFixture[str]
) -> None:
    class Broken(SampleView):
        def runs(self, server: str) -> tuple[()]:
            raise RuntimeError(TOKEN + server)

    url = serve(Broken(small().shown)).url
    response = plain_http.get(f"{url}/servers/b001")
    assert (response.status_code, TOKEN in response.text) == (500, False)
    assert plain_http.get(f"{url}/api/v1/servers/b001").json() == {"error": "internal error"}
    end = time.monotonic() + 20
    while len(bugs) < 2 and time.monotonic() < end:  # a bug may be reported after the response was sent
        time.sleep(0.01)
    assert [type(bug) for bug in bugs] == [RuntimeError, RuntimeError]
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(("alive", "ready"), [(True, True), (True, False), (False, True)])
def test_probes_show_one_bit(serve: Serve, alive: bool, ready: bool) -> None:
    url = serve(SampleView(overview(()), alive=alive, ready=ready)).url
    for path, passes in (("/healthz", alive), ("/readyz", ready)):
        response = plain_http.get(url + path)
        assert (response.status_code, response.text) == ((200, "ok\n") if passes else (503, "no\n"))


def test_a_port_in_use_is_an_error(serve: Serve) -> None:
    port = serve().url.rpartition(":")[2]
    with pytest.raises(ReconcilerError) as caught:
        serve(listen=f"127.0.0.1:{port}")
    (problem,) = caught.value.problems
    assert (problem.kind, problem.message, problem.hint) == (
        "page_port",
        f"the page cannot be served at 127.0.0.1, port {port}: Address already in use",
        "name another address with --listen, such as 127.0.0.1:8081",
    )


def in_flight(url: str) -> Callable[[], None]:
    address = httpx.URL(url)
    client = socket.create_connection((address.host, address.port), timeout=10)
    client.sendall(b"POST /hook HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nx")
    return client.close


def test_the_server_stops_within_two_seconds(bugs: list[Exception]) -> None:
    from reconciler.watch.metrics import Metrics
    from reconciler.watch.page_options import page_options
    from reconciler.watch.page_server import PageServer

    threads = threading.active_count()
    options = page_options("127.0.0.1:0", (), {"RECONCILER_HOOK_SECRET": SECRET})
    with ExitStack() as clients:
        with PageServer(small(), Metrics(), options, bugs.append) as page:
            kept = clients.enter_context(plain_http.Client())
            assert kept.get(page.url).status_code == 200
            clients.callback(in_flight(page.url))
            time.sleep(0.1)
            began = time.monotonic()
        assert time.monotonic() - began < 2
        with pytest.raises(httpx.TransportError):
            plain_http.get(page.url)
    assert bugs == []
    assert threading.active_count() <= threads + 2  # those that made pages wait a moment for more
