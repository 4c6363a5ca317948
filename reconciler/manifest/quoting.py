"""Texts as YAML scalars that every parser reads back as the same text."""

from __future__ import annotations

import re
from typing import Final

from reconciler.manifest.scalars import resolve

_PLAIN: Final = re.compile(r"[^\W\d_](?:[\w .@/+()-]*[\w.@/+()-])?")
_WORDS_OF_YAML_1_1: Final = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})
_ESCAPES: Final = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r", "\0": "\\0"}


def is_expressible(text: str) -> bool:
    """Whether YAML can hold the text: lone surrogates have no encoding."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def quoted(text: str) -> str:
    """``text`` as a plain scalar where no reader could take it for anything else, and in double quotes otherwise."""
    unmistakable = text.casefold() not in _WORDS_OF_YAML_1_1 and isinstance(resolve(text), str)
    if unmistakable and text.isprintable() and _PLAIN.fullmatch(text):
        return text
    return '"' + "".join(map(_character, text)) + '"'


def _character(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    if character.isprintable():
        return character
    code = ord(character)
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"  # noqa: PLR2004 - the plane that \u reaches
