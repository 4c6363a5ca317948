"""The plans of several servers as one self-contained page, with filters by server, label and state."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from reconciler.model.display import display_address, display_sentence
from reconciler.report.cards import make_card
from reconciler.report.fleet_view import (
    PlanState,
    fleet_summary_line,
    plan_state,
    states,
    view_fleet_changes,
    view_fleet_problems,
    view_still_accounts,
)
from reconciler.report.html_page import problem_words, render_page, tile
from reconciler.report.server_names import count_phrase, names_phrase, nothing_applied_phrase, servers_phrase
from reconciler.report.view import CHANGING, STILL, total_counts

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from reconciler.errors import Problem
    from reconciler.model.plan import Plan
    from reconciler.model.server import Server
    from reconciler.report.cards import ChangeCard
    from reconciler.report.folding import Folded
    from reconciler.report.formats import PlanInput, RenderContext
    from reconciler.report.view import ChangeView

_FEW: Final = 20
"""Up to this many changes, their fields are expanded at first."""

_MOST_CHOICES: Final = 50
"""The most values of a label that are offered as choices; the search finds the others."""

_VARIABLE: Final = re.compile(r"(?<!\$)\$\{([^{}]+)\}")
_TONES: Final = {
    PlanState.CHANGES: "update",
    PlanState.UNCHANGED: "create",
    PlanState.SUSPENDED: "update",
    PlanState.REFUSED: "delete",
    PlanState.FAILED: "delete",
}


def render_plan(subject: PlanInput, context: RenderContext) -> str:
    """The page: problems, the changes, each once for all servers that have it, and the list of servers."""
    plans = subject.plans
    changes = view_fleet_changes(plans)
    places = {plan.server: place for place, plan in enumerate(plans)}
    counts = total_counts(plans)
    contents = {
        "title": fleet_summary_line(plans),
        "heading": count_phrase(len(plans)),
        "verdict": nothing_applied_phrase(sum(bool(plan.refusals or plan.errors) for plan in plans)),
        "errors": _problems((plan.server, (*plan.refusals, *plan.errors)) for plan in plans),
        "warnings": _problems((plan.server, plan.warnings) for plan in plans),
        "tiles": [tile(kind, counts[kind]) for kind in CHANGING],
        "still": ", ".join(f"{counts[kind]:,} {kind}" for kind in STILL if counts[kind]),
        "cards": [_card(change, places, whole=context.verbose) for change in changes],
        "unfolded": len(changes) <= _FEW,
        "nothing": fleet_summary_line(plans),
        "states": [(state, f"{number:,}", _TONES[PlanState(state)]) for state, number in states(plans).items()],
        "choices": list(_choices([plan.server for plan in plans])),
        "servers": list(_servers(plans, _used_variables(changes))),
        "total": f"{len(plans):,}",
        "still_accounts": list(_still(plans)) if context.verbose else [],
    }
    return render_page("fleet.html.jinja", ["page.css", "fleet.css"], "plan.js", contents, context)


def _card(folded: Folded[ChangeView], places: Mapping[Server, int], *, whole: bool) -> ChangeCard:
    servers = folded.servers
    names = names_phrase(servers, whole=whole)
    where = f"on {names if len(servers) == 1 else count_phrase(len(servers))}"
    return make_card(folded.item, where, names if len(servers) > 1 else "", _ranges(places[one] for one in servers))


def _ranges(places: Iterable[int]) -> str:
    """Numbers in ascending order, as ranges: ``0-2,5``."""
    found: list[list[int]] = []
    for place in places:
        if found and found[-1][-1] == place - 1:
            found[-1][1:] = [place]
        else:
            found.append([place])
    return ",".join("-".join(map(str, one)) for one in found)


def _problems(problems: Iterable[tuple[Server, Sequence[Problem]]]) -> list[dict[str, str]]:
    viewed = list(view_fleet_problems(problems))
    words = problem_words(folded.item for folded in viewed)
    return [{**one, "where": servers_phrase(folded.servers)} for one, folded in zip(words, viewed, strict=True)]


def _choices(servers: Sequence[Server]) -> Iterator[tuple[str, list[str]]]:
    """The labels by which servers differ, with their values."""
    values: dict[str, Counter[str]] = {}
    for server in servers:
        for label, value in server.labels.items():
            values.setdefault(label, Counter())[value] += 1
    for label, found in sorted(values.items()):
        if len(found) <= _MOST_CHOICES and (len(found) > 1 or found.total() < len(servers)):
            yield display_sentence(label), sorted(map(display_sentence, found))


def _used_variables(changes: Iterable[Folded[ChangeView]]) -> frozenset[str]:
    """The variables that the changes of several servers are written with."""
    found: set[str] = set()
    for folded in changes:
        if len(folded.servers) > 1:
            view = folded.item
            texts = [view.address, *view.notes]
            texts += [text for row in view.rows for text in (row.before, row.after, row.words)]
            found.update(*(_VARIABLE.findall(text) for text in texts if "${" in text))
    return frozenset(found)


def _servers(plans: Iterable[Plan], used: frozenset[str]) -> Iterator[dict[str, Any]]:
    for plan in plans:
        server, counts, state = plan.server, plan.counts, plan_state(plan)
        numbers = (("create", "+", counts.create), ("update", "~", counts.update), ("delete", "-", counts.delete))
        yield {
            "name": display_sentence(server.name),
            "url": display_sentence(server.url),
            "state": state.value,
            "tone": _TONES[state],
            "labels": [
                f"{display_sentence(label)}={display_sentence(value)}" for label, value in server.labels.items()
            ],
            "variables": [
                f"{display_sentence(name)}={display_sentence(value)}"
                for name, value in sorted(server.variables.items())
                if name in used and name != "name"
            ],
            "numbers": [(kind, f"{sign}{number:,}") for kind, sign, number in numbers if number],
            "problems": [display_sentence(str(one)) for one in (*plan.refusals, *plan.errors)],
        }


def _still(plans: Sequence[Plan]) -> Iterator[str]:
    for folded in view_still_accounts(plans):
        address, words = folded.item
        yield f"{display_address(address)} {words} {servers_phrase(folded.servers, whole=True)}"
