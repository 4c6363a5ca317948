"""Answers that are taken as they are say the same as the models would make of them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.client import forms, wire
from reconciler.client.failure import UnreadableError

if TYPE_CHECKING:
    from collections.abc import Callable

_ODD: st.SearchStrategy[Any] = st.sampled_from(
    [None, True, False, 0, 1, -1, 2**63, 900, 1.5, "", " ", "587", "a@example.com", "é", "\ud800", [], {"a": [1]}, {}]
)
_ACCOUNT: dict[str, Any] = {"id": 1, "email": "a@example.com", "name": "n", "default": False, "smtp_port": 25, "x": 1}
_TOKEN: dict[str, Any] = {"access_token": "t", "refresh_token": None, "expires_in": 900}


def _read(read: Callable[..., object], *arguments: object) -> object:
    try:
        return read(*arguments)
    except UnreadableError as error:
        return str(error)


@given(st.dictionaries(st.sampled_from([*_ACCOUNT, "password", "hash_auth", "smtp_crypt"]), _ODD, max_size=4))
@settings(deadline=None)
def test_an_account_is_read_as_the_models_read_it(changed: dict[str, Any]) -> None:
    body = json.dumps(_ACCOUNT | changed).encode()
    assert _read(wire.read_one, body) == _read(forms.read, forms.ONE, body)
    assert _read(wire.read_list, b"[" + body + b"]") == _read(forms.read, forms.LIST, b"[" + body + b"]")


@given(st.dictionaries(st.sampled_from([*_TOKEN, "token_type"]), _ODD, max_size=3))
@settings(deadline=None)
def test_a_token_is_read_as_the_models_read_it(changed: dict[str, Any]) -> None:
    body = json.dumps(_TOKEN | changed).encode()
    assert _read(wire.read_token, body) == _read(forms.read, forms.TOKEN, body)


@pytest.mark.parametrize(
    "body", [b"", b"[", b"\xff", b"\xef\xbb\xbf[]", b"[" * 100_000, b"null", b"{}", b"[1]", b'[{"id": 1}]', b"\x00["]
)
def test_what_cannot_be_read_is_explained_as_the_models_explain_it(body: bytes) -> None:
    for plain, adapter in ((wire.read_list, forms.LIST), (wire.read_one, forms.ONE), (wire.read_token, forms.TOKEN)):
        assert _read(plain, body) == _read(forms.read, adapter, body)
