"""The state of a fleet as a table for a terminal, like the watcher's page."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from reconciler.model.display import SHORT_COMMIT, display_sentence, escape
from reconciler.report.server_names import count_phrase
from reconciler.report.wrapping import columns

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from reconciler.report.formats import StatusInput, Style

_HEADINGS: Final = ("SERVER", "STATE", "DRIFT", "COMMIT", "LAST SUCCESS", "NEXT ROUND", "REASON")
STATE_COLOURS: Final = {
    **dict.fromkeys(("failed", "refused", "stopped", "unreachable"), "red"),
    **dict.fromkeys(("drifted", "suspended", "pending", "unknown"), "yellow"),
    "synced": "green",
}
"""By state, in the order of the table and of the watcher's page: what people have to look at comes first."""

_RANKS: Final = {state: rank for rank, state in enumerate(STATE_COLOURS)}
_MOST_REASONS: Final = 2

_UNITS: Final = ((86400, "d"), (3600, "h"), (60, "m"), (1, "s"))


def status_text(status: StatusInput, style: Style, now: datetime) -> str:
    """What needs attention, the number of servers in each state, then a line for each server."""
    lines = list(_attention(status, style))
    if lines:
        lines.append("")
    if not status.servers:
        return "\n".join([*lines, "No servers yet: the first round has not ended."]) + "\n"
    servers = sorted(status.servers, key=lambda server: (_rank(server["state"]), server["name"]))
    rows = [_HEADINGS, *(tuple(_cells(server, now)) for server in servers)]
    widths = [max(map(columns, cells)) for cells in zip(*rows, strict=True)]
    lines += [_counts(servers, style), "", *(_line(row, widths, style) for row in rows)]
    return "\n".join(lines) + "\n"


def _attention(status: StatusInput, style: Style) -> Iterator[str]:
    """Why the table may not show how the servers are now."""
    if status.is_running is False:
        last = status.last_check
        state = f"this is the state of {last:%Y-%m-%d %H:%M:%S} UTC" if last else "no server has been checked yet"
        yield f"{style.paint('No watcher is running', 'yellow')}; {state}."
    attention = style.paint("The watcher needs attention:", "red")
    yield from (f"{attention} {display_sentence(notice['message'])}" for notice in status.notices)


def _counts(servers: Sequence[Mapping[str, Any]], style: Style) -> str:
    counts = Counter(server["state"] for server in servers)
    states = sorted(counts, key=_rank)
    found = ", ".join(
        style.paint(f"{counts[state]:,} {escape(state)}", STATE_COLOURS.get(state, "")) for state in states
    )
    return f"{count_phrase(len(servers))}: {found}"


def _rank(state: str) -> int:
    """The place of a state; one that only a newer watcher knows comes first."""
    return _RANKS.get(state, -1)


def _line(row: Sequence[str], widths: Sequence[int], style: Style) -> str:
    padded = [cell + " " * (width - columns(cell)) for cell, width in zip(row, widths, strict=True)]
    padded[1] = style.paint(padded[1], STATE_COLOURS.get(row[1], ""))
    return "  ".join(padded).rstrip()


def _cells(server: Mapping[str, Any], now: datetime) -> Iterator[str]:
    yield display_sentence(server["name"])
    yield escape(server["state"])
    yield _drift(server, now)
    yield escape(server["commit"][:SHORT_COMMIT]) or "-"
    success = _moment(server["last_success"])
    yield f"{_span(success, now)} ago" if success else "never"
    following = _moment(server.get("next_run"))
    yield "-" if following is None else "now" if following <= now else f"in {_span(now, following)}"
    yield "; ".join(filter(None, _reasons(server, now))) or "-"


def _reasons(server: Mapping[str, Any], now: datetime) -> Iterator[str]:
    """Why a server is in its state."""
    yield _suspension(server["suspended"], now)
    yield display_sentence(server["error"])
    if not server["error"]:
        held = server.get("held", ())
        yield from map(display_sentence, held[:_MOST_REASONS])
        yield f"and {len(held) - _MOST_REASONS:,} more" if len(held) > _MOST_REASONS else ""


def _drift(server: Mapping[str, Any], now: datetime) -> str:
    """How many accounts were changed on the server, and for how long it has differed."""
    if not server["drift"]:
        return "-" if server.get("drift_known", True) else "not known"
    since = _moment(server.get("changed_since"))
    return f"{server['drift']:,}{f' for {_span(since, now)}' if since else ''}"


def _suspension(suspended: Mapping[str, Any] | None, now: datetime) -> str:
    """Why, by whom and until when a server is suspended; empty if it is not."""
    if suspended is None:
        return ""
    by = {"command": suspended["user"], "manifest": "its manifest", "heal_limit": "the heal limit"}
    whom = by.get(suspended["by"], suspended["by"])
    until = _moment(suspended["until"])
    ending = f" for {_span(now, until)} more" if until else ""
    return (
        f"suspended{f' by {display_sentence(whom)}' if whom else ''}{ending}: {display_sentence(suspended['reason'])}"
    )


def _moment(text: str | None) -> datetime | None:
    try:
        moment = None if text is None else datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment and moment.tzinfo else None


def _span(start: datetime, end: datetime) -> str:
    """The time between two moments in its two largest units, such as ``2h 5m``; ``0s`` if there is none."""
    left = max(0, round((end - start).total_seconds()))
    parts = []
    for size, unit in _UNITS:
        count, left = divmod(left, size)
        parts.append(f"{count}{unit}" if count else "")
    first = next((index for index, part in enumerate(parts) if part), len(parts))
    return " ".join(filter(None, parts[first : first + 2])) or "0s"
