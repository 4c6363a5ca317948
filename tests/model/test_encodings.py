"""Secrets are masked however other programs write them, and masking stays fast."""

from __future__ import annotations

import base64
import html
import json
import time
from urllib.parse import quote

import pytest

from reconciler.model.redaction import Redactor, without_labelled
from reconciler.model.secret import Secret

SECRET = "s3cr3t/pass+wörd <&>\"'"


@pytest.fixture
def redactor() -> Redactor:
    known = Redactor()
    known.add(Secret(SECRET))
    return known


@pytest.mark.parametrize("user", ["", "u", "us", "use", "user"])
def test_a_secret_is_masked_inside_longer_base64_at_any_alignment(redactor: Redactor, user: str) -> None:
    encoded = base64.b64encode(f"\0{user}\0{SECRET}".encode()).decode()
    assert redactor.redact(f"AUTH {encoded}") == "AUTH ***"


@pytest.mark.parametrize(
    "form",
    [
        quote(SECRET),
        quote(quote(SECRET, safe=""), safe=""),
        json.dumps(json.dumps(SECRET))[3:-3],
        json.dumps(SECRET)[1:-1].replace("/", "\\/"),
        repr(SECRET.encode())[2:-1],
        html.escape(html.escape(SECRET)),
        SECRET.encode().decode("latin-1"),
        SECRET.encode().hex(),
        SECRET.upper(),
        base64.b64encode(json.dumps({"password": SECRET}).encode()).decode(),
        quote(base64.b64encode(SECRET.encode()), safe=""),
    ],
)
def test_a_secret_is_masked_as_other_programs_write_it(redactor: Redactor, form: str) -> None:
    assert redactor.redact(f"said <{form}>.") == "said <***>."


def test_a_long_secret_is_masked_where_a_part_of_it_is_repeated() -> None:
    redactor = Redactor()
    key = "".join(f"{number:x}+/" for number in range(4_000, 5_000))
    redactor.add(Secret(key))
    assert redactor.redact(f"bad key {key}!") == "bad key ***!"
    assert len(redactor.redact(f"bad key {key[:1000]}")) < len("bad key ***") + 100


def test_thousands_of_alike_secrets_do_not_make_masking_slow() -> None:
    redactor = Redactor()
    for number in range(10_000):
        redactor.add(Secret(f"Password-{number:05}!"))
    redactor.redact("a first text")
    start = time.perf_counter()
    for _ in range(100):
        assert redactor.redact("the password Password-04711! is wrong") == "the password *** is wrong"
    assert time.perf_counter() - start < 1


def test_no_secret_and_no_text_make_the_search_explode() -> None:
    redactor = Redactor()
    redactor.add(Secret("abcd" + "\\" * 30 + "x" + "\\" * 30 + "efgh" + "%&" * 20))
    start = time.perf_counter()
    redactor.redact("abcd" + "\\" * 5_000 + "efgh" + "%25" * 5_000 + "&amp;" * 5_000)
    assert time.perf_counter() - start < 2


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ('{"password": "x y", "name": "A"}', '{"password": "***", "name": "A"}'),
        (r"{\"access_token\": \"abc\"}", r"{\"access_token\": \"***\"}"),
        ("user=a&password=hunter2&x=1", "user=a&password=***&x=1"),
        ("Authorization: Bearer abc.def-123 was refused", "Authorization: Bearer *** was refused"),
        ("AUTH PLAIN AGEAaHVudGVyMg==", "AUTH PLAIN ***"),
        ("the field password: required", "the field password: required"),
    ],
)
def test_what_a_text_itself_calls_a_secret_is_masked(text: str, left: str) -> None:
    assert without_labelled(text) == left
