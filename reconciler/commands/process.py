"""Ctrl-C, SIGTERM and a hang-up: they end the command, but once it writes, the first lets what is in flight finish."""

from __future__ import annotations

import os
import signal
import stat
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator
    from types import FrameType

    from reconciler.applying.crew import InterruptGate
    from reconciler.commands.invocation import Invocation

    Handler = Callable[[int, FrameType | None], object]

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_NOTE = "Interrupted: no new write starts; those under way finish. Once more stops at once.\n"


def end_on_signals() -> None:
    """Makes each of the signals end the command, as Ctrl-C does."""
    _install(_terminate)


@contextmanager
def handle_interrupts(stop: threading.Event, invocation: Invocation) -> Iterator[InterruptHandler]:
    """Within: a first signal sets ``stop``, a second one ends the waiting for what is in flight."""
    from reconciler.applying.crew import PATIENCE

    interruption = InterruptHandler(stop, invocation, PATIENCE)
    former = _install(interruption.handle)
    try:
        yield interruption
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
        PATIENCE.renew()


class InterruptHandler:
    """What the user has asked of a run that is under way."""

    def __init__(self, stop: threading.Event, invocation: Invocation, patience: InterruptGate) -> None:
        self._patience = patience
        self._stop = stop
        self._invocation = invocation
        self._asked = 0
        self._heeded = False
        self._ended = False

    @property
    def asked(self) -> bool:
        """Whether the user has asked the run to end."""
        return self._asked > 0

    def run_ended(self) -> None:
        """From here on there is nothing but the report: a second signal ends the command, as it may be stuck."""
        self._ended = True

    def handle(self, number: int, _frame: FrameType | None) -> None:
        """Handles a signal, which may come in the midst of handling another one."""
        if number == signal.SIGHUP:
            detach_terminal()
        self._asked += 1
        if self._asked == 1:
            # Setting takes a lock: whatever comes meanwhile must neither set it too, nor end this halfway.
            self._stop.set()
            self._heeded = True
        if self._heeded and self._asked > 1:
            self._insist()
        elif self._heeded and not self._invocation.quiet and not self._ended:
            _say(_NOTE)

    def _insist(self) -> None:
        if self._ended:
            raise KeyboardInterrupt
        self._patience.end()


def detach_terminal() -> None:
    """Lets nothing but /dev/null take the place of a terminal that is gone: each write to it would fail."""
    for descriptor in range(3):
        with suppress(OSError):
            if stat.S_ISCHR(os.fstat(descriptor).st_mode) and not os.isatty(descriptor):
                os.dup2(os.open(os.devnull, os.O_RDWR), descriptor)


def _install(handler: Handler) -> dict[int, signal.Handlers | Handler | int | None]:
    """Installs a handler; a signal that is ignored, as under nohup, stays ignored. Returns the former handlers."""
    heeded = [number for number in _SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    return {number: signal.signal(number, handler) for number in heeded}


def _say(text: str) -> None:
    # Not through sys.stderr: the signal may have come in the middle of a write to it.
    with suppress(OSError, AttributeError, ValueError):
        os.write(sys.stderr.fileno(), text.encode())


def _terminate(number: int, _frame: FrameType | None) -> NoReturn:
    if number == signal.SIGHUP:
        detach_terminal()
    raise KeyboardInterrupt
