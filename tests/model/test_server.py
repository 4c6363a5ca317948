"""A server's URL has one check and one normal form."""

from __future__ import annotations

import pytest

from reconciler.errors import InvalidValueError
from reconciler.model.server import is_loopback, normal_url


@pytest.mark.parametrize(
    ("url", "normal"),
    [
        ("https://FW.example.com/", "https://fw.example.com"),
        ("HTTPS://fw.example.com:443", "https://fw.example.com"),
        ("http://fw.example.com:443", "http://fw.example.com:443"),
        ("https://fw.example.com.", "https://fw.example.com."),
        ("http://127.0.0.1:8025", "http://127.0.0.1:8025"),
        ("http://[::1]:80/", "http://[::1]"),
        ("https://[FD00:0::0001]", "https://[fd00::1]"),
    ],
)
def test_a_url_has_one_normal_form(url: str, normal: str) -> None:
    assert normal_url(url) == normal
    assert normal_url(normal) == normal


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("https://u:p@fw.example.com", "a server's URL contains no user name or password"),
        ("http://127.0.0.1\\@evil.example.com", "a server's URL contains no user name or password"),
        ("https://fw.example.com/api", "the URL contains a path"),
        ("https://fw.example.com/?x=1", "the URL contains a query"),
        ("https://fw.example.com#x", "the URL contains a fragment"),
        ("ftp://fw.example.com", "the URL must begin with https:// or http://"),
        ("fw.example.com", "the URL must begin with https:// or http://"),
        ("", "the URL must begin with https:// or http://"),
        ("https://", "this is not the URL of a host"),
        ("https://xn--\n", "this is not the URL of a host"),
        (f"https://{'a' * 64}.example.com", "this is not the URL of a host"),
        ("https://f w.example.com", "this is not the URL of a host"),
        ("https://fw.example.com:0", "this is not the URL of a host"),
        ("https://fw.example.com\\.evil.example", "this is not the URL of a host"),
        ("https://a:b", "this is not a URL"),
        ("https://[::1", "this is not a URL"),
        ("https://fw.example.com:99999999", "this is not a URL"),
    ],
)
def test_anything_but_scheme_host_and_port_is_refused(url: str, message: str) -> None:
    with pytest.raises(InvalidValueError) as caught:
        normal_url(url)
    assert caught.value.message == message


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.8.9.1", "::1"])
def test_this_machine_is_loopback(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["localhost.example.com", "128.0.0.1", "::2", "127.1", "0.0.0.0", "127.0.0.1.nip.io"])  # noqa: S104
def test_other_machines_are_not_loopback(host: str) -> None:
    assert not is_loopback(host)
