"""Decodes the escapes and encodings of text within text, and tracks where each part came from."""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Span = tuple[int, int]

_MOST_LAYERS: Final = 6
"""The depth of escapes within escapes that is decoded; each layer takes one pass."""

_ESCAPE: Final = r"""(?ix)
      (?P<bytes>(?:%(?:25)*[0-9a-f]{2} | \\+x[0-9a-f]{2} | \\+[0-3][0-7]{2})+)
    | (?P<units>(?:(?:\\+|%(?:25)*)u[0-9a-f]{4})+)
    | \\+(?:U(?P<long>[0-9a-f]{8}) | u\{(?P<braced>[0-9a-f]{1,6})\} | (?P<short>[nrtbf]) | )
    | &(?:amp;)*(?:\#x0*(?P<hex>[0-9a-f]{1,6}) | \#0*(?P<decimal>[0-9]{1,7}) | (?P<name>[a-z][a-z0-9]{1,30}(?=;)));?
    | (?P<space>\s{2,} | [^\S ])
    """
"""The escapes of URLs, JSON, HTML, Python and C. Other backslashes, and repeated spaces, mean nothing."""

_BYTE: Final = r"(?i)%(?:25)*([0-9a-f]{2})|\\+x([0-9a-f]{2})|\\+([0-3][0-7]{2})"
_UNIT: Final = r"(?i)(?:\\+|%(?:25)*)u([0-9a-f]{4})"
_MAY_BE_ESCAPED: Final = re.compile(r"[\\%&]|\s{2}|[^\S ]")

_BASE64_RUN: Final = r"[0-9A-Za-z+/_-]{8,}={0,2}"
_HEX_RUN: Final = r"[0-9A-Fa-f]{12,}"
_READABLE: Final = r"[^\x00-\x1f\x7f\ufffd]{4}"
"""Text contains this; an ordinary word that is decoded as base64 hardly ever does."""

_TO_STANDARD: Final = str.maketrans("-_", "+/")


class Layer(NamedTuple):
    """A decoded string, and the part of the original text that each character came from.

    Attributes:
        text: The decoded string.
        starts: For each character, where its part of the original text starts.
        ends: For each character, where that part ends.
    """

    text: str
    starts: Sequence[int]
    ends: Sequence[int]

    def original(self, start: int, end: int) -> Span:
        """The part of the original text that became ``text[start:end]``, which is not empty."""
        return self.starts[start], self.ends[end - 1]


def layers(text: str) -> Iterator[Layer]:
    """The text as it is, then with its escapes decoded once, twice, until nothing is left to decode."""
    layer = Layer(text, range(len(text)), range(1, len(text) + 1))
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
    """The text with all escapes decoded: equal for all ways to escape one string."""
    for layer in layers(text):
        text = layer.text
    return text


def _decoded(layer: Layer) -> Layer:
    pieces: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    done = 0
    for escape in re.finditer(_ESCAPE, layer.text):
        pieces.append(layer.text[done : escape.start()])
        starts += layer.starts[done : escape.start()]
        ends += layer.ends[done : escape.start()]
        for piece, start, end in _meaning(escape):
            pieces.append(piece)
            starts += [layer.starts[start]] * len(piece)
            ends += [layer.ends[end - 1]] * len(piece)
        done = escape.end()
    pieces.append(layer.text[done:])
    return Layer("".join(pieces), [*starts, *layer.starts[done:]], [*ends, *layer.ends[done:]])


def _meaning(escape: re.Match[str]) -> Iterator[tuple[str, int, int]]:
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
        from html.entities import html5  # here, because few texts have a named entity

        yield html5.get(f"{value};", escape[0]), start, end
    elif kind == "short":
        yield "\b" if value in "bB" else " ", start, end
    elif kind == "space":
        yield " ", start, end


def _character(code: int) -> str:
    return chr(code) if code <= 0x10FFFF else "\ufffd"  # noqa: PLR2004 - the end of Unicode


def _from_bytes(escapes: str, start: int) -> Iterator[tuple[str, int, int]]:
    tokens = list(re.finditer(_BYTE, escapes))
    raw = bytes(int(token[3], 8) if token[3] else int(token[1] or token[2], 16) for token in tokens)
    # UTF-8, or Latin-1 for bytes that are not UTF-8
    position = 0
    for char in raw.decode("utf-8", "surrogateescape"):
        is_latin = "\udc80" <= char <= "\udcff"
        following = position + (1 if is_latin else len(char.encode()))
        meant = chr(ord(char) - 0xDC00) if is_latin else char
        yield meant, start + tokens[position].start(), start + tokens[following - 1].end()
        position = following


def _from_units(escapes: str, start: int) -> Iterator[tuple[str, int, int]]:
    tokens = list(re.finditer(_UNIT, escapes))
    raw = b"".join(int(token[1], 16).to_bytes(2, "big") for token in tokens)
    position = 0
    for char in raw.decode("utf-16-be", "surrogatepass"):
        following = position + (2 if char > "\uffff" else 1)
        yield char, start + tokens[position].start(), start + tokens[following - 1].end()
        position = following


def encoded_texts(text: str) -> Iterator[tuple[Span, str]]:
    """The text in each run of base64 or hexadecimal digits, with the position of the run.

    A run may begin anywhere in the encoded data, so it is read at every alignment.
    """
    for span, hidden in _encoded_texts(text):
        if re.search(_READABLE, hidden):
            yield span, hidden


def _encoded_texts(text: str) -> Iterator[tuple[Span, str]]:
    for run in re.finditer(_BASE64_RUN, text):
        digits = run[0].rstrip("=").translate(_TO_STANDARD)
        for start in range(4):
            yield run.span(), _read_base64(digits[start:])
    for run in re.finditer(_HEX_RUN, text):
        for start in range(2):
            yield run.span(), _read_hex(run[0][start:])


def _read_base64(run: str) -> str:
    # The last, incomplete group of four may encode one or two bytes.
    rest = len(run) % 4
    run = run[:-1] if rest == 1 else run + "=" * (-rest % 4)
    return base64.b64decode(run).decode("utf-8", "replace")


def _read_hex(digits: str) -> str:
    return bytes.fromhex(digits[: len(digits) // 2 * 2]).decode("utf-8", "replace")
