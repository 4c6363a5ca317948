"""Changes as cards of a web page: each field's values side by side, with the difference marked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from reconciler.model.display import common_prefix, display_sentence

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconciler.report.view import ChangeView, FieldRow

_ALIKE: Final = 3
"""Two values are similar, so that only the difference is marked, if they share at least one in so many characters."""


@dataclass(frozen=True, slots=True)
class Value:
    """A value in three parts; the marked difference from the other value is in the middle."""

    head: str
    core: str = ""
    tail: str = ""


@dataclass(frozen=True, slots=True)
class CardRow:
    """One field of a card; a value that is not there is ``None``."""

    field: str
    before: Value | None
    after: Value | None
    words: str


@dataclass(frozen=True, slots=True)
class ChangeCard:
    """One change on the page.

    Attributes:
        where: The number of servers, or the only one.
        names: The names of several servers.
        servers: Their places in the page's list of servers, as ranges.
    """

    view: ChangeView
    rows: Sequence[CardRow]
    notes: Sequence[str]
    where: str
    names: str
    servers: str


def make_card(view: ChangeView, where: str = "", names: str = "", servers: str = "") -> ChangeCard:
    """A change for the template; what concerns servers is empty if there is only one."""
    rows, notes = [_row(row) for row in view.rows], [display_sentence(note) for note in view.notes]
    return ChangeCard(view, rows, notes, where, names, servers)


def _row(row: FieldRow) -> CardRow:
    if row.before and row.after:
        return CardRow(row.field, *_marked(row.before, row.after), row.words)
    before, after = (Value(text) if text else None for text in (row.before, row.after))
    return CardRow(row.field, before, after, row.words)


def _marked(before: str, after: str) -> tuple[Value, Value]:
    """Both values with the difference marked, unless they have too little in common."""
    start = common_prefix(before, after)
    end = common_prefix(before[start:][::-1], after[start:][::-1])
    if not before.startswith('"') or (start + end - 2) * _ALIKE < max(len(before), len(after)):
        return Value(before), Value(after)
    first, second = (
        Value(text[:start], text[start : len(text) - end], text[len(text) - end :]) for text in (before, after)
    )
    return first, second
