"""``reconciler apply``: makes the server match."""

from __future__ import annotations

import select
import sys
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from reconciler import reconcile
from reconciler.commands import saved_plan
from reconciler.commands.inputs import CommandFiles, read_inputs
from reconciler.commands.options import (
    allow_commands_option,
    apply_options,
    paths_argument,
    plan_options,
    server_options,
    trust_option,
)
from reconciler.commands.output import exit_code_of, output_options, show_plan, show_report
from reconciler.commands.process import handle_interrupts
from reconciler.commands.progress import progress
from reconciler.errors import GuardError, Kind, PlanError, Problem, ReconcilerError
from reconciler.model.display import display_sentence, escape
from reconciler.model.ports import NullObserver, ObserverGroup
from reconciler.report.formats import RESULT_FORMATS, Format

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconciler.commands.invocation import Invocation
    from reconciler.commands.options import ApplyFlags
    from reconciler.credentials import ServerOptions
    from reconciler.errors import ExitCode
    from reconciler.model.plan import Plan
    from reconciler.model.ports import RunObserver
    from reconciler.planning.planner import PlanOptions


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
@allow_commands_option
@trust_option
@apply_options
@server_options
@output_options(RESULT_FORMATS, "report", verbose=True)
@click.pass_obj
def apply(  # noqa: PLR0913 - one for each group of options
    invocation: Invocation,
    *,
    paths: tuple[str, ...],
    planning: PlanOptions,
    allow_commands: bool,
    trust: str | None,
    running: ApplyFlags,
    server: ServerOptions,
) -> ExitCode:
    """Plan, show, ask, write, verify, report.

    PATH is a YAML file, or a folder of them; several make one set.
    """
    from reconciler.applying.worker_pool import InterruptGate

    files = CommandFiles(server=server, trust=trust, plan=running.plan_file, journal=running.journal)
    desired, context = read_inputs(invocation, paths, files, allow_commands=allow_commands)
    reviewed = saved_plan.read(running.plan_file) if running.plan_file is not None else None
    only, options = planning.only.patterns, replace(planning, test=running.test)
    desired = reconcile.resolve(desired, paths, only=only, to_email=running.to_email, context=context)
    connection = reconcile.connect(desired, parallelism=running.parallelism, context=context)
    invocation.server = connection.server
    with connection:
        # Taken before the plan is made, so that no other run writes between the plan and its end; held while the user
        # is asked, because what is approved is this plan.
        connection.lock(running.lock_timeout)
        plan = reconcile.plan(desired, connection, options)
        _show(invocation, plan)
        in_place = saved_plan.check(reviewed, plan, invocation, running.test) if reviewed else ()
        if plan.changes and not running.auto_approve and not reviewed:
            _ask(plan)
        gate = InterruptGate(context.stop)
        with handle_interrupts(gate, invocation) as interrupt:
            with _journal(running.journal, plan, invocation) as journal:
                invocation.acted = True
                with progress(invocation, len(plan.steps)) as bar:
                    observer = ObserverGroup(journal, bar)
                    report = reconcile.apply(
                        plan, connection, on_failure=running.on_failure, observer=observer, in_place=in_place, gate=gate
                    )
            connection.close()  # another run does not have to wait until the user has read this report
            interrupt.run_ended()
            report = replace(report, interrupted=interrupt.asked)
            show_report(invocation, report)
    return exit_code_of(report)


def _show(invocation: Invocation, plan: Plan) -> None:
    """Shows the plan; on standard error if the document is for a program.

    Raises:
        PlanError: The plan has errors.
        GuardError: A guard refused the plan.
    """
    if invocation.format is Format.TEXT and invocation.output is None:
        show_plan(invocation, plan)
    elif not invocation.quiet:
        from reconciler.report.text import plan_text

        invocation.print_note(plan_text(plan, invocation.style_of(sys.stderr), verbose=invocation.verbose).rstrip("\n"))
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
    # A signal that arrives just before a read begins would not end it; the read would wait for the next key.
    while not select.select([sys.stdin], [], [], 0.5)[0]:
        pass
    if sys.stdin.readline().strip() != "yes":
        raise ReconcilerError(Problem(kind=Kind.NOT_APPROVED, message="not approved; nothing was written"))


@contextmanager
def _journal(path: str | None, plan: Plan, invocation: Invocation) -> Iterator[RunObserver]:
    """The journal as an observer, if one is wanted.

    Writes without an outcome in the journal are checked against the plan first, and the result is printed.
    """
    if path is None:
        yield NullObserver()
        return
    from reconciler.applying.journal import Journal, check_unfinished

    size_before = _size(path)
    journal = Journal(path, plan.server.url)
    try:
        for intent, found in check_unfinished(journal.unfinished, plan):
            begun = f"{intent.action} of {intent.address} was begun at {intent.at} and has no outcome in the journal"
            invocation.print_note(escape(f"checked: {begun}; {found}"))
            journal.checked(intent, found)
        yield journal
    finally:
        journal.close()
        if _size(path) != size_before:
            invocation.report_written(path)


def _size(path: str) -> int | None:
    """Bytes in a file; ``None`` if it does not exist."""
    try:
        return Path(path).stat().st_size
    except OSError:
        return None
