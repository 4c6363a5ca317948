"""``reconciler apply``: makes the server match."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import click

from reconciler import reconcile
from reconciler.commands import saved_plan
from reconciler.commands.engine_options import engine_options
from reconciler.commands.inputs import CommandFiles, RunRequest, only_server, read_request
from reconciler.commands.options import (
    allow_commands_option,
    apply_options,
    fleet_options,
    paths_argument,
    plan_options,
    server_options,
    trust_option,
)
from reconciler.commands.output import exit_code_of, output_options, show_plans_first, show_reports
from reconciler.commands.process import handle_interrupts
from reconciler.commands.progress import open_journal, progress
from reconciler.errors import GuardError, PlanError
from reconciler.model.display import display_sentence
from reconciler.model.ports import ObserverGroup
from reconciler.report.formats import PLAN_FORMATS, RESULT_FORMATS, PlanInput, ReportInput

if TYPE_CHECKING:
    from reconciler.commands.engine_options import EngineFlags
    from reconciler.commands.invocation import Invocation
    from reconciler.commands.options import ApplyFlags, FleetFlags
    from reconciler.credentials import ServerOptions
    from reconciler.errors import ExitCode
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
@fleet_options
@apply_options
@server_options
@engine_options
@output_options(RESULT_FORMATS, "report", verbose=True)
@click.pass_obj
def apply(  # noqa: PLR0913 - one for each group of options
    invocation: Invocation,
    *,
    paths: tuple[str, ...],
    planning: PlanOptions,
    allow_commands: bool,
    trust: str | None,
    fleet: FleetFlags,
    running: ApplyFlags,
    server: ServerOptions,
    engine: EngineFlags,
) -> ExitCode:
    """Plan, show, ask, write, verify, report.

    PATH is a YAML file, or a folder of them; several make one set.
    """
    from reconciler.applying.worker_pool import InterruptGate
    from reconciler.planning.checks import unused_recipient_warning

    files = CommandFiles(server=server, trust=trust)
    planning = replace(planning, test=running.test)
    request = read_request(invocation, paths, files, flags=fleet, planning=planning, allow_commands=allow_commands)
    context = request.context
    if running.dry_run:
        return _dry_run(request, running, engine)
    desired = None if engine.url else only_server(request)
    if desired is None:
        from reconciler.commands.fleet_run import apply_fleet

        return apply_fleet(request, running, engine)
    reviewed = saved_plan.read(running.plan_file) if running.plan_file is not None else None
    desired = reconcile.resolve(desired, paths, only=planning.only.patterns, to_email=running.to_email, context=context)
    connection = reconcile.connect(desired, parallelism=running.parallelism, context=context)
    invocation.servers = (connection.server,)
    with connection:
        # Taken before the plan is made, so that no other run writes between the plan and its end; held while the user
        # is asked, because what is approved is this plan.
        connection.lock(running.lock_timeout)
        plan = reconcile.plan(desired, connection, planning)
        show_plans_first(invocation, PlanInput(plans=(plan,)))
        unused = tuple(unused_recipient_warning(running.to_email, (plan,)))
        invocation.print_warnings(unused)
        if plan.errors:
            raise PlanError(*plan.errors)
        if plan.refusals:
            raise GuardError(*plan.refusals)
        in_place = saved_plan.check(reviewed, plan, invocation, running.test) if reviewed else ()
        if plan.changes and not running.auto_approve and not reviewed:
            invocation.ask(display_sentence(plan.server.name))
        gate = InterruptGate(context.stop)
        with handle_interrupts(gate, invocation) as interrupt:
            with open_journal(running.journal, invocation) as journal:
                observe = journal(plan)
                invocation.acted = True
                with progress(invocation, len(plan.steps)) as bar:
                    observer = ObserverGroup(observe, bar)
                    report = reconcile.apply(
                        plan, connection, on_failure=running.on_failure, observer=observer, in_place=in_place, gate=gate
                    )
            connection.close()  # another run does not have to wait until the user has read this report
            interrupt.run_ended()
            report = replace(report, interrupted=interrupt.asked)
            return show_reports(
                invocation, ReportInput((report,), warnings=(*plan.warnings, *unused)), exit_code_of(report)
            )


def _dry_run(request: RunRequest, running: ApplyFlags, engine: EngineFlags) -> ExitCode:
    """Plans as ``apply`` would, and writes the plan as ``plan`` does."""
    from reconciler.commands.plan import plan_only

    invocation = request.invocation
    if invocation.format not in PLAN_FORMATS:
        raise click.UsageError(f"--dry-run writes a plan, for which there is no format {invocation.format.value}.")
    if running.plan_file is not None:
        raise click.UsageError("--dry-run makes a plan of its own. Leave out --plan.")
    invocation.document = "plan"
    return plan_only(request, engine=engine)
