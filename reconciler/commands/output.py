"""The output of a command: its options, and its document in the format that they name."""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from reconciler.commands.inputs import may_be_replaced, refuse_overwriting_inputs
from reconciler.commands.invocation import Invocation
from reconciler.commands.parameters import OutputFile
from reconciler.errors import BrokenOutputPipeError, ExitCode, Kind, OutputError, ReconcilerError
from reconciler.model.display import escape
from reconciler.report.formats import (
    CIEnvironment,
    Format,
    PlanInput,
    RenderContext,
    ReportInput,
    StatusInput,
    Style,
    ValidationInput,
    renderer,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from reconciler.commands.options import Command
    from reconciler.errors import Problem
    from reconciler.manifest.export import Export
    from reconciler.model.fleet import Fleet
    from reconciler.model.outcome import Report, ServerStatus
    from reconciler.model.plan import Plan
    from reconciler.report.formats import DocumentKind

_MOST_REMARKS: Final = 10
"""Remarks about an export that are printed; the file has all of them."""

_DOCUMENT_NAMES: Final[Mapping[DocumentKind, str]] = {
    "validation": "result",
    "plan": "plan",
    "report": "report",
    "status": "state",
}
"""What users call a document."""


def show_plans(invocation: Invocation, subject: PlanInput, save: str | None = None) -> None:
    """Writes the plan of each server as one document, and to the file ``save`` for ``apply --plan``."""
    try:
        _show(invocation, "plan", subject, invocation.started_at)
    finally:  # also if the reader closed the pipe, as ``head`` does
        if save:
            from reconciler.commands import saved_plan

            saved_plan.save(subject, save, invocation)
    invocation.mark_shown(
        problem for plan in subject.plans for problem in (*plan.refusals, *plan.errors, *plan.warnings)
    )


def show_plans_first(invocation: Invocation, subject: PlanInput) -> None:
    """Shows the plans before they are applied: on standard error if the document is for a program."""
    if invocation.format is Format.TEXT and invocation.output is None:
        show_plans(invocation, subject)
    elif not invocation.quiet:
        context = _context(invocation, invocation.started_at, invocation.style_of(sys.stderr))
        text = renderer("plan", Format.TEXT)(subject, context)
        invocation.print_note(text.rstrip("\n"))
        invocation.seen.update(problem for plan in subject.plans for problem in (*plan.refusals, *plan.errors))


def show_reports(invocation: Invocation, subject: ReportInput, code: ExitCode) -> ExitCode:
    """Writes the reports of ``apply`` or ``test``. If they cannot be written, they go to standard error.

    Returns:
        ``code``, which is that of the run.

    Raises:
        OutputError: They could not be written.
        BrokenOutputPipeError: Their reader closed the pipe, and the run's own code would mean success.
    """
    finished_at = max((report.finished_at for report in subject.reports), default=datetime.now(UTC))
    try:
        _show(invocation, "report", subject, finished_at)
    except OutputError as error:
        # What was done must not be lost.
        context = _context(invocation, finished_at, Style())
        invocation.print_error_text(renderer("report", Format.TEXT)(subject, context))
        # Ctrl-C ends the reader of a pipe too; that the run was interrupted, or failed, is the more important news.
        if not isinstance(error, BrokenOutputPipeError) or code is ExitCode.OK:
            raise
    if invocation.format is Format.TEXT and invocation.output is None:
        for report in subject.reports:
            failed = (f"{one.action}_{one.status}" for one in report.outcomes if not one.succeeded)
            invocation.failures += (*(problem.kind for problem in report.errors), *failed)
    return code


def plan_exit_code(plans: Sequence[Plan], *, detailed: bool) -> ExitCode:
    """The exit code of a plan; if it is ``detailed``, changes have one of their own."""
    if any(plan.errors for plan in plans):
        return ExitCode.ERROR
    if any(plan.refusals for plan in plans):
        return ExitCode.GUARD
    return ExitCode.CHANGES if detailed and any(plan.changes for plan in plans) else ExitCode.OK


def exit_code_of(report: Report) -> ExitCode:
    """The exit code of a run."""
    if report.interrupted:
        return ExitCode.INTERRUPTED
    return ExitCode.OK if report.complete else ExitCode.INCOMPLETE


def fleet_exit_code(reports: Sequence[Report]) -> ExitCode:
    """The exit code of a run on a fleet. A suspended server counts only if nothing else was selected."""
    from reconciler.model.outcome import ServerStatus

    incomplete = [report for report in reports if not report.complete]
    kinds = {problem.kind for report in incomplete for problem in report.errors}
    if not incomplete or (kinds == {Kind.SUSPENDED} and len(incomplete) < len(reports)):
        return ExitCode.OK
    if all(report.status in (ServerStatus.REFUSED, ServerStatus.UNCHANGED) for report in reports):
        return ExitCode.STALE_PLAN if kinds - {Kind.SUSPENDED} == {Kind.STALE_PLAN} else ExitCode.GUARD
    has_begun = any(report.not_started in (None, ServerStatus.UNKNOWN) for report in reports)
    return ExitCode.INCOMPLETE if has_begun or Kind.ROLLOUT_STOPPED in kinds else ExitCode.ERROR


def show_validation(invocation: Invocation, fleet: Fleet) -> None:
    """Writes that the manifests are valid, with their warnings."""
    warnings = tuple(dict.fromkeys((*fleet.warnings, *(one for server in fleet.servers for one in server.warnings))))
    if invocation.format is Format.TEXT and not invocation.quiet:
        invocation.print_problems(warnings, "warning")
    accounts = sum(len(one.accounts) for one in fleet.servers)
    subject = ValidationInput(accounts=accounts, servers=len(fleet.servers), warnings=warnings)
    _show(invocation, "validation", subject, invocation.started_at)


def print_remarks(invocation: Invocation, exported: Export) -> None:
    """Prints what an export leaves out, and how to go on about passwords."""
    rest = len(exported.remarks) - _MOST_REMARKS
    notes = [*exported.remarks[:_MOST_REMARKS], *([f"{rest} more; see the comments in the file"] if rest > 0 else [])]
    if exported.passwords:
        count = "1 password is" if exported.passwords == 1 else f"{exported.passwords} passwords are"
        choice = "set the variables, or remove `password:`: the server keeps the password that it has"
        notes.append(f"{count} not exported: {choice}")
    for note in notes:
        invocation.print_note(invocation.redactor.redact(f"note: {note}"))


def show_status(invocation: Invocation, status: StatusInput) -> None:
    """Writes the state of a watched fleet."""
    _show(invocation, "status", status, datetime.now(UTC))


def show_failure(invocation: Invocation, problems: Sequence[Problem], cause: BaseException) -> None:
    """Writes a document that contains only errors, for a program that expects one.

    People read the errors on standard error.
    """
    if invocation.document is None:
        return
    if invocation.format is Format.TEXT:
        if invocation.output is not None and Path(invocation.output).is_file():
            reason = f"this run has no {_DOCUMENT_NAMES[invocation.document]} to write, so it holds what it held before"
            _print_kept(invocation, f"{reason}; fix the errors below and run again, or delete it")
        return
    if invocation.output is not None and not may_be_replaced(invocation.output):
        # The manifests may name this file as a secret; it is not known yet which files they name.
        reason = "reconciler did not write it, and it may be a file that the YAML names"
        _print_kept(invocation, f"{reason}; the document goes to standard output; name another file with `-o`")
        invocation.output = None
    errors = invocation.redacted(problems)
    subjects: dict[DocumentKind, Any] = {
        "validation": ValidationInput(accounts=None, errors=errors),
        "plan": PlanInput(errors=errors),
        "report": _not_started(invocation, errors, cause),
        "status": StatusInput(errors=errors),
    }
    _show(invocation, invocation.document, subjects[invocation.document], datetime.now(UTC))
    invocation.mark_shown(problems)


def _print_kept(invocation: Invocation, reason: str) -> None:
    """Prints why the file of ``--output`` was left alone. It is no error, but must not be mistaken for this run's."""
    invocation.print_error_text(f"note: {escape(invocation.output or '')} was not replaced: {reason}\n")


def _not_started(invocation: Invocation, errors: tuple[Problem, ...], cause: BaseException) -> ReportInput:
    """The input for a run without a report."""
    if not invocation.servers:
        return ReportInput(errors=errors)
    from reconciler.model.outcome import Report

    status = _status(cause, acted=invocation.acted)
    reports = tuple(Report.of_failure(server, status, errors) for server in invocation.servers)
    return ReportInput(reports=reports, of_fleet=invocation.of_fleet)


def _status(cause: BaseException, *, acted: bool) -> ServerStatus:
    """The server's status after a run that ended without a report."""
    from reconciler.model.outcome import ServerStatus

    if acted:
        return ServerStatus.UNKNOWN
    declined = isinstance(cause, ReconcilerError) and cause.problems[0].kind == Kind.NOT_APPROVED
    interrupted = isinstance(cause, KeyboardInterrupt | click.Abort)  # click turns the one into the other
    return ServerStatus.NOT_ATTEMPTED if declined or interrupted else ServerStatus.after(cause)


def _show(invocation: Invocation, kind: DocumentKind, subject: Any, finished_at: datetime) -> None:  # noqa: ANN401 - by kind
    context = _context(invocation, finished_at, invocation.document_style())
    text = renderer(kind, invocation.format)(subject, context)
    invocation.write_document(text, for_people=invocation.format is Format.TEXT)
    if invocation.format is Format.GITHUB and kind != "validation" and context.ci.summary_file:
        summary = renderer(kind, Format.MARKDOWN)(subject, context)
        invocation.append_file(context.ci.summary_file, summary)


def _context(invocation: Invocation, finished_at: datetime, style: Style) -> RenderContext:
    return RenderContext(
        started_at=invocation.started_at,
        finished_at=finished_at,
        style=style,
        verbose=invocation.verbose,
        ci=CIEnvironment.from_environ(os.environ),
    )


def _stored(name: str) -> Callable[[click.Context, click.Parameter, Any], None]:
    """A callback that stores the value of an option in the ``Invocation``."""

    def store(context: click.Context, _parameter: click.Parameter, value: Any) -> None:  # noqa: ANN401 - click's
        setattr(context.ensure_object(Invocation), name, value)

    return store


def _flag(*names: str, stored_as: str, description: str) -> Callable[[Any], Any]:
    return click.option(
        *names, stored_as, is_flag=True, expose_value=False, callback=_stored(stored_as), help=description
    )


quiet_option = _flag("-q", "--quiet", stored_as="quiet", description="Only the document and errors.")
_VERBOSE = _flag("-v", "--verbose", stored_as="verbose", description="Show what stays unchanged too.")
_NO_COLOR = _flag("--no-color", stored_as="plain", description="No colours (so does NO_COLOR=1).")
_OUTPUT = click.option(
    *("-o", "--output"),
    type=OutputFile(dir_okay=False, readable=False),
    expose_value=False,
    is_eager=True,
    callback=_stored("output"),
    metavar="FILE",
    help="Write the document to FILE.",
)


def output_options(
    formats: Sequence[Format], document: DocumentKind | None = None, *, verbose: bool = False
) -> Callable[[Command], Command]:
    """``--format``, ``--output``, ``--no-color`` and ``-q``; their values are stored in the ``Invocation``.

    The command is refused if it would write to a file that its command line names as one to read.

    Args:
        formats: The formats of the command's document. With text alone there is no ``--format``.
        document: What the document is, so that a program gets one on failure too, even on wrong usage.
        verbose: Whether there is ``-v``.
    """

    def choose(context: click.Context, _parameter: click.Parameter, value: str) -> None:
        invocation = context.ensure_object(Invocation)
        invocation.format = Format(value)
        invocation.document = document

    chosen = click.option(
        *("-f", "--format"),
        type=click.Choice([one.value for one in formats]),
        default="text",
        show_default=True,
        expose_value=False,
        is_eager=True,
        callback=choose,
        help="How the document is written.",
    )
    options = [
        quiet_option,
        *([_VERBOSE] if verbose else []),
        _NO_COLOR,
        _OUTPUT,
        *([chosen] if len(formats) > 1 else []),
    ]

    def decorate(command: Command) -> Command:
        @wraps(command)
        def checked(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - passes on what click gives
            refuse_overwriting_inputs(click.get_current_context().ensure_object(Invocation))
            return command(*args, **kwargs)

        decorated: Any = checked
        for option in options:
            decorated = option(decorated)
        return decorated  # type: ignore[no-any-return]

    return decorate
