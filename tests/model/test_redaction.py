"""Secrets are masked in texts that others wrote."""

from __future__ import annotations

import base64
import html
import json
from urllib.parse import quote, quote_plus

import pytest

from reconciler.model.redaction import Redactor
from reconciler.model.secret import Secret

SECRET = "s3cr3t/pass+wörd <&>\"'"


@pytest.fixture
def redactor() -> Redactor:
    known = Redactor()
    known.add(Secret(SECRET))
    return known


@pytest.mark.parametrize(
    "form",
    [
        SECRET,
        quote(SECRET, safe=""),
        quote_plus(SECRET),
        json.dumps(SECRET)[1:-1],
        json.dumps(SECRET, ensure_ascii=False)[1:-1],
        repr(SECRET)[1:-1],
        html.escape(SECRET),
        base64.b64encode(SECRET.encode()).decode(),
        base64.urlsafe_b64encode(SECRET.encode()).decode(),
    ],
)
def test_a_secret_is_masked_in_every_encoding(redactor: Redactor, form: str) -> None:
    assert redactor.redact(f"the server said <{form}>.") == "the server said <***>."


@pytest.mark.parametrize("user", ["", "u", "us", "use", "user"])
def test_a_secret_is_masked_inside_longer_base64_at_any_alignment(redactor: Redactor, user: str) -> None:
    encoded = base64.b64encode(f"\0{user}\0{SECRET}".encode()).decode()
    left = redactor.redact(encoded)
    assert "***" in left
    # What is left is what the neighbours have a share in: two characters on either side at the most, and the user.
    assert len(left.replace("***", "")) <= len(encoded) - len(SECRET.encode()) * 8 // 6 + 2


def test_a_short_secret_is_masked_only_as_a_word() -> None:
    redactor = Redactor()
    redactor.add(Secret("p"))
    assert redactor.redact("password p is not a port") == "password *** is not a port"


def test_the_longest_secret_is_masked_first() -> None:
    redactor = Redactor()
    redactor.add(Secret("abcdef"))
    assert redactor.redact("abcdef-ghi") == "***-ghi"
    redactor.add(Secret("abcdef-ghi"))
    assert redactor.redact("abcdef-ghi") == "***"


def test_an_empty_secret_masks_nothing() -> None:
    redactor = Redactor()
    redactor.add(Secret(""))
    assert redactor.redact("as it was") == "as it was"
