"""The many ways in which programs write a text inside another one."""

from __future__ import annotations

import base64
import re
from html.entities import codepoint2name
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

_SHORT_ESCAPES: Final = {"\n": "n", "\r": "r", "\t": "t", "\b": "b", "\f": "f"}
_BACKSLASHES: Final = r"\\{1,64}"
"""As many as escapes within escapes make of one; bounded, so that no text can make the search slow."""

_BASE64_RUN: Final = re.compile(r"(?:[0-9A-Za-z+/_-]|%2[BbFf]|\\/){8,}(?:=|%3[Dd]){0,2}")
_HEX_RUN: Final = re.compile(r"[0-9A-Fa-f]{12,}")
_TO_STANDARD: Final = str.maketrans("-_", "+/")


def pattern_of(text: str) -> str:
    """A regular expression that finds ``text`` as it is or encoded for a URL, JSON, HTML or Python, also twice over.

    Each character may be encoded or not, as programs differ in which they leave alone.
    """
    # Several backslashes in a row are one item: items that can all stretch would make the search slow.
    items = re.findall(r"\\+|.", text, re.DOTALL)
    return "".join(_item(item) for item in items) + rf"|{re.escape(_base64(text))}"


def _base64(text: str) -> str:
    return base64.b64encode(text.encode("utf-8", "surrogatepass")).decode()


def _item(item: str) -> str:
    if item.isascii() and item.isalnum():
        return item
    if item.startswith("\\"):
        count = len(item)
        return rf"(?:\\{{{count},{64 * count}}}|(?:%(?:25){{0,3}}5c|&\#(?:92|x5c);){{{count}}})"
    raw, code = item.encode("utf-8", "surrogatepass"), ord(item)
    units = item.encode("utf-16-be", "surrogatepass")
    forms = [
        rf"\\{{0,64}}{re.escape(item)}",
        "".join(rf"%(?:25){{0,3}}{byte:02x}" for byte in raw),
        "".join(rf"{_BACKSLASHES}u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2)),
        "".join(rf"{_BACKSLASHES}x{byte:02x}" for byte in raw),
        rf"&(?:amp;){{0,3}}(?:\#(?:0*{code}|x0*{code:x})|{'|'.join(_names(code))});",
    ]
    if item in _SHORT_ESCAPES:
        forms.append(_BACKSLASHES + _SHORT_ESCAPES[item])
    if item.isspace():
        forms += [r"\+", r"\s{1,4}"]
    if not item.isascii():
        # UTF-8 read as Latin-1, and the other way round.
        forms += [re.escape(raw.decode("latin-1")), "\ufffd", rf"{_BACKSLASHES}x{code:02x}"]
    return f"(?:{'|'.join(forms)})"


def _names(code: int) -> Iterator[str]:
    yield codepoint2name.get(code, "apos" if code == ord("'") else "nbsp" if code == ord(" ") else "none")


def decodings(text: str) -> Iterator[tuple[int, int, str]]:
    """What the runs of base64 and of hexadecimal digits in ``text`` say: start, end, and their text.

    A run may begin anywhere in what was encoded, so that it is read at every alignment.
    """
    for run in _BASE64_RUN.finditer(text):
        compact = re.sub("%..|\\\\/", _unescaped, run[0]).rstrip("=").translate(_TO_STANDARD)
        read = [_read_base64(compact[start:]) for start in range(4)]
        if _HEX_RUN.search(compact):
            read += [_read_hex(found[0][start:]) for found in _HEX_RUN.finditer(compact) for start in range(2)]
        yield run.start(), run.end(), "\n".join(read)


def _unescaped(found: re.Match[str]) -> str:
    return "/" if found[0] == "\\/" else chr(int(found[0][1:], 16))


def _read_base64(run: str) -> str:
    # What is left over of the last group of four is good for a byte or two.
    rest = len(run) % 4
    run = run[:-1] if rest == 1 else run + "=" * (-rest % 4)
    return base64.b64decode(run).decode("utf-8", "replace")


def _read_hex(digits: str) -> str:
    return bytes.fromhex(digits[: len(digits) // 2 * 2]).decode("utf-8", "replace")
