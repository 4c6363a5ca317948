"""Secrets that are easy to find in output: two unique halves, with characters between them that encodings change."""

from __future__ import annotations

import base64
import html
import json
import random
import re
from functools import cache
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, quote_plus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

_ALPHABET: Final = "abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"
_HALF: Final = 14
_WINDOW: Final = 8
"""This many characters of a half are a leak, so that a partial mask is found too."""

TEXT: Final = "/+&<>\"' \\%wörd="
"""Between the halves of a password."""

TOKEN: Final = "/+&<>\"'\\%~="
"""Between the halves of a token, which has to be valid in a header."""

ENCODINGS: Final[dict[str, Callable[[str], str]]] = {
    "plain": str,
    "json": lambda text: json.dumps(text)[1:-1],
    "json, slashes too": lambda text: json.dumps(text)[1:-1].replace("/", "\\/"),
    "json in json": lambda text: json.dumps(json.dumps(text))[1:-1],
    "url": lambda text: quote(text, safe=""),
    "url, lower case": lambda text: re.sub("%..", lambda found: found[0].lower(), quote(text, safe="")),
    "url path": quote,
    "form": quote_plus,
    "html": html.escape,
    "html, decimal": lambda text: html.escape(text).replace("&#x27;", "&#39;").replace("&quot;", "&#34;"),
    "xml": lambda text: html.escape(text, quote=False),
    "repr": lambda text: repr(text)[1:-1],
    "bytes": lambda text: repr(text.encode())[2:-1],
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64, for urls": lambda text: base64.urlsafe_b64encode(text.encode()).decode().rstrip("="),
    "auth plain": lambda text: base64.b64encode(f"\0certs@example.com\0{text}".encode()).decode(),
    "basic": lambda text: base64.b64encode(f"robot:{text}".encode()).decode(),
    "base64 of json": lambda text: base64.b64encode(json.dumps({"password": text}).encode()).decode(),
    "hex": lambda text: text.encode().hex(),
    "hex, upper case": lambda text: text.encode().hex().upper(),
    "mojibake": lambda text: text.encode().decode("latin-1"),
    "quoted pair": lambda text: f'"{text}"',
}
"""Encodings that a server may use when it repeats what it was sent."""


class Canaries:
    """The secrets of one run, by where they enter. The same seed gives the same ones."""

    def __init__(self, seed: int = 0) -> None:
        self._random = random.Random(seed)  # noqa: S311 - they only have to be unlike anything else
        self.values: dict[str, str] = {}

    def new(self, place: str, middle: str = TEXT) -> str:
        """A secret for ``place``; the same one when asked again."""
        if place not in self.values:
            one, other = ("".join(self._random.choices(_ALPHABET, k=_HALF)) for _ in range(2))
            self.values[place] = f"{one}{middle}{other}"
        return self.values[place]

    def leaks(self, text: str) -> list[str]:
        """The places whose secret can be read in ``text``, in any encoding."""
        readings = "\0".join([text, *_decoded(text)]).casefold()  # no secret contains the separator
        return [place for place, value in self.values.items() if any(one in readings for one in _windows(value))]


@cache
def _windows(secret: str) -> Sequence[str]:
    return [secret[start : start + _WINDOW].casefold() for start in _starts(len(secret))]


def _starts(length: int) -> Iterable[int]:
    last = _HALF - _WINDOW + 1
    return (*range(last), *range(length - _HALF, length - _HALF + last))


def _decoded(text: str) -> Iterable[str]:
    """The decoded runs of base64 and of hexadecimal digits in ``text``, at every alignment."""
    for run in re.findall(r"[0-9A-Za-z+/_-]{10,}", text):
        for start in range(4):
            part = run[start:].translate(str.maketrans("-_", "+/"))
            part = part[: len(part) // 4 * 4]
            yield base64.b64decode(part).decode("latin-1")
    for run in re.findall(r"[0-9A-Fa-f]{10,}", text):
        for start in range(2):
            part = run[start:]
            yield bytes.fromhex(part[: len(part) // 2 * 2]).decode("latin-1")
