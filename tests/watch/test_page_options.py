"""Where the page listens, and when it needs a token."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from reconciler.errors import InvalidValueError, ReconcilerError
from reconciler.model.secret import Secret
from reconciler.watch.page_options import PageOptions, page_options
from tests.watch.page_client import SECRET, TOKEN

if TYPE_CHECKING:
    from pathlib import Path

ENVIRON = {"RECONCILER_PAGE_TOKEN": TOKEN, "RECONCILER_HOOK_SECRET": f"{SECRET}\r\n"}


def test_loopback_needs_no_token() -> None:
    for listen, host in (("127.0.0.1:8080", "127.0.0.1"), ("[::1]:8080", "::1"), ("LocalHost:8080", "localhost")):
        assert page_options(listen, (), {}) == PageOptions(host=host, port=8080, names=(host,))


@pytest.mark.parametrize("listen", ["0.0.0.0:8080", "[::]:8080", "192.0.2.1:0", "watch.example.com:80"])
def test_any_other_address_needs_one(listen: str) -> None:
    with pytest.raises(ReconcilerError) as caught:
        page_options(listen, (), {})
    (problem,) = caught.value.problems
    assert (problem.kind, problem.message, problem.hint) == (
        "page_token",
        f"other machines can reach {listen}, and no token protects the page",
        "set RECONCILER_PAGE_TOKEN or --page-token-file, and make one with `openssl rand -hex 32`;"
        " or listen on 127.0.0.1",
    )
    assert page_options(listen, (), ENVIRON).token == Secret(TOKEN)


def test_secrets_are_read_and_never_printed() -> None:
    options = page_options("127.0.0.1:0", ["watch.example.com", "10.0.0.1"], ENVIRON)
    assert options.secrets == (Secret(TOKEN), Secret(SECRET))
    assert options.names == ("127.0.0.1", "watch.example.com", "10.0.0.1")
    assert TOKEN not in repr(options)
    assert SECRET not in repr(options)
    assert page_options("127.0.0.1:0", (), {}).secrets == ()


@pytest.mark.parametrize("variable", ENVIRON)
@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("", "is empty"),
        ("\n", "is empty"),
        ("fifteen-letters", "has fewer than 16 characters, so that it could be guessed"),
        ("sixteen-letters-\n\n", ""),
        ("a\nb" * 10, ""),
    ],
)
def test_a_weak_secret_is_refused(variable: str, value: str, message: str) -> None:
    with pytest.raises(ReconcilerError) as caught:
        page_options("127.0.0.1:0", (), {variable: value})
    assert str(caught.value).startswith(f"{variable} {message}")
    assert not value.strip() or value.strip() not in str(caught.value)


@pytest.mark.parametrize("option", ["token_file", "hook_secret_file"])
def test_a_weak_secret_in_a_file_is_refused_by_the_name_of_the_file(option: str, tmp_path: Path) -> None:
    file = tmp_path / "short"
    file.write_text("fifteen-letters\n")
    with pytest.raises(ReconcilerError) as caught:
        page_options("127.0.0.1:0", (), ENVIRON, **{option: str(file)})
    assert str(caught.value) == f"{file} has fewer than 16 characters, so that it could be guessed"
    file.write_text(f"{TOKEN}-of-file\n")
    secret = Secret(f"{TOKEN}-of-file")
    assert secret in page_options("127.0.0.1:0", (), ENVIRON, **{option: str(file)}).secrets


@pytest.mark.parametrize(
    "listen",
    [
        "",
        "8080",
        ":8080",
        "127.0.0.1",
        "127.0.0.1:",
        "127.0.0.1:x",
        "127.0.0.1:65536",
        "::1:8080",
        "[::1]",
        "[x]:80",
        "http://127.0.0.1:80",
        "127.0.0.1:80/",
        "a b:80",
        "127.0.0.1:\u0668\u0660",
        "user@host:80",
    ],
)
def test_what_is_not_an_address_is_refused(listen: str) -> None:
    with pytest.raises(InvalidValueError, match="this is not an address with a port"):
        page_options(listen, (), ENVIRON)


@pytest.mark.parametrize("name", ["", "https://watch.example.com", "watch.example.com:8080", "a b", "*.example.com"])
def test_what_is_not_a_host_name_is_refused(name: str) -> None:
    with pytest.raises(InvalidValueError, match="this is not a host name"):
        page_options("127.0.0.1:0", [name], {})
