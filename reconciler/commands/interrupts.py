"""Ctrl-C and SIGTERM while writes are under way: the first lets them finish, the second does not wait."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

from reconciler.apply.executor import Abort

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator
    from types import FrameType

    from reconciler.commands.invocation import Invocation

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def interruptible(stop: threading.Event, invocation: Invocation) -> Iterator[None]:
    """Within: a first signal sets ``stop``, a second one raises ``Abort``. Afterwards all is as before."""

    def handle(_number: int, _frame: FrameType | None) -> None:
        if stop.is_set():
            raise Abort
        stop.set()
        invocation.note("Interrupted: no new write starts; those under way finish. Once more stops at once.")

    former = {number: signal.signal(number, handle) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
