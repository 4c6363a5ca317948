"""``reconciler test``: runs a delivery test for each declared account."""

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
    only_option,
    parallelism_option,
    paths_argument,
    server_options,
    to_email_option,
    trust_option,
)
from reconciler.commands.output import exit_code_of, output_options, show_reports
from reconciler.commands.process import handle_interrupts
from reconciler.report.formats import RESULT_FORMATS, ReportInput

if TYPE_CHECKING:
    from reconciler.commands.engine_options import EngineFlags
    from reconciler.commands.invocation import Invocation
    from reconciler.commands.options import FleetFlags
    from reconciler.credentials import ServerOptions
    from reconciler.errors import ExitCode


@click.command(
    epilog="""\b
Examples:
  reconciler test accounts.yaml --to-email ops@example.com
  reconciler test accounts.yaml --only certs@example.com -f junit -o tests.xml"""
)
@paths_argument
@to_email_option
@only_option
@allow_commands_option
@trust_option
@fleet_options
@parallelism_option
@server_options
@engine_options
@output_options(RESULT_FORMATS, "report")
@click.pass_obj
def test(  # noqa: PLR0913 - one for each option of the command line
    invocation: Invocation,
    *,
    paths: tuple[str, ...],
    to_email: str | None,
    only: tuple[str, ...],
    allow_commands: bool,
    trust: str | None,
    fleet: FleetFlags,
    parallelism: int,
    server: ServerOptions,
    engine: EngineFlags,
) -> ExitCode:
    """Send each declared account's settings through the test endpoint. Writes nothing.

    What the YAML leaves open is taken from the account on the server.
    """
    from reconciler.applying.worker_pool import InterruptGate
    from reconciler.model.account import Globs
    from reconciler.model.desired import DeliveryTestSettings
    from reconciler.planning.checks import undeclared_only_warning
    from reconciler.planning.planner import PlanOptions

    files = CommandFiles(server=server, trust=trust)
    planning = PlanOptions(only=Globs(only), test=DeliveryTestSettings(to_email=to_email))
    request = read_request(invocation, paths, files, flags=fleet, planning=planning, allow_commands=allow_commands)
    context = request.context
    desired = None if engine.url else only_server(request)
    if desired is None:
        from reconciler.commands.fleet_run import test_fleet

        return test_fleet(request, engine, parallelism=parallelism)
    desired = reconcile.resolve(desired, paths, only=only, to_email=to_email, context=context)
    connection = reconcile.connect(desired, parallelism=parallelism, context=context)
    invocation.servers = (connection.server,)
    warnings = tuple(undeclared_only_warning(planning.only, (desired,)))
    invocation.print_warnings(warnings)
    with connection:
        planned = reconcile.plan_tests(desired, connection, only=only, to_email=to_email)
        gate = InterruptGate(context.stop)
        with handle_interrupts(gate, invocation) as interrupt:
            invocation.acted = True
            report = reconcile.test(planned, connection, gate=gate)
            interrupt.run_ended()
            report = replace(report, interrupted=interrupt.asked)
            return show_reports(invocation, ReportInput((report,), warnings=warnings), exit_code_of(report))
