"""Where the documentation explains kinds of problems. A kind that the server names has no entry, and is not shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from reconciler.errors import Kind
from reconciler.version import DOCUMENTATION

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from reconciler.errors import Problem

_MOST_KINDS: Final = 5
"""Kinds that one line can name; the page has all of them."""


def help_lines(kinds: Iterable[str]) -> Iterator[str]:
    """Where errors of these ``kinds`` are explained, in English and in Portuguese."""
    anchors = list(dict.fromkeys(f"#{kind.value}" for kind in kinds if isinstance(kind, Kind)))
    first, others = "".join(anchors[:1]), anchors[1:_MOST_KINDS]
    listed = ", ".join(others) + (", …" if len(anchors) > _MOST_KINDS else "")
    yield f"help: {DOCUMENTATION}errors/{first}" + (f" (also {listed})" if listed else "")
    yield f"ajuda: {DOCUMENTATION}pt-BR/errors/{first}" + (f" (e {listed})" if listed else "")


def with_pages(problems: Iterable[Problem]) -> Iterator[tuple[Problem, str]]:
    """Each problem with the address of the entry about its kind if it is the first of that kind, else with ``""``."""
    named = set()
    for problem in problems:
        kind = problem.kind
        yield problem, kind.page if isinstance(kind, Kind) and kind not in named else ""
        named.add(kind)
