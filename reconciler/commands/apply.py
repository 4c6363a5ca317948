"""``reconciler apply``: makes the server match."""

from __future__ import annotations

import select
import sys
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

import click

from reconciler import reconcile
from reconciler.commands import saved_plan
from reconciler.commands.output import show_plan, show_report
from reconciler.commands.process import handle_interrupts
from reconciler.commands.listeners import Listeners, recording
from reconciler.commands.options import (
    ApplyFlags,
    PlanFlags,
    apply_options,
    output_options,
    paths_argument,
    plan_options,
    server_options,
)
from reconciler.commands.inputs import files_of, refuse_overwriting_inputs
from reconciler.commands.progress import progress
from reconciler.errors import ExitCode, GuardError, Kind, PlanError, Problem, ReconcilerError
from reconciler.model.display import display_sentence
from reconciler.model.outcome import Outcome, Report
from reconciler.report.formats import RESULT_FORMATS, Format

if TYPE_CHECKING:
    import threading
    from contextlib import AbstractContextManager

    from reconciler.applying.executor import Listener
    from reconciler.applying.final_check import Checked
    from reconciler.client.connect import Connection
    from reconciler.commands.invocation import Invocation
    from reconciler.credentials import ServerOptions
    from reconciler.model.plan import Plan
    from reconciler.model.ports import AccountWriter


@click.command(
    epilog="""\b
Examples:
  reconciler apply accounts.yaml
  reconciler apply accounts.yaml --plan plan.json
  reconciler apply accounts.yaml --auto-approve --test before \\
    --to-email ops@example.com"""
)
@paths_argument
@plan_options
@apply_options
@server_options
@output_options(RESULT_FORMATS, "result")
@click.pass_obj
def apply(
    invocation: Invocation,
    *,
    paths: tuple[str, ...],
    planning: PlanFlags,
    running: ApplyFlags,
    server: ServerOptions,
) -> ExitCode:
    """Plan, show, ask, write, verify, report.

    PATH is a YAML file, or a folder of them; several make one set.
    """
    inputs = (*paths, running.plan_file, *files_of(server, planning.trust))
    refuse_overwriting_inputs(invocation, inputs, journal=running.journal)
    reviewed = saved_plan.read(running.plan_file) if running.plan_file is not None else None
    trust = reconcile.trust_in(planning.trust)
    context = reconcile.RunContext(invocation.redactor, voice=invocation.voice(), trust=trust)
    options = planning.options(trust, running.test_when, running.to_email)
    apart = partial(refuse_overwriting_inputs, invocation, journal=running.journal)
    desired = reconcile.load(
        paths, context, replace(planning.loading(server, running.to_email), refuse_overwriting_inputs=apart)
    )
    named, connection = reconcile.connect(
        desired.server,
        server,
        context,
        allow_commands=planning.allow_commands,
        parallelism=running.parallelism,
    )
    invocation.server = named
    with ExitStack() as held:
        # Taken before the plan is made, so that nobody else writes between the plan and its end; held while the user
        # is asked, because what is approved is this plan.
        held.enter_context(_lock(connection, running, context))
        reader, writer = held.enter_context(reconcile.opened(connection))
        plan = reconcile.plan(desired, reader, named, options)
        _show(invocation, plan)
        done_before = saved_plan.check(reviewed, plan, invocation, options.test) if reviewed else ()
        if plan.changes and not running.auto_approve and not reviewed:
            _ask(plan)
        with handle_interrupts(context.stop, invocation) as interruption:
            with recording(running.journal, plan, invocation) as recorder:
                invocation.acted = True
                run = _Run(plan, writer, context.stop, recorder, done_before)
                report = _execute(invocation, run, running, timeout=server.timeout)
            held.close()  # nobody has to wait until this report is read
            interruption.run_ended()
            report = replace(report, interrupted=interruption.asked)
            show_report(invocation, report)
    if report.interrupted:
        return ExitCode.INTERRUPTED
    return ExitCode.OK if report.complete else ExitCode.INCOMPLETE


def _lock(connection: Connection, running: ApplyFlags, context: reconcile.RunContext) -> AbstractContextManager[None]:
    from reconciler.applying.lock import server_lock

    return server_lock(
        connection.url,
        timeout=running.lock_timeout,
        environ=context.environ,
        warn=context.voice.warn,
        note=context.voice.note,
    )


def _show(invocation: Invocation, plan: Plan) -> None:
    """Shows the plan; beside the document where the document is for a program."""
    if invocation.format is Format.TEXT and invocation.output is None:
        show_plan(invocation, plan)
    elif not invocation.quiet:
        from reconciler.report.to_text import plan_text

        invocation.note(plan_text(plan, invocation.style_of(sys.stderr), verbose=invocation.verbose).rstrip("\n"))
        invocation.seen.update((*plan.refusals, *plan.errors))
    if plan.errors:
        raise PlanError(*plan.errors)
    if plan.refusals:
        raise GuardError(*plan.refusals)


def _ask(plan: Plan) -> None:
    if not sys.stdin.isatty():
        message = "there are changes to approve, but no terminal to ask on; nothing was written"
        raise ReconcilerError(
            Problem(kind=Kind.NOT_APPROVED, message=message, hint="`--auto-approve` applies without asking")
        )
    click.echo(
        f"Apply these changes to {display_sentence(plan.server.name)}? Only 'yes' applies them: ", nl=False, err=True
    )
    # A signal that comes just before a read begins would not end it, and wait for the next key.
    while not select.select([sys.stdin], [], [], 0.5)[0]:
        pass
    if sys.stdin.readline().strip() != "yes":
        raise ReconcilerError(Problem(kind=Kind.NOT_APPROVED, message="not approved; nothing was written"))


@dataclass(frozen=True, slots=True)
class _Run:
    """What is carried out, where, until when, who is told, and what was in place before."""

    plan: Plan
    writer: AccountWriter
    stop: threading.Event
    recorder: Listener
    done_before: tuple[saved_plan.Done, ...] = ()


def _execute(invocation: Invocation, run: _Run, running: ApplyFlags, *, timeout: float) -> Report:
    from reconciler.applying.executor import ApplyOptions, OnFailure, execute
    from reconciler.commands.crash import CrashReporter

    options = ApplyOptions(
        parallelism=running.parallelism,
        on_failure=OnFailure(running.on_failure),
        timeout=timeout,
        explain_bug=CrashReporter(invocation.redactor).explain,
    )
    started_at = datetime.now(UTC)
    with progress(invocation, len(run.plan.steps)) as shown:
        listener = Listeners(run.recorder, shown)
        outcomes = execute(run.plan, run.writer, options, stop=run.stop, listener=listener)
    checked = _checked(invocation, run, outcomes)
    return Report(
        server=run.plan.server,
        started_at=started_at,
        finished_at=datetime.now(UTC),
        outcomes=checked.outcomes,
        errors=(checked.problem,) if checked.problem else (),
        verified=checked.problem is None,
    )


def _checked(invocation: Invocation, run: _Run, outcomes: tuple[Outcome, ...]) -> Checked:
    """Looks at the end of the run whether every change is in place, also those that were so before it."""
    from reconciler.applying.final_check import final_check

    changes = (*(one.change for one in run.done_before), *run.plan.changes)
    said = (*(one.outcome for one in run.done_before), *outcomes)
    checked = final_check(replace(run.plan, changes=changes), said, run.writer)
    try:
        for change, before, after in zip(changes, said, checked.outcomes, strict=True):
            if after.status is not before.status:
                run.recorder.checked(change, after.status)
    except ReconcilerError as error:
        invocation.problems(error.problems, "warning")
    return checked
