"""Which repository, ref and path may be given to git."""

from __future__ import annotations

import os
import re
from typing import Final
from urllib.parse import urlsplit

from reconciler.errors import Kind, SourceError
from reconciler.model.display import control_character, shorten

_SCHEMES: Final = ("file", "git", "http", "https", "ssh")
_HELPER: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9+.-]*::")
_SCP: Final = re.compile(r"(?!/)([^/:]+|\[[^/]*\]|[^/:@]+@\[[^/]*\]):(?!//)")
"""``git@host:path``: a colon before the first slash."""

_SCP_PASSWORD: Final = re.compile(r"[^/@]*:[^/@]*@")
_REF: Final = re.compile(
    r"(?![-./])(?!.*(?:\.\.|//|@\{|\.lock(?:/|$)|/\.|[./]$))[^\x00-\x20\x7f~^:?*\[\\]+",
)
"""As ``git check-ref-format --allow-onelevel``; and it is no option."""

_COMMIT: Final = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_LONGEST: Final = 200

_WITHOUT_CREDENTIALS: Final = (
    "write the URL without them, and give them to git: a credential helper (git help credentials), an SSH key, "
    "or http.extraHeader"
)


def checked_url(url: str) -> str:
    """The URL of a repository, a local path made absolute.

    Raises:
        SourceError: It contains credentials, or is not one that git may be given. The URL is not shown.
    """
    if not url or url.startswith("-") or control_character(url):
        raise _bad_url("this is not the URL of a Git repository")
    if _HELPER.match(url):
        raise _bad_url("a URL with :: names a program that git would run, which is not allowed")
    if "://" in url:
        return _checked_scheme(url)
    if _SCP_PASSWORD.match(url):
        raise _bad_url("the URL of the Git repository contains credentials", _WITHOUT_CREDENTIALS)
    if _SCP.match(url):
        return url
    return os.path.abspath(url)  # noqa: PTH100 - keeps links


def _checked_scheme(url: str) -> str:
    try:
        parts = urlsplit(url)
        has_password, user = parts.password is not None, parts.username
        _ = parts.port
    except ValueError:
        raise _bad_url("this is not the URL of a Git repository") from None
    if parts.scheme not in _SCHEMES:
        raise _bad_url(f"git may not use URLs that begin with {shorten(parts.scheme, 20)}://")
    is_web = parts.scheme in {"http", "https"}
    # A token is often given as the user alone, or as a parameter.
    if has_password or (user is not None and parts.scheme != "ssh") or (is_web and (parts.query or parts.fragment)):
        raise _bad_url("the URL of the Git repository contains credentials", _WITHOUT_CREDENTIALS)
    if parts.scheme != "file" and (not parts.hostname or parts.hostname.startswith("-")):
        raise _bad_url("the URL of the Git repository has no valid host")
    return url


def checked_ref(ref: str) -> str:
    """The name of a branch or a tag, or ``refs/...`` in full.

    Raises:
        SourceError: Git does not allow such a name.
    """
    if _REF.fullmatch(ref) and ref != "@" and not _COMMIT.fullmatch(ref):
        return ref
    message = f"{shorten(ref, _LONGEST)} is not the name of a ref"
    raise SourceError.of(message, kind=Kind.GIT_REF, hint="name a branch or a tag, such as main, or refs/... in full")


def checked_path(path: str) -> str:
    """A relative path without ``..``.

    Raises:
        SourceError: It is something else.
    """
    parts = path.split("/")
    if path.startswith("/") or ".." in parts or control_character(path):
        message = f"the path {shorten(path, _LONGEST)} leads outside the repository"
        raise SourceError.of(message, kind=Kind.OUTSIDE_PATH, hint="write it relative to the top of the repository")
    return "/".join(part for part in parts if part not in {"", "."})


def checked_commit(commit: str) -> str:
    """The full hash of a commit, or an empty string if it is none."""
    return commit if _COMMIT.fullmatch(commit) else ""


def _bad_url(message: str, hint: str = "write it like https://git.example.com/mail.git") -> SourceError:
    return SourceError.of(message, kind=Kind.GIT_URL, hint=hint)
