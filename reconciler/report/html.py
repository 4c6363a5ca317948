"""Plans as one self-contained HTML file: it needs no network and no other file."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from reconciler.model.display import common_prefix, display_address, display_sentence
from reconciler.report.view import CHANGING, STILL, by_address, summary_line, view_changes
from reconciler.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from jinja2 import Template

    from reconciler.errors import Problem
    from reconciler.model.account import Account
    from reconciler.model.plan import Plan
    from reconciler.report.formats import PlanInput, RenderContext
    from reconciler.report.view import ChangeView, FieldRow

_FOLDER: Final = Path(__file__).with_name("web")
_FEW: Final = 50
"""Up to this many changes, their fields are expanded at first."""

_ALIKE: Final = 3
"""Two values are similar, so that only the difference is marked, if they share at least one in so many characters."""


@dataclass(frozen=True, slots=True)
class Value:
    """A value in three parts; the marked difference from the other value is in the middle."""

    head: str
    core: str = ""
    tail: str = ""


@dataclass(frozen=True, slots=True)
class CardRow:
    """One field of a card; a value that is not there is ``None``."""

    field: str
    before: Value | None
    after: Value | None
    words: str


@dataclass(frozen=True, slots=True)
class ChangeCard:
    """One change on the page.

    Attributes:
        where: The number of servers, or the only one.
        names: The names of several servers.
        servers: Their places in the page's list of servers, as ranges.
    """

    view: ChangeView
    rows: Sequence[CardRow]
    notes: Sequence[str]
    where: str
    names: str
    servers: str


def render_plan(subject: PlanInput, context: RenderContext) -> str:
    """The plan as a page with search, filters by action, and each field's values side by side."""
    if subject.is_fleet:
        from reconciler.report import fleet_html

        return fleet_html.render_plan(subject, context)
    found = subject.plan
    contents = _contents(found, context) if found else _no_contents(subject.errors)
    return page("plan.html.jinja", ["plan.css"], "plan.js", contents, context)


def page(template: str, styles: Sequence[str], script: str, contents: Mapping[str, Any], context: RenderContext) -> str:
    """A page made of files of this package; everything else is escaped."""
    style, code = (
        "".join(_FOLDER.joinpath(name).read_text(encoding="utf-8") for name in names)
        for names in (styles, ("page.js", script))
    )
    moment = context.started_at
    return _template(template).render(
        policy=_policy(style, code),
        style=Markup(style),  # noqa: S704
        script=Markup(code),  # noqa: S704
        moment=moment.isoformat(timespec="seconds"),
        moment_words=f"{moment:%Y-%m-%d %H:%M} UTC",
        footer=f"Made by reconciler {VERSION}. Secrets are not part of this page.",
        **contents,
    )


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


def _template(name: str) -> Template:
    environment = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(name)


def _policy(style: str, script: str) -> str:
    """A Content-Security-Policy that allows this page's own style and script, and nothing else."""
    return (
        f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; img-src data:;"
        " base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def problem_words(problems: Iterable[Problem]) -> Iterator[dict[str, str]]:
    """Problems for the template, safe to show."""
    for one in problems:
        yield {"message": display_sentence(str(one)), "hint": display_sentence(one.hint)}


def tile(kind: str, count: int) -> dict[str, object]:
    """The number of changes of one kind."""
    return {"kind": kind, "count": count, "number": f"{count:,}", "words": f"to {kind}"}


def _groups(plan: Plan) -> Iterator[dict[str, object]]:
    for accounts, words in ((plan.unchanged, "as declared"), (plan.untouched, "left alone")):
        if accounts:
            yield {"words": f"{len(accounts):,} {words}", "addresses": [_labelled(one) for one in by_address(accounts)]}


def _labelled(account: Account) -> str:
    return f"{display_address(account.email)} (id {account.id})"


def make_card(view: ChangeView, where: str = "", names: str = "", servers: str = "") -> ChangeCard:
    """A change for the template; what concerns servers is empty if there is only one."""
    rows, notes = [_row(row) for row in view.rows], [display_sentence(note) for note in view.notes]
    return ChangeCard(view, rows, notes, where, names, servers)


def _row(row: FieldRow) -> CardRow:
    if row.before and row.after:
        return CardRow(row.field, *_marked(row.before, row.after), row.words)
    before, after = (Value(text) if text else None for text in (row.before, row.after))
    return CardRow(row.field, before, after, row.words)


def _marked(before: str, after: str) -> tuple[Value, Value]:
    """Both values with the difference marked, unless they have too little in common."""
    start = common_prefix(before, after)
    end = common_prefix(before[start:][::-1], after[start:][::-1])
    if not before.startswith('"') or (start + end - 2) * _ALIKE < max(len(before), len(after)):
        return Value(before), Value(after)
    first, second = (
        Value(text[:start], text[start : len(text) - end], text[len(text) - end :]) for text in (before, after)
    )
    return first, second
