from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import AfterValidator, BaseModel, PlainValidator, ValidationError

from reconciler.manifest.acceptance import JUDGES, DoubtError, accepted_entry, accepted_header
from reconciler.manifest.document import SHAPE, AccountBlock, Document
from reconciler.manifest.scalars import EMPTY
from reconciler.manifest.validation import given as given_of

_FULL: dict[str, Any] = {
    "email": "a@example.com",
    "id": 12,
    "name": "Contas",
    "default": True,
    "service": "other",
    "has_auth": True,
    "password": {"env": "A"},
    "smtp_server": "192.0.2.25",
    "smtp_port": 587,
    "smtp_crypt": "starttls",
    "smtp_auth_mechanism": "plain",
    "renamed_from": " b@example.com ",
    "test": {"when": "off", "to_email": "ops@example.com"},
}
_HEADER: dict[str, Any] = {
    "version": 1,
    "server": {"name": "s", "url": "HTTPS://fw.example.com/", "auth": {"refresh_token": {"env": "A"}}, "ca_file": "a"},
    "policy": {"prune": False, "max_deletes": "30%", "protect": ["a*"], "ignore": [], "test": {"when": "after"}},
    "defaults": {"smtp_port": 25, "hash_auth": False, "password": "sesame"},
    "accounts": [],
}
_ODD = st.sampled_from(
    [
        "",
        " ",
        "a",
        "off",
        "\ud800",
        "é@example.com",
        "a@b@c",
        "30%",
        "101%",
        "::1",
        "fe80::1%\ud800",
        "h:25",
        "https://x/",
        "${X}",
        "a\nb",
        "ü.example",
        "root@nas",
    ]
) | st.sampled_from(
    [
        EMPTY,
        None,
        True,
        False,
        0,
        1,
        -1,
        1.0,
        65535,
        65536,
        2**70,
        [],
        ["a"],
        [""],
        ["${X}"],
        {},
        {"literal": "${X}"},
        {"env": "A"},
        {"x": 1},
    ]
)


def _by_models(model: type[BaseModel], raw: object) -> object:
    try:
        return given_of(model.model_validate(raw))
    except ValidationError:
        return None


@given(st.dictionaries(st.sampled_from([*_FULL, "hash_auth", "nmae"]), _ODD, max_size=4))
@settings(deadline=None)
def test_what_is_accepted_of_an_entry_is_what_the_models_make_of_it(changed: dict[str, Any]) -> None:
    for raw in (changed, _FULL | changed):
        try:
            found = accepted_entry(raw)
        except DoubtError:
            continue
        assert found == _by_models(AccountBlock, raw)


@given(st.sampled_from(sorted(_HEADER)), st.data())
@settings(deadline=None)
def test_what_is_accepted_of_a_header_is_what_the_models_make_of_it(section: str, data: st.DataObject) -> None:
    block = _HEADER[section]
    if isinstance(block, dict):
        keys = st.sampled_from([*block, "auth", "test", "x"])
        block = block | data.draw(st.dictionaries(keys, _ODD, max_size=3))
    else:
        block = data.draw(_ODD)
    raw = _HEADER | {section: block}
    try:
        found = accepted_header(raw)
    except DoubtError:
        return
    assert found == _by_models(Document, raw)


def test_whatever_is_plainly_right_is_accepted() -> None:
    assert accepted_entry(_FULL) == _by_models(AccountBlock, _FULL)
    assert accepted_header(_HEADER) == _by_models(Document, _HEADER)


@pytest.mark.parametrize("name", ["password", "smtp_server", "smtp_port", "smtp_crypt", "smtp_auth_mechanism"])
def test_a_field_that_can_be_cleared_is_accepted_as_null(name: str) -> None:
    assert accepted_entry({"email": "a@example.com", name: None}) == {"email": "a@example.com", name: None}


def test_every_function_of_the_models_is_known_here_by_the_name_of_its_field() -> None:
    found = {}
    for model in SHAPE.values():
        for name, field in model.model_fields.items():
            for part in (field, *getattr(field.annotation, "__args__", ())):
                for one in (*getattr(part, "metadata", ()), *getattr(part, "__metadata__", ())):
                    if isinstance(one, AfterValidator | PlainValidator):
                        found[name] = one.func
    assert found == JUDGES
