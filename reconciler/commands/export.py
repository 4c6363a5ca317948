"""``reconciler export``: the server's accounts as YAML."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from reconciler import reconcile
from reconciler.commands.inputs import CommandFiles, refuse_overwriting_inputs, run_context
from reconciler.commands.invocation import file_exists
from reconciler.commands.options import only_option, server_options
from reconciler.commands.output import output_options
from reconciler.errors import ExitCode
from reconciler.model.account import Globs
from reconciler.report.formats import Format

if TYPE_CHECKING:
    from reconciler.commands.invocation import Invocation
    from reconciler.credentials import ServerOptions


@click.command(
    epilog="""\b
Examples:
  reconciler export --url https://fw.example.com -o accounts.yaml
  reconciler export --refresh-token-file fw.key --only '*@example.com'"""
)
@only_option
@click.option("--force", is_flag=True, help="Let --output replace an existing file.")
@server_options
@output_options([Format.TEXT])
@click.pass_obj
def export(invocation: Invocation, *, only: tuple[str, ...], force: bool, server: ServerOptions) -> ExitCode:
    """Write the server's accounts as YAML, with secrets as references."""
    from reconciler.manifest.export import export_yaml
    from reconciler.planning.checks import unmatched_only_warning

    files = CommandFiles(server=server)
    refuse_overwriting_inputs(invocation, files.read)
    invocation.overwrite = force
    # Path.is_file raises an error for a name that is too long.
    if not force and invocation.output and os.path.isfile(invocation.output):  # noqa: PTH113
        raise file_exists(invocation.output)  # before any request to the server
    with reconcile.connect(context=run_context(invocation, files)) as connection:
        accounts = connection.reader.list_accounts()
    wanted = reconcile.in_scope(accounts, only)
    if only and not wanted:
        invocation.print_warnings([unmatched_only_warning(Globs(only))])
    invocation.write_document(export_yaml(wanted, server=connection.server, partial=len(wanted) < len(accounts)))
    return ExitCode.OK
