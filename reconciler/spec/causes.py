"""What most likely made a text unreadable, in words that show nothing of it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from reconciler.spec.issues import Place

if TYPE_CHECKING:
    from collections.abc import Sequence

_CONFLICT: Final = re.compile(r"(?:<{7}|={7}|>{7}|\|{7})(?:[ \t].*)?\Z")
_ODD_SPACE: Final = re.compile("[\N{NO-BREAK SPACE}\N{NARROW NO-BREAK SPACE}\N{IDEOGRAPHIC SPACE}]")
_OPEN_QUOTE: Final = re.compile(r"""\s*(?:-\s+)*[\w-]+:\s+(?:"(?:[^"\\]|\\.)*|'(?:[^']|'')*)\Z""")
_TEMPLATE: Final = re.compile(r":\s+(?:\{\{|\$\{|\$__)|[{,]\s*\w+:\s+\$\{")


class Cause(NamedTuple):
    """What is wrong, what to do, and where."""

    message: str
    hint: str
    place: Place


def likely_cause(lines: Sequence[str], place: Place | None) -> Cause | None:
    """The likely cause of a syntax error that the parser reports at ``place``; ``None`` if there is no sign of one."""
    for number, line in enumerate(lines, 1):
        if _CONFLICT.match(line):
            hint = "resolve the conflict, and remove the lines with <<<<<<<, ======= and >>>>>>>"
            return Cause("a merge conflict was left in the file", hint, Place(number, 1))
    last = min(place.line, len(lines)) if place else len(lines)
    for number in range(max(1, last - 2), last + 1):
        line = lines[number - 1]
        if space := _ODD_SPACE.search(line):
            hint = "use ordinary spaces; editors and web pages insert others"
            return Cause("a no-break space (U+00A0) is not a space in YAML", hint, Place(number, space.start() + 1))
        if template := _TEMPLATE.search(line):
            hint = "refer to a secret with {env: NAME}, {file: path} or {command: [program, argument]}"
            return Cause("this is a placeholder that nothing has filled in", hint, Place(number, template.start() + 1))
    return _open_quote(lines[:last])


def _open_quote(lines: Sequence[str]) -> Cause | None:
    for number, line in enumerate(lines, 1):
        if _OPEN_QUOTE.fullmatch(line.rstrip()):
            column = min(found for found in (line.find('"'), line.find("'")) if found >= 0) + 1
            return Cause("a quote is opened here and not closed", "close the quote on this line", Place(number, column))
    return None
