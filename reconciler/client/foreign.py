"""Text that others wrote, made fit to be shown: without secrets, without control characters, short."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from reconciler.model.redaction import without_labelled

if TYPE_CHECKING:
    from reconciler.model.redaction import Redactor

EXCERPT = 200
"""The most characters of a foreign text that a message shows."""


_LOOKED_AT: Final = 10
"""How many times as much is looked at: line breaks and indentation may take most of it."""


def shown(text: str, redactor: Redactor, limit: int = EXCERPT) -> str:
    """``text`` as a message may show it: redacted, then escaped, then cut, so that no cut leaves half a secret.

    Line breaks become blanks; whatever else does not print (control characters, marks that change the direction of
    the text) becomes its escape, so that a server cannot forge a line of a report.
    """
    joined = " ".join(without_labelled(redactor.redact(text, _LOOKED_AT * limit)).split())
    escaped = "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in joined)
    is_whole = len(escaped) <= limit and len(text) <= _LOOKED_AT * limit
    return escaped if is_whole else escaped[: limit - 1] + "…"
