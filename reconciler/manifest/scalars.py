"""The scalars of YAML 1.2, and how messages show values: short, on one line, and never a secret."""

from __future__ import annotations

import re
from enum import Enum
from functools import lru_cache
from typing import TYPE_CHECKING, Final, TypeAlias

from reconciler.model.display import shorten

if TYPE_CHECKING:
    from collections.abc import Sequence


class Empty(Enum):
    """The type of ``EMPTY``: the value of a key that no value follows, as opposed to an explicit null."""

    EMPTY = "empty"


EMPTY: Final = Empty.EMPTY
"""YAML reads it as null. Usually the value begins with ``#`` or ``&`` and was not quoted, so it is an error."""

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
"""Longer runs of digits stay strings: no number here is that long, and Python refuses to read thousands of digits."""

_NUMERIC: Final = frozenset("0123456789+-.")
"""First characters of every number."""

SUSPECTS: Final = frozenset({*_NUMERIC, *"~nNtTfF"})
"""First characters of every plain scalar that may be something other than a string, apart from the empty one."""

_LONGEST: Final = 60
_SECRET_KEYS: Final = frozenset({"password", "auth", "access_token", "refresh_token", "token"})
_SENSITIVE: Final = r"(?i)passw|pasw|senha|token|secret|auth\s*:"


def resolve(text: str) -> Scalar:
    """The value of a plain (unquoted) scalar by the core schema of YAML 1.2 (chapter 10.3 of its specification).

    PyYAML follows YAML 1.1, where ``when: off`` is false and ``1:30`` is ninety, which no author means.
    """
    if text in _WORDS:
        return _WORDS[text]
    return _number(text) if text[0] in _NUMERIC else text


@lru_cache(1024)  # thousands of accounts have the same few ports
def _number(text: str) -> Scalar:
    if len(text) > _LONGEST_NUMBER or (match := _NUMBER.fullmatch(text)) is None:
        return text
    if match["int"] is None:
        return float(text.replace(".", "") if text[-1] in "fFnN" else text)
    return int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))


def describe_value(value: object) -> str:
    """A value as a message shows it: short and on one line. If it may hold a secret by accident, only its type.

    ``- password:hunter2`` (no space after the colon) is a string, and so is a field with a wrongly indented
    ``password:`` line after it: such strings are not shown.
    """
    if isinstance(value, str):
        return "a string that is not shown here" if re.search(_SENSITIVE, value) else f'"{shorten(value, _LONGEST)}"'
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else type_name(value)


def type_name(value: object) -> str:
    """The type of a value, in the words of a YAML author."""
    if value is None:
        return "null"
    if value is EMPTY:
        return "nothing"
    for kind, words in ((bool, "true or false"), (int, "a number"), (float, "a number"), (str, "a string")):
        if isinstance(value, kind):
            return words
    return "a mapping" if isinstance(value, dict) else "a list"


def describe_key(key: str) -> str:
    """A key as a message shows it; of the keys ``password:hunter2`` and ``password=hunter2``, only the first word."""
    word = re.match(r"[\w-]*", key) if re.search(_SENSITIVE, key) else None
    return f"{shorten(word[0], _LONGEST)}…" if word and word[0] != key else shorten(key, _LONGEST)


def is_secret(path: Sequence[str | int]) -> bool:
    """Whether the value at ``path`` may be a secret, or part of one, and must not be shown."""
    return not _SECRET_KEYS.isdisjoint(path)
