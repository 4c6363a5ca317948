"""Plans and results as text, for people in a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.model.account import SENSITIVE
from reconciler.model.change import Action
from reconciler.report.style import SIGNS, STATUS_COLOURS, Style
from reconciler.report.to_json import outcome_counts
from reconciler.report.view import kept_fields, plain, sensitive_words, shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from reconciler.errors import Problem
    from reconciler.model.change import Change, FieldChange, Plan
    from reconciler.model.outcome import Outcome, Report

_INDENT = " " * 6
_NAME_WIDTH = len("smtp_auth_mechanism")
_DONE = {"create": "created", "update": "updated", "delete": "deleted", "test": "tested"}


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
        yield f"{style.paint(f'{word}:', colour)} {plain(str(problem))}"
        if problem.hint:
            yield f"  hint: {plain(problem.hint)}"


def report_text(report: Report, style: Style) -> str:
    """What became of each change, and a summary as the last line."""
    return "\n".join((*(_outcome_line(one, style) for one in report.outcomes), _tally(report))) + "\n"


def summary_line(plan: Plan) -> str:
    """The plan's last line."""
    if not plan.changes:
        return "No changes."
    counts = plan.counts
    return f"Plan: {counts.create} to create, {counts.update} to update, {counts.delete} to delete."


def _plan_lines(plan: Plan, style: Style, *, verbose: bool) -> Iterator[str]:
    yield style.paint(f"{plain(plan.server.name)} ({plain(plan.server.url)})", "bold")
    yield ""
    if plan.refusals or plan.errors:
        yield from problems_text(plan.refusals, "refused", style, "red")
        yield from problems_text(plan.errors, "error", style, "red")
        yield style.paint("Nothing can be applied.", "red")
        yield ""
    for change in plan.changes:
        yield from _change_lines(change, style, verbose=verbose)
        yield ""
    if verbose and plan.unchanged:
        yield from (f"    {plain(account.email)}  (id {account.id}) is as declared" for account in plan.unchanged)
        yield ""
    if plan.warnings:
        yield from problems_text(plan.warnings, "warning", style, "yellow")
        yield ""
    yield style.paint(summary_line(plan), "bold")


def _change_lines(change: Change, style: Style, *, verbose: bool) -> Iterator[str]:
    sign, colour = SIGNS[change.action]
    number = "" if change.id is None else f"  (id {change.id})"
    yield f"  {style.paint(f'{sign} {change.action}', colour)}  {style.paint(plain(change.address), 'bold')}{number}"
    created = change.action is Action.CREATE
    for one in change.fields:
        yield f"{_INDENT}{one.field:<{_NAME_WIDTH}}  {_values(one, style, created=created)}"
    if verbose and change.action is Action.UPDATE and change.after:
        for name in kept_fields(change):
            value = "unchanged" if name in SENSITIVE else shown(change.after.fields[name])
            yield style.paint(f"{_INDENT}{name:<{_NAME_WIDTH}}  {value}", "dim")
    for words in (change.reason, *change.notes):
        yield style.paint(f"{_INDENT}# {plain(words)}", "dim")


def _values(change: FieldChange, style: Style, *, created: bool) -> str:
    if change.field in SENSITIVE:
        return sensitive_words(change, created=created)
    if created:
        return shown(change.after)
    return f"{shown(change.before)} {style.arrow} {shown(change.after)}"


def _outcome_line(outcome: Outcome, style: Style) -> str:
    words = outcome.status.value.replace("_", " ")
    words = _DONE[outcome.action] if outcome.status.value == "applied" else f"{outcome.action} {words}"
    parts = [f"{plain(outcome.address)}: {style.paint(words, STATUS_COLOURS[outcome.status])}"]
    test = outcome.test
    if test and test.passed:
        parts.append(f"test mail sent to {plain(test.to_email)}")
    elif test and test.error and test.error not in (outcome.error or ""):
        parts.append(style.paint(plain(test.error), "red"))
    parts += [plain(words) for words in (outcome.error, outcome.note) if words]
    return "; ".join(parts)


def _tally(report: Report) -> str:
    if not report.outcomes:
        return "Nothing to do." if not report.interrupted else "Interrupted. Nothing was written."
    counts = outcome_counts(report.outcomes)
    tests = {name: counts.pop(name) for name in ("tests_passed", "tests_failed")}
    if report.outcomes[0].action == "test":
        words = []
    else:
        words = [f"{count} {name.replace('_', ' ')}" for name, count in counts.items() if count or name == "applied"]
    if any(tests.values()):
        words.append(f"{tests['tests_passed']} tests passed, {tests['tests_failed']} failed")
    return f"{'Interrupted' if report.interrupted else 'Done'}: {', '.join(words)}."
