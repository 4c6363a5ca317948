"""Plans as one self-contained HTML file: it needs no network and no other file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from reconciler.model.display import display_address, display_sentence
from reconciler.report.cards import make_card
from reconciler.report.html_page import problem_words, render_page, tile
from reconciler.report.view import CHANGING, STILL, by_address, summary_line, view_changes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from reconciler.errors import Problem
    from reconciler.model.account import Account
    from reconciler.model.plan import Plan
    from reconciler.report.formats import PlanInput, RenderContext

_FEW: Final = 50
"""Up to this many changes, their fields are expanded at first."""


def render_plan(subject: PlanInput, context: RenderContext) -> str:
    """The plan as a page with search, filters by action, and each field's values side by side."""
    if subject.of_fleet:
        from reconciler.report import fleet_html

        return fleet_html.render_plan(subject, context)
    found = subject.plan
    contents = _contents(found, context) if found else _no_contents(subject.errors)
    return render_page("plan.html.jinja", ["page.css"], "plan.js", contents, context)


def _contents(plan: Plan, context: RenderContext) -> dict[str, Any]:
    name = display_sentence(plan.server.name)
    return {
        "title": f"{summary_line(plan)} {name}",
        "heading": name,
        "url": display_sentence(plan.server.url),
        "verdict": "Nothing can be applied",
        "errors": list(problem_words((*plan.refusals, *plan.errors))),
        "warnings": list(problem_words(plan.warnings)),
        "tiles": [tile(kind, getattr(plan.counts, kind)) for kind in CHANGING],
        "still": ", ".join(f"{count:,} {kind}" for kind in STILL if (count := getattr(plan.counts, kind))),
        "cards": [make_card(view) for view in view_changes(plan)],
        "total": f"{len(plan.changes):,}",
        "unfolded": len(plan.changes) <= _FEW,
        "nothing": summary_line(plan),
        "groups": list(_groups(plan)) if context.verbose else [],
    }


def _no_contents(errors: Sequence[Problem]) -> dict[str, Any]:
    return {
        "title": "There is no plan",
        "heading": "There is no plan",
        "url": "",
        "verdict": "Planning failed",
        "errors": list(problem_words(errors)),
        "warnings": [],
        "tiles": [],
        "still": "",
        "cards": [],
        "nothing": "Nothing was planned.",
        "groups": [],
    }


def _groups(plan: Plan) -> Iterator[dict[str, object]]:
    for accounts, words in ((plan.unchanged, "as declared"), (plan.untouched, "left alone")):
        if accounts:
            yield {"words": f"{len(accounts):,} {words}", "addresses": [_labelled(one) for one in by_address(accounts)]}


def _labelled(account: Account) -> str:
    return f"{display_address(account.email)} (id {account.id})"
