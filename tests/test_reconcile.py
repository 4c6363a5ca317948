"""Which server a run is for: flags, environment and YAML spell its URL under one rule."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from reconciler.credentials import ServerOptions
from reconciler.errors import ApiError, Problem, SecretError
from reconciler.reconcile import RunContext, connect

if TYPE_CHECKING:
    from pathlib import Path

USER_INFO = Problem(
    kind="bad_url",
    message="the server's URL contains a user name or password",
    hint="use RECONCILER_USERNAME and RECONCILER_PASSWORD, or a token",
)


def normalized(url: str) -> str:
    return connect(context=RunContext(environ={"RECONCILER_URL": url, "RECONCILER_TOKEN": "t"})).server.url


def refusal(url: str) -> Problem:
    with pytest.raises(ApiError) as caught:
        normalized(url)
    (problem,) = caught.value.problems
    assert caught.value.__suppress_context__
    return problem


@pytest.mark.parametrize(
    ("url", "spelling"),
    [
        (" https://FW.example.com/\n", "https://fw.example.com"),
        ("HTTPS://fw.example.com:443", "https://fw.example.com"),
        ("http://127.0.0.1:8025", "http://127.0.0.1:8025"),
        ("http://[::1]:80/", "http://[::1]"),
    ],
)
def test_a_server_has_one_spelling(url: str, spelling: str) -> None:
    assert normalized(url) == spelling


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("fw.example.com", "the URL must begin with https:// or http://"),
        ("ftp://fw.example.com", "the URL must begin with https:// or http://"),
        ("https://", "this is not the URL of a host"),
        ("https://fw.example.com:0", "this is not the URL of a host"),
        ("https://fw.example.com:65536", "this is not a URL"),
        ("https://fw example.com", "this is not the URL of a host"),
        ("https://-.example.com", "this is not the URL of a host"),
        ("https://[::1", "this is not a URL"),
    ],
)
def test_an_invalid_server_url_is_refused(url: str, reason: str) -> None:
    hint = "write it as https://fw.example.com"
    assert refusal(url) == Problem(kind="bad_url", message=f"{url!r} is not a server's URL: {reason}", hint=hint)


@pytest.mark.parametrize(
    ("url", "extra", "shown"),
    [
        ("https://fw.example.com:8443/api", "path", "https://fw.example.com:8443/api"),
        ("https://fw.example.com/api?x=1", "path", "https://fw.example.com/api"),
        ("https://fw.example.com//", "path", "https://fw.example.com//"),
        ("https://fw.example.com?key=hunter2", "query", "https://fw.example.com"),
        ("https://fw.example.com/#hunter2", "fragment", "https://fw.example.com/"),
    ],
)
def test_a_url_with_a_path_or_query_is_refused(url: str, extra: str, shown: str) -> None:
    problem = refusal(url)
    assert problem.message == f"{shown!r} is not a server's URL: the URL contains a {extra}"
    assert problem.hint.startswith("end it after host and port: https://fw.example.com")
    assert "hunter2" not in str(problem) + problem.hint


@pytest.mark.parametrize(
    "url",
    [
        "https://admin:hunter2@fw.example.com",
        "HTTP://hunter2@fw.example.com",
        "https://hunter2@x:0/y",
        "ftp://admin:hunter2@fw.example.com",
        "https://admin:hunter2/@fw.example.com",
        "ht\ttps://admin:hunter2@fw.example.com",
    ],
)
def test_a_url_with_a_password_is_refused_without_showing_it(url: str) -> None:
    assert refusal(url) == USER_INFO


@pytest.mark.parametrize(
    "url",
    [
        "fw.example.com?token=hunter2",
        "https://fw.example.com#hunter2",
    ],
)
def test_an_invalid_url_is_shown_without_possible_secrets(url: str) -> None:
    problem = refusal(url)
    assert problem.message.startswith(("'fw.example.com' is not a server's URL", "'https://fw.example.com' is not a"))
    assert "hunter2" not in problem.message + problem.hint


@pytest.mark.parametrize("half", ["RECONCILER_USERNAME", "RECONCILER_PASSWORD"])
def test_half_a_login_is_reported(half: str) -> None:
    with pytest.raises(ApiError) as caught:
        connect(url="https://fw.example.com", context=RunContext(environ={half: "hunter2"}))
    (problem,) = caught.value.problems
    assert problem.message == (
        f"no credentials for https://fw.example.com; {half} is set alone, and the other half of the login is missing"
    )


@pytest.mark.parametrize("flag", ["token_file", "refresh_token_file"])
def test_a_token_file_with_two_lines_is_named(tmp_path: Path, flag: str) -> None:
    file = tmp_path / "accounts.yaml"
    file.write_text("version: 1\npassword: hunter2\n")
    server = ServerOptions("https://x.example", **{flag: str(file)})  # type: ignore[arg-type]
    with pytest.raises(SecretError) as caught:
        connect(context=RunContext(server=server, environ={}))
    (problem,) = caught.value.problems
    assert problem.message == f"{file} has more than one line, and a secret has one"


def test_checking_a_url_imports_no_third_party_package() -> None:
    script = (
        "import sys; import reconciler.manifest.values\n"
        "print({'yaml', 'pydantic_core', 'email_validator'} & {*sys.modules})"
    )
    assert (
        subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout == "set()\n"
    )
