"""``reconciler plan``: shows what would change."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import click

from reconciler import reconcile
from reconciler.commands.output import show_plan
from reconciler.commands.options import (
    PlanFlags,
    output_options,
    paths_argument,
    plan_options,
    server_options,
)
from reconciler.commands.inputs import files_of, refuse_overwriting_inputs
from reconciler.commands.types import OUTPUT_FILE
from reconciler.errors import ExitCode
from reconciler.report.formats import PLAN_FORMATS, Format

if TYPE_CHECKING:
    from reconciler.commands.invocation import Invocation
    from reconciler.credentials import ServerOptions


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
@click.option("--save", type=OUTPUT_FILE, metavar="FILE", help="Save the plan, without secrets, for `apply --plan`.")
@click.option("--no-secrets", is_flag=True, help="Resolve no password, and compare none.")
@click.option("--detailed-exitcode", is_flag=True, help="Exit with 2 when changes are needed.")
@server_options
@output_options(PLAN_FORMATS, "plan")
@click.pass_obj
def plan(  # noqa: PLR0913 - one for each option of the command line
    invocation: Invocation,
    *,
    paths: tuple[str, ...],
    planning: PlanFlags,
    save: str | None,
    no_secrets: bool,
    detailed_exitcode: bool,
    server: ServerOptions,
) -> ExitCode:
    """Show what would change. Never writes anything.

    PATH is a YAML file, or a folder of them; several make one set.
    """
    refuse_overwriting_inputs(invocation, (*paths, *files_of(server, planning.trust)), save=save)
    trust = reconcile.trust_in(planning.trust)
    context = reconcile.RunContext(invocation.redactor, voice=invocation.voice(), trust=trust)
    options = replace(planning.options(trust), no_secrets=no_secrets)
    apart = partial(refuse_overwriting_inputs, invocation, save=save)
    loading = replace(planning.loading(server), no_secrets=no_secrets, refuse_overwriting_inputs=apart)
    desired = reconcile.load(paths, context, loading)
    named, connection = reconcile.connect(desired.server, server, context, allow_commands=planning.allow_commands)
    with reconcile.reading(connection) as reader:
        found = reconcile.plan(desired, reader, named, options)
    if save:
        from reconciler.commands import saved_plan

        saved_plan.save(found, save, invocation)
    show_plan(invocation, found)
    if invocation.format is not Format.TEXT or invocation.output:
        invocation.remark(found.warnings)
    invocation.problems((*found.refusals, *found.errors))
    if found.errors:
        return ExitCode.ERROR
    if found.refusals:
        return ExitCode.GUARD
    return ExitCode.CHANGES if detailed_exitcode and found.changes else ExitCode.OK
