"""``reconciler test``: tries the declared settings."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

import click

from reconciler import reconcile
from reconciler.commands.output import show_report
from reconciler.commands.process import handle_interrupts
from reconciler.commands.options import (
    allow_commands_option,
    only_option,
    output_options,
    parallelism_option,
    paths_argument,
    server_options,
    to_email_option,
    trust_option,
)
from reconciler.commands.inputs import files_of, refuse_overwriting_inputs
from reconciler.errors import ExitCode
from reconciler.model.account import Globs
from reconciler.model.outcome import Report
from reconciler.report.formats import RESULT_FORMATS

if TYPE_CHECKING:
    from reconciler.commands.invocation import Invocation
    from reconciler.credentials import ServerOptions


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
@parallelism_option
@server_options
@output_options(RESULT_FORMATS, "result")
@click.pass_obj
def test(  # noqa: PLR0913 - one for each option of the command line
    invocation: Invocation,
    *,
    paths: tuple[str, ...],
    to_email: str | None,
    only: tuple[str, ...],
    allow_commands: bool,
    trust: str | None,
    parallelism: int,
    server: ServerOptions,
) -> ExitCode:
    """Send each declared account's settings through the test endpoint. Writes nothing.

    What the YAML leaves open is taken from the account on the server.
    """
    from reconciler.applying.trial import run_delivery_tests
    from reconciler.commands.crash import CrashReporter
    from reconciler.planning.trials import plan_delivery_tests

    refuse_overwriting_inputs(invocation, (*paths, *files_of(server, trust)))
    trusted = reconcile.trust_in(trust)
    context = reconcile.RunContext(invocation.redactor, voice=invocation.voice(), trust=trusted)
    loading = reconcile.LoadOptions(
        only=Globs(only),
        allow_commands=allow_commands,
        url=server.url,
        to_email=to_email,
        own_files=server.own_files(os.environ),
        refuse_overwriting_inputs=partial(refuse_overwriting_inputs, invocation),
    )
    desired = reconcile.load(paths, context, loading)
    named, connection = reconcile.connect(
        desired.server, server, context, allow_commands=allow_commands, parallelism=parallelism
    )
    invocation.server = named
    started_at = datetime.now(UTC)
    with reconcile.writing(connection) as writer:
        trials = plan_delivery_tests(desired, writer.list_accounts(), loading.only, to_email=to_email, trust=trusted)
        with handle_interrupts(context.stop, invocation) as interruption:
            invocation.acted = True
            outcomes = run_delivery_tests(
                writer,
                trials,
                parallelism=parallelism,
                stop=context.stop,
                timeout=server.timeout,
                explain_bug=CrashReporter(invocation.redactor).explain,
            )
            interruption.run_ended()
            report = Report(
                server=named,
                started_at=started_at,
                finished_at=datetime.now(UTC),
                outcomes=outcomes,
                interrupted=interruption.asked,
            )
            show_report(invocation, report)
    if report.interrupted:
        return ExitCode.INTERRUPTED
    return ExitCode.OK if report.complete else ExitCode.INCOMPLETE
