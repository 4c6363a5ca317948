"""Markdown for plans and reports of several servers. What they have in common is shown once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.report.fleet_view import (
    fleet_headline,
    fleet_outcome_counts,
    servers_by_status,
    states,
    view_fleet_changes,
    view_fleet_outcomes,
    view_fleet_problems,
)
from reconciler.report.markdown import (
    LIMIT,
    LimitedText,
    add_changes,
    add_outcomes,
    alert,
    change_block,
    left_out_line,
    marker,
    numbers_table,
    outcome_row,
    problem_entries,
)
from reconciler.report.markdown_escapes import code_span
from reconciler.report.server_names import count_phrase, names_phrase, nothing_applied_phrase
from reconciler.report.view import CHANGING, total_counts

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from reconciler.errors import Problem
    from reconciler.model.outcome import Outcome
    from reconciler.model.server import Server
    from reconciler.report.folding import Folded
    from reconciler.report.formats import PlanInput, RenderContext, ReportInput
    from reconciler.report.view import ChangeView

_HEAD = "| Account | Action | Outcome | Test mail | Servers | |\n| --- | --- | --- | --- | --- | --- |\n"


def render_plan(subject: PlanInput, context: RenderContext) -> str:
    """The plans: tables of numbers, what keeps servers from being changed, warnings, then the changes, folded."""
    plans = subject.plans
    page = LimitedText(LIMIT)
    page.add(f"{marker('reconciler', [plan.server for plan in plans])}\n### Plan for {count_phrase(len(plans))}\n\n")
    found = {"servers": len(plans), **states(plans)}
    counts = total_counts(plans)
    changes = {"changes": sum(counts[name] for name in CHANGING), **counts}
    page.add(f"{numbers_table(found, found)}\n{numbers_table(changes, ('changes', *CHANGING))}\n")
    refusals = view_fleet_problems((plan.server, (*plan.refusals, *plan.errors)) for plan in plans)
    stopped = sum(bool(plan.refusals or plan.errors) for plan in plans)
    page.add(alert("CAUTION", f"{nothing_applied_phrase(stopped)}.", _entries(refusals)))
    page.add(alert("WARNING", "", _entries(view_fleet_problems((plan.server, plan.warnings) for plan in plans))))
    folded = view_fleet_changes(plans)
    if not folded:
        page.add("No changes.\n")
    lengths = (True, False) if context.verbose else (False,)
    left_out = add_changes(folded, page, lambda one: (_change(one, whole=whole) for whole in lengths))
    if left_out:
        page.add(left_out_line(left_out, "change", context))
    return str(page)


def render_report(subject: ReportInput, context: RenderContext) -> str:
    """The outcomes: the servers by status, errors, what needs attention, then the rest, folded."""
    reports = subject.reports
    page = LimitedText(LIMIT)
    page.add(f"{marker('reconciler-result', [report.server for report in reports])}\n")
    page.add(f"### {fleet_headline(reports)}\n\n")
    page.add("| Outcome | Servers | |\n| --- | ---: | --- |\n" if reports else "")
    for word, servers in servers_by_status(reports).items():
        page.add(f"| {word} | **{len(servers):,}** | {_names(servers)} |\n")
    counts = fleet_outcome_counts(reports)
    outcomes = {"outcomes": sum(len(report.outcomes) for report in reports), **counts}
    page.add(f"\n{numbers_table(outcomes, ())}\n" if outcomes["outcomes"] else "\n")
    page.add(alert("CAUTION", "", _entries(view_fleet_problems((one.server, one.errors) for one in reports))))
    fine, urgent = view_fleet_outcomes(reports)
    left_out = add_outcomes(fine, urgent, page, _HEAD, _row)
    if left_out:
        page.add(left_out_line(left_out, "outcome", context))
    return str(page)


def _change(folded: Folded[ChangeView], *, whole: bool) -> str:
    servers = folded.servers
    if len(servers) == 1:
        return change_block(folded.item, f" on {_names(servers)}")
    where = f" on <b>{count_phrase(len(servers))}</b>"
    return change_block(folded.item, where, f"{_names(servers, whole=whole)}\n\n")


def _entries(problems: Iterable[Folded[Problem]]) -> list[str]:
    problems = list(problems)
    entries = problem_entries(folded.item for folded in problems)
    return [f"{entry}<br>{_where(folded.servers)}" for entry, folded in zip(entries, problems, strict=True)]


def _row(folded: Folded[Outcome]) -> str:
    return outcome_row(folded.item, _where(folded.servers, ""))


def _where(servers: Sequence[Server], word: str = "on ") -> str:
    number = "" if len(servers) == 1 else f"{count_phrase(len(servers))}: "
    return f"{word}{number}{_names(servers)}"


def _names(servers: Sequence[Server], *, whole: bool = False) -> str:
    return code_span(names_phrase(servers, whole=whole))
