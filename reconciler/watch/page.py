"""The page of the fleet: counts by state, and one row for each server, problems first."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from reconciler.model.display import SHORT_COMMIT, display_sentence, escape, shorten
from reconciler.report.server_names import count_phrase
from reconciler.report.status_text import STATE_COLOURS
from reconciler.watch.page_words import STATE_TONES, Moments, held_words, suspension_words
from reconciler.watch.records import ServerState

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from reconciler.watch.page_query import PageQuery
    from reconciler.watch.records import Overview, ServerRecord

PAGE_SIZE: Final = 100
"""Servers on one page."""

URGENCY: Final = tuple(map(ServerState, STATE_COLOURS))
"""The states in the order of the page: what people have to look at comes first."""

_MOST_CHOICES: Final = 50
"""The most values of a label that are offered as choices; links and the address take any."""


_LONGEST_NAME: Final = 80
_LONGEST_REASON: Final = 240
"""Characters in the list; the server's own page shows more."""


def fleet_contents(overview: Overview, query: PageQuery) -> dict[str, Any]:
    """What the template of the fleet's page shows."""
    moments = Moments(overview.at)
    fitting = query.select(overview.servers)
    counts = Counter(server.state for server in fitting)
    shown = [server for server in fitting if not query.states or server.state in query.states]
    shown.sort(key=lambda server: (URGENCY.index(server.state), server.name))
    last = max(1, -(-len(shown) // PAGE_SIZE))
    number = min(query.page, last)
    rows = shown[(number - 1) * PAGE_SIZE : number * PAGE_SIZE]
    return {
        "title": _title(counts),
        "heading": count_phrase(len(overview.servers)),
        "source": display_sentence(overview.source),
        "commit": short_commit(overview.commit),
        "notices": [display_sentence(notice) for notice in overview.notices.values()],
        "tiles": list(_tiles(counts, query)),
        "all_count": f"{len(fitting):,}",
        "all_path": query.without_states().path(),
        "is_all": not query.states,
        "filters": list(_active_filters(query)),
        "query": query,
        "choices": list(_choices(overview.servers, query)),
        "hidden": list(_hidden(overview.servers, query)),
        "rows": [_row(server, query, moments) for server in rows],
        "range": _range_words(len(rows), len(shown), len(overview.servers), (number - 1) * PAGE_SIZE),
        "pages": _pages(query, number, last),
        "nothing": _nothing(overview, query),
    }


def server_path(name: str, query: PageQuery) -> str:
    """The address of a server's page, from which the filters lead back."""
    return query.path(f"/servers/{quote(name, safe='', errors='surrogatepass')}")


def short_commit(commit: str) -> dict[str, str]:
    """A commit as it is shown, and as a whole."""
    return {"short": display_sentence(commit[:SHORT_COMMIT]), "whole": display_sentence(commit)}


def labels_of(record: ServerRecord, query: PageQuery) -> list[dict[str, str]]:
    """A server's labels, each with the address that filters by it."""
    return [
        {"text": shorten(f"{key}={value}", _LONGEST_NAME), "path": query.with_label(key, value).path()}
        for key, value in record.labels.items()
    ]


def _title(counts: Mapping[ServerState, int]) -> str:
    problems = [f"{counts[state]:,} {state}" for state in URGENCY if counts[state] and state is not ServerState.SYNCED]
    return ", ".join([*problems, f"{counts[ServerState.SYNCED]:,} synced"])


def _tiles(counts: Mapping[ServerState, int], query: PageQuery) -> Iterator[dict[str, Any]]:
    for state in URGENCY:
        if counts[state] or state in query.states or state is ServerState.SYNCED:
            yield {
                "state": state.value,
                "tone": STATE_TONES[state],
                "count": counts[state],
                "number": f"{counts[state]:,}",
                "path": query.in_state(state).path(),
                "is_current": state in query.states,
            }


def _active_filters(query: PageQuery) -> Iterator[dict[str, str]]:
    for key, value in query.labels:
        yield {"text": display_sentence(f"{key}={value}"), "path": query.without_label(key, value).path()}
    if query.name:
        yield {"text": display_sentence(f"name {query.name}"), "path": query.without_name().path()}
    for state in query.states:
        yield {"text": display_sentence(f"state {state}"), "path": query.without_states().path()}


def _choices(servers: Iterable[ServerRecord], query: PageQuery) -> Iterator[dict[str, Any]]:
    """The labels by which servers differ, with their values."""
    chosen = dict(query.labels)
    for key, values in _values_of_labels(servers).items():
        if 1 < len(values) <= _MOST_CHOICES:
            options = [
                {"value": f"{key}={value}", "words": display_sentence(value), "is_chosen": chosen.get(key) == value}
                for value in values
            ]
            yield {"label": display_sentence(key), "options": options}


def _hidden(servers: Iterable[ServerRecord], query: PageQuery) -> Iterator[tuple[str, str]]:
    """What the form has no element for, and must keep."""
    offered = {key for key, values in _values_of_labels(servers).items() if 1 < len(values) <= _MOST_CHOICES}
    yield from (("state", state) for state in query.states)
    yield from (("label", f"{key}={value}") for key, value in query.labels if key not in offered)
    if not query.refreshes:
        yield ("refresh", "0")


def _values_of_labels(servers: Iterable[ServerRecord]) -> dict[str, list[str]]:
    found: dict[str, set[str]] = {}
    for server in servers:
        for key, value in server.labels.items():
            found.setdefault(key, set()).add(value)
    return {key: sorted(values) for key, values in sorted(found.items()) if _is_plain(key, values)}


def _is_plain(key: str, values: Iterable[str]) -> bool:
    """Whether all is shown as it is: a form sends back what it shows."""
    return all(escape(one) == one for one in (key, *values))


def _row(server: ServerRecord, query: PageQuery, moments: Moments) -> dict[str, Any]:
    return {
        "name": shorten(server.name, _LONGEST_NAME),
        "path": server_path(server.name, query),
        "url": display_sentence(server.url),
        "labels": labels_of(server, query),
        "state": server.state.value,
        "tone": STATE_TONES[server.state],
        "reasons": [shorten(reason, _LONGEST_REASON) for reason in _reasons(server, moments)],
        "last_success": moments.of(server.last_success),
        "drift": server.drift,
        "changes": len(server.changes),
        "no_drift": "none" if server.is_known else "not known",
        "since": moments.of(server.changed_since),
        "commit": short_commit(server.commit),
        "next_run": moments.of(server.next_run),
    }


def _reasons(server: ServerRecord, moments: Moments) -> Iterator[str]:
    """Why a server is in its state."""
    if server.suspended:
        yield suspension_words(server.suspended, moments)
    if server.error:
        yield server.error
    if server.failures > 1:
        yield f"{server.failures:,} runs in a row have failed"
    if not server.error:
        yield from held_words(server.held)


def _range_words(rows: int, shown: int, known: int, before: int) -> str:
    if rows == known or not rows:  # if there is none, the page says why
        return ""
    if rows < shown:
        return f"Servers {before + 1:,} to {before + rows:,} of {shown:,}{'' if shown == known else ' that match'}"
    return f"{shown:,} of {known:,} servers match"


def _pages(query: PageQuery, number: int, last: int) -> dict[str, Any] | None:
    """Links to the pages before and after; ``None`` if there is only one."""
    if last == 1:
        return None
    near = sorted({1, last, *range(max(1, number - 2), min(last, number + 2) + 1)})
    return {
        "previous": query.at_page(number - 1).path() if number > 1 else "",
        "next": query.at_page(number + 1).path() if number < last else "",
        "numbers": [{"number": one, "path": query.at_page(one).path(), "is_current": one == number} for one in near],
    }


def _nothing(overview: Overview, query: PageQuery) -> str:
    states = [state.value for state in URGENCY]
    if unknown := [state for state in query.states if state not in states]:
        return f"There is no state named {shorten(unknown[0], _LONGEST_NAME)}. The states are {', '.join(states)}."
    if overview.servers:
        return "No server matches these filters."
    return "The manifests declare no server." if overview.commit else "No manifests have loaded yet."
