"""Secrets are masked however other programs write them, and masking stays fast."""

from __future__ import annotations

import base64
import html
import json
import string
import time
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from reconciler.model.redaction import Redactor, without_labelled
from reconciler.model.secret import Secret
from tests.support.call_counter import count_calls
from tests.support.strategies import BOUNDED

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

SECRET = "s3cr3t/pass+wörd <&>\"'"


def redacted(text: str, secret: str, *others: str) -> str:
    redactor = Redactor()
    for one in (secret, *others):
        redactor.add(Secret(one))
    return redactor.redact(text)


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


def test_a_long_secret_is_masked_as_a_whole_and_in_part() -> None:
    redactor = Redactor()
    key = "".join(f"{number:x}+/" for number in range(4_000, 5_000))
    redactor.add(Secret(key))
    assert redactor.redact(f"bad key {key}!") == "bad key ***!"
    assert len(redactor.redact(f"bad key {key[:1000]}")) < len("bad key ***") + 100


def test_thousands_of_similar_secrets_do_not_slow_masking_down() -> None:
    redactor = Redactor()
    for number in range(10_000):
        redactor.add(Secret(f"Password-{number:05}!"))
    redactor.redact("a first text")
    start = time.process_time()
    for _ in range(100):
        assert redactor.redact("the password Password-04711! is wrong") == "the password *** is wrong"
    assert time.process_time() - start < 20


def test_hostile_secrets_and_texts_do_not_slow_the_search_down() -> None:
    redactor = Redactor()
    redactor.add(Secret("abcd" + "\\" * 30 + "x" + "\\" * 30 + "efgh" + "%&" * 20))
    start = time.process_time()
    redactor.redact("abcd" + "\\" * 5_000 + "efgh" + "%25" * 5_000 + "&amp;" * 5_000)
    assert time.process_time() - start < 20


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
def test_a_value_labelled_as_secret_is_masked(text: str, left: str) -> None:
    assert without_labelled(text) == left


PEM = """\
-----BEGIN PRIVATE KEY-----
MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj
MzEfYyjiWA4R4/M2bS1GB4t7NXp98C3SC6dVMvDuictGeurT8jNbvJZHtCSuYEvu
NMoSfm76oqFvAp8Gy0iz5sxjZmSnXyCdPEovGhLa0VzMaQ8s+CLOyS56YyCFGeJZ
qgtzJ6GR3eqoYSW9b9U=
-----END PRIVATE KEY-----
"""

LETTERS: Final[Mapping[str, Callable[[str], str]]] = {
    "URL": lambda char: "".join(f"%{byte:02X}" for byte in char.encode()),
    "URL twice": lambda char: "".join(f"%25{byte:02x}" for byte in char.encode()),
    "JSON": lambda char: json.dumps(char)[1:-1] if ord(char) > 126 else f"\\u{ord(char):04x}",
    "JSON twice": lambda char: json.dumps(char)[1:-1] if ord(char) > 126 else f"\\\\u{ord(char):04X}",
    "HTML, decimal": lambda char: f"&#{ord(char)};",
    "HTML, hexadecimal": lambda char: f"&#x{ord(char):x};",
    "HTML twice": lambda char: f"&amp;#{ord(char):05};",
    "bytes": lambda char: "".join(f"\\x{byte:02x}" for byte in char.encode()),
    "octal": lambda char: "".join(f"\\{byte:03o}" for byte in char.encode()),
    "as it is": lambda char: char,
}

PRINTED = st.text(st.characters(min_codepoint=33, max_codepoint=0x2FF, exclude_characters="*"), min_size=6, max_size=40)


@given(secret=PRINTED, data=st.data())
@BOUNDED
def test_a_secret_is_masked_whichever_letters_are_encoded_and_how(secret: str, data: st.DataObject) -> None:
    ways = data.draw(st.lists(st.sampled_from(sorted(LETTERS)), min_size=len(secret), max_size=len(secret)))
    written = "".join(LETTERS[way](char) for way, char in zip(ways, secret, strict=True))
    # A backslash that is not encoded would make an escape of a letter that follows it.
    assume("\\" not in secret or "as it is" not in ways)
    assert redacted(f"said <{written}>.", secret) == "said <***>."


@pytest.mark.parametrize("way", sorted(LETTERS))
def test_a_secret_with_one_encoded_letter_is_masked(way: str) -> None:
    for index, char in enumerate("hunter-22"):
        written = f"{'hunter-22'[:index]}{LETTERS[way](char)}{'hunter-22'[index + 1 :]}"
        assert redacted(f"said <{written}>.", "hunter-22") == "said <***>."


@given(secret=PRINTED, before=st.text(max_size=9), after=st.text(max_size=9), times=st.integers(1, 3))
@BOUNDED
def test_a_secret_is_masked_in_base64_of_base64(secret: str, before: str, after: str, times: int) -> None:
    text = f"{before}{secret}{after}".encode("utf-8", "replace")
    for _ in range(times):
        text = base64.b64encode(text)
    assert redacted(f"said <{text.decode()}>.", secret) == "said <***>."


@pytest.mark.parametrize(
    "form",
    [
        base64.b64encode(SECRET.encode().hex().encode()).decode(),
        base64.b64encode(SECRET.encode()).hex(),
        quote(base64.b64encode(quote(SECRET).encode())),
        base64.b64encode(json.dumps({"a": "\\u0073" + SECRET[1:]}).encode()).decode(),
        base64.urlsafe_b64encode(base64.urlsafe_b64encode(SECRET.encode())).decode().rstrip("="),
    ],
)
def test_a_secret_is_masked_in_nested_encodings(form: str) -> None:
    assert redacted(f"said <{form}>.", SECRET) == "said <***>."


@pytest.mark.parametrize("line", PEM.splitlines())
def test_a_single_line_of_a_key_is_masked(line: str) -> None:
    assert redacted(f"bad line <{line}>.", PEM) == "bad line <***>."
    assert redacted(f"bad line <{base64.b64encode(line.encode()).decode()}>.", PEM) == "bad line <***>."


def test_a_key_on_one_line_is_masked() -> None:
    assert redacted(f"bad key {json.dumps(PEM)}", PEM) == 'bad key "***"'
    assert redacted("bad key " + "".join(PEM.splitlines()), PEM) == "bad key ***"


def test_a_part_of_a_long_secret_is_masked() -> None:
    token = "".join(f"{number:x}-" for number in range(100, 300))
    assert redacted(f"token {token[37:60]}... is not valid", token) == "token ***... is not valid"


def test_ordinary_text_is_not_masked() -> None:
    text = "the sender info@example.com is not authorized: 535 5.7.8 (see https://example.com/help?a=1&b=2)"
    assert redacted(text, "correct horse battery staple https://example.net", "p", "x1", PEM) == text


LARGE_TEXTS = ("words and %41 &lt; ", base64.b64encode(bytes(range(256))).decode(), " ")


def knowing(number: int, length: int) -> Redactor:
    redactor = Redactor()
    letters = string.ascii_letters + string.digits + "!$%"
    for secret in range(number):
        places = ((secret * 7919 + index * secret) % len(letters) for index in range(length))
        redactor.add(Secret("".join(letters[place] for place in places)))
    return redactor


@pytest.mark.parametrize("text", LARGE_TEXTS, ids=["words", "base64", "spaces"])
@pytest.mark.parametrize("length", [1, 5, 40])
def test_work_grows_with_the_text_and_not_with_the_secrets(length: int, text: str) -> None:
    few, many = knowing(100, length), knowing(2_000, length)
    body = (text * 8_192)[:8_192]
    work = count_calls(lambda: many.redact(body))
    assert work <= 1.1 * count_calls(lambda: few.redact(body))
    assert count_calls(lambda: many.redact(body * 2)) <= 2.2 * work


@pytest.mark.parametrize("text", LARGE_TEXTS, ids=["words", "base64", "spaces"])
def test_only_the_part_that_is_shown_is_searched(text: str) -> None:
    redactor = knowing(2_000, 12)
    work = count_calls(lambda: redactor.redact((text * 8_192)[:8_192], 2_000))
    assert count_calls(lambda: redactor.redact((text * 65_536)[:65_536], 2_000)) <= 1.1 * work


def test_each_secret_is_indexed_once() -> None:
    class Counted(str):
        looked_at = 0

        def isascii(self) -> bool:
            Counted.looked_at += 1
            return super().isascii()

    redactor = Redactor()
    for text in ("hunter22 here", "hunter22 there"):
        redactor.add(Secret(Counted("hunter22")))
        assert redactor.redact(text).startswith("*** ")
    assert Counted.looked_at == 1
