"""Inputs that are nearly right, which is where the bugs are."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

_KEYS = [
    "version",
    "accounts",
    "server",
    "policy",
    "defaults",
    "email",
    "name",
    "id",
    "default",
    "service",
    "has_auth",
    "hash_auth",
    "password",
    "smtp_server",
    "smtp_port",
    "smtp_crypt",
    "smtp_auth_mechanism",
    "renamed_from",
    "test",
    "when",
    "to_email",
    "url",
    "auth",
    "access_token",
    "refresh_token",
    "username",
    "ca_file",
    "prune",
    "max_deletes",
    "protect",
    "ignore",
    "env",
    "file",
    "command",
    "errors",
    "type",
    "field",
    "msg",
    "expires_in",
    "<<",
]
_VALUES = [
    "1",
    "0",
    "-1",
    "1e400",
    ".nan",
    "~",
    "null",
    "true",
    "yes",
    "off",
    "30%",
    "587",
    "99999999999999999999",
    "gmail",
    "outlook",
    "other",
    "none",
    "starttls",
    "plain",
    "a@example.com",
    "A@example.com",
    "b@example.com",
    "smtp.example.com",
    "https://fw.example.com",
    "*a",
    "&a",
    "!x",
    "-",
    "?",
    "|",
    ">",
    "''",
    "{}",
    "[]",
]
_ODD = [
    "\ufeff",
    "\u202e",
    "\u2028",
    "\x85",
    "\r",
    "\t",
    "\0",
    "\ud800",
    "::error::",
    "##[error]",
    "\x1b[2J",
    "%",
    "{{",
    "@",
]


def _text() -> SearchStrategy[str]:
    return st.one_of(st.sampled_from(_VALUES), st.sampled_from(_ODD), st.text(max_size=12))


def _values() -> SearchStrategy[Any]:
    scalars = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), _text())
    keys = st.one_of(st.sampled_from(_KEYS), _text())
    return st.recursive(
        scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=6), max_leaves=20
    )


def _accounts() -> SearchStrategy[list[dict[str, Any]]]:
    fixed = {"email": st.one_of(st.just("a@example.com"), st.just("b@example.com"), _text()), "name": _text()}
    optional = {key: _values() for key in _KEYS[5:20] if key not in fixed}
    return st.lists(st.fixed_dictionaries(fixed, optional=optional), max_size=4)


def jsons() -> SearchStrategy[bytes]:
    """Answers of a server."""
    numbered = _accounts().map(lambda accounts: [{"id": number, **one} for number, one in enumerate(accounts)])
    documents = st.one_of(_values(), _accounts(), numbered)
    return st.one_of(documents.map(lambda value: json.dumps(value).encode()), st.binary(max_size=200))


def yamls() -> SearchStrategy[bytes]:
    """Files: JSON, which is YAML too, lines put together from the words of the format, and what is neither."""
    document = st.fixed_dictionaries(
        {"version": st.just(1), "accounts": _accounts()},
        optional={"policy": _values(), "defaults": _values(), "server": _values()},
    )
    line = st.tuples(
        st.sampled_from(["", "  ", "- ", "  - ", "    ", "\t"]),
        st.sampled_from(_KEYS) | _text(),
        st.sampled_from([": ", ":", " ", ""]),
        _text(),
    ).map("".join)
    lines = st.lists(line, max_size=25).map(lambda found: "version: 1\naccounts:\n" + "\n".join(found))
    return st.one_of(
        document.map(lambda value: json.dumps(value).encode()),
        lines.map(lambda text: text.encode("utf-8", "surrogatepass")),
        st.binary(max_size=200),
    )
