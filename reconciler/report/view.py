"""How values are shown: never a secret, never a character that could forge a line."""

from __future__ import annotations

import json
import re
import unicodedata
from typing import TYPE_CHECKING, Final

from reconciler.model.account import FIELDS, SENSITIVE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from reconciler.model.account import Account, Value

LONGEST: Final = 200
"""Characters of a value that are shown; the rest is left out, and the report says how long the value is."""

_UNSAFE = frozenset({"Cc", "Cf", "Co", "Cs", "Cn", "Zl", "Zp"})
"""Unicode categories that are escaped: control, format (right-to-left marks), unassigned, line separators."""


_COMMAND = "##"
"""Build servers take ``##[error]`` and ``##vso[...]`` for a command wherever in a line of the log it stands."""

_ORDINARY_ADDRESS = re.compile(r"[\w+][\w.+%=&*/'!?$^{}~#-]*@[\w.\[\]:-]+(#\d+)?")


def plain(text: str) -> str:
    r"""``text`` on one line, with whatever could forge another one, or hide something, as ``\\uXXXX``."""
    if _COMMAND in text:
        text = text.replace(_COMMAND, "#\\u0023")
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escaped(char) if unicodedata.category(char) in _UNSAFE else char for char in text)


def named(address: str) -> str:
    """An account's address for running text; in quotes where it could pass for something else."""
    if len(address) <= LONGEST and _ORDINARY_ADDRESS.fullmatch(address):
        return plain(address)
    return shown(address)


def phrase(text: str) -> str:
    """A sentence that may hold foreign text, made safe, and cut where it is far too long."""
    limit = 5 * LONGEST
    return plain(text) if len(text) <= limit else f"{plain(text[:limit])}... ({len(text):,} characters)"


def shown(value: Value, start: int = 0) -> str:
    """A value that is not a secret, as YAML and JSON would write it, safe to print.

    Args:
        value: The value.
        start: Of a text that is too long to be shown, the first character that is.
    """
    if not isinstance(value, str):
        return json.dumps(value)
    if len(value) <= LONGEST:
        return plain(json.dumps(value, ensure_ascii=False))
    part = plain(json.dumps(value[start : start + LONGEST], ensure_ascii=False))
    end = "..." if start + LONGEST < len(value) else ""
    return f"{'...' if start else ''}{part}{end} ({len(value):,} characters)"


def shown_pair(before: Value, after: Value) -> tuple[str, str]:
    """A field's two values; of long ones the part that holds the first difference."""
    start = 0
    if isinstance(before, str) and isinstance(after, str) and max(len(before), len(after)) > LONGEST:
        start = max(0, alike(before, after) - LONGEST // 4)
    return shown(before, start), shown(after, start)


def public_fields(account: Account) -> dict[str, object]:
    """The account's fields in their order, a secret as ``None``."""
    fields = account.fields
    return {name: None if name in SENSITIVE else fields[name] for name in FIELDS if name in fields}


def sensitive_fields(account: Account) -> dict[str, bool]:
    """Which of the account's fields are secrets, as Terraform says it."""
    return {name: True for name in sorted(SENSITIVE) if name in account.fields}


def by_address(accounts: Iterable[Account]) -> list[Account]:
    """The accounts as reports list them."""
    return sorted(accounts, key=lambda account: (account.key, account.id or 0))


def alike(one: str, other: str) -> int:
    """With how many characters both texts begin."""
    pairs = zip(one, other, strict=False)
    return next((place for place, (left, right) in enumerate(pairs) if left != right), min(len(one), len(other)))


def _escaped(char: str) -> str:
    code = ord(char)
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"  # noqa: PLR2004 - the end of the basic plane
