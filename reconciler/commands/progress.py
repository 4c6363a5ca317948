"""What observes a run: the journal, and progress on standard error.

Progress is a bar on a terminal, lines in a pipe, and nothing when the user asked for quiet.
"""

from __future__ import annotations

import io
import sys
import threading
from contextlib import contextmanager, suppress
from typing import IO, TYPE_CHECKING, Any, cast

from reconciler.model.display import display_sentence, escape
from reconciler.model.duration import format_duration
from reconciler.model.ports import FleetObserver, RunObserver
from reconciler.report.view import result_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from reconciler.commands.invocation import Invocation
    from reconciler.model.fleet import Batch
    from reconciler.model.outcome import Outcome, Report
    from reconciler.model.plan import Change, Plan
    from reconciler.model.server import Server


@contextmanager
def progress(invocation: Invocation, total: int) -> Iterator[RunObserver]:
    """A listener that shows how far the run is.

    Args:
        invocation: Decides whether progress is shown, and where it is printed.
        total: How many steps there are.
    """
    if invocation.quiet or not total:
        yield RunObserver()
    elif sys.stderr.isatty():
        with _shown_progress() as shown:
            yield _Bar(shown, total)
    else:
        yield _Lines(invocation, total)


class _Lines(RunObserver):
    def __init__(self, invocation: Invocation, total: int) -> None:
        self._invocation = invocation
        self._total = total
        self._count = 0
        self._lock = threading.Lock()

    def step_finished(self, change: Change, outcome: Outcome) -> None:
        with self._lock:
            self._count += 1
            self._invocation.print_note(
                f"[{self._count}/{self._total}] {change.action} {escape(change.address)}: {outcome.status}"
            )


@contextmanager
def _shown_progress(*columns: Any) -> Iterator[Any]:  # noqa: ANN401 - rich is imported where it is used
    """A progress display of rich that is gone when the run ends; without columns, it has rich's own."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(file=cast("IO[str]", _Lasting()), force_terminal=True)
    with Progress(*columns, console=console, transient=True) as shown:
        yield shown


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


class _Bar(RunObserver):
    def __init__(self, shown: Any, total: int) -> None:  # noqa: ANN401 - rich is imported where it is used
        self._shown = shown
        self._task = shown.add_task("Applying", total=total)

    def step_finished(self, change: Change, outcome: Outcome) -> None:  # noqa: ARG002 - the interface's
        self._shown.advance(self._task)


@contextmanager
def fleet_progress(invocation: Invocation, total: int) -> Iterator[FleetObserver]:
    """An observer that shows how far a run on ``total`` servers is."""
    if invocation.quiet or not total:
        yield FleetObserver()
    elif sys.stderr.isatty():
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with _shown_progress(*columns) as shown:
            yield _FleetBar(shown, total)
    else:
        yield _FleetLines(invocation, total)


def _batch_name(batch: Batch) -> str:
    return f"batch {batch.number} of {batch.count}{' (canaries)' if batch.is_canaries else ''}"


class _FleetLines(FleetObserver):
    """One line for each server that has finished, and for each batch and pause that begins."""

    def __init__(self, invocation: Invocation, total: int) -> None:
        self._invocation = invocation
        self._total = total
        self._count = 0

    def batch_started(self, batch: Batch) -> None:
        only_one = batch.first == batch.last
        servers = f"server {batch.first:,}" if only_one else f"servers {batch.first:,}-{batch.last:,}"
        self._invocation.print_note(f"{_batch_name(batch)}: {servers} of {batch.total:,}")

    def pause_started(self, seconds: float, batch: Batch) -> None:
        self._invocation.print_note(f"pausing for {format_duration(seconds)} before {_batch_name(batch)}")

    def finished(self, report: Report) -> None:
        self._count += 1
        name = display_sentence(report.server.name)
        words = result_line(report) if report.not_started is None else f"{report.status}".replace("_", " ")
        self._invocation.print_note(f"[{self._count}/{self._total}] {name}: {words}")


class _FleetBar(FleetObserver):
    """How many servers are planned, running, done and failed, and the batch or the pause."""

    def __init__(self, shown: Any, total: int) -> None:  # noqa: ANN401 - rich is imported where it is used
        self._shown = shown
        self._task = shown.add_task("Planning", total=total)
        self._running: set[str] = set()
        self._failed = 0
        self._batch = ""

    def planned(self, plan: Plan) -> None:  # noqa: ARG002 - the interface's
        self._shown.advance(self._task)

    def batch_started(self, batch: Batch) -> None:
        self._batch = f"{_batch_name(batch)}, "

    def pause_started(self, seconds: float, batch: Batch) -> None:
        self._describe(f"pausing for {format_duration(seconds)} before {_batch_name(batch)}")

    def started(self, server: Server) -> None:
        self._running.add(server.name)
        self._describe()

    def finished(self, report: Report) -> None:
        self._running.discard(report.server.name)  # those that will not start any more never ran
        self._failed += not report.complete
        self._shown.advance(self._task)
        self._describe()

    def _describe(self, doing: str = "") -> None:
        doing = doing or f"{self._batch}{len(self._running)} running"
        self._shown.update(self._task, description=f"Applying: {doing}, {self._failed} failed")


@contextmanager
def open_journal(
    path: str | None, invocation: Invocation, *, of_fleet: bool = False
) -> Iterator[Callable[[Plan], RunObserver]]:
    """A function that makes the observer for a server's plan: its part of the journal, if one is wanted.

    Writes without an outcome in the journal are checked against the plan first, and the result is printed.
    """
    if path is None:
        yield lambda _plan: RunObserver()
        return
    from reconciler.applying.journal import Journal, check_unfinished

    journal = Journal(path)

    def of(plan: Plan) -> RunObserver:
        part = journal.of(plan.server.url)
        for intent, found in check_unfinished(part.unfinished, plan):
            where = f" on {plan.server.name}" if of_fleet else ""
            begun = (
                f"{intent.action} of {intent.address}{where} was begun at {intent.at} and has no outcome in the journal"
            )
            invocation.print_note(escape(f"checked: {begun}; {found}"))
            part.checked(intent, found)
        return part

    try:
        yield of
    finally:
        journal.close()
        if journal.has_new_lines:
            invocation.report_written(path)
