"""Where the documentation explains kinds of problems. A kind that the server names has no entry, and is not shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from reconciler.errors import Kind
from reconciler.version import DOCUMENTATION

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from reconciler.errors import Problem

MOST_KINDS: Final = 5
"""Kinds that one line can name; the page has all of them."""


def explained(kinds: Iterable[str]) -> tuple[Kind, ...]:
    """The kinds that the page has an entry about, each once."""
    return tuple(dict.fromkeys(kind for kind in kinds if isinstance(kind, Kind)))


def page_of(kind: Kind) -> str:
    """The address of the entry about a kind."""
    return f"{DOCUMENTATION}errors/#{kind}"


def help_lines(kinds: Iterable[str]) -> Iterator[str]:
    """Where errors of these ``kinds`` are explained, in English and in Portuguese."""
    anchors = [f"#{kind}" for kind in explained(kinds)]
    first, others = "".join(anchors[:1]), anchors[1:MOST_KINDS]
    listed = ", ".join(others) + (", …" if len(anchors) > MOST_KINDS else "")
    yield f"help: {DOCUMENTATION}errors/{first}" + (f" (also {listed})" if listed else "")
    yield f"ajuda: {DOCUMENTATION}pt-BR/errors/{first}" + (f" (e {listed})" if listed else "")


def with_pages(problems: Iterable[Problem]) -> Iterator[tuple[Problem, str]]:
    """Each problem with the address of the entry about its kind if it is the first of that kind, else with ``""``."""
    named = set()
    for problem in problems:
        kind = problem.kind
        yield problem, page_of(kind) if isinstance(kind, Kind) and kind not in named else ""
        named.add(kind)
