"""The fields of a response that this program does not know: which of them the server hides, and which hold secrets.

They go back to the server in a PUT, which replaces the whole account; and a server's errors may repeat them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from reconciler.model.redaction import SHORTEST
from reconciler.model.secret import Secret, looks_masked

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_SENSITIVE: Final = (
    r"passw|passphrase|pass(?![a-z])|pwd|senha|secret|segredo|token|key|chave|cred|auth(?!ors?(?![a-z]))|cookie|bearer"
    r"|private|certific|signature|(?<![a-z])(?:pin|t?otp|jwt|pem|certs?|pkcs\d*|p12|pfx)(?![a-z])"
)
"""Names of fields with secrets, in English and in the vendor's Portuguese, with ``_`` between words."""

_DESCRIPTIVE: Final = r"(?:^|_)(?:type|method|mechanism|mode)$"
"""Names of fields that say what a secret is for, with a word: to mask ``Bearer`` would only spoil messages."""

_WORD: Final = r"[A-Za-z_-]+[0-9]?"
"""Such a word: ``oauth2`` too."""

_SHORTEST_NAMED: Final = 3
"""The fewest characters of a string that the name of its own field declares to be secret."""

_WORD_START: Final = r"(?<=[a-z\d])(?=[A-Z])"


def masked_names(extra: Mapping[str, object]) -> tuple[str, ...]:
    """The fields that are, or contain, a mask: sent back, it would replace what it hides; left out, that may be lost.

    Only the names of the fields themselves: the names within them may be data.
    """
    return tuple(name for name, value in extra.items() if _holds_mask(value))


def _holds_mask(value: object) -> bool:
    if isinstance(value, str):
        return looks_masked(value)
    if isinstance(value, dict):
        return any(map(_holds_mask, value.values()))
    return isinstance(value, list) and any(map(_holds_mask, value))


def secrets_in(value: object, *, shortest: int | None = None) -> Iterator[Secret]:
    """The strings and numbers that the name of a field, or of one that contains it, declares to be secret.

    Args:
        value: The fields; or what is within one.
        shortest: The fewest characters that a secret has here; ``None`` outside of fields with such a name. Shorter
            strings are common words, which messages need.
    """
    if isinstance(value, dict):
        for name, inner in value.items():
            word = re.sub(_WORD_START, "_", name).lower()
            if isinstance(inner, str) and re.search(_DESCRIPTIVE, word) and re.fullmatch(_WORD, inner):
                continue
            below = SHORTEST if shortest else None
            yield from secrets_in(inner, shortest=_SHORTEST_NAMED if re.search(_SENSITIVE, word) else below)
    elif isinstance(value, list):
        for inner in value:
            yield from secrets_in(inner, shortest=shortest)
    elif shortest and isinstance(value, str | int | float):
        text = str(value)
        if len(text) >= (shortest if isinstance(value, str) else SHORTEST):
            yield Secret(text)
