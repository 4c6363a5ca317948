"""Markdown for comments on pull requests and for job summaries: escaped, and cut to GitHub's limit."""

from __future__ import annotations

import hashlib
from html import escape
from typing import TYPE_CHECKING, Final

from reconciler.model.display import display_address, display_sentence
from reconciler.report.annotations import failure_position, failure_reason, needs_attention
from reconciler.report.folding import Folded
from reconciler.report.kind_pages import with_pages
from reconciler.report.markdown_escapes import code_span, escape_text, secret_words
from reconciler.report.view import (
    BY_DANGER,
    CHANGING,
    STILL,
    is_test_run,
    outcome_counts,
    result_line,
    view_changes,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from reconciler.errors import Problem
    from reconciler.model.outcome import Outcome, Report
    from reconciler.model.plan import Plan
    from reconciler.model.server import Server
    from reconciler.report.formats import PlanInput, RenderContext, ReportInput
    from reconciler.report.view import ChangeView, FieldRow

LIMIT: Final = 65_400
"""Characters. A comment on GitHub takes 65,536, and the action adds a line; GitLab takes more."""

_RESERVED: Final = 2_000
"""UTF-16 units for what comes after the changes: closing tags, and the number of changes that are left out."""

_ALERT_LIMIT: Final = 12_000
_FEW: Final = 20
"""Up to this many changes, the groups are expanded."""

_HEAD: Final = "| Account | Action | Outcome | Test mail | |\n| --- | --- | --- | --- | --- |\n"


class LimitedText:
    """Text of limited length, made of pieces that are included as a whole or not at all.

    Attributes:
        left: The UTF-16 units that are left, which is the strictest way to count.
    """

    def __init__(self, limit: int) -> None:
        """Takes the limit in UTF-16 units."""
        self.left = limit
        self._pieces: list[str] = []

    def add(self, piece: str, *, reserved: int = 0) -> bool:
        """Adds a piece and returns whether it fits; ``reserved`` units stay free."""
        size = len(piece.encode("utf-16-le")) // 2
        if size + reserved > self.left:
            return False
        self.left -= size
        self._pieces.append(piece)
        return True

    def __str__(self) -> str:
        return "".join(self._pieces)


def render_plan(subject: PlanInput, context: RenderContext) -> str:
    """The plan: a table of numbers, what keeps it from being applied, warnings, then each change, folded.

    The first line is an HTML comment that identifies the plan's server, so that the next run can replace the comment of
    this one.
    """
    if subject.of_fleet:
        from reconciler.report import fleet_markdown

        return fleet_markdown.render_plan(subject, context)
    found = subject.plan
    page = LimitedText(LIMIT)
    page.add(f"{marker('reconciler', [found.server] if found else [])}\n")
    if found is None:
        page.add(f"### There is no plan\n\n{alert('CAUTION', 'Planning failed.', problem_entries(subject.errors))}")
        return str(page)
    page.add(f"### Plan for {code_span(display_sentence(found.server.name))}\n\n{_plan_numbers(found)}\n")
    page.add(alert("CAUTION", "Nothing can be applied.", problem_entries((*found.refusals, *found.errors))))
    page.add(alert("WARNING", "", problem_entries(found.warnings)))
    if not found.changes:
        page.add("No changes.\n")
    changes = [Folded(view, (found.server,)) for view in view_changes(found)]
    left_out = add_changes(changes, page, lambda one: [change_block(one.item)])
    if left_out:
        page.add(left_out_line(left_out, "change", context))
    return str(page)


def render_report(subject: ReportInput, context: RenderContext) -> str:
    """The outcomes: a table of numbers, errors, what needs attention, then the rest, folded.

    The HTML comment in its first line differs from that of a plan, so that it does not replace the plan.
    """
    if subject.of_fleet:
        from reconciler.report import fleet_markdown

        return fleet_markdown.render_report(subject, context)
    report = subject.report
    page = LimitedText(LIMIT)
    page.add(f"{marker('reconciler-result', [report.server] if report else [])}\n")
    if report is None:
        page.add(f"### The run did not start\n\n{alert('CAUTION', '', problem_entries(subject.problems))}")
        return str(page)
    page.add(f"### {result_line(report)}\n\nOn {code_span(display_sentence(report.server.name))}:\n\n")
    page.add(_result_numbers(report) + "\n")
    page.add(alert("CAUTION", "", problem_entries(subject.problems)))
    folded = [Folded(one, (report.server,)) for one in report.outcomes]
    urgent = [one for one in folded if needs_attention(one.item)]
    fine = [one for one in folded if not needs_attention(one.item)]
    left_out = add_outcomes(fine, urgent, page, _HEAD, lambda one: outcome_row(one.item))
    if left_out:
        page.add(left_out_line(left_out, "outcome", context))
    return str(page)


def marker(word: str, servers: Sequence[Server]) -> str:
    """A comment that identifies a set of servers, whatever their order."""
    urls = "\n".join(sorted(server.url for server in servers))
    return f"<!-- {word}: {hashlib.sha256(urls.encode('utf-8', 'surrogatepass')).hexdigest()[:12]} -->"


def _plan_numbers(plan: Plan) -> str:
    return numbers_table({name: getattr(plan.counts, name) for name in (*CHANGING, *STILL)}, CHANGING)


def _result_numbers(report: Report) -> str:
    counts = outcome_counts(report.outcomes)
    if is_test_run(report):
        counts = {name: counts[name] for name in ("tests_passed", "tests_failed", "unknown", "not_attempted")}
    return numbers_table(counts, counts)


def numbers_table(counts: dict[str, int], shown_always: Iterable[str]) -> str:
    """Counts as a table; a count of zero only if it is always shown."""
    always = set(shown_always)
    cells = [(name, count) for name, count in counts.items() if count or name in always]
    heads = " | ".join(name.replace("_", " ").capitalize() for name, _ in cells)
    numbers = " | ".join(f"**{count:,}**" if count else "0" for _, count in cells)
    return f"| {heads} |\n|{' ---: |' * len(cells)}\n| {numbers} |\n"


def alert(kind: str, title: str, entries: Sequence[str]) -> str:
    """Entries of a list as an alert, which is a coloured box; empty if there are none."""
    if not entries:
        return ""
    page = LimitedText(_ALERT_LIMIT)
    page.add(f"> [!{kind}]\n" + (f"> **{title}**\n>\n" if title else ""))
    for place, entry in enumerate(entries):
        if not page.add(f"> - {entry}\n", reserved=50):
            page.add(f"> - and {len(entries) - place:,} more\n")
            break
    return f"{page}\n"


def problem_entries(problems: Iterable[Problem]) -> list[str]:
    """Problems for an ``alert``, each kind with a link to its page."""
    entries = []
    for one, page in with_pages(problems):
        link = f" ([`{one.kind}`]({page}))" if page else ""
        hint = f"<br>hint: {escape_text(one.hint)}" if one.hint else ""
        entries.append(f"{escape_text(str(one))}{link}{hint}")
    return entries


def add_changes(
    changes: Sequence[Folded[ChangeView]], page: LimitedText, blocks: Callable[[Folded[ChangeView]], Iterable[str]]
) -> int:
    """Adds as many changes as there is room for, by action; returns how many are left out.

    Args:
        changes: The changes.
        page: Where to.
        blocks: A change in Markdown; the first of them that fits is added.
    """
    left_out = 0
    opening = "<details open>" if len(changes) <= _FEW else "<details>"
    for action in BY_DANGER:
        group = [one for one in changes if one.item.action is action]
        if not group:
            continue
        if left_out or not page.add(f"{opening}<summary>{_group_title(group)}</summary>\n\n", reserved=_RESERVED):
            left_out += _count(group)
            continue
        for place, one in enumerate(group):
            if not any(page.add(block, reserved=_RESERVED) for block in blocks(one)):
                left_out += _count(group[place:])
                break
        page.add("</details>\n\n")
    return left_out


def _group_title(group: Sequence[Folded[ChangeView]]) -> str:
    kinds = f" in {len(group):,} groups" if len(group) < _count(group) and len(group) > 1 else ""
    return f"<b>{_count(group):,} to {group[0].item.action}</b>{kinds}"


def _count(group: Iterable[Folded[object]]) -> int:
    """The changes or outcomes, of all servers."""
    return sum(len(folded.servers) for folded in group)


def change_block(view: ChangeView, where: str = "", names: str = "") -> str:
    """A change that can be expanded.

    Args:
        view: The change.
        where: What its title adds.
        names: A paragraph before its fields.
    """
    number = f" ({view.id})" if view.id else ""
    fields = f": {view.changed_names}" if view.changed_names else ""
    notes = "".join(f"- {escape_text(note)}\n" for note in view.notes)
    title = f"<b>{view.sign}</b> {code_span(view.address)}{number}{where}{fields}"
    return f"<details><summary>{title}</summary>\n\n{names}{_table(view.rows, view.sides)}{notes}\n</details>\n\n"


def _table(rows: Sequence[FieldRow], columns: Sequence[str]) -> str:
    """Rows as a table of the field and these columns; the description of a secret goes into the last one."""
    if not rows:
        return ""
    lines = []
    for row in rows:
        cells = [code_span(value) if (value := getattr(row, column)) else "" for column in columns]
        cells[-1] = cells[-1] or secret_words(row.words)
        lines.append(f"| {row.field} | {' | '.join(cells)} |\n")
    heads = "".join(f" | {column.capitalize()}" for column in columns)
    return f"| Field{heads} |\n|{' --- |' * (len(columns) + 1)}\n{''.join(lines)}\n"


def left_out_line(count: int, what: str, context: RenderContext) -> str:
    """How many changes or outcomes are left out, and where they are shown."""
    words = f"**{count:,} more {what}{'s are' if count > 1 else ' is'} left out here.** "
    if what == "change":
        words += "`reconciler plan` shows them all; with `--format html` as a page with search and filters."
    else:
        words += "`--format json` has them all."
    if context.ci.run_url:
        words += f' Made by <a href="{escape(context.ci.run_url)}">this run</a>.'
    return words + "\n"


def add_outcomes(
    fine: Sequence[Folded[Outcome]],
    urgent: Sequence[Folded[Outcome]],
    page: LimitedText,
    head: str,
    row: Callable[[Folded[Outcome]], str],
) -> int:
    """Adds as many outcomes as there is room for, those that need attention first; returns how many are left out.

    Args:
        fine: The outcomes that were planned.
        urgent: Those that need attention.
        page: Where to.
        head: The head of the table.
        row: The row of an outcome.
    """
    left_out = _add_rows(urgent, page, head, row)
    if left_out or not fine:
        return left_out + _count(fine)
    page.add(f"<details><summary>{_count(fine):,} as planned</summary>\n\n")
    left_out = _add_rows(fine, page, head, row)
    page.add("</details>\n")
    return left_out


def _add_rows(
    outcomes: Sequence[Folded[Outcome]], page: LimitedText, head: str, row: Callable[[Folded[Outcome]], str]
) -> int:
    if not outcomes:
        return 0
    if not page.add(head, reserved=_RESERVED):
        return _count(outcomes)
    for place, folded in enumerate(outcomes):
        if not page.add(row(folded), reserved=_RESERVED):
            page.add("\n")
            return _count(outcomes[place:])
    page.add("\n")
    return 0


def outcome_row(outcome: Outcome, *more: str) -> str:
    """A row of a table of outcomes, with ``more`` cells before the last one."""
    position = failure_position(outcome)
    number = "" if outcome.id is None else f" (id {outcome.id})"
    status = outcome.status.replace("_", " ")
    if needs_attention(outcome):
        status = f"**{status}**"
    test = outcome.test
    tested = ""
    if test:
        tested = f"{'sent' if test.passed else f'**{test.status}**'}, {code_span(display_address(test.to_email))}"
    words = ": ".join(part for part in (position and code_span(position), escape_text(failure_reason(outcome))) if part)
    cells = (f"{code_span(display_address(outcome.address))}{number}", outcome.action, status, tested, *more, words)
    return f"| {' | '.join(cells)} |\n"
