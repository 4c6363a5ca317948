"""Plans as Markdown, for comments on pull requests and for job summaries."""

from __future__ import annotations

import hashlib
from html import escape
from typing import TYPE_CHECKING, Final

from reconciler.model.display import display_address, display_sentence
from reconciler.model.plan import Action
from reconciler.report import outcome_table
from reconciler.report.markup import code, prose, said
from reconciler.report.page import LimitedText
from reconciler.report.rows import changed_rows, lost_rows, remarks, sent_rows
from reconciler.report.style import SIDES, SIGNS
from reconciler.report.tally import CHANGING, STILL, is_test_run, outcome_counts, result_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from reconciler.errors import Problem
    from reconciler.model.outcome import Report
    from reconciler.model.plan import Change, Plan
    from reconciler.model.server import Server
    from reconciler.report.rows import Row
    from reconciler.report.subject import PlanInput, ResultSubject, Setting

LIMIT: Final = 65_536
"""Characters in a comment on GitHub; GitLab takes more."""

_RESERVED: Final = 2_000
"""For what comes after the changes: what is still open is closed, and what is left out is told."""

_ALERT_LIMIT: Final = 12_000
_FEW: Final = 20
"""Up to so many changes, the groups are open."""

_ORDER: Final = (Action.DELETE, Action.UPDATE, Action.CREATE)
"""What needs the closest look comes first."""


def plan(subject: PlanInput, setting: Setting) -> str:
    """The plan: a table of numbers, what keeps it from being applied, warnings, then each change, folded.

    The first line is a comment that nobody sees. It tells to which servers the plan belongs, so that the next run can
    replace the comment of this one.
    """
    found = subject.plan
    page = LimitedText(LIMIT)
    page.add(f"{_marker('reconciler', [found.server] if found else [])}\n")
    if found is None:
        page.add(f"### There is no plan\n\n{_alert('CAUTION', 'Planning failed.', subject.errors)}")
        return str(page)
    page.add(f"### Plan for {code(display_sentence(found.server.name))}\n\n{_plan_numbers(found)}\n")
    page.add(_alert("CAUTION", "Nothing can be applied.", (*found.refusals, *found.errors)))
    page.add(_alert("WARNING", "", found.warnings))
    if not found.changes:
        page.add("No changes.\n")
    left_out = _add_changes(found, page)
    if left_out:
        page.add(_left_out(left_out, "change", setting))
    return str(page)


def result(subject: ResultSubject, setting: Setting) -> str:
    """What became of the changes: a table of numbers, errors, what did not come out as planned, then the rest, folded.

    Its first line is like that of a plan, but another one, so that the plan stays.
    """
    report = subject.report
    page = LimitedText(LIMIT)
    page.add(f"{_marker('reconciler-result', [report.server] if report else [])}\n")
    if report is None:
        page.add(f"### Nothing was begun\n\n{_alert('CAUTION', '', subject.errors)}")
        return str(page)
    page.add(f"### {result_line(report)}\n\nOn {code(display_sentence(report.server.name))}:\n\n")
    page.add(_result_numbers(report) + "\n")
    page.add(_alert("CAUTION", "", (*subject.errors, *report.errors)))
    left_out = outcome_table.add(report.outcomes, page, reserved=_RESERVED)
    if left_out:
        page.add(_left_out(left_out, "outcome", setting))
    return str(page)


def _marker(word: str, servers: Sequence[Server]) -> str:
    urls = "\n".join(sorted(server.url for server in servers))
    return f"<!-- {word}: {hashlib.sha256(urls.encode()).hexdigest()[:12]} -->"


def _plan_numbers(plan: Plan) -> str:
    return _numbers({name: getattr(plan.counts, name) for name in (*CHANGING, *STILL)}, CHANGING)


def _result_numbers(report: Report) -> str:
    counts = outcome_counts(report.outcomes)
    if is_test_run(report):
        counts = {name: counts[name] for name in ("tests_passed", "tests_failed", "unknown", "not_attempted")}
    return _numbers(counts, counts)


def _numbers(counts: dict[str, int], shown_always: Iterable[str]) -> str:
    """Counts as a table; those of classes that are seldom met only where there are any."""
    always = set(shown_always)
    cells = [(name, count) for name, count in counts.items() if count or name in always]
    heads = " | ".join(name.replace("_", " ").capitalize() for name, _ in cells)
    numbers = " | ".join(f"**{count:,}**" if count else "0" for _, count in cells)
    return f"| {heads} |\n|{' ---: |' * len(cells)}\n| {numbers} |\n"


def _alert(kind: str, title: str, problems: Sequence[Problem]) -> str:
    """Problems as one of the coloured boxes that forges know; nothing where there are none."""
    if not problems:
        return ""
    page = LimitedText(_ALERT_LIMIT)
    page.add(f"> [!{kind}]\n" + (f"> **{title}**\n>\n" if title else ""))
    for place, problem in enumerate(problems):
        hint = f"<br>hint: {prose(problem.hint)}" if problem.hint else ""
        if not page.add(f"> - {prose(str(problem))}{hint}\n", reserved=50):
            page.add(f"> - and {len(problems) - place:,} more\n")
            break
    return f"{page}\n"


def _add_changes(plan: Plan, page: LimitedText) -> int:
    """Adds as many changes as there is room for, by action; returns how many are left out."""
    words = remarks(plan)
    left_out = 0
    opening = "<details open>" if len(plan.changes) <= _FEW else "<details>"
    for action in _ORDER:
        group = [index for index, change in enumerate(plan.changes) if change.action is action]
        head = f"{opening}<summary><b>{len(group):,} to {action}</b></summary>\n\n"
        if not group:
            continue
        if left_out or not page.add(head, reserved=_RESERVED):
            left_out += len(group)
            continue
        for place, index in enumerate(group):
            if not page.add(_change(plan.changes[index], words[index]), reserved=_RESERVED):
                left_out += len(group) - place
                break
        page.add("</details>\n\n")
    return left_out


def _change(change: Change, words: Sequence[str]) -> str:
    sign, _ = SIGNS[change.action]
    number = "" if change.id is None else f" (id {change.id})"
    changed = changed_rows(change)
    fields = ", ".join(row.field for row in changed) if change.action is Action.UPDATE else ""
    title = f"<b>{sign}</b> {code(display_address(change.address))}{number}" + (f": {fields}" if fields else "")
    lines = "".join(f"- {prose(one)}\n" for one in words)
    table = _table([*changed, *sent_rows(change), *lost_rows(change)], SIDES[change.action])
    return f"<details><summary>{title}</summary>\n\n{table}{lines}\n</details>\n\n"


def _table(rows: Sequence[Row], columns: Sequence[str]) -> str:
    """Rows as a table of the field and these columns; what is said about a secret goes into the last."""
    if not rows:
        return ""
    lines = []
    for row in rows:
        cells = [code(value) if (value := getattr(row, column)) else "" for column in columns]
        cells[-1] = cells[-1] or said(row.words)
        lines.append(f"| {row.field} | {' | '.join(cells)} |\n")
    heads = "".join(f" | {column.capitalize()}" for column in columns)
    return f"| Field{heads} |\n|{' --- |' * (len(columns) + 1)}\n{''.join(lines)}\n"


def _left_out(count: int, what: str, setting: Setting) -> str:
    words = f"**{count:,} more {what}{'s are' if count > 1 else ' is'} left out here.** "
    if what == "change":
        words += "`reconciler plan` shows them all; with `--format html` as a page with search and filters."
    else:
        words += "`--format json` has them all."
    if setting.forge.run_url:
        words += f' Made by <a href="{escape(setting.forge.run_url)}">this run</a>.'
    return words + "\n"
