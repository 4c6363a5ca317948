"""Progress on standard error: a bar on a terminal, lines in a pipe, nothing when quiet."""

from __future__ import annotations

import io
import sys
import threading
from contextlib import contextmanager, suppress
from typing import IO, TYPE_CHECKING, Any, cast

from reconciler.model.display import escape

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconciler.applying.executor import Listener
    from reconciler.applying.result import StepResult
    from reconciler.commands.invocation import Invocation
    from reconciler.model.outcome import Status
    from reconciler.model.plan import Change, Step


@contextmanager
def progress(invocation: Invocation, total: int) -> Iterator[Listener]:
    """A listener that shows how far the run is.

    Args:
        invocation: Says whether progress is wanted and where it goes.
        total: How many steps there are.
    """
    if invocation.quiet or not total:
        yield Silence()
    elif sys.stderr.isatty():
        with _bar(total) as bar:
            yield bar
    else:
        yield _Lines(invocation, total)


class Silence:
    """A listener that does nothing."""

    def before(self, change: Change, step: Step) -> None:
        """Says nothing."""

    def after(self, change: Change, step: Step, result: StepResult) -> None:
        """Says nothing."""

    def checked(self, change: Change, status: Status) -> None:
        """Says nothing."""

    def undoing(self, change: Change) -> None:
        """Says nothing."""

    def undone(self, change: Change, status: Status) -> None:
        """Says nothing."""


class _Lines(Silence):
    def __init__(self, invocation: Invocation, total: int) -> None:
        self._invocation = invocation
        self._total = total
        self._count = 0
        self._lock = threading.Lock()

    def after(self, change: Change, step: Step, result: StepResult) -> None:  # noqa: ARG002 - the listener's interface
        with self._lock:
            self._count += 1
            self._invocation.print_note(
                f"[{self._count}/{self._total}] {change.action} {escape(change.address)}: {result.status}"
            )


@contextmanager
def _bar(total: int) -> Iterator[Listener]:
    from rich.console import Console
    from rich.progress import Progress

    console = Console(file=cast("IO[str]", _Lasting()), force_terminal=True)
    with Progress(console=console, transient=True) as shown:
        yield _Bar(shown, total)


class _Lasting(io.TextIOBase):
    """Standard error, for a bar that must not fail when the terminal goes away under it."""

    def __init__(self) -> None:
        # Kept, because rich puts a stream of its own in the place of sys.stderr while it shows the bar.
        self._stream = sys.stderr

    def write(self, text: str) -> int:
        with suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._stream.flush()

    def isatty(self) -> bool:
        return self._stream.isatty()

    def fileno(self) -> int:
        return self._stream.fileno()


class _Bar(Silence):
    def __init__(self, shown: Any, total: int) -> None:  # noqa: ANN401 - rich is imported where it is used
        self._shown = shown
        self._task = shown.add_task("Applying", total=total)

    def after(self, change: Change, step: Step, result: StepResult) -> None:  # noqa: ARG002 - the listener's interface
        self._shown.advance(self._task)


class Listeners:
    """Several listeners as one; the first that objects to a write stops it."""

    def __init__(self, *listeners: Listener) -> None:
        self._listeners = listeners

    def before(self, change: Change, step: Step) -> None:
        """Tells each in turn."""
        for one in self._listeners:
            one.before(change, step)

    def after(self, change: Change, step: Step, result: StepResult) -> None:
        """Tells each in turn."""
        for one in self._listeners:
            one.after(change, step, result)

    def checked(self, change: Change, status: Status) -> None:
        """Tells each in turn."""
        for one in self._listeners:
            one.checked(change, status)

    def undoing(self, change: Change) -> None:
        """Tells each in turn."""
        for one in self._listeners:
            one.undoing(change)

    def undone(self, change: Change, status: Status) -> None:
        """Tells each in turn."""
        for one in self._listeners:
            one.undone(change, status)
