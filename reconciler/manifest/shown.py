"""Values as messages show them: short, on one line, unable to play tricks on a terminal, and never a secret."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from reconciler.manifest.scalars import EMPTY
from reconciler.model.display import shorten

if TYPE_CHECKING:
    from collections.abc import Sequence

_LONGEST: Final = 60
_SECRET_KEYS: Final = frozenset({"password", "auth", "access_token", "refresh_token", "token"})
_SECRET_WORDS: Final = re.compile(r"passw|pasw|senha|token|secret|auth\s*:", re.IGNORECASE)


def shown(value: object) -> str:
    """A value as a message shows it; where it may hold a secret by accident, only what sort of thing it is.

    ``- password:hunter2`` (no blank after the colon) is a string, and so is a field with a wrongly indented
    ``password:`` line after it: such text is not shown.
    """
    if isinstance(value, str):
        return "a text that is not shown here" if _SECRET_WORDS.search(value) else f'"{shorten(value, _LONGEST)}"'
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else type_name(value)


def type_name(value: object) -> str:
    """What sort of thing a value is, in the words of a YAML author."""
    if value is None:
        return "null"
    if value is EMPTY:
        return "nothing"
    for kind, words in ((bool, "true or false"), (int, "a number"), (float, "a number"), (str, "a text")):
        if isinstance(value, kind):
            return words
    return "a mapping" if isinstance(value, dict) else "a list"


def describe_key(key: str) -> str:
    """A key as a message shows it; of ``password:hunter2`` and ``password=hunter2``, which are keys, the word alone."""
    word = re.match(r"[\w-]*", key) if _SECRET_WORDS.search(key) else None
    return f"{shorten(word[0], _LONGEST)}…" if word and word[0] != key else shorten(key, _LONGEST)


def is_secret(path: Sequence[str | int]) -> bool:
    """Whether what lies at ``path`` may be a secret, or part of one, and must not be shown."""
    return not _SECRET_KEYS.isdisjoint(path)
