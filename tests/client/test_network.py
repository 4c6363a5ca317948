from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import httpx
import pytest

from reconciler.client.gateway import connect
from reconciler.client.network import checked_origin, proxy_for, tls_context
from reconciler.errors import ApiError, Problem
from reconciler.model.redaction import Redactor
from tests.client.conftest import settings_for
from tests.support.scripted_server import ScriptedServer, json_reply

if TYPE_CHECKING:
    from pathlib import Path

    from tests.client.conftest import OpenReader

HTTPS = httpx.URL("https://fw.example.com")


@pytest.mark.parametrize("url", ["http://fw.example.com", "http://10.0.0.1:8080", "HTTP://[::2]"])
def test_plain_http_to_another_machine_is_refused(url: str) -> None:
    host = httpx.URL(url).host
    with pytest.raises(ApiError) as caught, connect(settings_for(url)):
        pass
    message = f"plain http to {host} would show the token and the passwords to the network"
    hint = "use https, or accept the risk with --insecure-http"
    assert caught.value.problems == (Problem(kind="insecure_http", message=message, hint=hint),)


def test_plain_http_to_another_machine_can_be_accepted() -> None:
    assert checked_origin("http://fw.example.com", insecure_http=True).host == "fw.example.com"


def test_an_invalid_server_url_is_refused() -> None:
    with pytest.raises(ApiError) as caught:
        checked_origin("https://u:p@fw.example.com", insecure_http=False)
    message = "the server's URL is invalid: a server's URL contains no user name or password"
    assert [(problem.kind, problem.message) for problem in caught.value.problems] == [("bad_url", message)]


def test_a_host_that_only_looks_like_an_a_label_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://proxy:3128")
    assert proxy_for(checked_origin("https://xn--a", insecure_http=False), Redactor()) == "http://proxy:3128"


def test_a_ca_file_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    cases = {
        "ca.pem": "it contains no certificate in PEM format",
        "none.pem": "No such file or directory",
        ".": "this is not a regular file",
        "nul\0": "ValueError",
    }
    for name, reason in cases.items():
        path = str(tmp_path / name)
        with pytest.raises(ApiError) as caught:
            tls_context(HTTPS, path)
        message = f"the CA file {path} cannot be used: {reason}"
        hint = "it must contain certificates in PEM format"
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
def test_a_proxy_is_used_only_for_https_to_other_machines(
    monkeypatch: pytest.MonkeyPatch, url: str, environment: dict[str, str], proxy: str | None
) -> None:
    for name in ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert proxy_for(httpx.URL(url), Redactor()) == proxy


@pytest.mark.parametrize("proxy", ["socks5://proxy:1080", "http://proxy:a", "http://proxy:65536", "ftp://proxy"])
def test_a_proxy_that_cannot_be_used_is_an_error(monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.setenv("https_proxy", proxy)
    with pytest.raises(ApiError) as caught:
        proxy_for(HTTPS, Redactor())
    assert [problem.kind for problem in caught.value.problems] == ["proxy"]


def test_a_proxy_never_sees_a_request_to_loopback(monkeypatch: pytest.MonkeyPatch, reader: OpenReader) -> None:
    with ScriptedServer(json_reply([])) as server, ScriptedServer(json_reply([])) as proxy:
        for name in ("http_proxy", "all_proxy", "HTTP_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        assert reader(server.url).list_accounts() == ()
    assert (len(server.requests), proxy.requests) == (1, [])
