"""``reconciler test``: tries the declared settings."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

import click

from reconciler import wiring
from reconciler.commands.documents import show_report
from reconciler.commands.interrupts import interruptible
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
from reconciler.commands.outputs import files_of, keep_apart
from reconciler.errors import ExitCode
from reconciler.model.desired import Globs
from reconciler.model.outcome import Report
from reconciler.report.formats import RESULT_FORMATS

if TYPE_CHECKING:
    from reconciler.commands.invocation import Invocation
    from reconciler.credentials import ServerFlags


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
    server: ServerFlags,
) -> ExitCode:
    """Send each declared account's settings through the test endpoint. Writes nothing.

    What the YAML leaves open is taken from the account on the server.
    """
    from reconciler.applying.trial import attempt_all
    from reconciler.commands.crash import CrashLogs
    from reconciler.planning.trials import trials_of

    keep_apart(invocation, (*paths, *files_of(server, trust)))
    trusted = wiring.trust_in(trust)
    surroundings = wiring.Surroundings(invocation.redactor, voice=invocation.voice(), trust=trusted)
    loading = wiring.LoadOptions(
        only=Globs(only),
        allow_commands=allow_commands,
        url=server.url,
        to_email=to_email,
        own_files=server.own_files(os.environ),
        keep_apart=partial(keep_apart, invocation),
    )
    desired = wiring.load(paths, surroundings, loading)
    named, connection = wiring.connect(
        desired.server, server, surroundings, allow_commands=allow_commands, parallelism=parallelism
    )
    invocation.server = named
    started_at = datetime.now(UTC)
    with wiring.writing(connection) as writer:
        trials = trials_of(desired, writer.list_accounts(), loading.only, to_email=to_email, trust=trusted)
        with interruptible(surroundings.stop, invocation) as interruption:
            invocation.acted = True
            outcomes = attempt_all(
                writer,
                trials,
                parallelism=parallelism,
                stop=surroundings.stop,
                timeout=server.timeout,
                explain_bug=CrashLogs(invocation.redactor).explain,
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
