"""Plain scalars by the core schema of YAML 1.2 (chapter 10.3 of its specification).

PyYAML resolves by YAML 1.1, where ``when: off`` is false and ``1:30`` is ninety; nobody who writes that means it.
"""

from __future__ import annotations

import re
from enum import Enum
from functools import lru_cache
from typing import Final, TypeAlias


class Empty(Enum):
    """The type of ``EMPTY``: what a key has that is followed by no value, in contrast to an explicit null."""

    EMPTY = "empty"


EMPTY: Final = Empty.EMPTY
"""YAML says null. Most often it is a value that begins with ``#`` or ``&`` and was not quoted, so it is an error."""

Scalar: TypeAlias = str | int | float | bool | Empty | None

_WORDS: Final[dict[str, bool | Empty | None]] = {
    "": EMPTY,
    "~": None,
    **dict.fromkeys(("null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_NUMBER: Final = re.compile(
    r"(?P<int>[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)"
    r"|[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
    r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
)
_LONGEST_NUMBER: Final = 64
"""Longer runs of digits stay text: nothing here counts that far, and Python refuses to read thousands of digits."""

_NUMERIC: Final = frozenset("0123456789+-.")
"""First characters of every number."""

SUSPECTS: Final = frozenset({"", *_NUMERIC, *"~nNtTfF"})
"""First characters (none, for the empty one) of every plain scalar that may be something else than text."""


def resolve(text: str) -> Scalar:
    """What a plain (unquoted) scalar means."""
    if text in _WORDS:
        return _WORDS[text]
    return _number(text) if text[0] in _NUMERIC else text


@lru_cache(1024)  # the same few ports stand in thousands of accounts
def _number(text: str) -> Scalar:
    if len(text) > _LONGEST_NUMBER or (match := _NUMBER.fullmatch(text)) is None:
        return text
    if match["int"] is None:
        return float(text.replace(".", "") if text[-1] in "fFnN" else text)
    return int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))
