"""States, times and suspensions in words, safe to show."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from reconciler.model.display import display_sentence
from reconciler.watch.records import Origin, ServerState, SuspendedBy

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from reconciler.watch.records import ChangeRecord, Suspension

STATE_TONES: Final[Mapping[str, str]] = {
    ServerState.SYNCED: "create",
    ServerState.PENDING: "info",
    ServerState.DRIFTED: "update",
    ServerState.SUSPENDED: "hold",
    ServerState.STOPPED: "delete",
    ServerState.REFUSED: "delete",
    ServerState.FAILED: "delete",
    ServerState.UNREACHABLE: "delete",
    ServerState.UNKNOWN: "calm",
}
"""The class of a state's colour."""

_RESULT_TONES: Final[Mapping[str, str]] = {
    "applied": "create",
    "unchanged": "calm",
    "planned": "info",
    "not_attempted": "update",
}
_UNITS: Final = ((86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second"))
_NOW: Final = 5
"""Seconds before or after that are called now."""

_MOST_REASONS: Final = 2


class Moments:
    """Writes times for a page that is made at one moment."""

    def __init__(self, at: datetime) -> None:
        self._at = at

    def of(self, moment: datetime | None) -> dict[str, str] | None:
        """A time for a ``<time>`` element: for machines, in UTC, and relative to now; ``None`` stays ``None``."""
        if moment is None:
            return None
        return {
            "iso": moment.isoformat(timespec="seconds"),
            "words": f"{moment:%Y-%m-%d %H:%M} UTC",
            "relative": self.relative(moment),
        }

    def relative(self, moment: datetime) -> str:
        """``3 minutes ago``, ``in 2 hours``, ``now``."""
        seconds = int((moment - self._at).total_seconds())
        if abs(seconds) < _NOW:
            return "now"
        size, unit = next((size, unit) for size, unit in _UNITS if abs(seconds) >= size)
        count = abs(seconds) // size
        phrase = f"{count:,} {unit}{'' if count == 1 else 's'}"
        return f"in {phrase}" if seconds > 0 else f"{phrase} ago"


def result_tone(result: str) -> str:
    """The class of the colour of a run's result."""
    return _RESULT_TONES.get(result, "delete")


def result_words(result: str) -> str:
    """The result of a run."""
    return "planned only" if result == "planned" else result.replace("_", " ")


def suspension_words(suspension: Suspension, moments: Moments) -> str:
    """Who suspended a server, until when, and why."""
    who = {
        SuspendedBy.COMMAND: f"Suspended by {suspension.user}" if suspension.user else "Suspended",
        SuspendedBy.MANIFEST: "Suspended in its manifest",
        SuspendedBy.HEAL_LIMIT: "Stopped at the heal limit",
    }[suspension.by]
    end = ""
    if suspension.until:
        end = f" until {suspension.until:%Y-%m-%d %H:%M} UTC ({moments.relative(suspension.until)})"
    return display_sentence(f"{who}{end}: {suspension.reason}")


def held_words(reasons: Sequence[str]) -> Iterator[str]:
    """The first reasons why changes were not written."""
    yield from map(display_sentence, reasons[:_MOST_REASONS])
    if len(reasons) > _MOST_REASONS:
        yield f"and {len(reasons) - _MOST_REASONS:,} more"


def origin_words(origin: Origin) -> str:
    """Why an account differs, or differed, from its declaration."""
    return {
        Origin.COMMIT: "the declaration changed",
        Origin.DRIFT: "drift: the server was changed",
        Origin.BOTH: "drift: the server was changed, and the declaration too",
    }[origin]


def first_origin_words(change: ChangeRecord) -> str:
    """The same for a server that never was as declared, so that there is nothing to compare its accounts with."""
    if change.origin is Origin.COMMIT or change.action == "create":
        return origin_words(change.origin)
    return "counts as drift: the watcher never saw the server as declared"


def ending_words(suspension: Suspension, server: str) -> str:
    """How to end a suspension."""
    if suspension.by is SuspendedBy.MANIFEST:
        return "To end it, remove `suspended` from the manifest."
    return f"To end it, run `reconciler resume {display_sentence(server)}`."
