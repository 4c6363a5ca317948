"""The page of one server: its state, how it differs from its declaration now, and its last runs."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from reconciler.model.display import display_sentence, escape
from reconciler.report.cards import make_card
from reconciler.report.kind_pages import MOST_KINDS, page_of
from reconciler.report.view import view_recorded_change
from reconciler.watch.page import labels_of, short_commit
from reconciler.watch.page_words import (
    STATE_TONES,
    Moments,
    ending_words,
    first_origin_words,
    origin_words,
    result_tone,
    result_words,
    suspension_words,
)
from reconciler.watch.records import ServerState

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from reconciler.report.cards import ChangeCard
    from reconciler.watch.page_query import PageQuery
    from reconciler.watch.records import ChangeRecord, Overview, RunRecord, ServerRecord

_MOST_CHANGES: Final = 200
_MOST_OF_RUN: Final = 20
"""The most changes that are shown of one run. The API has them all."""

_FEW: Final = 20
"""Up to this many changes, their fields are expanded at first."""


def server_contents(
    overview: Overview, record: ServerRecord, runs: Sequence[RunRecord], query: PageQuery
) -> dict[str, Any]:
    """What the template of a server's page shows."""
    moments = Moments(overview.at)
    changes = record.changes
    return {
        "title": f"{record.state}: {display_sentence(record.name)}",
        "heading": display_sentence(record.name),
        "url": display_sentence(record.url),
        "labels": labels_of(record, query),
        "state": record.state.value,
        "tone": STATE_TONES[record.state],
        "back": query.path(),
        "suspension": suspension_words(record.suspended, moments) if record.suspended else "",
        "ending": ending_words(record.suspended, record.name) if record.suspended else "",
        "suspended_since": moments.of(record.suspended.since) if record.suspended else None,
        "error": display_sentence(record.error),
        "kinds": [{"kind": kind, "page": page_of(kind)} for kind in record.kinds[:MOST_KINDS]],
        "failures": record.failures,
        "facts": [(words, moments.of(moment)) for words, moment in _times(record)],
        "commit": short_commit(record.commit),
        "cards": [_current_card(change, record) for change in changes[:_MOST_CHANGES]],
        "more_changes": max(0, len(changes) - _MOST_CHANGES),
        "unfolded": len(changes) <= _FEW,
        "verdict": _verdict(record),
        "settled": record.is_known and not changes,
        "runs": list(_runs(runs, moments)),
    }


def _verdict(record: ServerRecord) -> str:
    """How many accounts differ, and why."""
    count, drift = len(record.changes), record.drift
    if not count:
        return "Nothing differs" if record.is_known else "Whether anything differs is not known"
    accounts = f"{count:,} account{'' if count == 1 else 's'}"
    if record.state is ServerState.UNREACHABLE:
        return f"{accounts} differed when the server was last reached"
    if record.suspended and not record.is_known:
        return f"{accounts} differed when the server was last compared"
    if drift == count:
        return f"{accounts} {'has' if count == 1 else 'have'} drifted"
    return f"{accounts} differ{'s' if count == 1 else ''} now" + (f", {drift:,} drifted" if drift else "")


def _times(record: ServerRecord) -> Iterator[tuple[str, Any]]:
    yield "Last success", record.last_success
    yield "Differs since", record.changed_since
    yield "Last checked", record.last_run
    yield "Next check", record.next_run


def _current_card(change: ChangeRecord, record: ServerRecord) -> ChangeCard:
    """How an account differs now, and why that is not written, unless the page says it for the whole server."""
    has_reason = record.suspended is None and record.state is not ServerState.UNKNOWN  # that one was resumed
    shown = change if has_reason else replace(change, held="")
    was_synced = record.last_success is not None
    return _card(shown, origin_words(change.origin) if was_synced else first_origin_words(change))


def _card(change: ChangeRecord, origin: str = "") -> ChangeCard:
    """One change, with the origin in other words if they are given."""
    notes = [
        *([f"Not written: {change.held}"] if change.held else []),
        *([f"{change.status.replace('_', ' ').capitalize()}: {change.error}"] if change.error else []),
        *change.notes,
    ]
    view = view_recorded_change(change.action, escape(change.address), change.rows, notes)
    status = "" if not change.status or change.error else f", {change.status.replace('_', ' ')}"
    return make_card(view, f"{origin or origin_words(change.origin)}{status}")


def _runs(runs: Iterable[RunRecord], moments: Moments) -> Iterator[dict[str, Any]]:
    for run in runs:
        yield {
            "id": display_sentence(run.run),
            "trigger": display_sentence(run.trigger),
            "commit": short_commit(run.commit),
            "result": display_sentence(result_words(run.result)),
            "tone": result_tone(run.result),
            "started": moments.of(run.started_at),
            "finished": moments.of(run.finished_at),
            "count": run.count,
            "error": display_sentence(run.error),
            "changes": len(run.changes),
            "cards": [_card(change) for change in run.changes[:_MOST_OF_RUN]],
            "more": max(0, len(run.changes) - _MOST_OF_RUN),
        }
