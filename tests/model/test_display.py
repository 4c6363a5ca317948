from __future__ import annotations

import pytest

from reconciler.model.display import display_address, display_pair, display_sentence, display_value, escape


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ordinary", "ordinary"),
        ("Plantão 漢字 😀", "Plantão 漢字 😀"),
        ("two\nlines\r", "two\\u000alines\\u000d"),
        ("\x1b[31m", "\\u001b[31m"),
        ("\u202eevil\u2066", "\\u202eevil\\u2066"),
        ("\u2028\u2029\ufeff", "\\u2028\\u2029\\ufeff"),
        ("\ud800", "\\ud800"),
        ("\U000e0041", "\\U000e0041"),
        ("##[error]", "#\\u0023[error]"),
        ("###", "#\\u0023#"),
        ("# heading", "# heading"),
    ],
)
def test_characters_that_could_forge_a_line_are_escaped(text: str, expected: str) -> None:
    assert escape(text) == expected


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("a@example.com", "a@example.com"),
        ("a.b+c@example.com#12", "a.b+c@example.com#12"),
        ("josé@exämple.com", "josé@exämple.com"),
        ("a@example.com  (id 7)", '"a@example.com  (id 7)"'),
        ("::error::x@example.com", '"::error::x@example.com"'),
        ("no address", '"no address"'),
        ("a" * 300 + "@example.com", f'"{"a" * 200}"... (312 characters)'),
    ],
)
def test_an_unusual_address_is_in_quotes(address: str, expected: str) -> None:
    assert display_address(address) == expected


def test_a_long_sentence_is_cut_with_a_note() -> None:
    assert display_sentence("x" * 5_000) == "x" * 1_000 + "... (5,000 characters)"


def test_a_long_value_is_cut_with_a_note() -> None:
    assert display_value("x" * 10_000) == f'"{"x" * 200}"... (10,000 characters)'


@pytest.mark.parametrize(("value", "expected"), [(True, "true"), (None, "null"), (25, "25"), ('a"b', '"a\\"b"')])
def test_values_are_written_as_in_yaml(value: bool | int | str | None, expected: str) -> None:
    assert display_value(value) == expected


def test_two_long_values_show_the_part_that_differs() -> None:
    before, after = display_pair("x" * 1_000 + "before" + "y" * 1_000, "x" * 1_000 + "after")
    assert before == f'..."{"x" * 50}before{"y" * 144}"... (2,006 characters)'
    assert after == f'..."{"x" * 50}after" (1,005 characters)'


def test_a_long_value_beside_a_short_one_is_shown_from_its_start() -> None:
    assert display_pair("z", "x" * 201) == ('"z"', f'"{"x" * 200}"... (201 characters)')
    assert display_pair(None, "x" * 201) == ("null", f'"{"x" * 200}"... (201 characters)')
