# ruff: noqa: E501 - cases are tables, and messages are compared in the one line that they are printed in
from __future__ import annotations

import os
import subprocess
import sys

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from reconciler.errors import Position
from reconciler.manifest.events import YamlError, open_events
from reconciler.manifest.loader import load
from tests.support.strategies import BOUNDED


def test_a_document_becomes_plain_values_with_item_positions() -> None:
    text = b"""\
version: 1
accounts:
  - email: a@example.com
    nested: {list: [1, [two], {three: 3}], none: ~}
  - email: "b@example.com"
    "12": 'on'
  - plain
"""
    loaded = load(text, "a.yaml")
    assert loaded.value == {
        "version": 1,
        "accounts": [
            {"email": "a@example.com", "nested": {"list": [1, ["two"], {"three": 3}], "none": None}},
            {"email": "b@example.com", "12": "on"},
            "plain",
        ],
    }
    assert loaded.starts(3) == [Position("a.yaml", line, 5) for line in (3, 5, 7)]
    assert not loaded.places
    assert not loaded.irregular


@pytest.mark.parametrize("other", ["1", "x!"])
def test_a_quoted_merge_key_is_an_ordinary_key(other: str) -> None:
    text = f"""{{"<<": {{a: 1}}, "\\0\\x3c\\x3c": {{b: 1}}, c: "{other}"}}"""
    assert load(text.encode()).value == {"<<": {"a": 1}, "\0<<": {"b": 1}, "c": other}


def test_mappings_with_the_same_keys_share_their_strings() -> None:
    loaded = load(b"accounts:\n- smtp_server: a.example\n- smtp_server: b.example\n").value
    assert isinstance(loaded, dict)
    (first,), (second,) = loaded["accounts"]
    assert first is second


def test_aliases_and_merges_use_the_anchored_value() -> None:
    text = b"""\
&key base: &base {a: 1, b: &two 2}
list: &list [x]
one: {<<: *base, b: 3}
two: {<<: [*base, {c: 4, a: 5}]}
three: *list
four: {quoted: &q "text"}
five: *q
"<<": ordinary
"""
    loaded = load(text)
    assert loaded.value == {
        "base": {"a": 1, "b": 2},
        "list": ["x"],
        "one": {"a": 1, "b": 3},
        "two": {"a": 1, "b": 2, "c": 4},
        "three": ["x"],
        "four": {"quoted": "text"},
        "five": "text",
        "<<": "ordinary",
    }
    assert not loaded.irregular


@pytest.mark.parametrize(
    "text",
    [
        b"a: !x 1",
        b"!x a: 1",
        b"!!map {a: 1}",
        b"a: 1\na: 2",
        b"a: 1\n'a': 2",
        b"a: *b",
        b"a: &a [*a]",
        b"12: x",
        b"~: x",
        b"? [a, b]\n: [c]\nd: e",
        b"? {a: b}\n: c",
        b"a: &a x\n*a : y",
        b"a: {<<: text}",
        b"a: {<<: [text]}",
        b"a: 1\n---\nb: 2",
    ],
)
def test_irregular_but_readable_text_is_marked(text: bytes) -> None:
    assert load(text).irregular


@pytest.mark.parametrize(
    ("text", "kind", "place"),
    [
        (b"", "empty_file", None),
        (b"# nothing\n", "empty_file", None),
        (b"---\n...\n", "empty_file", None),
        (b"a: [1", "syntax", Position("", 1, 4)),
        (b"a: b: c", "syntax", Position("", 1, 5)),
        (b"a:\n\t- b", "syntax", Position("", 2, 1)),
        (b"\xff\xfea\0", "encoding", None),
        (b"\xfe\xff\0a", "encoding", None),
        (b"a: 1\nb: \xc3\xa9\xe9", "encoding", Position("", 2, 5)),
        (b"\x89PNG\0", "binary_file", Position("", 1, 1)),
        (b"a: b\0", "binary_file", Position("", 1, 5)),
        (b"a: 1\nb: \x1b[31m", "control_character", Position("", 2, 4)),
        (b"[" * 65 + b"]" * 65, "too_deep", Position("", 1, 65)),
        (b"? " + b"[" * 100 + b"]" * 100 + b"\n: x", "too_deep", Position("", 1, 3)),
    ],
)
def test_an_unreadable_text_has_a_reason_and_a_position(text: bytes, kind: str, place: Position | None) -> None:
    with pytest.raises(YamlError) as caught:
        load(text)
    assert (caught.value.kind, caught.value.position) == (kind, place)


@pytest.mark.parametrize("text", [b"[" * 5_000_000, b"".join(b" " * depth + b"-\n" for depth in range(2_000))])
def test_nesting_of_any_depth_is_rejected_as_too_deep(text: bytes) -> None:
    with pytest.raises(YamlError) as caught:
        load(text)
    assert caught.value.kind == "too_deep"
    assert caught.value.position


def test_an_alias_bomb_is_rejected_at_the_alias() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    with pytest.raises(YamlError) as caught:
        load("\n".join(lines).encode())
    assert (caught.value.kind, caught.value.position) == ("alias_bomb", Position("", 5, 45))


def test_sixty_four_levels_are_allowed() -> None:
    value: object = load(b"[" * 64 + b"]" * 64).value
    depth = 0
    while isinstance(value, list):
        value, depth = (value[0] if value else None), depth + 1
    assert depth == 64


def test_a_byte_order_mark_and_windows_line_ends_change_nothing() -> None:
    assert load(b"\xef\xbb\xbfa: 1\r\nb: |\r\n  x\r\n  y\r\n").value == {"a": 1, "b": "x\ny\n"}


def test_a_megabyte_in_one_scalar_is_read() -> None:
    assert load(b"a: " + b"x" * 1_000_000).value == {"a": "x" * 1_000_000}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            b"a: %hunter2",
            "this is not YAML: found character that cannot start any token, while scanning for the next token",
        ),
        (b'a: "\\q"', "this is not YAML: found unknown escape character, while scanning a double-quoted scalar"),
        (
            b'a: "\\xzz"',
            "this is not YAML: expected escape sequence of 2 hexadecimal numbers, while scanning a double-quoted scalar",
        ),
    ],
)
def test_without_libyaml_errors_do_not_quote_the_text(text: bytes, message: str) -> None:
    script = """
import sys
sys.modules["yaml._yaml"] = None
from reconciler.manifest.loader import load
from reconciler.manifest.events import YamlError
try:
    print(load(sys.stdin.buffer.read()).value)
except YamlError as error:
    print(error.message)
"""
    done = subprocess.run([sys.executable, "-c", script], input=text, capture_output=True, check=True, env=os.environ)
    assert done.stdout.decode().strip() == message


def test_without_libyaml_the_pure_parser_gives_the_same_events() -> None:
    text = b"\xef\xbb\xbfa: [1, {b: 'c'}]\nd: &x y\ne: *x\n"

    def drained(*, pure: bool) -> list[str]:
        parser, names = open_events(text, pure=pure), []
        while not isinstance(event := parser.get_event(), yaml.StreamEndEvent):
            names.append(f"{type(event).__name__} {getattr(event, 'value', '')}")
        return names

    assert drained(pure=True) == drained(pure=False)


# PyYAML writes YAML 1.1, in which 0E0 and 0o7 are texts; here they are numbers, as in YAML 1.2.
_TEXTS = st.text(st.characters(exclude_categories=["Cs"])).filter(lambda text: not text.lstrip("+-.")[:1].isdigit())
_SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), _TEXTS)
_TREES = st.recursive(_SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text("abc~<"), inner), max_leaves=20)


@given(_TREES.filter(lambda tree: tree is not None))
@BOUNDED
def test_a_document_written_by_pyyaml_is_read_back(tree: object) -> None:
    text = yaml.dump(
        tree, Dumper=yaml.SafeDumper, allow_unicode=True, default_style='"' if isinstance(tree, str) else None
    )
    assert load(text.encode()).value == yaml.safe_load(text)


@given(st.binary(max_size=200) | st.text("&*a:[]{}-? \n'\"!|<#%\t,", max_size=60).map(str.encode))
@BOUNDED
def test_loading_any_bytes_raises_only_yaml_errors(text: bytes) -> None:
    try:
        load(text)
    except YamlError as error:
        assert error.kind  # noqa: PT017 - either outcome is fine, another exception is not
