"""Counts function calls: the amount of work, independent of the clock."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def count_calls(action: Callable[[], object]) -> int:
    """The number of functions that the second of two runs of the action calls; the first one fills caches."""
    count = 0

    def note(_frame: object, event: str, _argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    action()
    sys.setprofile(note)
    try:
        action()
    finally:
        sys.setprofile(None)
    return count
