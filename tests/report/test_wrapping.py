from __future__ import annotations

import pytest

from reconciler.report.text import columns, wrapped


@pytest.mark.parametrize(
    ("text", "width", "lines"),
    [
        ("as it is, however long", None, ["as it is, however long"]),
        ("it fits exactly here", 20, ["it fits exactly here"]),
        ("this one is a little too long", 20, ["this one is a little", "too long"]),
        ("a" * 50, 20, ["a" * 20, "a" * 20, "a" * 10]),
        ("begin " + "a" * 30 + " end", 20, ["begin", "a" * 20, "a" * 10 + " end"]),
        ("漢字漢字漢字漢字漢字漢字", 20, ["漢字漢字漢字漢字漢字", "漢字"]),
        ("two  blanks stay where they are", 20, ["two  blanks stay", "where they are"]),
        ("no width is too narrow for a word", 3, ["no width is too", "narrow for a word"]),
    ],
)
def test_lines_break_at_blanks_and_within_words_that_are_too_long(
    text: str, width: int | None, lines: list[str]
) -> None:
    assert wrapped(text, width) == lines


def test_columns_are_those_of_a_terminal() -> None:
    assert [columns(text) for text in ("abc", "é", "e\u0301", "漢字", "😀")] == [3, 1, 1, 4, 2]
