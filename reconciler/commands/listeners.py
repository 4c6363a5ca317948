"""Who is told about each write: the journal, the progress, or both."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.commands.progress import Silence
from reconciler.model.display import escape

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconciler.applying.executor import Listener
    from reconciler.applying.result import StepResult
    from reconciler.commands.invocation import Invocation
    from reconciler.model.outcome import Status
    from reconciler.model.plan import Change, Plan, Step


@contextmanager
def recording(path: str | None, plan: Plan, invocation: Invocation) -> Iterator[Listener]:
    """A listener that keeps the journal, if one is wanted.

    Writes that the journal shows begun and not ended are looked at again first, and what was found is said.
    """
    if path is None:
        yield Silence()
        return
    from reconciler.applying.journal import Journal, findings

    size_before = _size(path)
    journal = Journal(path, plan.server.url)
    try:
        for intent, found in findings(journal.unfinished, plan):
            words = f"{intent.action} of {intent.address} was begun at {intent.at} and has no outcome in the journal"
            invocation.note(escape(f"looked again: {words}; {found}"))
            journal.looked_at(intent, found)
        yield journal
    finally:
        journal.close()
        if _size(path) != size_before:
            invocation.wrote(path)


def _size(path: str) -> int | None:
    """Bytes in a file; ``None`` if it is not there."""
    try:
        return Path(path).stat().st_size
    except OSError:
        return None


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
