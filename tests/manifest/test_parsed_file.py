"""The one validation of a document: what it accepts, keeps and hides."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import ValidationError

from reconciler.errors import Position
from reconciler.manifest.blocks import json_schema
from reconciler.manifest.files import Source
from reconciler.manifest.parsed_file import ParsedFile, parse_file, validate
from reconciler.manifest.schema import SHAPE
from reconciler.manifest.trust import TRUST_SHAPE
from reconciler.model.fields import FIELDS, SPELLINGS
from tests.support.strategies import BOUNDED

if TYPE_CHECKING:
    from reconciler.manifest.blocks import Shape

ACCOUNT: dict[str, Any] = {
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
    "renamed_from": "b@example.com",
    "test": {"when": "off", "to_email": "ops@example.com"},
}
HARD: st.SearchStrategy[Any] = st.sampled_from(
    ["", "\ud800", "a\0b", "fe80::1%\ud800", "\ud800@example.com", 2**70, -1, 1.0, None, [], {}]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | HARD,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def parsed(text: str) -> ParsedFile:
    found = parse_file(Source("a.yaml", text.encode()))
    assert isinstance(found, ParsedFile)
    return found


@given(st.dictionaries(st.sampled_from([*ACCOUNT, "hash_auth", "nmae"]), JSON, max_size=4))
@BOUNDED
def test_an_account_is_valid_or_has_errors(changed: dict[str, Any]) -> None:
    document, errors = validate({"version": 1, "accounts": [ACCOUNT | changed]}, SHAPE)
    assert (document is None) == bool(errors)
    assert all(error["loc"][:2] == ("accounts", 0) and error["loc"][2] in changed for error in errors)


@pytest.mark.parametrize("key", ["name", "email", "password", "smtp_server", "smtp_crypt", "renamed_from"])
def test_unpaired_surrogates_are_rejected(key: str) -> None:
    document, _ = validate({"version": 1, "accounts": [ACCOUNT | {key: "\ud800"}]}, SHAPE)
    assert document is None


@pytest.mark.parametrize("shape", [SHAPE, TRUST_SHAPE])
@pytest.mark.parametrize("raw", ["hunter2", ["hunter2"], {"hunter2": 1}, {"version": "hunter2", "accounts": "hunter2"}])
def test_a_validation_error_hides_its_input(shape: Shape, raw: object) -> None:
    with pytest.raises(ValidationError) as caught:
        shape[()].validator.validate_python(raw)
    assert "input_value" not in str(caught.value)


def test_every_field_of_the_table_is_a_key_of_an_account() -> None:
    spellings = {spelling for names in SPELLINGS.values() for spelling in names}
    assert spellings <= {*SHAPE["accounts",].keys}
    assert {*SHAPE["defaults",].keys} == spellings - {"email"} | {"test"}
    assert FIELDS.keys() <= spellings


@pytest.mark.parametrize("shape", [SHAPE, TRUST_SHAPE])
def test_all_blocks_forbid_unknown_keys(shape: Shape) -> None:
    schema = json_schema(shape)
    assert all(block["additionalProperties"] is False for block in (schema, *schema["$defs"].values()))
    for path, block in shape.items():
        _, errors = validate({"odd": 1}, {(): block})
        assert ("extra_forbidden", ("odd",)) in {(error["type"], error["loc"]) for error in errors}, path


def test_a_wrong_field_leaves_the_rest_of_the_entry_usable() -> None:
    file = parsed("version: 1\naccounts: [{email: a@example.com, name: 1, '*': 2, service: gmail}, {name: B}, x]\n")
    (entry,) = file.entries
    assert entry.given == {"email": "a@example.com", "service": "gmail"}
    assert entry.bad == {"name", "*"}
    assert [issue.node.path for issue in file.issues] == [
        ("accounts", 0, "name"),
        ("accounts", 0, "*"),
        ("accounts", 1, "email"),
        ("accounts", 2),
    ]


def test_a_wrong_key_leaves_the_rest_of_the_header_usable() -> None:
    file = parsed(
        "version: 2\nserver: {name: s, url: x}\ndefaults: {name: D, smtp_port: 0}\npolicy: []\naccounts: {}\n"
    )
    assert file.header == {"version": 1, "server": {"name": "s"}, "defaults": {"name": "D"}}
    assert file.bad_defaults == {"smtp_port"}


def test_a_reference_knows_where_it_is_written() -> None:
    text = "version: 1\nx: &x {password: {env: A}}\naccounts:\n- {<<: *x, email: a@example.com}\n"
    (entry,) = parsed(text).entries
    assert entry.given["password"].position == Position("a.yaml", 2, 18)


def test_an_encryption_beside_a_port_of_the_wrong_type_is_an_error() -> None:
    file = parsed("version: 1\naccounts: [{email: a@example.com, smtp_port: {env: A}, smtp_crypt: tls}]\n")
    assert [issue.node.path[-1] for issue in file.issues] == ["smtp_port", "smtp_crypt"]
