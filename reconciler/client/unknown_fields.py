"""The fields of a response that this program does not know: which of them the server hides.

They go back to the server in a PUT, which replaces the whole account.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.model.secret import looks_masked

if TYPE_CHECKING:
    from collections.abc import Mapping


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
