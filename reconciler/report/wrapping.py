"""Breaks lines for a terminal: at blanks where there are any, by the columns that characters take."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_NARROWEST = 20
"""Columns; below this a text is broken as if it had so many, because a column of single letters is no text."""


def wrapped(text: str, width: int | None) -> list[str]:
    """``text`` in lines of at most ``width`` columns; in one where ``width`` is ``None``."""
    if width is None or columns(text) <= width:
        return [text]
    return list(_lines(text, max(width, _NARROWEST)))


def columns(text: str) -> int:
    """How many columns a terminal gives to ``text``: two for wide characters, none for combining ones."""
    return len(text) if text.isascii() else sum(map(_columns_of, text))


def _lines(text: str, width: int) -> Iterator[str]:
    line, used = "", 0
    for word in text.split(" "):
        needed = columns(word)
        if line and used + 1 + needed > width:
            yield line
            line, used = "", 0
        if line:
            word, needed = f" {word}", needed + 1  # noqa: PLW2901 - the blank belongs to the word that it precedes
        if needed > width:
            *full, word = _pieces(word, width)  # noqa: PLW2901 - what is left of it
            yield from full
            needed = columns(word)
        line, used = line + word, used + needed
    yield line


def _pieces(word: str, width: int) -> Iterator[str]:
    """A word that is wider than a line, in pieces."""
    piece, used = "", 0
    for char in word:
        needed = _columns_of(char)
        if used + needed > width:
            yield piece
            piece, used = "", 0
        piece, used = piece + char, used + needed
    yield piece


def _columns_of(char: str) -> int:
    if unicodedata.combining(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1
