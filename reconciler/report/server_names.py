"""Names of many servers as short phrases: ``b001-b004, b007``."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from reconciler.model.display import display_sentence, display_value

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from reconciler.model.server import Server

MOST_PIECES: Final = 12
"""The most ranges and names that a phrase lists."""

_FEWEST: Final = 3
"""Names in a row that become a range; fewer are listed."""

_NUMBER: Final = r"(?<![0-9])[0-9]{1,18}(?![0-9])"
_ORDINARY: Final = re.compile(r"\w[\w.:-]*")
_SIMPLE: Final = r"[^\W0-9]*"
"""A prefix after which a range reads well without brackets: ``b001-b004``, but ``sp-[001-004]``."""


@dataclass(frozen=True, slots=True)
class NameRange:
    """Names that differ only in a number, which counts up by one; or one name.

    Attributes:
        count: How many names there are.
    """

    text: str
    count: int = 1


def fold_names(names: Iterable[str]) -> list[NameRange]:
    """The names, sorted, with three or more in a row as a range. Nothing is lost."""
    names = list(names)
    ordinary = [name for name in names if _ORDINARY.fullmatch(name)]
    shapes = Counter(shape for name in ordinary for shape, _ in _splits(name))
    numbered: list[tuple[str, str, int, str]] = []
    plain = [(display_value(name), "", 0, "") for name in names if not _ORDINARY.fullmatch(name)]
    for name in ordinary:
        # Of several numbers in a name, the one that counts is that which most other names have in the same place.
        (prefix, suffix), digits = max(_splits(name), key=lambda one: shapes[one[0]], default=((name, ""), ""))
        numbered.append((prefix, suffix, len(digits), digits))
    runs: list[list[tuple[str, str, int, str]]] = []
    for part in sorted(numbered + plain):
        if runs and _follows(runs[-1], part):
            runs[-1].append(part)
        else:
            runs.append([part])
    return [piece for run in runs for piece in _pieces(run)]


def names_phrase(servers: Sequence[Server], *, whole: bool = False) -> str:
    """The servers' names, folded, safe to show.

    Args:
        servers: At least one.
        whole: Whether to list all, however many there are.
    """
    return folded_names([server.name for server in servers], whole=whole)


def folded_names(names: Collection[str], *, whole: bool = False) -> str:
    """As ``names_phrase``, for names alone."""
    pieces = fold_names(names)
    shown = pieces if whole or len(pieces) <= MOST_PIECES else pieces[:MOST_PIECES]
    words = ", ".join(piece.text for piece in shown)
    more = len(names) - sum(piece.count for piece in shown)
    return f"{words} and {more:,} more" if more else words


def count_phrase(count: int) -> str:
    """``1 server`` or ``487 servers``."""
    return f"{count:,} server{'' if count == 1 else 's'}"


def part_phrase(count: int, total: int) -> str:
    """``480 of 500 servers``, or ``1 server`` if there is no other."""
    return count_phrase(1) if count == total == 1 else f"{count:,} of {count_phrase(total)}"


def nothing_applied_phrase(count: int) -> str:
    """A heading for the reasons why servers are left as they are."""
    return f"Nothing is applied to {'this server' if count == 1 else 'these servers'}"


def servers_phrase(servers: Sequence[Server], *, whole: bool = False) -> str:
    """``on 487 servers: b001-b487``, or ``on b007``."""
    names = names_phrase(servers, whole=whole)
    return f"on {names}" if len(servers) == 1 else f"on {count_phrase(len(servers))}: {names}"


def _splits(name: str) -> Iterator[tuple[tuple[str, str], str]]:
    """For each number in a name what is around it, and its digits; the last number first."""
    for found in reversed(list(re.finditer(_NUMBER, name))):
        yield (name[: found.start()], name[found.end() :]), found[0]


def _follows(run: Sequence[tuple[str, str, int, str]], part: tuple[str, str, int, str]) -> bool:
    """Whether a name continues a range: its number is one more, with as many leading zeros as the range has."""
    prefix, suffix, _, digits = part
    if run[-1][:2] != (prefix, suffix) or not digits or not run[-1][3]:
        return False
    return digits == f"{int(run[-1][3]) + 1:0{run[0][2]}}"


def _pieces(run: Sequence[tuple[str, str, int, str]]) -> Iterator[NameRange]:
    if len(run) < _FEWEST:
        for prefix, suffix, _, digits in run:
            yield NameRange(display_sentence(f"{prefix}{digits}{suffix}"))
        return
    prefix, suffix, _, first = run[0]
    last = run[-1][3]
    is_simple = not suffix and re.fullmatch(_SIMPLE, prefix)
    words = f"{prefix}{first}-{prefix}{last}" if is_simple else f"{prefix}[{first}-{last}]{suffix}"
    yield NameRange(display_sentence(words), len(run))
