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

_DESCRIPTIVE: Final = r"(?:type|method|mechanism|mode)$"
"""Names of fields that say what a secret is for: to mask ``Bearer`` or ``oauth2`` would only spoil messages."""

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


def secrets_in(value: object, *, named: bool = False) -> Iterator[Secret]:
    """The strings and numbers that the name of a field, or of one that contains it, declares to be secret.

    Short ones are left out: they are common words and small numbers, which messages need.

    Args:
        value: The fields; or what is within one.
        named: Whether it is within a field with such a name.
    """
    if isinstance(value, dict):
        for name, inner in value.items():
            word = re.sub(_WORD_START, "_", name).lower()
            is_secret = (named or re.search(_SENSITIVE, word)) and not re.search(_DESCRIPTIVE, word)
            yield from secrets_in(inner, named=bool(is_secret))
    elif isinstance(value, list):
        for inner in value:
            yield from secrets_in(inner, named=named)
    elif named and isinstance(value, str | int | float) and len(text := str(value)) >= SHORTEST:
        yield Secret(text)
