"""Renders documents in the format that was asked for."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from reconciler.commands.inputs import may_be_replaced
from reconciler.errors import (
    ExitCode,
    GuardError,
    Kind,
    OutputError,
    ReaderGoneError,
    ReconcilerError,
    StalePlanError,
    UnreachableError,
)
from reconciler.model.display import escape
from reconciler.model.outcome import ServerStatus
from reconciler.report.forge import CIEnvironment
from reconciler.report.formats import Format, renderer
from reconciler.report.style import Style
from reconciler.report.subject import PlanInput, ResultSubject, Setting, ValidationInput

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconciler.commands.invocation import Invocation
    from reconciler.errors import Problem
    from reconciler.model.desired import Desired
    from reconciler.model.outcome import Outcome, Report
    from reconciler.model.plan import Plan
    from reconciler.model.redaction import Redactor
from reconciler.report.subject import DocumentKind


def show_plan(invocation: Invocation, plan: Plan) -> None:
    """Emits the plan."""
    _show(invocation, "plan", PlanInput(plan=plan), invocation.started_at)
    invocation.mark_shown((*plan.refusals, *plan.errors, *plan.warnings))


def show_report(invocation: Invocation, report: Report) -> None:
    """Emits what became of an ``apply`` or a ``test``; on standard error where it cannot go where it should.

    Raises:
        OutputError: It could not go there; but a reader who has gone did not want more.
    """
    outcomes = tuple(_redacted(one, invocation.redactor) for one in report.outcomes)
    errors = invocation.redacted(report.errors)
    subject = ResultSubject(report=replace(report, outcomes=outcomes, errors=errors))
    try:
        _show(invocation, "result", subject, report.finished_at)
    except OutputError as error:
        # What was done must not be lost with the place where it should have been told.
        setting = _setting(invocation, report.finished_at, Style())
        invocation.print_error_text(renderer("result", Format.TEXT)(subject, setting))
        if not isinstance(error, ReaderGoneError):
            raise


def exit_code_of(report: Report) -> ExitCode:
    """The exit code of a run."""
    if report.interrupted:
        return ExitCode.INTERRUPTED
    return ExitCode.OK if report.complete else ExitCode.INCOMPLETE


def show_validation(invocation: Invocation, desired: Desired) -> None:
    """Emits that the YAML is valid, with its warnings."""
    if invocation.format is Format.TEXT and not invocation.quiet:
        invocation.print_problems(desired.warnings, "warning")
    subject = ValidationInput(accounts=len(desired.accounts), warnings=desired.warnings)
    _show(invocation, "validation", subject, invocation.started_at)


def show_failure(invocation: Invocation, problems: Sequence[Problem], cause: BaseException) -> None:
    """Emits the command's document with nothing but errors, for a reader that expects one.

    A reader of text has been told on standard error.
    """
    if invocation.format is Format.TEXT or invocation.document is None:
        return
    if invocation.output is not None and not may_be_replaced(invocation.output):
        # Nobody knows yet which files the YAML names, and this one may hold a secret that it reads.
        invocation.print_error_text(f"{escape(invocation.output)} was left as it is: it is no document of reconciler\n")
        invocation.output = None
    errors = invocation.redacted(problems)
    subjects: dict[DocumentKind, Any] = {
        "validation": ValidationInput(accounts=None, errors=errors),
        "plan": PlanInput(plan=None, errors=errors),
        "result": ResultSubject(
            report=None, errors=errors, server=invocation.server, status=_status(cause, acted=invocation.acted)
        ),
    }
    _show(invocation, invocation.document, subjects[invocation.document], datetime.now(UTC))
    invocation.mark_shown(problems)


def _status(cause: BaseException, *, acted: bool) -> ServerStatus:
    """The outcome for the server of a run that ended without a report."""
    if acted:
        return ServerStatus.UNKNOWN
    if isinstance(cause, UnreachableError):
        return ServerStatus.UNREACHABLE
    if isinstance(cause, GuardError | StalePlanError):
        return ServerStatus.REFUSED
    declined = isinstance(cause, ReconcilerError) and cause.problems[0].kind == Kind.NOT_APPROVED
    stopped = declined or not isinstance(cause, Exception)
    return ServerStatus.NOT_ATTEMPTED if stopped else ServerStatus.FAILED


def _redacted(outcome: Outcome, redactor: Redactor) -> Outcome:
    """The outcome without the secrets that became known only after its words were written."""
    test = outcome.test
    if test and test.error:
        test = replace(test, error=redactor.redact(test.error))
    error, note = (redactor.redact(words) if words else words for words in (outcome.error, outcome.note))
    return replace(outcome, error=error, note=note, test=test) if error or note or test else outcome


def _show(invocation: Invocation, kind: DocumentKind, subject: Any, finished_at: datetime) -> None:  # noqa: ANN401 - by kind
    setting = _setting(invocation, finished_at, invocation.document_style())
    text = renderer(kind, invocation.format)(subject, setting)
    invocation.write_document(text, for_people=invocation.format is Format.TEXT)
    if invocation.format is Format.GITHUB and kind != "validation" and setting.forge.summary_file:
        summary = renderer(kind, Format.MARKDOWN)(subject, setting)
        invocation.append_file(setting.forge.summary_file, summary)


def _setting(invocation: Invocation, finished_at: datetime, style: Style) -> Setting:
    return Setting(
        started_at=invocation.started_at,
        finished_at=finished_at,
        style=style,
        verbose=invocation.verbose,
        forge=CIEnvironment.from_environ(os.environ),
    )
