"""Which URLs, refs and paths may be given to git."""

from __future__ import annotations

from pathlib import Path

import pytest

from reconciler.errors import SourceError
from reconciler.source.git_address import checked_path, checked_ref, checked_url

CREDENTIALS = "git_url: the URL of the Git repository contains credentials"


def refusal(function: object, value: str) -> str:
    assert callable(function)
    with pytest.raises(SourceError) as caught:
        function(value)
    (problem,) = caught.value.problems
    assert problem.hint
    assert "t0ken" not in f"{problem.message} {problem.hint}"
    return f"{problem.kind}: {problem.message}"


@pytest.mark.parametrize(
    "url",
    [
        "https://git.example.com/mail.git",
        "http://127.0.0.1:8080/mail.git",
        "ssh://git@git.example.com:2222/mail.git",
        "git@git.example.com:mail.git",
        "git@[::1]:mail.git",
        "git.example.com:mail.git",
        "git://git.example.com/mail.git",
        "file:///srv/mail.git",
        "/srv/mail.git",
        "/srv/a:b@c.git",
    ],
)
def test_urls_of_git_are_used_as_they_are(url: str) -> None:
    assert checked_url(url) == url


def test_relative_paths_become_absolute() -> None:
    assert checked_url("mail.git") == str(Path("mail.git").absolute())


@pytest.mark.parametrize(
    "url",
    [
        "https://ada:t0ken@git.example.com/mail.git",
        "https://t0ken@git.example.com/mail.git",
        "https://:t0ken@git.example.com/mail.git",
        "http://git.example.com/mail.git?private_token=t0ken",
        "https://git.example.com/mail.git#t0ken",
        "ssh://git:t0ken@git.example.com/mail.git",
        "ada:t0ken@git.example.com:mail.git",
    ],
)
def test_urls_with_credentials_are_refused_and_not_shown(url: str) -> None:
    assert refusal(checked_url, url) == CREDENTIALS


@pytest.mark.parametrize(
    "url",
    [
        "",
        "-u",
        "--upload-pack=touch /tmp/x",
        "ext::sh -c touch% /tmp/x",
        "fd::17",
        "ftp://git.example.com/mail.git",
        "ssh://-oProxyCommand=x/mail.git",
        "https:///mail.git",
        "https://git.example.com:port/mail.git",
        "/srv/mail.git\n",
    ],
)
def test_other_urls_are_refused(url: str) -> None:
    assert refusal(checked_url, url).startswith("git_url: ")


@pytest.mark.parametrize("ref", ["main", "release/1.2", "refs/heads/main", "v1.0-rc_1", "HEAD", "é"])
def test_refs_may_be_short_or_full(ref: str) -> None:
    assert checked_ref(ref) == ref


@pytest.mark.parametrize(
    "ref",
    [
        "",
        "-x",
        "--upload-pack=x",
        "a..b",
        "a b",
        "main:main",
        "a*",
        "a^",
        "x.lock",
        "/a",
        "a/",
        "@",
        "a\n",
        "0" * 40,
    ],
)
def test_what_is_no_ref_is_refused(ref: str) -> None:
    assert refusal(checked_ref, ref).startswith("git_ref: ")


@pytest.mark.parametrize(("path", "checked"), [("", ""), (".", ""), ("./a/", "a"), ("a//b/c.yaml", "a/b/c.yaml")])
def test_paths_are_relative(path: str, checked: str) -> None:
    assert checked_path(path) == checked


@pytest.mark.parametrize("path", ["/etc", "..", "a/../../b", "a\0"])
def test_paths_that_lead_outside_are_refused(path: str) -> None:
    assert refusal(checked_path, path).startswith("outside_path: ")
