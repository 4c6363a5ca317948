"""What most likely made a text unreadable, in words that show nothing of it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from reconciler.manifest.issues import Place

if TYPE_CHECKING:
    from collections.abc import Sequence

_CONFLICT: Final = re.compile(r"(?:<{7}|={7}|>{7}|\|{7})(?:[ \t].*)?\Z")
_ODD_SPACE: Final = re.compile("[\N{NO-BREAK SPACE}\N{NARROW NO-BREAK SPACE}\N{IDEOGRAPHIC SPACE}]")
_OPEN_QUOTE: Final = re.compile(
    r"""\s*(?:-\s+)*[\w-]+:\s+(?P<quote>["'])(?:(?<=")(?:[^"\\]|\\.)*|(?<=')(?:[^']|'')*)\\?\Z"""
)
_CLOSING: Final = {'"': re.compile(r'(?:[^"\\]|\\.)*"'), "'": re.compile(r"(?:[^']|'')*'(?!')")}
_AFTER_QUOTE: Final = re.compile(r"\s*(?:\s#|[,}\]]|\Z)")
_BRACKETED: Final = re.compile(r":\s+(?:\w+://)?(\[[0-9A-Fa-f.:]*:[0-9A-Fa-f.:]*\])")
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
        if address := _BRACKETED.search(line):
            hint = "quote the value; smtp_server takes an IPv6 address without brackets"
            return Cause("a square bracket begins a list in YAML", hint, Place(number, address.start(1) + 1))
    return _open_quote(lines[:last])


def _open_quote(lines: Sequence[str]) -> Cause | None:
    """The first quote that no later line closes in a way that makes sense: a value in quotes may have several lines."""
    closing = None  # finds the end of the quoted value that is open
    for number, line in enumerate(lines, 1):
        if closing is None:
            if not (opened := _OPEN_QUOTE.fullmatch(line.rstrip())):
                continue
            opening = Place(number, opened.start("quote") + 1)
            closing = _CLOSING[opened["quote"]]
        elif closed := closing.match(line):
            if not _AFTER_QUOTE.match(line, closed.end()):
                break
            closing = None
    if closing is None:
        return None
    return Cause("a quote is opened here and not closed", "close the quote on this line", opening)
