"""How values are shown: never a secret, never a character that could forge a line."""

from __future__ import annotations

import json
import unicodedata
from typing import TYPE_CHECKING

from reconciler.model.account import FIELDS, SENSITIVE
from reconciler.model.secret import UNKNOWN

if TYPE_CHECKING:
    from reconciler.model.account import Account, Value
    from reconciler.model.change import Change, FieldChange

_UNSAFE = frozenset({"Cc", "Cf", "Co", "Cs", "Cn", "Zl", "Zp"})
"""Unicode categories that are escaped: control, format (right-to-left marks), unassigned, line separators."""


def plain(text: str) -> str:
    r"""``text`` on one line, with whatever could forge another one, or hide something, as ``\\uXXXX``."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escaped(char) if unicodedata.category(char) in _UNSAFE else char for char in text)


def shown(value: Value) -> str:
    """A value that is not a secret, as YAML and JSON would write it, safe to print."""
    if isinstance(value, str):
        return plain(json.dumps(value, ensure_ascii=False))
    return json.dumps(value)


def sensitive_words(change: FieldChange, *, created: bool) -> str:
    """What may be said about a secret that changes."""
    if created:
        return "(set)"
    if change.after is None:
        return "removed"
    if change.before is UNKNOWN:
        return "sent again (the server hides the current one)"
    return "changed" if change.before else "set"


def public_fields(account: Account) -> dict[str, object]:
    """The account's fields in their order, a secret as ``None``."""
    fields = account.fields
    return {name: None if name in SENSITIVE else fields[name] for name in FIELDS if name in fields}


def kept_fields(change: Change) -> list[str]:
    """The fields of an update that stay as they are."""
    changed = {one.field for one in change.fields}
    return [name for name in FIELDS if change.after and name in change.after.fields and name not in changed]


def _escaped(char: str) -> str:
    code = ord(char)
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"  # noqa: PLR2004 - the end of the basic plane
