"""Documents as text, for people in a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from reconciler.model.display import display_address, display_sentence
from reconciler.model.outcome import FailureKind, Status
from reconciler.report.findings import place_of, result_of
from reconciler.report.rows import changed_rows, kept_rows, lost_rows, remarks, sent_rows
from reconciler.report.style import SIGNS, STATUS_COLOURS, Style
from reconciler.report.tally import STILL, result_line, summary_line
from reconciler.report.view import by_address
from reconciler.report.wrapping import wrapped

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from reconciler.errors import Problem
    from reconciler.model.outcome import Outcome, Report
    from reconciler.model.plan import Change, Plan
    from reconciler.report.rows import Row
    from reconciler.report.subject import PlanInput, ResultSubject, Setting, ValidationInput

_INDENT: Final = " " * 6
_NAME_WIDTH: Final = len("smtp_auth_mechanism")
_DONE: Final = {"create": "created", "update": "updated", "delete": "deleted"}


def validation(subject: ValidationInput, _setting: Setting) -> str:
    """That the YAML is valid; what is wrong with it has been said on standard error."""
    count = subject.accounts
    return "" if count is None else f"Valid: {count} account{'' if count == 1 else 's'}.\n"


def plan(subject: PlanInput, setting: Setting) -> str:
    """The plan; nothing where there is none."""
    return plan_text(subject.plan, setting.style, verbose=setting.verbose) if subject.plan else ""


def result(subject: ResultSubject, setting: Setting) -> str:
    """What became of the plan; nothing where nothing was begun."""
    return report_text(subject.report, setting.style) if subject.report else ""


def plan_text(plan: Plan, style: Style, *, verbose: bool = False) -> str:
    """The plan for a reviewer: refusals first, then each change, warnings, and a summary as the last line.

    Args:
        plan: What was planned.
        style: What the stream can show.
        verbose: Whether fields that stay as they are, and accounts that do, are shown too.
    """
    return "\n".join(_plan_lines(plan, style, verbose=verbose)) + "\n"


def problems_text(problems: Sequence[Problem], word: str, style: Style, colour: str) -> Iterator[str]:
    """Problems as lines: what and where, then what to do."""
    for problem in problems:
        yield from _hanging(display_sentence(str(problem)), style, first=f"{word}: ", rest="  ", colour=colour)
        if problem.hint:
            yield from _hanging(display_sentence(problem.hint), style, first="  hint: ", rest=" " * 8)


def report_text(report: Report, style: Style) -> str:
    """What became of each change, what went wrong with the run as a whole, and a summary as the last line."""
    outcomes = (line for one in report.outcomes for line in _outcome_lines(one, style))
    problems = problems_text(report.errors, "error", style, "red")
    return "\n".join((*outcomes, *problems, result_line(report))) + "\n"


def _plan_lines(plan: Plan, style: Style, *, verbose: bool) -> Iterator[str]:
    yield style.paint(f"{display_sentence(plan.server.name)} ({display_sentence(plan.server.url)})", "bold")
    yield ""
    if plan.refusals or plan.errors:
        yield from problems_text(plan.refusals, "refused", style, "red")
        yield from problems_text(plan.errors, "error", style, "red")
        yield style.paint("Nothing can be applied.", "red")
        yield ""
    for change, words in zip(plan.changes, remarks(plan), strict=True):
        yield from _change_lines(change, words, style, verbose=verbose)
        yield ""
    if verbose:
        yield from _still_lines(plan, style)
    if plan.warnings:
        yield from problems_text(plan.warnings, "warning", style, "yellow")
        yield ""
    yield style.paint(summary_line(plan), "bold")


def _change_lines(change: Change, words: Sequence[str], style: Style, *, verbose: bool) -> Iterator[str]:
    sign, colour = SIGNS[change.action]
    number = "" if change.id is None else f"  (id {change.id})"
    name = style.paint(display_address(change.address), "bold")
    yield f"  {style.paint(f'{sign} {change.action}', colour)}  {name}{number}"
    for row in changed_rows(change):
        yield from _row_lines(row, style)
    for row in sent_rows(change):
        yield from (style.paint(line, "dim") for line in _row_lines(row, style))
    if not verbose:
        yield from _lost_lines(change, style)
    for row in (*kept_rows(change), *lost_rows(change)) if verbose else ():
        yield from (style.paint(line, "dim") for line in _row_lines(row, style))
    for remark in words:
        for line in wrapped(_arrows(display_sentence(remark), style), _room(style, len(_INDENT) + 2)):
            yield style.paint(f"{_INDENT}# {line}", "dim")


def _lost_lines(change: Change, style: Style) -> Iterator[str]:
    """What goes with a delete, in brief: its fields one after the other, without those that say no."""
    values = [f"{row.field} {row.words or row.before}" for row in lost_rows(change) if row.before != "false"]
    lines = wrapped(f"before: {', '.join(values)}", _room(style, len(_INDENT) + 2)) if values else []
    for place, line in enumerate(lines):
        yield style.paint(f"{_INDENT}{'  ' if place else ''}{line}", "dim")


def _row_lines(row: Row, style: Style) -> Iterator[str]:
    """A field: its name, then its values on one line if the terminal has room, else each on lines of its own."""
    start = f"{_INDENT}{row.field:<{_NAME_WIDTH}}  "
    room = _room(style, len(start))
    values = [row.words or row.after or row.before]
    if row.changed and row.before and row.after:
        values = [f"{row.before} {style.arrow} {row.after}"]
        if len(wrapped(values[0], room)) > 1:
            values = [row.before, f"{style.arrow} {row.after}"]
    for value in values:
        for line in wrapped(value, room):
            yield start + line
            start = " " * len(start)


def _still_lines(plan: Plan, style: Style) -> Iterator[str]:
    """The accounts that stay as they are, and how many of each class there are."""
    for accounts, words in ((plan.unchanged, "is as declared"), (plan.untouched, "is left alone")):
        for account in by_address(accounts):
            yield style.paint(f"    {display_address(account.email)}  (id {account.id}) {words}", "dim")
    counts = [f"{getattr(plan.counts, name)} {name}" for name in STILL if getattr(plan.counts, name)]
    if counts:
        yield style.paint(f"    In all: {', '.join(counts)}.", "dim")
        yield ""


def _outcome_lines(outcome: Outcome, style: Style) -> Iterator[str]:
    place = f" ({place_of(outcome)})" if place_of(outcome) else ""
    words = _outcome_words(outcome)
    parts = [display_sentence(part) for part in _outcome_parts(outcome)]
    start, mark = f"{display_address(outcome.address)}{place}: ", ":" if outcome.error else ";"
    head = f"{words}{mark}" if parts else words
    lines = wrapped(" ".join((f"{start}{head}", "; ".join(parts))).rstrip(), _room(style, 0))
    if len(lines) > 1:
        lines = [f"{start}{head}", *(f"    {line}" for part in parts for line in wrapped(part, _room(style, 4)))]
    painted = f"{start}{style.paint(words, STATUS_COLOURS[outcome.status])}"
    yield lines[0].replace(f"{start}{words}", painted, 1)
    yield from lines[1:]


def _outcome_words(outcome: Outcome) -> str:
    if outcome.status is Status.APPLIED:
        return _DONE[outcome.action] if outcome.written else f"{outcome.action} not needed"
    return result_of(outcome)


def _outcome_parts(outcome: Outcome) -> Iterator[str]:
    """What follows: the reason first, if there is one."""
    test = outcome.test
    if outcome.error:
        yield outcome.error
    if test and test.passed:
        yield f"test mail sent to {display_address(test.to_email)}"
    elif test and outcome.action != "test" and outcome.kind is not FailureKind.DELIVERY_TEST:
        yield test.failure
    if outcome.note:
        yield outcome.note


def _hanging(text: str, style: Style, *, first: str, rest: str, colour: str = "") -> Iterator[str]:
    """``text`` behind ``first``; further lines are indented by ``rest``."""
    # The first line has to make room for the longer of the two.
    head, *tail = wrapped(_arrows(text, style), _room(style, max(len(first), len(rest))))
    yield (style.paint(first.rstrip(), colour) + " " if colour else first) + head
    yield from (rest + line for line in tail)


def _arrows(text: str, style: Style) -> str:
    return text if style.arrow == "→" else text.replace("→", style.arrow)


def _room(style: Style, taken: int) -> int | None:
    return None if style.width is None else style.width - taken
