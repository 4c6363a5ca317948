"""Undoes what programs do to text that they write inside other text, and keeps track of where each part came from."""

from __future__ import annotations

import base64
import re
from bisect import bisect_right
from dataclasses import dataclass
from html.entities import html5
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

Span = tuple[int, int]

_MOST_LAYERS: Final = 6
"""Escapes within escapes within escapes; each layer of the text is decoded in one pass."""

_ESCAPE: Final = re.compile(
    r"""
      (?P<bytes>(?:%(?:25)*[0-9a-f]{2} | \\+x[0-9a-f]{2} | \\+[0-3][0-7]{2})+)
    | (?P<units>(?:(?:\\+|%(?:25)*)u[0-9a-f]{4})+)
    | \\+(?:U(?P<long>[0-9a-f]{8}) | u\{(?P<braced>[0-9a-f]{1,6})\} | (?P<short>[nrtbf]) | )
    | &(?:amp;)*(?:\#x0*(?P<hex>[0-9a-f]{1,6}) | \#0*(?P<decimal>[0-9]{1,7}) | (?P<name>[a-z][a-z0-9]{1,30}(?=;)));?
    | (?P<space>\s{2,} | [^\S ])
    """,
    re.VERBOSE | re.IGNORECASE,
)
"""All escapes of URLs, JSON, HTML, Python and C. A backslash before anything else, and a second blank, mean nothing."""

_BYTE: Final = re.compile(r"%(?:25)*([0-9a-f]{2})|\\+x([0-9a-f]{2})|\\+([0-3][0-7]{2})", re.IGNORECASE)
_UNIT: Final = re.compile(r"(?:\\+|%(?:25)*)u([0-9a-f]{4})", re.IGNORECASE)
_MAY_BE_ESCAPED: Final = re.compile(r"[\\%&]|\s{2}|[^\S ]")

_BASE64_RUN: Final = re.compile(r"[0-9A-Za-z+/_-]{8,}={0,2}")
_HEX_RUN: Final = re.compile(r"[0-9A-Fa-f]{12,}")
_READABLE: Final = re.compile(r"[^\x00-\x1f\x7f\ufffd]{4}")
"""What hides no text, such as an ordinary word taken for base64, hardly ever has this."""

_TO_STANDARD: Final = str.maketrans("-_", "+/")


@dataclass(slots=True)
class Layer:
    """A text, and where each part of it came from.

    Attributes:
        text: The text, as decoded so far.
        starts: Where each piece of ``text`` starts, in order; nothing if it is the original text.
        sources: For each piece, its part of the text that it was decoded from, and whether that is the same.
        parent: What it was decoded from.
    """

    text: str
    starts: list[int]
    sources: list[tuple[int, int, bool]]
    parent: Layer | None = None

    def original(self, start: int, end: int) -> Span:
        """The part of the original text that became ``text[start:end]``, which is not empty."""
        layer = self
        while layer.parent is not None:
            start, end = layer._source(start)[0], layer._source(end - 1)[1]
            layer = layer.parent
        return start, end

    def _source(self, place: int) -> Span:
        piece = bisect_right(self.starts, place) - 1
        start, end, same = self.sources[piece]
        if same:
            start += place - self.starts[piece]
            return start, start + 1
        return start, end


def layers(text: str) -> Iterator[Layer]:
    """The text as it is, then with its escapes decoded once, twice, until nothing is left to decode."""
    layer = Layer(text, [], [])
    yield layer
    for _ in range(_MOST_LAYERS):
        if not _MAY_BE_ESCAPED.search(layer.text):
            return
        decoded = _decoded(layer)
        if decoded.text == layer.text:
            return
        layer = decoded
        yield layer


def plain_form(text: str) -> str:
    """The text with all escapes decoded; what was written differently is the same then."""
    for layer in layers(text):
        text = layer.text
    return text


def _decoded(layer: Layer) -> Layer:
    text, pieces = layer.text, []
    found = Layer("", [], [], layer)
    length = done = 0

    def add(piece: str, start: int, end: int, *, same: bool) -> None:
        nonlocal length
        if piece:
            found.starts.append(length)
            found.sources.append((start, end, same))
            pieces.append(piece)
            length += len(piece)

    for escape in _ESCAPE.finditer(text):
        start, end = escape.span()
        add(text[done:start], done, start, same=True)
        for piece, piece_start, piece_end in _meant(escape):
            add(piece, piece_start, piece_end, same=False)
        done = end
    add(text[done:], done, len(text), same=True)
    found.text = "".join(pieces)
    return found


def _meant(escape: re.Match[str]) -> Iterator[tuple[str, int, int]]:
    """What an escape means, character by character, with the part of the text that each comes from."""
    kind, start, end = escape.lastgroup, escape.start(), escape.end()
    value = escape[kind] if kind else ""
    if kind == "bytes":
        yield from _from_bytes(escape[0], start)
    elif kind == "units":
        yield from _from_units(escape[0], start)
    elif kind in ("long", "braced", "hex"):
        yield _character(int(value, 16)), start, end
    elif kind == "decimal":
        yield _character(int(value)), start, end
    elif kind == "name":
        yield html5.get(f"{value};", escape[0]), start, end
    elif kind == "short":
        yield "\b" if value in "bB" else " ", start, end
    elif kind == "space":
        yield " ", start, end


def _character(code: int) -> str:
    return chr(code) if code <= 0x10FFFF else "\ufffd"  # noqa: PLR2004 - the end of Unicode


def _from_bytes(escapes: str, start: int) -> Iterator[tuple[str, int, int]]:
    tokens = list(_BYTE.finditer(escapes))
    raw = bytes(int(one[3], 8) if one[3] else int(one[1] or one[2], 16) for one in tokens)
    # UTF-8, or Latin-1 where that is not possible.
    place = 0
    for char in raw.decode("utf-8", "surrogateescape"):
        is_latin = "\udc80" <= char <= "\udcff"
        following = place + (1 if is_latin else len(char.encode()))
        meant = chr(ord(char) - 0xDC00) if is_latin else char
        yield meant, start + tokens[place].start(), start + tokens[following - 1].end()
        place = following


def _from_units(escapes: str, start: int) -> Iterator[tuple[str, int, int]]:
    tokens = list(_UNIT.finditer(escapes))
    raw = b"".join(int(one[1], 16).to_bytes(2, "big") for one in tokens)
    place = 0
    for char in raw.decode("utf-16-be", "surrogatepass"):
        following = place + (2 if char > "\uffff" else 1)
        yield char, start + tokens[place].start(), start + tokens[following - 1].end()
        place = following


def hidden_texts(text: str) -> Iterator[tuple[Span, str]]:
    """What the runs of base64 and of hexadecimal digits in a text say, with their places.

    A run may begin anywhere in what was encoded, so it is read at every alignment.
    """
    for span, hidden in _hidden_texts(text):
        if _READABLE.search(hidden):
            yield span, hidden


def _hidden_texts(text: str) -> Iterator[tuple[Span, str]]:
    for run in _BASE64_RUN.finditer(text):
        digits = run[0].rstrip("=").translate(_TO_STANDARD)
        for start in range(4):
            yield run.span(), _read_base64(digits[start:])
    for run in _HEX_RUN.finditer(text):
        for start in range(2):
            yield run.span(), _read_hex(run[0][start:])


def _read_base64(run: str) -> str:
    # What is left over of the last group of four is good for a byte or two.
    rest = len(run) % 4
    run = run[:-1] if rest == 1 else run + "=" * (-rest % 4)
    return base64.b64decode(run).decode("utf-8", "replace")


def _read_hex(digits: str) -> str:
    return bytes.fromhex(digits[: len(digits) // 2 * 2]).decode("utf-8", "replace")
