"""This process and its operating system: signals, closed standard streams, crash logs."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from types import FrameType

    from reconciler.applying.worker_pool import InterruptGate
    from reconciler.commands.invocation import Invocation
    from reconciler.model.redaction import Redactor

    Handler = Callable[[int, FrameType | None], object]

_M_ARENA_MAX: Final = -8  # in malloc.h
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_INTERRUPTED: Final = "Interrupted: no new write starts; those under way finish. Once more stops at once.\n"
_OWN_MESSAGE: Final = (AttributeError, ImportError, NameError, NotImplementedError, TypeError)
"""Exceptions whose message names parts of the program. Any other message may contain the value that caused it, and a
value that is not known to be a secret yet cannot be masked."""


def share_memory_arenas() -> None:
    """Lets threads share two of glibc's arenas, in place of eight for each core. Each keeps what is freed in it.

    It is for processes that do not end: their memory would grow for a long time.
    """
    import ctypes

    with suppress(AttributeError, OSError):  # another C library
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 2)


def reopen_closed_streams() -> None:
    """Reopens closed standard streams, so that their descriptors are not reused for other files."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDONLY)
    # Python has no stream for a closed one. Writing to a read-only one fails as writing to a closed one does.
    sys.stdin = sys.stdin or os.fdopen(0)
    sys.stdout = sys.stdout or os.fdopen(1, "w")
    sys.stderr = sys.stderr or os.fdopen(2, "w")


def detach_terminal() -> None:
    """Replaces a terminal that has hung up by /dev/null: every write to it would fail."""
    import stat

    for descriptor in range(3):
        with suppress(OSError):
            if stat.S_ISCHR(os.fstat(descriptor).st_mode) and not os.isatty(descriptor):
                os.dup2(os.open(os.devnull, os.O_RDWR), descriptor)


def end_on_signals() -> None:
    """Makes each of the signals end the command, as Ctrl-C does."""
    _install(dict.fromkeys(_SIGNALS, _terminate))


def restore_default_signals() -> None:
    """Restores the default signal handlers. While Python shuts down, an exception would be shown to the user."""
    for number in _SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)


@contextmanager
def handle_interrupts(gate: InterruptGate, invocation: Invocation) -> Iterator[InterruptHandler]:
    """While this is active, a first signal stops the run, and a second one ends the wait for what is in flight."""
    handler = InterruptHandler(gate, invocation)
    with handling_signals(dict.fromkeys(_SIGNALS, handler.handle)):
        yield handler


@contextmanager
def handling_signals(handlers: Mapping[signal.Signals, Handler]) -> Iterator[None]:
    """While this is active, signals are handled. One that is ignored, as under nohup, stays ignored."""
    former = _install(handlers)
    try:
        yield
    finally:
        for number, earlier in former.items():
            signal.signal(number, earlier)


class InterruptHandler:
    """Handles signals during a run, and remembers what the user asked for."""

    def __init__(self, gate: InterruptGate, invocation: Invocation) -> None:
        self._gate = gate
        self._invocation = invocation
        self._asked = 0
        self._is_stopping = False
        self._ended = False

    @property
    def asked(self) -> bool:
        """Whether the user has asked the run to end."""
        return self._asked > 0

    def run_ended(self) -> None:
        """Only the report remains: from here on, a second signal ends the command, which may be stuck."""
        self._ended = True

    def handle(self, number: int, _frame: FrameType | None) -> None:
        """Handles a signal, which may arrive while another one is being handled."""
        if number == signal.SIGHUP:
            detach_terminal()
        self._asked += 1
        if self._asked == 1:
            # Setting takes a lock. A signal that arrives meanwhile must neither set it too nor interrupt this.
            self._gate.stop.set()
            self._is_stopping = True
        if self._is_stopping and self._asked > 1:
            if self._ended:
                raise KeyboardInterrupt
            self._gate.end()
        elif self._is_stopping and not self._invocation.quiet and not self._ended:
            # Not through sys.stderr: the signal may have arrived in the middle of a write to it.
            with suppress(OSError, AttributeError, ValueError):
                os.write(sys.stderr.fileno(), _INTERRUPTED.encode())


def _install(handlers: Mapping[signal.Signals, Handler]) -> dict[int, signal.Handlers | Handler | int | None]:
    """Installs handlers of signals that are not ignored. Returns the former handlers."""
    handled = [number for number in handlers if signal.getsignal(number) is not signal.SIG_IGN]
    return {number: signal.signal(number, handlers[number]) for number in handled}


def _terminate(number: int, _frame: FrameType | None) -> NoReturn:
    if number == signal.SIGHUP:
        detach_terminal()
    raise KeyboardInterrupt


class CrashReporter:
    """Explains bugs that end a single write or delivery test. A bug that ends many is logged once. Thread-safe."""

    def __init__(self, redactor: Redactor) -> None:
        from threading import Lock

        self._redactor = redactor
        self._lock = Lock()
        self._logs: dict[str, str] = {}

    def explain(self, bug: Exception) -> str:
        """Logs the bug; returns the explanation for the report."""
        from reconciler.errors import internal_error

        description = _describe(bug)
        with self._lock:
            if description not in self._logs:
                self._logs[description] = write_crash_log(bug, self._redactor)
            return f"{internal_error(bug)}; please report it with {self._logs[description]}, after looking through it"


def write_crash_log(bug: BaseException, redactor: Redactor) -> str:
    """Writes the traceback, without secrets, to a new file that only its owner can read.

    Returns:
        The file's path, or a phrase to use in its place if it could not be written.
    """
    import platform
    import tempfile

    from reconciler.model.redaction import without_labelled
    from reconciler.version import VERSION

    text = f"reconciler {VERSION}, Python {platform.python_version()}, {platform.platform()}\n\n{_describe(bug)}"
    try:
        handle, path = tempfile.mkstemp(prefix="reconciler-crash-", suffix=".log")
        with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(without_labelled(redactor.redact(text)))
    except OSError:
        return "the command line (the crash log could not be written)"
    return path


def _describe(bug: BaseException) -> str:
    """The exception and its causes, the last one first."""
    import traceback

    parts: list[str] = []
    seen: set[int] = set()
    error: BaseException | None = bug
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        own = isinstance(error, _OWN_MESSAGE)
        message = str(error) if own else "(its message is left out: it may contain a secret)"
        parts.append(f"{type(error).__module__}.{type(error).__qualname__}: {message}")
        parts.append("".join(traceback.format_tb(error.__traceback__)))
        error = error.__cause__ or error.__context__
    return "\n".join(parts)
