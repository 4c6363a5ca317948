"""Text for a terminal: plans and reports of several servers. What they have in common is shown once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from reconciler.model.display import display_address
from reconciler.report.fleet_view import (
    fleet_result_line,
    fleet_states_line,
    fleet_summary_line,
    servers_by_status,
    view_fleet_changes,
    view_fleet_outcomes,
    view_fleet_problems,
    view_still_accounts,
)
from reconciler.report.server_names import count_phrase, names_phrase, servers_phrase
from reconciler.report.server_text import change_lines, change_title, outcome_lines
from reconciler.report.text import problems_text
from reconciler.report.wrapping import hanging

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from reconciler.errors import Problem
    from reconciler.model.outcome import Outcome, Report
    from reconciler.model.plan import Plan
    from reconciler.model.server import Server
    from reconciler.report.folding import Folded
    from reconciler.report.formats import Style

_STATUS_COLOURS: Final = {"applied": "green", "passed": "green", "unchanged": "green", "not attempted": "yellow"}


def fleet_plan_text(plans: Sequence[Plan], style: Style, *, verbose: bool = False) -> str:
    """The plans for a reviewer: the changes, deletes first, then problems, and a summary as the last line.

    Args:
        plans: One for each server.
        style: What the terminal can show.
        verbose: Whether to list all servers, and the accounts that stay as they are.
    """
    return "\n".join(_plan_lines(plans, style, verbose=verbose)) + "\n"


def fleet_report_text(reports: Sequence[Report], style: Style, *, verbose: bool = False) -> str:
    """The outcomes, those that need attention last, then problems, the servers by status, and a summary."""
    return "\n".join(_report_lines(reports, style, verbose=verbose)) + "\n"


def fleet_problems_text(problems: Iterable[tuple[Server, Sequence[Problem]]], word: str, style: Style) -> str:
    """The problems of several servers, each once, with the servers that have it."""
    return "".join(f"{line}\n" for line in _problem_lines(problems, word, style, verbose=False))


def _plan_lines(plans: Sequence[Plan], style: Style, *, verbose: bool) -> Iterator[str]:
    yield style.paint(fleet_states_line(plans), "bold")
    yield ""
    for folded in view_fleet_changes(plans):
        yield change_title(folded.item, style)
        yield from _servers_lines(folded.servers, style, indent=6, verbose=verbose)
        yield from change_lines(folded.item, style, brief=not verbose)
        yield ""
    if verbose:
        for still in view_still_accounts(plans):
            address, words = still.item
            yield style.paint(f"    {display_address(address)} {words}", "dim")
            yield from _servers_lines(still.servers, style, indent=6, verbose=verbose)
            yield ""
    problems = [
        *_problem_lines([(plan.server, plan.warnings) for plan in plans], "warning", style, verbose=verbose),
        *_problem_lines([(plan.server, plan.refusals) for plan in plans], "refused", style, verbose=verbose),
        *_problem_lines([(plan.server, plan.errors) for plan in plans], "error", style, verbose=verbose),
    ]
    if problems:
        yield from problems
        yield ""
    yield style.paint(fleet_summary_line(plans), "bold")


def _report_lines(reports: Sequence[Report], style: Style, *, verbose: bool) -> Iterator[str]:
    fine, urgent = view_fleet_outcomes(reports)
    for outcomes in (fine, urgent):
        for folded in outcomes:
            yield from _outcome_lines(folded, style, verbose=verbose)
        if outcomes:
            yield ""
    problems = list(_problem_lines([(one.server, one.errors) for one in reports], "error", style, verbose=verbose))
    if problems:
        yield from problems
        yield ""
    for word, servers in servers_by_status(reports).items():
        names = names_phrase(servers, whole=verbose)
        start = f"{count_phrase(len(servers))} {word}: "
        yield from hanging(names, style, first=start, rest="  ", colour=_STATUS_COLOURS.get(word, "red"))
    yield ""
    yield style.paint(fleet_result_line(reports), "bold")


def _outcome_lines(folded: Folded[Outcome], style: Style, *, verbose: bool) -> Iterator[str]:
    if len(folded.servers) == 1:
        yield from outcome_lines(folded.item, style, start=f"{names_phrase(folded.servers)}: ")
    else:
        yield from outcome_lines(folded.item, style)
        yield from _servers_lines(folded.servers, style, indent=4, verbose=verbose)


def _problem_lines(
    problems: Iterable[tuple[Server, Sequence[Problem]]], word: str, style: Style, *, verbose: bool
) -> Iterator[str]:
    for folded in view_fleet_problems(problems):
        if len(folded.servers) == 1:
            yield from problems_text([folded.item], word, style, start=f"{names_phrase(folded.servers)}: ")
        else:
            yield from problems_text([folded.item], word, style)
            yield from _servers_lines(folded.servers, style, indent=2, verbose=verbose)


def _servers_lines(servers: Sequence[Server], style: Style, *, indent: int, verbose: bool) -> Iterator[str]:
    words = servers_phrase(servers, whole=verbose)
    for line in hanging(words, style, first=" " * indent, rest=" " * (indent + 2)):
        yield style.paint(line, "cyan")
