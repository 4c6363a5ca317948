"""Problems while they still have a path instead of a line; lines are looked up only when there is a problem."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from reconciler.manifest.files import Source

Path: TypeAlias = tuple[str | int, ...]
"""Keys and indexes that lead to a node of a document; empty for the document itself."""


class Place(NamedTuple):
    """A position in a file; both count from 1."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class NodeRef:
    """A node of a document: its value, or the key before it."""

    source: Source
    path: Path
    key: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Issue:
    """A problem at a spot.

    Attributes:
        message: What is wrong. Where there is an ``other`` spot, its place is appended in brackets.
        other: The second of the two places that do not fit together.
        count: How often it occurs, if equal ones are grouped.
        also: The first few of their other spots.
    """

    kind: str
    message: str
    spot: NodeRef
    hint: str = ""
    other: NodeRef | None = None
    address: str | None = None
    count: int = 1
    also: tuple[NodeRef, ...] = ()
