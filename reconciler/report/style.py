"""Colour and line drawing for a terminal, as far as the stream can show them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from reconciler.model.outcome import Status
from reconciler.model.plan import Action

if TYPE_CHECKING:
    from collections.abc import Mapping

_CODES = {"green": 32, "yellow": 33, "red": 31, "cyan": 36, "bold": 1, "dim": 2}

SIGNS: Mapping[str, tuple[str, str]] = {
    Action.CREATE: ("+", "green"),
    Action.UPDATE: ("~", "yellow"),
    Action.DELETE: ("-", "red"),
}

SIDES: Mapping[str, tuple[str, ...]] = {
    Action.CREATE: ("after",),
    Action.UPDATE: ("before", "after"),
    Action.DELETE: ("before",),
}
"""Which values a change has to show."""

STATUS_COLOURS: Mapping[Status, str] = {
    Status.APPLIED: "green",
    Status.PASSED: "green",
    Status.FAILED: "red",
    Status.SKIPPED: "yellow",
    Status.UNKNOWN: "red",
    Status.NOT_ATTEMPTED: "yellow",
}


@dataclass(frozen=True, slots=True)
class Style:
    """What the stream can show.

    Attributes:
        colour: Whether ANSI colours are wanted.
        arrow: Between before and after; ``->`` where the code page has no ``→``.
        width: Columns of the terminal; ``None`` where lines may be of any length, as in a file or a pipe.
    """

    colour: bool = False
    arrow: str = "→"
    width: int | None = None

    def paint(self, text: str, colour: str) -> str:
        """``text`` in a colour, or as it is."""
        return f"\x1b[{_CODES[colour]}m{text}\x1b[0m" if self.colour else text
