"""Connections through a proxy, servers that need none, and the errors of proxies."""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING

import pytest
import trustme

from reconciler.client.network import is_exempt
from reconciler.errors import ApiError, Problem, UnreachableError
from reconciler.model.redaction import Redactor
from tests.client.conftest import InstantStop
from tests.support.scripted_server import ScriptedServer, json_reply
from tests.support.tunnel_proxy import TunnelProxy

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.client.conftest import Open

NO_PROXY_HINT = "check HTTPS_PROXY, or name the server in NO_PROXY"


@pytest.mark.parametrize(
    ("no_proxy", "host", "port"),
    [
        ("*", "fw.example.com", 443),
        ("fw.example.com", "fw.example.com", 443),
        ("example.com", "fw.example.com", 443),
        (".example.com", "fw.example.com", 443),
        (".example.com", "example.com", 443),
        ("*.example.com", "a.fw.example.com", 443),
        ("EXAMPLE.com.", "FW.example.COM.", 443),
        ("a.test, example.com", "fw.example.com", 443),
        ("a.test example.com", "fw.example.com", 443),
        ("fw.example.com:8443", "fw.example.com", 8443),
        ("*:8443", "fw.example.com", 8443),
        ("10.1.2.3", "10.1.2.3", 443),
        ("10.1.2.3:8443", "10.1.2.3", 8443),
        ("10.0.0.0/8", "10.1.2.3", 443),
        ("10.9.9.9/8", "10.1.2.3", 443),
        ("10.0.0.0/8", "::ffff:10.1.2.3", 443),
        ("fd00::1", "fd00:0:0::1", 443),
        ("[fd00::1]", "fd00::1", 443),
        ("[FD00::1]:8443", "fd00::1", 8443),
        ("fd00::/8", "fd00::1", 443),
        ("[fd00::]/8", "fd00::1", 443),
        ("[fd00::]/8:8443", "fd00::1", 8443),
    ],
)
def test_no_proxy_matches_a_server(no_proxy: str, host: str, port: int) -> None:
    assert is_exempt(no_proxy, host, port)


@pytest.mark.parametrize(
    ("no_proxy", "host", "port"),
    [
        ("", "fw.example.com", 443),
        (",. *. :", "fw.example.com", 443),
        ("example.com", "notexample.com", 443),
        ("*.example.com", "example.com", 443),
        ("fw.example.com", "example.com", 443),
        ("fw.example.com:8443", "fw.example.com", 443),
        ("10.1.2.3:8443", "10.1.2.3", 443),
        ("10.0.0.0/8", "11.1.2.3", 443),
        ("10.0.0.0/8", "fw.example.com", 443),
        ("10.0.0.0/99", "10.1.2.3", 443),
        ("1.2.3", "10.1.2.3", 443),
        ("2.3", "10.1.2.3", 443),
        ("[fd00::1]:8443", "fd00::1", 443),
        ("fd00::/8", "fe80::1", 443),
        ("fd00::/8", "10.1.2.3", 443),
    ],
)
def test_no_proxy_matches_no_other_server(no_proxy: str, host: str, port: int) -> None:
    assert not is_exempt(no_proxy, host, port)


@pytest.fixture
def authority(tmp_path: Path) -> trustme.CA:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    return authority


@pytest.fixture
def through(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Names a proxy in the environment."""
    for name in ("HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    return lambda url: monkeypatch.setenv("https_proxy", url)


def serving(authority: trustme.CA, *names: str) -> ScriptedServer:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names).configure_cert(context)
    return ScriptedServer(json_reply([]), tls=context)


def problem_of(call: Callable[[], object]) -> Problem:
    with pytest.raises(ApiError) as caught:
        call()
    assert caught.type is UnreachableError
    (problem,) = caught.value.problems
    return problem


@pytest.mark.parametrize(
    ("host", "line"),
    [
        ("fw.example.com", "CONNECT fw.example.com:443 HTTP/1.1"),
        ("fw.example.com:8443", "CONNECT fw.example.com:8443 HTTP/1.1"),
        ("[fd00::1]:8443", "CONNECT [fd00::1]:8443 HTTP/1.1"),
        ("10.1.2.3", "CONNECT 10.1.2.3:443 HTTP/1.1"),
    ],
)
def test_a_server_is_reached_through_a_proxy_on_one_connection(
    writer: Open, authority: trustme.CA, through: Callable[[str], None], tmp_path: Path, host: str, line: str
) -> None:
    name = host.rpartition(":")[0].strip("[]") if ":" in host else host
    with serving(authority, name) as server, TunnelProxy(server.port) as proxy:
        through(proxy.url.replace("//", "//user:pass%2Fword@"))
        accounts = writer(f"https://{host}", ca_file=str(tmp_path / "ca.pem"))
        accounts.list_accounts()
        accounts.list_accounts()
        assert server.requests[0].header("Host") == host
        assert len(server.requests) == 2
    assert proxy.lines == [line]
    assert "Proxy-Authorization: Basic dXNlcjpwYXNzL3dvcmQ=" in proxy.heads[0]
    assert f"Host: {line.split()[1]}" in proxy.heads[0]
    assert "Bearer" not in proxy.heads[0]


@pytest.mark.parametrize(
    ("status", "attempts", "hint"),
    [
        (
            "407 Proxy Authentication Required",
            1,
            "put a user name and password into HTTPS_PROXY, as in http://USER:PASSWORD@proxy.example.com:3128",
        ),
        ("403 Forbidden", 1, NO_PROXY_HINT),
        ("502 Bad Gateway", 4, NO_PROXY_HINT),
    ],
)
def test_a_proxy_that_refuses_is_named_without_its_login(
    writer: Open, through: Callable[[str], None], status: str, attempts: int, hint: str
) -> None:
    response = f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode()
    with TunnelProxy(0, response) as proxy:
        through(proxy.url.replace("//", "//user:hunter2@"))
        redactor = Redactor()
        problem = problem_of(writer("https://fw.example.com", redactor=redactor).list_accounts)
    message = f"the proxy {proxy.url} does not connect to https://fw.example.com: {status}"
    assert problem == Problem(kind="proxy", message=message, hint=hint)
    assert len(proxy.heads) == attempts
    assert redactor.redact("hunter2") == "***"


@pytest.mark.parametrize(
    ("response", "reason"),
    [(b"", "it sent no valid response"), (b"SSH-2.0-OpenSSH_9.6\r\n", "it sent no valid response")],
)
def test_a_proxy_that_does_not_speak_http_is_named(
    writer: Open, through: Callable[[str], None], response: bytes, reason: str
) -> None:
    with TunnelProxy(0, response) as proxy:
        through(proxy.url)
        accounts = writer("https://fw.example.com")
        problem = problem_of(lambda: accounts.create_account({"email": "a@example.com"}))
    assert problem.kind == "proxy"
    assert problem.message.startswith(f"cannot reach the proxy {proxy.url}: {reason}")


def test_a_proxy_that_is_down_is_named(writer: Open, through: Callable[[str], None]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    through(url.replace("//", "//user:hunter2@"))
    problem = problem_of(writer("https://fw.example.com").list_accounts)
    assert (problem.kind, problem.hint) == ("proxy", NO_PROXY_HINT)
    assert problem.message.startswith(f"cannot reach the proxy {url}: connection refused (")
    assert "fw.example.com" not in problem.message


def test_an_untrusted_server_behind_a_proxy_is_named(
    writer: Open, authority: trustme.CA, through: Callable[[str], None]
) -> None:
    with serving(authority, "fw.example.com") as server, TunnelProxy(server.port) as proxy:
        through(proxy.url)
        problem = problem_of(writer("https://fw.example.com", stop=InstantStop()).list_accounts)
    assert problem.kind == "tls"
    assert problem.message.startswith("cannot reach https://fw.example.com: the server's certificate is not trusted")
