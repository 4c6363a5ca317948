"""Changes as the cards of a page, with the part of a value that differs set apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from reconciler.model.display import common_prefix, display_address, display_sentence
from reconciler.model.plan import Action
from reconciler.report.rows import changed_rows, lost_rows, remarks, sent_rows
from reconciler.report.style import SIDES, SIGNS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconciler.model.plan import Change, Plan
    from reconciler.report.rows import Row

_ALIKE: Final = 3
"""Two values are alike, so that only what differs is marked, if they share at least one in so many characters."""


@dataclass(frozen=True, slots=True)
class Value:
    """A value in three pieces; what differs from the other value is in the middle, if anything is marked."""

    head: str
    core: str = ""
    tail: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """One field of a card; a value that is not there is ``None``."""

    field: str
    before: Value | None
    after: Value | None
    words: str


@dataclass(frozen=True, slots=True)
class ChangeCard:
    """One change.

    Attributes:
        number: The server's id; empty for a create.
        names: The fields that an update changes; empty for others.
        sides: The columns: ``before``, ``after``, or both.
    """

    action: str
    sign: str
    address: str
    number: str
    names: str
    sides: Sequence[str]
    rows: Sequence[Line]
    remarks: Sequence[str]


def cards_of(plan: Plan) -> list[ChangeCard]:
    """The plan's changes in its order."""
    return [_card(change, words) for change, words in zip(plan.changes, remarks(plan), strict=True)]


def _card(change: Change, words: Sequence[str]) -> ChangeCard:
    changed = changed_rows(change)
    return ChangeCard(
        action=change.action.value,
        sign=SIGNS[change.action][0],
        address=display_address(change.address),
        number="" if change.id is None else str(change.id),
        names=", ".join(row.field for row in changed) if change.action is Action.UPDATE else "",
        sides=SIDES[change.action],
        rows=[_line(row) for row in (*changed, *sent_rows(change), *lost_rows(change))],
        remarks=[display_sentence(one) for one in words],
    )


def _line(row: Row) -> Line:
    if row.before and row.after:
        return Line(row.field, *_marked(row.before, row.after), row.words)
    before, after = (Value(text) if text else None for text in (row.before, row.after))
    return Line(row.field, before, after, row.words)


def _marked(before: str, after: str) -> tuple[Value, Value]:
    """Both values with what differs in the middle; unmarked where they have too little in common."""
    start = common_prefix(before, after)
    end = common_prefix(before[start:][::-1], after[start:][::-1])
    if not before.startswith('"') or (start + end - 2) * _ALIKE < max(len(before), len(after)):
        return Value(before), Value(after)
    first, second = (
        Value(text[:start], text[start : len(text) - end], text[len(text) - end :]) for text in (before, after)
    )
    return first, second
