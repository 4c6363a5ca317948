"""Keeps secrets out of texts that others wrote: server errors, exception messages, log lines."""

from __future__ import annotations

import base64
import html
import json
import re
import threading
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus

if TYPE_CHECKING:
    from reconciler.model.secret import Secret

MASK = "***"
_SHORT = 6
"""A shorter secret is masked only where it stands as a word: masking every ``p`` would leave no readable text."""

_LEAST_BASE64 = 8
_URL_SAFE = str.maketrans("+/", "-_")


class Redactor:
    """Knows every secret of this run and masks it, plain or encoded, in free text.

    Our own reports are built from types that do not print secrets; this is for text of foreign origin.
    """

    def __init__(self) -> None:
        self._secrets: set[str] = set()
        self._forms: list[str] | None = None
        self._lock = threading.Lock()

    def add(self, secret: Secret) -> None:
        """From now on ``secret`` is masked."""
        if value := secret.reveal():
            with self._lock:
                self._secrets.add(value)
                self._forms = None

    def redact(self, text: str) -> str:
        """``text`` with every known secret as ``***``, also where it is encoded for a URL, JSON, HTML or base64."""
        for form in self._all_forms():
            if form in text:
                text = _mask(text, form)
        return text

    def _all_forms(self) -> list[str]:
        """Every form of every secret, the longest first, so that no part of one is left beside a mask."""
        with self._lock:
            if self._forms is None:
                forms = {form for secret in self._secrets for form in _forms(secret)}
                self._forms = sorted(forms, key=lambda form: (-len(form), form))
            return self._forms


def _forms(secret: str) -> set[str]:
    raw = secret.encode("utf-8", "surrogatepass")
    return {
        secret,
        quote(raw, safe=""),
        quote_plus(raw),
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        repr(secret)[1:-1],
        html.escape(secret),
        *_whole_base64(raw),
        *_inside_base64(raw),
    }


def _whole_base64(raw: bytes) -> set[str]:
    """The base64 of the secret alone, with and without its padding: no character of it is left beside the mask."""
    padded = {base64.b64encode(raw).decode(), base64.urlsafe_b64encode(raw).decode()}
    return padded | {form.rstrip("=") for form in padded}


def _inside_base64(raw: bytes) -> set[str]:
    """What the secret looks like within the base64 of something longer, such as ``user:password``, at any alignment.

    The characters that the neighbours have a share in are left out; what is too short to be told from chance, too.
    """
    forms = set()
    for offset in range(3):
        encoded = base64.b64encode(bytes(offset) + raw).decode().rstrip("=")
        first = (offset * 8 + 5) // 6
        last = (offset + len(raw)) * 8 // 6
        if last - first >= _LEAST_BASE64:
            core = encoded[first:last]
            forms |= {core, core.translate(_URL_SAFE)}
    return forms


def _mask(text: str, form: str) -> str:
    if len(form) >= _SHORT:
        return text.replace(form, MASK)
    return re.sub(rf"(?<!\w){re.escape(form)}(?!\w)", MASK, text)
