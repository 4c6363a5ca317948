from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import httpx
import pytest

from reconciler.client.connect import open_reader
from reconciler.client.origin import checked, tls_context
from reconciler.client.proxies import is_loopback, proxy_for
from reconciler.errors import ApiError, Problem
from tests.client.conftest import connection_to
from tests.http_server import ScriptedServer, json_reply

if TYPE_CHECKING:
    from pathlib import Path

    from tests.client.conftest import OpenReader

HTTPS = httpx.URL("https://fw.example.com")


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.8.9.1", "::1"])
def test_this_machine_is_loopback(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["localhost.example.com", "128.0.0.1", "::2", "127.1", "0.0.0.0", "127.0.0.1.nip.io"])  # noqa: S104
def test_other_machines_are_not_loopback(host: str) -> None:
    assert not is_loopback(host)


@pytest.mark.parametrize("url", ["http://fw.example.com", "http://10.0.0.1:8080", "HTTP://[::2]"])
def test_plain_http_to_another_machine_is_refused_before_anything_is_sent(url: str) -> None:
    host = httpx.URL(url).host
    with pytest.raises(ApiError) as caught, open_reader(connection_to(url)):
        pass
    message = f"plain http to {host} would show the token and the passwords to the network"
    hint = "Use https, or accept the risk with --insecure-http."
    assert caught.value.problems == (Problem(kind="insecure_http", message=message, hint=hint),)


def test_plain_http_to_another_machine_can_be_accepted() -> None:
    assert checked("http://fw.example.com", insecure_http=True).host == "fw.example.com"


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("https://u:p@fw.example.com", "the server's URL holds credentials"),
        ("http://127.0.0.1\\@evil.example.com", "the server's URL holds credentials"),
        ("https://fw.example.com/api", "the server's URL is not just a scheme, a host and a port"),
        ("https://fw.example.com/?x=1", "the server's URL is not just a scheme, a host and a port"),
        ("https://fw.example.com#x", "the server's URL is not just a scheme, a host and a port"),
        ("ftp://fw.example.com", "the server's URL is not just a scheme, a host and a port"),
        ("fw.example.com", "the server's URL is not just a scheme, a host and a port"),
        ("https://", "the server's URL is not just a scheme, a host and a port"),
        ("https://a:b", "the server's URL cannot be read"),
        ("https://xn--\n", "the server's URL cannot be read"),
        ("https://fw.example.com:0", "the server's URL has a port that does not exist"),
        ("https://fw.example.com:99999999", "the server's URL has a port that does not exist"),
    ],
)
def test_a_url_that_is_no_origin_is_refused_without_being_repeated(url: str, message: str) -> None:
    with pytest.raises(ApiError) as caught:
        checked(url, insecure_http=False)
    assert [(problem.kind, problem.message) for problem in caught.value.problems] == [("bad_url", message)]


def test_a_ca_file_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    cases = {
        "ca.pem": "it holds no certificate in PEM form",
        "none.pem": "No such file or directory",
        ".": "this is not a regular file",
        "nul\0": "ValueError",
    }
    for name, reason in cases.items():
        path = str(tmp_path / name)
        with pytest.raises(ApiError) as caught:
            tls_context(HTTPS, path)
        message = f"the CA file {path} cannot be used: {reason}"
        hint = "It is a file of certificates in PEM form."
        assert caught.value.problems == (Problem(kind="ca_file", message=message, hint=hint),)


def test_certificates_are_always_verified() -> None:
    for url in (HTTPS, httpx.URL("http://127.0.0.1")):
        context = tls_context(url, None)
        assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)


@pytest.mark.parametrize(
    ("url", "environment", "proxy"),
    [
        ("https://fw.example.com", {}, None),
        ("https://fw.example.com", {"HTTPS_PROXY": "http://proxy:3128"}, "http://proxy:3128"),
        ("https://fw.example.com", {"ALL_PROXY": "proxy:3128"}, "http://proxy:3128"),
        ("https://fw.example.com", {"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": "example.com"}, None),
        ("https://127.0.0.1", {"HTTPS_PROXY": "http://proxy:3128"}, None),
        ("http://fw.example.com", {"HTTP_PROXY": "http://proxy:3128", "ALL_PROXY": "http://proxy:3128"}, None),
    ],
)
def test_a_proxy_is_used_for_https_to_other_machines_alone(
    monkeypatch: pytest.MonkeyPatch, url: str, environment: dict[str, str], proxy: str | None
) -> None:
    for name in ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert proxy_for(httpx.URL(url)) == proxy


@pytest.mark.parametrize("proxy", ["socks5://proxy:1080", "http://proxy:a", "http://proxy:65536", "ftp://proxy"])
def test_a_proxy_that_cannot_be_used_is_an_error(monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.setenv("https_proxy", proxy)
    with pytest.raises(ApiError) as caught:
        proxy_for(HTTPS)
    assert [problem.kind for problem in caught.value.problems] == ["proxy"]


def test_a_proxy_in_the_environment_never_sees_a_request_to_loopback(
    monkeypatch: pytest.MonkeyPatch, reader: OpenReader
) -> None:
    with ScriptedServer(json_reply([])) as server, ScriptedServer(json_reply([])) as proxy:
        for name in ("http_proxy", "all_proxy", "HTTP_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        assert reader(server.url).list_accounts() == ()
    assert (len(server.requests), proxy.requests) == (1, [])
