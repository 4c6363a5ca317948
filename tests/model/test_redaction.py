from __future__ import annotations

import base64
import json
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.model.redaction import Redactor
from reconciler.model.secret import Secret
from tests.support.strategies import BOUNDED

HARD = 'pä ss/"w\\ord&+ÿ~?'


def redacted(text: str, *secrets: str) -> str:
    redactor = Redactor()
    for secret in secrets:
        redactor.add(Secret(secret))
    return redactor.redact(text)


@pytest.mark.parametrize(
    "form",
    [
        HARD,
        quote(HARD, safe=""),
        quote_plus(HARD),
        json.dumps(HARD)[1:-1],
        json.dumps(HARD, ensure_ascii=False)[1:-1],
        repr(HARD)[1:-1],
        base64.b64encode(HARD.encode()).decode(),
        base64.b64encode(HARD.encode()).decode().rstrip("="),
        base64.urlsafe_b64encode(HARD.encode()).decode(),
        "".join(f"%u{ord(one):04X}" for one in HARD),
    ],
)
def test_a_secret_is_masked_in_each_of_its_encodings(form: str) -> None:
    assert redacted(f"before {form} after {form}", HARD) == "before *** after ***"


def test_a_secret_within_another_leaves_no_rest() -> None:
    assert redacted("it is hunter22-long", "hunter22", "hunter22-long") == "it is ***"


def test_a_short_secret_is_masked_only_as_a_word() -> None:
    assert redacted("pin is p, not a ship", "p") == "pin is ***, not a ship"


def test_a_short_password_is_masked_in_an_smtp_login() -> None:
    sent = base64.b64encode(b"\0info@example.com\0ab12").decode()
    assert redacted(f"535 AUTH PLAIN {sent} failed", "ab12") == "535 AUTH PLAIN *** failed"
    longer = base64.b64encode(b"\0info@example.com\0xab12x").decode()
    assert redacted(f"535 {longer}", "ab12") == f"535 {longer}"


def test_text_without_a_secret_is_unchanged() -> None:
    assert redacted("nothing here", "canary", "") == "nothing here"


def test_a_secret_that_is_not_utf8_is_masked_too() -> None:
    assert redacted("it is \udcff\udcfe-canary", "\udcff\udcfe-canary") == "it is ***"


@given(st.text(min_size=6), st.text(), st.text())
@BOUNDED
def test_no_long_secret_survives(secret: str, before: str, after: str) -> None:
    # The mask itself and what surrounds it can spell a secret made of asterisks; that gives nothing away.
    if "*" not in secret:
        assert secret not in redacted(before + secret + after, secret).replace("***", "\0")


@given(st.text(min_size=6, max_size=60), st.text(max_size=30), st.integers(0, 30))
@BOUNDED
def test_an_excerpt_never_ends_within_a_secret(secret: str, before: str, left: int) -> None:
    text = before + secret + "and more" * 20
    redactor = Redactor()
    redactor.add(Secret(secret))
    if "*" not in text:
        whole = redactor.redact(text)
        start = redactor.redact(text, len(before) + left)
        assert whole.startswith(start) or start.endswith("***")
