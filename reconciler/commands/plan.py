"""``reconciler plan``: shows what would change."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import click

from reconciler import reconcile
from reconciler.commands.engine_options import engine_options
from reconciler.commands.inputs import CommandFiles, only_server, read_request
from reconciler.commands.options import (
    allow_commands_option,
    fleet_options,
    paths_argument,
    plan_options,
    server_options,
    trust_option,
)
from reconciler.commands.output import output_options, plan_exit_code, show_plans
from reconciler.commands.parameters import OUTPUT_FILE
from reconciler.report.formats import PLAN_FORMATS, Format, PlanInput

if TYPE_CHECKING:
    from reconciler.commands.engine_options import EngineFlags
    from reconciler.commands.inputs import RunRequest
    from reconciler.commands.invocation import Invocation
    from reconciler.commands.options import FleetFlags
    from reconciler.credentials import ServerOptions
    from reconciler.errors import ExitCode
    from reconciler.planning.planner import PlanOptions


@click.command(
    epilog="""\b
Examples:
  reconciler plan accounts.yaml
  reconciler plan accounts.yaml --detailed-exitcode -f json -o plan.json
  reconciler plan accounts.yaml --save plan.json
  reconciler plan accounts/ --only '*@example.com'"""
)
@paths_argument
@plan_options
@allow_commands_option
@trust_option
@fleet_options
@click.option("--save", type=OUTPUT_FILE, metavar="FILE", help="Save the plan, without secrets, for `apply --plan`.")
@click.option("--no-secrets", is_flag=True, help="Resolve no password, and compare none.")
@click.option("--detailed-exitcode", is_flag=True, help="Exit with 2 when changes are needed.")
@server_options
@engine_options
@output_options(PLAN_FORMATS, "plan", verbose=True)
@click.pass_obj
def plan(  # noqa: PLR0913 - one for each option of the command line
    invocation: Invocation,
    *,
    paths: tuple[str, ...],
    planning: PlanOptions,
    allow_commands: bool,
    trust: str | None,
    fleet: FleetFlags,
    save: str | None,
    no_secrets: bool,
    detailed_exitcode: bool,
    server: ServerOptions,
    engine: EngineFlags,
) -> ExitCode:
    """Show what would change. Never writes anything.

    PATH is a YAML file, or a folder of them; several make one set.
    """
    files = CommandFiles(server=server, trust=trust)
    planning = replace(planning, no_secrets=no_secrets)
    return plan_only(
        read_request(invocation, paths, files, flags=fleet, planning=planning, allow_commands=allow_commands),
        save=save,
        detailed_exitcode=detailed_exitcode,
        engine=engine,
    )


def plan_only(
    request: RunRequest,
    *,
    save: str | None = None,
    detailed_exitcode: bool = False,
    engine: EngineFlags,
) -> ExitCode:
    """Plans and shows the plan; writes nothing to a server.

    Args:
        request: The command.
        save: The file for the plan.
        detailed_exitcode: Whether changes have an exit code of their own.
        engine: Whether workers plan.
    """
    from reconciler.planning.checks import unused_recipient_warning

    desired = None if engine.url else only_server(request)
    if desired is None:
        from reconciler.commands.fleet_run import plan_fleet

        return plan_fleet(request, engine, save=save, detailed_exitcode=detailed_exitcode)
    invocation, planning, context, paths = request.invocation, request.planning, request.context, request.paths
    only, no_secrets, to_email = planning.only.patterns, planning.no_secrets, planning.test.to_email
    del request  # it holds the accounts without their passwords, which need as much memory as those with them
    desired = reconcile.resolve(desired, paths, only=only, to_email=to_email, no_secrets=no_secrets, context=context)
    with reconcile.connect(desired, context=context) as connection:
        found = reconcile.plan(desired, connection, planning)
    subject = PlanInput(plans=(found,))
    show_plans(invocation, subject, save)
    if invocation.format is not Format.TEXT or invocation.output:
        invocation.print_warnings(found.warnings)
    invocation.print_warnings(tuple(unused_recipient_warning(to_email, subject.plans)))
    invocation.print_problems((*found.refusals, *found.errors))
    return plan_exit_code(subject.plans, detailed=detailed_exitcode)
