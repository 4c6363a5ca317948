"""Text for a terminal about one server: its plan, its report, and a reviewed plan beside a fresh one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from reconciler.errors import Kind, Problem
from reconciler.model.display import display_address, display_sentence, display_value, escape
from reconciler.model.fields import FIELDS, SECRET_FIELDS
from reconciler.model.outcome import FailureKind, Status
from reconciler.model.plan import Action
from reconciler.planning.fields import TIMES
from reconciler.report.annotations import failure_position, failure_words
from reconciler.report.formats import Style
from reconciler.report.text import problems_text
from reconciler.report.view import STILL, by_address, kept_rows, result_line, summary_line, view_changes
from reconciler.report.wrapping import arrows, room_beside, wrapped

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from reconciler.model.outcome import Outcome, Report
    from reconciler.model.plan import Change, Plan
    from reconciler.planning.saved import PlanDifference
    from reconciler.report.view import ChangeView, FieldRow

_INDENT: Final = " " * 6
_NAME_WIDTH: Final = len("smtp_auth_mechanism")
_COLOURS: Final = {Action.CREATE: "green", Action.UPDATE: "yellow", Action.DELETE: "red"}
_STATUS_COLOURS: Final = {
    Status.APPLIED: "green",
    Status.PASSED: "green",
    Status.FAILED: "red",
    Status.SKIPPED: "yellow",
    Status.UNKNOWN: "red",
    Status.NOT_ATTEMPTED: "yellow",
}
_ROWS: Final = ("action", *FIELDS, *TIMES, "password_from", "test")
"""The rows of a comparison of two changes, in their order."""

_DONE: Final = {"create": "created", "update": "updated", "delete": "deleted"}


def plan_text(plan: Plan, style: Style, *, verbose: bool = False) -> str:
    """The plan for a reviewer: refusals first, then each change, warnings, errors, and a summary as the last line.

    Args:
        plan: The plan.
        style: What the terminal can show.
        verbose: Whether to show the fields and the accounts that stay as they are, too.
    """
    return "\n".join(_plan_lines(plan, style, verbose=verbose)) + "\n"


def report_text(report: Report, style: Style) -> str:
    """The outcome of each change, the problems of the run as a whole, and a summary as the last line."""
    outcomes = (line for one in report.outcomes for line in outcome_lines(one, style))
    problems = problems_text(report.errors, "error", style)
    return "\n".join((*outcomes, *problems, result_line(report))) + "\n"


def comparison_text(differences: Sequence[PlanDifference], style: Style) -> str:
    """One block for each account: the reviewed change on the left, the fresh one on the right."""
    return "\n".join(line for one in differences for line in _comparison_lines(one, style)) + "\n"


def difference_problem(difference: PlanDifference) -> Problem:
    """The reviewed change and the fresh one of an account in a sentence, for what shows no table."""
    reviewed, fresh = (
        ", ".join(cells[name] if name == "action" else f"{name} {cells[name]}" for name in _ROWS if name in cells)
        for cells in _both_cells(difference, Style())
    )
    message = f"{escape(difference.address)}: reviewed: {reviewed}; now: {fresh}"
    return Problem(kind=Kind.STALE_PLAN, message=message, address=difference.address)


def _plan_lines(plan: Plan, style: Style, *, verbose: bool) -> Iterator[str]:
    yield style.paint(f"{display_sentence(plan.server.name)} ({display_sentence(plan.server.url)})", "bold")
    yield ""
    if plan.refusals:
        yield from problems_text(plan.refusals, "refused", style)
        yield ""
    for change, view in zip(plan.changes, view_changes(plan), strict=True):
        yield change_title(view, style)
        yield from change_lines(view, style, kept_rows(change) if verbose else (), brief=not verbose)
        yield ""
    if verbose:
        yield from _still_lines(plan, style)
    if plan.warnings:
        yield from problems_text(plan.warnings, "warning", style)
        yield ""
    if plan.refusals or plan.errors:
        yield from problems_text(plan.errors, "error", style)
        ending = "" if plan.errors else " The reason is at the top."
        yield style.paint(f"Nothing can be applied.{ending}", "red")
        yield ""
    yield style.paint(summary_line(plan), "bold")


def change_title(view: ChangeView, style: Style) -> str:
    """The first line of a change."""
    action = style.paint(f"{view.sign} {view.action}", _COLOURS[view.action])
    return f"  {action}  {style.paint(view.address, 'bold')}" + (f"  ({view.id})" if view.id else "")


def change_lines(view: ChangeView, style: Style, kept: Sequence[FieldRow] = (), *, brief: bool = True) -> Iterator[str]:
    """The fields and the notes of a change.

    Args:
        view: The change.
        style: What the terminal can show.
        kept: Fields that stay as they are.
        brief: Whether the fields of a deleted account are listed one after the other.
    """
    if view.action is Action.DELETE and brief:
        yield from _deleted_lines(view.rows, style)
    else:
        for row in (*view.rows, *kept):
            is_dim = not row.changed or view.action is Action.DELETE
            yield from (style.paint(line, "dim") if is_dim else line for line in _row_lines(row, style))
    for note in view.notes:
        for line in wrapped(arrows(display_sentence(note), style), room_beside(style, len(_INDENT) + 2)):
            yield style.paint(f"{_INDENT}# {line}", "dim")


def _deleted_lines(rows: Sequence[FieldRow], style: Style) -> Iterator[str]:
    """The fields of a deleted account in brief: one after the other, without those that are false."""
    values = [f"{row.field} {row.words or row.before}" for row in rows if row.before != "false"]
    lines = wrapped(f"before: {', '.join(values)}", room_beside(style, len(_INDENT) + 2)) if values else []
    for place, line in enumerate(lines):
        yield style.paint(f"{_INDENT}{'  ' if place else ''}{line}", "dim")


def _row_lines(row: FieldRow, style: Style) -> Iterator[str]:
    """A field: its name, then its values on one line if the terminal has room, else each on lines of its own."""
    start = f"{_INDENT}{row.field:<{_NAME_WIDTH}}  "
    room = room_beside(style, len(start))
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


def outcome_lines(outcome: Outcome, style: Style, start: str = "") -> Iterator[str]:
    """An outcome after ``start``: its details are on the same line if the terminal has room for them."""
    position = failure_position(outcome)
    words = _outcome_words(outcome)
    parts = [display_sentence(part) for part in _outcome_parts(outcome)]
    start += f"{display_address(outcome.address)}{f' ({position})' if position else ''}: "
    mark = ":" if outcome.error else ";"
    head = f"{words}{mark}" if parts else words
    lines = wrapped(" ".join((f"{start}{head}", "; ".join(parts))).rstrip(), room_beside(style, 0))
    if len(lines) > 1:
        lines = [f"{start}{head}", *(f"    {line}" for part in parts for line in wrapped(part, room_beside(style, 4)))]
    painted = f"{start}{style.paint(words, _STATUS_COLOURS[outcome.status])}"
    yield lines[0].replace(f"{start}{words}", painted, 1)
    yield from lines[1:]


def _outcome_words(outcome: Outcome) -> str:
    if outcome.status is Status.APPLIED:
        return _DONE[outcome.action] if outcome.written else f"{outcome.action} not needed"
    return failure_words(outcome)


def _outcome_parts(outcome: Outcome) -> Iterator[str]:
    """The details after the status: the reason first, if there is one."""
    test = outcome.test
    if outcome.error:
        yield outcome.error
    if test and test.passed:
        yield f"test mail sent to {display_address(test.to_email)}"
    elif test and outcome.action != "test" and outcome.kind is not FailureKind.DELIVERY_TEST:
        yield test.failure
    if outcome.note:
        yield outcome.note


def _comparison_lines(difference: PlanDifference, style: Style) -> Iterator[str]:
    reviewed, fresh = _both_cells(difference, style)
    width = max(len("reviewed"), *map(len, reviewed.values())) + 2
    yield style.paint(f"  {escape(difference.address)}", "bold")
    yield f"      {'':<{_NAME_WIDTH + 2}}{'reviewed':<{width}}now"
    for name in _ROWS:
        left, right = reviewed.get(name, ""), fresh.get(name, "")
        if left or right:
            mark = " " if left == right else "!"
            yield f"    {mark} {name:<{_NAME_WIDTH + 2}}{left:<{width}}{right}"


def _both_cells(difference: PlanDifference, style: Style) -> tuple[dict[str, str], dict[str, str]]:
    """The cells of both sides, by row. What differs in the account is in them even if it does not change."""
    names = difference.in_account
    return _cells(difference.reviewed, names, style), _cells(difference.fresh, names, style)


def _cells(change: Change | None, names: Sequence[str], style: Style) -> dict[str, str]:
    if change is None:
        return {"action": "(nothing)"}
    cells = {"action": f"{change.action}{'' if change.id is None else f' (id {change.id})'}"}
    for name in names:
        value = getattr(change.before, name) if name in TIMES else change.account.fields.get(name)
        cells[name] = display_value(value)
    for one in change.fields:
        if one.field in SECRET_FIELDS:
            cells[one.field] = "changes"
        elif change.action is Action.CREATE:
            cells[one.field] = display_value(one.after)
        else:
            cells[one.field] = f"{display_value(one.before)} {style.arrow} {display_value(one.after)}"
    if change.password_from:
        cells["password_from"] = escape(change.password_from)
    if test := change.test.described():
        cells["test"] = ", ".join(escape(part) for part in test.values())
    return cells
