"""The watcher's log: one event per line, for people or for programs."""

from __future__ import annotations

import json
import sys
import threading
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING

from reconciler.model.display import SHORT_COMMIT, escape
from reconciler.model.outcome import ServerStatus, Status
from reconciler.report.json import json_time

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import TextIO

    from reconciler.errors import Problem
    from reconciler.watch.records import RunRecord, ServerRecord


class LogFormat(StrEnum):
    """How events are written."""

    TEXT = "text"
    JSON = "json"


class EventLog:
    """Writes events to a stream, without secrets. Several threads may call it.

    Args:
        log_format: How to write them.
        redact: Masks the secrets that are known to the whole process.
        stream: Where to; standard error unless given.
    """

    def __init__(self, log_format: LogFormat, redact: Callable[[str], str], stream: TextIO | None = None) -> None:
        self._format = log_format
        self._redact = redact
        self._stream = stream or sys.stderr
        self._lock = threading.Lock()
        self.commit = ""
        """The commit in force."""
        self.run = ""
        """The round under way; empty between rounds."""

    def event(self, event: str, message: str = "", *, server: str = "", level: str = "info", **details: object) -> None:
        """Writes one event.

        Args:
            event: Its name, as in ``round_finished``.
            message: A sentence for people.
            server: The server that it is about, if it is about one.
            level: ``info``, ``warning`` or ``error``.
            details: What programs may want to know.
        """
        moment = json_time(datetime.now(UTC))
        if self._format is LogFormat.JSON:
            line = json.dumps(
                {
                    "time": moment,
                    "level": level,
                    "event": event,
                    "server": server,
                    "commit": self.commit,
                    "run": self.run,
                    "message": message,
                    **details,
                }
            )
        else:
            words = {"server": server, "commit": self.commit[:SHORT_COMMIT], "run": self.run, **details}
            line = " ".join(filter(None, (f"{moment} {level:7} event={event}", *_pairs(words), escape(message))))
        with self._lock:
            try:
                self._stream.write(self._redact(line) + "\n")
                self._stream.flush()
            except (OSError, ValueError):  # nobody reads the log any more, or the disk is full: the loop goes on
                return

    def warn(self, problem: Problem) -> None:
        """Writes a warning."""
        self.event("warning", f"{problem}; {problem.hint}" if problem.hint else str(problem), level="warning")


def _pairs(words: Mapping[str, object]) -> Iterator[str]:
    """``name=value`` for each value that is not empty; a mapping is such pairs itself."""
    for name, value in words.items():
        if isinstance(value, dict):
            yield from _pairs(value)
        elif shown := "" if value is None else escape(str(value)):
            quoted = shown.replace('"', '\\"')
            yield f"{name}={shown}" if quoted == shown and " " not in shown else f'{name}="{quoted}"'


def log_result(log: EventLog, record: ServerRecord, run: RunRecord, before: ServerRecord | None) -> None:
    """Writes what a round found on a server and did there; nothing if it is as declared, or if nothing is new.

    Args:
        log: The log.
        record: The server as it is now.
        run: The run.
        before: The server before the round.
    """
    for change in run.changes:
        words, origin = f"{change.action} {change.address}", change.origin.value
        if change.held:
            if before is None or change not in before.changes:
                log.event("change_held", f"{words}: {change.held}", server=record.name, origin=origin)
        elif change.status and change.status != Status.NOT_ATTEMPTED:
            level = "info" if change.status == Status.APPLIED else "error"
            ending = f": {change.error}" if change.error else ""
            status = change.status
            log.event("change", f"{words}{ending}", server=record.name, level=level, origin=origin, status=status)
    if run.error and run.result != ServerStatus.NOT_ATTEMPTED:
        log.event("server_failed", run.error, server=record.name, level="error", state=record.state.value)
    elif run.error and (before is None or before.error != run.error):
        log.event("server_waits", run.error, server=record.name)
