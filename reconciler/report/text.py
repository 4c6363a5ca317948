"""Text for a terminal. What is not needed to show problems is imported late: every command shows problems."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.model.display import display_sentence
from reconciler.report.wrapping import hanging

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from reconciler.errors import Problem
    from reconciler.report.formats import PlanInput, RenderContext, ReportInput, StatusInput, Style, ValidationInput


def render_validation(subject: ValidationInput, _context: RenderContext) -> str:
    """A line for valid YAML; the problems of invalid YAML are on standard error."""
    return "" if subject.accounts is None else f"{subject.line}\n"


def render_plan(subject: PlanInput, context: RenderContext) -> str:
    """The plan; empty if there is none."""
    if subject.of_fleet:
        from reconciler.report.fleet_text import fleet_plan_text

        return fleet_plan_text(subject.plans, context.style, verbose=context.verbose)
    from reconciler.report.server_text import plan_text

    return plan_text(subject.plan, context.style, verbose=context.verbose) if subject.plan else ""


def render_report(subject: ReportInput, context: RenderContext) -> str:
    """The report; empty if the run did not start."""
    if subject.of_fleet:
        from reconciler.report.fleet_text import fleet_report_text

        return fleet_report_text(subject.reports, context.style, verbose=context.verbose)
    from reconciler.report.server_text import report_text

    return report_text(subject.report, context.style) if subject.report else ""


def render_status(subject: StatusInput, context: RenderContext) -> str:
    """The table of a watched fleet; empty if its state is not known."""
    from reconciler.report.status_text import status_text

    return "" if subject.errors else status_text(subject, context.style, context.finished_at)


def problems_text(problems: Sequence[Problem], word: str, style: Style, *, start: str = "") -> Iterator[str]:
    """Problems as lines: what and where, then what to do.

    Args:
        problems: The problems.
        word: What each begins with: ``error``, ``warning``, or ``refused``.
        style: What the terminal can show.
        start: What follows the word.
    """
    colour = "yellow" if word == "warning" else "red"
    for problem in problems:
        words = f"{start}{display_sentence(str(problem))}"
        yield from hanging(words, style, first=f"{word}: ", rest="  ", colour=colour)
        if problem.hint:
            yield from hanging(display_sentence(problem.hint), style, first="  hint: ", rest=" " * 8)
