"""Durations as users write them."""

from __future__ import annotations

import re
from typing import Final

from reconciler.errors import InvalidValueError

_DURATION: Final = r"([0-9]+(?:\.[0-9]+)?)([smh]?)"
_UNITS: Final = {"": 1, "s": 1, "m": 60, "h": 3600}
_LONGEST: Final = 24 * 3600


def parse_duration(value: object, *, allow_zero: bool = False) -> float:
    """Seconds: from a number of them, or from ``30s``, ``5m`` or ``1h``.

    Raises:
        InvalidValueError: It is not a duration up to a day; or it is zero, and that is not allowed.
    """
    found = None if isinstance(value, bool) else re.fullmatch(_DURATION, str(value))
    seconds = float(found[1]) * _UNITS[found[2]] if found else -1.0
    if 0 <= seconds <= _LONGEST and (seconds or allow_zero):
        return seconds
    raise InvalidValueError("expected a duration up to a day", "write it as 30s, 5m or 1h")


def format_duration(seconds: float) -> str:
    """As users write it, in the largest unit of which it is a whole number: ``90s``, ``10m``, ``1h``."""
    for unit in ("h", "m"):
        if seconds and not seconds % _UNITS[unit]:
            return f"{seconds / _UNITS[unit]:g}{unit}"
    return f"{seconds:g}s"
