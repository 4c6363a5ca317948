"""``reconciler export``: the server's accounts as YAML."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from reconciler import reconcile
from reconciler.commands.invocation import file_exists
from reconciler.commands.options import only_option, output_options, server_options
from reconciler.commands.inputs import files_of, refuse_overwriting_inputs
from reconciler.errors import ExitCode
from reconciler.model.account import Globs
from reconciler.model.server import ServerConfig
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
    from reconciler.manifest.writer import export_yaml
    from reconciler.planning.notices import unmatched_only_warning

    refuse_overwriting_inputs(invocation, files_of(server))
    invocation.overwrite = force
    # Path.is_file raises an error for a name that is too long.
    if not force and invocation.output and os.path.isfile(invocation.output):  # noqa: PTH113
        raise file_exists(invocation.output)  # before the server is asked
    context = reconcile.RunContext(invocation.redactor, voice=invocation.voice())
    named, connection = reconcile.connect(ServerConfig(), server, context)
    with reconcile.reading(connection) as reader:
        accounts = reader.list_accounts()
    globs = Globs(only)
    wanted = [account for account in accounts if not globs or account.email in globs]
    if globs and not wanted:
        invocation.remark([unmatched_only_warning(globs)])
    invocation.emit(export_yaml(wanted, server=named, partial=len(wanted) < len(accounts)))
    return ExitCode.OK
