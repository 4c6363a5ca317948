"""Progress on standard error: a bar on a terminal, lines in a pipe, nothing when quiet."""

from __future__ import annotations

import io
import sys
import threading
from contextlib import contextmanager, suppress
from typing import IO, TYPE_CHECKING, Any, cast

from reconciler.model.display import escape
from reconciler.model.ports import NullObserver

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconciler.commands.invocation import Invocation
    from reconciler.model.outcome import Outcome
    from reconciler.model.plan import Change, Step
    from reconciler.model.ports import RunObserver


@contextmanager
def progress(invocation: Invocation, total: int) -> Iterator[RunObserver]:
    """A listener that shows how far the run is.

    Args:
        invocation: Decides whether progress is shown, and where it is printed.
        total: How many steps there are.
    """
    if invocation.quiet or not total:
        yield NullObserver()
    elif sys.stderr.isatty():
        with _bar(total) as bar:
            yield bar
    else:
        yield _Lines(invocation, total)


class _Lines(NullObserver):
    def __init__(self, invocation: Invocation, total: int) -> None:
        self._invocation = invocation
        self._total = total
        self._count = 0
        self._lock = threading.Lock()

    def step_finished(self, change: Change, step: Step, outcome: Outcome) -> None:  # noqa: ARG002 - the interface's
        with self._lock:
            self._count += 1
            self._invocation.print_note(
                f"[{self._count}/{self._total}] {change.action} {escape(change.address)}: {outcome.status}"
            )


@contextmanager
def _bar(total: int) -> Iterator[RunObserver]:
    from rich.console import Console
    from rich.progress import Progress

    console = Console(file=cast("IO[str]", _Lasting()), force_terminal=True)
    with Progress(console=console, transient=True) as shown:
        yield _Bar(shown, total)


class _Lasting(io.TextIOBase):
    """Standard error without write errors: a bar must not fail when its terminal hangs up."""

    def __init__(self) -> None:
        # Kept because rich replaces sys.stderr while it shows the bar.
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


class _Bar(NullObserver):
    def __init__(self, shown: Any, total: int) -> None:  # noqa: ANN401 - rich is imported where it is used
        self._shown = shown
        self._task = shown.add_task("Applying", total=total)

    def step_finished(self, change: Change, step: Step, outcome: Outcome) -> None:  # noqa: ARG002 - the interface's
        self._shown.advance(self._task)
