"""Text that others wrote, made fit to be shown: without secrets, without control characters, short."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.model.redaction import without_labelled

if TYPE_CHECKING:
    from reconciler.model.redaction import Redactor

EXCERPT = 200
"""The most characters of a foreign text that a message shows."""


def shown(text: str, redactor: Redactor, limit: int = EXCERPT) -> str:
    """``text`` as a message may show it: redacted, then escaped, then cut, so that no cut leaves half a secret.

    Line breaks become blanks; whatever else does not print (control characters, marks that change the direction of
    the text) becomes its escape, so that a server cannot forge a line of a report.
    """
    joined = " ".join(without_labelled(redactor.redact(text)).split())
    escaped = "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in joined)
    return escaped if len(escaped) <= limit else escaped[: limit - 1] + "…"
