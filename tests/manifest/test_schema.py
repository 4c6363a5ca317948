from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from pydantic_core import ValidationError

from reconciler.manifest import schema_text
from reconciler.manifest.blocks import Shape, ValueType, json_schema, validator
from reconciler.manifest.loader import load
from reconciler.manifest.reader import read_manifests
from reconciler.manifest.schema import SHAPE, manifest_schema
from reconciler.manifest.trust import TRUST_SHAPE

if TYPE_CHECKING:
    from collections.abc import Iterator

EXAMPLE = Path(__file__).parents[2] / "examples" / "accounts.yaml"
VALIDATOR = Draft202012Validator(json.loads(schema_text()))


def test_the_shipped_schema_is_the_generated_one() -> None:
    assert schema_text() == json.dumps(manifest_schema(), indent=2, ensure_ascii=False) + "\n"


def test_the_schema_is_printed_without_loading_the_validator() -> None:
    use = "from reconciler.manifest import schema_text; schema_text()"
    script = f"import sys; {use}; print('pydantic_core' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert done.stdout == b"False\n"


def test_writing_the_schema_leaves_the_shipped_one_as_it_is() -> None:
    before = schema_text()
    subprocess.run([sys.executable, "-m", "reconciler.manifest.schema"], check=True)
    assert schema_text() == before


PROBES: tuple[object, ...] = (
    *(None, True, False, 0, 1, 30, 70_000, 2**70, -1, 1.0, 12.5),
    *("", " ", "x", "0", "5", "30", "30s", "1.5m", "30%", "30 %", "05%", "101%", "off", "before", "gmail", "GMAIL"),
    *(
        "a@example.com",
        " a@example.com ",
        "smtp.example.com",
        "::1",
        "https://fw.example.com",
        "HTTPS://Fw.example.com:443/",
    ),
    *("label=value", " a = b , c != d ", "north", "X", "1X", "/run/x", "echo x", "*"),
    *(
        {},
        {"env": "X"},
        {"env": "1X"},
        {"file": "x"},
        {"file": ""},
        {"command": ["x"]},
        {"command": []},
        {"literal": "x"},
    ),
    *({"literal": ""}, {"env": "X", "file": "x"}, {"when": "before"}, {"cert": "x"}, {"email": "a@example.com"}),
)
"""Values of every kind that a manifest has, and some that look like one."""

TELLING = {"examples", "enum", "const", "$ref", "boolean"}
"""What shows an editor's user how a value looks."""


def properties(value: object, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every property at any depth, with where it stands."""
    if isinstance(value, dict):
        for name, shape in value.get("properties", {}).items():
            yield f"{path}.{name}", shape
        for name, part in value.items():
            yield from properties(part, f"{path}/{name}")
    elif isinstance(value, list):
        for place, part in enumerate(value):
            yield from properties(part, f"{path}[{place}]")


def words(value: object) -> Iterator[str]:
    """All keys, and the type."""
    if isinstance(value, dict):
        yield from value
        yield str(value.get("type"))
        for part in value.values():
            yield from words(part)
    elif isinstance(value, list):
        for part in value:
            yield from words(part)


def test_the_schema_is_valid_and_explains_every_key() -> None:
    schema = json.loads(schema_text())
    Draft202012Validator.check_schema(schema)
    unexplained = [
        path
        for path, value in properties(schema)
        if not value.get("title") or not value.get("description") or not TELLING & set(words(value))
    ]
    assert unexplained == []


@pytest.mark.parametrize(
    "text",
    [
        "version: 1\naccounts: []",
        "version: 1\naccounts: [{email: a@example.com, name: A, service: gmail, password: null, smtp_port: null}]",
        "version: 1\npolicy: {max_deletes: 5, test: {when: off}}\naccounts: [{email: a@example.com, id: 1}]",
        "version: 1\naccounts: [{email: a@example.com, password: {env: X}}]",
        "version: 1\ndefaults: {smtp_crypt: starttls, hash_auth: true}\naccounts: []",
    ],
)
def test_the_schema_accepts_valid_documents(text: str) -> None:
    assert [error.message for error in VALIDATOR.iter_errors(load(text.encode()).value)] == []


@pytest.mark.parametrize(
    "text",
    [
        "accounts: []",
        "version: 2\naccounts: []",
        "version: 1\naccounts: [{name: A}]",
        "version: 1\naccounts: [{email: a@example.com, servce: gmail}]",
        "version: 1\naccounts: [{email: a@example.com, service: gmial}]",
        "version: 1\naccounts: [{email: a@example.com, password: 12345}]",
        "version: 1\naccounts: [{email: a@example.com, password: {evn: X}}]",
        "version: 1\naccounts: [{email: a@example.com, smtp_port: 70000}]",
        "version: 1\naccounts: [{email: a@example.com, default: yes}]",
        "version: 1\npolicy: {max_deletes: 130%}\naccounts: []",
        "version: 1\ndefaults: {email: a@example.com}\naccounts: []",
    ],
)
def test_the_schema_rejects_invalid_documents(text: str) -> None:
    assert not VALIDATOR.is_valid(load(text.encode()).value)


def accepts(kind: ValueType, value: object) -> bool:
    try:
        validator(kind).validate_python(value)
    except ValidationError:
        return False
    return True


@pytest.mark.parametrize("shape", [SHAPE, TRUST_SHAPE], ids=["manifest", "trust"])
def test_the_schema_accepts_every_value_that_the_validator_accepts(shape: Shape) -> None:
    definitions = json_schema(shape)["$defs"]
    keys = {(*path, name): key for path, block in shape.items() for name, key in block.keys.items()}
    differing = [
        (".".join(path), value)
        for path, key in keys.items()
        for value in [*PROBES, *([one] for one in PROBES), *({"x": one} for one in PROBES)]
        if accepts(key.type, value) and not Draft202012Validator({**key.json, "$defs": definitions}).is_valid(value)
    ]
    assert differing == []


def test_the_example_is_valid_and_shows_every_choice() -> None:
    value = load(EXAMPLE.read_bytes()).value
    assert [error.message for error in VALIDATOR.iter_errors(value)] == []
    desired = read_manifests([str(EXAMPLE)])
    fields = [entry.account.fields for entry in desired.accounts]
    assert desired.warnings == ()
    assert {field["service"] for field in fields} == {"gmail", "outlook", "other"}
    assert {field.get("smtp_crypt") for field in fields} >= {"none", "ssl-tls", "starttls"}
    assert {field.get("smtp_auth_mechanism") for field in fields} >= {"plain", "login", "cram-md5"}
    assert [entry.renamed_from for entry in desired.accounts if entry.renamed_from] == ["noc@example.com"]
    assert all(entry.account.email.endswith(("@example.com", "@example.org")) for entry in desired.accounts)


def test_the_example_names_the_schema_in_its_first_line() -> None:
    first = EXAMPLE.read_text(encoding="utf-8").splitlines()[0]
    assert first == "# yaml-language-server: $schema=../reconciler/manifest/manifest.schema.json"
