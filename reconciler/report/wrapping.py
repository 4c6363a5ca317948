"""Lines of a text that fit a terminal."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconciler.report.formats import Style

_NARROWEST: Final = 20
"""Columns; lines are never wrapped narrower than this, because single letters are hard to read."""


def hanging(text: str, style: Style, *, first: str, rest: str, colour: str = "") -> Iterator[str]:
    """``text`` behind ``first``; further lines are indented by ``rest``."""
    # The first line has to make room for the longer of the two.
    head, *tail = wrapped(arrows(text, style), room_beside(style, max(len(first), len(rest))))
    yield (style.paint(first.rstrip(), colour) + " " if colour else first) + head
    yield from (rest + line for line in tail)


def arrows(text: str, style: Style) -> str:
    """``text`` with the arrows that the terminal can show."""
    return text if style.arrow == "→" else text.replace("→", style.arrow)


def room_beside(style: Style, taken: int) -> int | None:
    """The columns that are left beside ``taken`` others; ``None`` if lines may have any length."""
    return None if style.width is None else style.width - taken


def wrapped(text: str, width: int | None) -> list[str]:
    """``text`` in lines of at most ``width`` columns, broken at spaces; in one line if ``width`` is ``None``."""
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
            word, needed = f" {word}", needed + 1  # noqa: PLW2901 - the space belongs to the word after it
        if needed > width:
            *full, word = _pieces(word, width)  # noqa: PLW2901 - the rest of it
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
