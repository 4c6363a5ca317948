"""Garbage collection, out of the way while a large tree is built."""

from __future__ import annotations

import gc
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def paused_collection() -> Iterator[None]:
    """No garbage collection meanwhile: it would walk the growing tree over and over and find nothing.

    Nor does it walk the tree later: what was built in here is there for the rest of the run.
    """
    running = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if running:
            gc.freeze()
            gc.enable()
