"""Keeps secrets out of texts that others wrote: server errors, exception messages, log lines."""

from __future__ import annotations

import base64
import json
import re
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus

if TYPE_CHECKING:
    from reconciler.model.secret import Secret

MASK = "***"
_SHORT = 6
"""A shorter secret is masked only where it stands as a word: masking every ``p`` would leave no readable text."""


class Redactor:
    """Knows every secret of this run and masks it, plain or encoded, in free text.

    Our own reports are built from types that do not print secrets; this is for text of foreign origin.
    """

    def __init__(self) -> None:
        self._secrets: set[str] = set()

    def add(self, secret: Secret) -> None:
        """From now on ``secret`` is masked."""
        if value := secret.reveal():
            self._secrets.add(value)

    def redact(self, text: str) -> str:
        """``text`` with every known secret, and its URL-, JSON- and base64-encoded forms, replaced by ``***``."""
        for secret in sorted(self._secrets, key=len, reverse=True):
            for form in _forms(secret):
                if form in text:
                    text = _mask(text, form)
        return text


def _forms(secret: str) -> list[str]:
    raw = secret.encode("utf-8", "surrogatepass")
    forms = {
        secret,
        quote(raw, safe=""),
        quote_plus(raw),
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        repr(secret)[1:-1],
        base64.b64encode(raw).decode(),
        base64.b64encode(raw).decode().rstrip("="),
        base64.urlsafe_b64encode(raw).decode(),
    }
    return sorted(forms, key=len, reverse=True)


def _mask(text: str, form: str) -> str:
    if len(form) >= _SHORT:
        return text.replace(form, MASK)
    return re.sub(rf"(?<!\w){re.escape(form)}(?!\w)", MASK, text)
