"""``reconciler export``: the server's accounts as YAML."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from reconciler import reconcile
from reconciler.commands.inputs import CommandFiles, only_server, read_request, run_context
from reconciler.commands.invocation import file_exists
from reconciler.commands.options import allow_commands_option, fleet_options, only_option, server_options, trust_option
from reconciler.commands.output import output_options, print_remarks
from reconciler.commands.parameters import FILE_NAME, OWN_FILES
from reconciler.errors import ExitCode
from reconciler.model.account import Globs
from reconciler.report.formats import Format

if TYPE_CHECKING:
    from reconciler.commands.invocation import Invocation
    from reconciler.commands.options import FleetFlags
    from reconciler.credentials import ServerOptions
    from reconciler.model.desired import Desired


@click.command(
    epilog="""\b
Examples:
  reconciler export --url https://fw.example.com -o accounts.yaml
  reconciler export --refresh-token-file fw.key --only '*@example.com'
  reconciler export servers/ --output-dir exported/"""
)
@click.argument("paths", nargs=-1, type=FILE_NAME, metavar="[PATH]...")
@only_option
@click.option("--force", is_flag=True, help="Let --output and --output-dir replace existing files.")
@click.option("--output-dir", type=OWN_FILES, metavar="DIR", help="One file for each server that PATH declares.")
@allow_commands_option
@trust_option
@fleet_options
@server_options
@output_options([Format.TEXT])
@click.pass_obj
def export(  # noqa: PLR0913 - one for each option of the command line
    invocation: Invocation,
    *,
    paths: tuple[str, ...],
    only: tuple[str, ...],
    force: bool,
    output_dir: str | None,
    allow_commands: bool,
    trust: str | None,
    fleet: FleetFlags,
    server: ServerOptions,
) -> ExitCode:
    """Write the server's accounts as YAML, with secrets as references.

    PATH names servers and their credentials, as for `plan`; the accounts that it declares do not matter.
    """
    invocation.overwrite = force
    files = CommandFiles(server=server, trust=trust)
    if not paths:
        if output_dir is not None:
            raise click.UsageError("--output-dir needs a PATH that declares the servers.")
        return _export_one(invocation, None, only, run_context(invocation, files, allow_commands=allow_commands))
    from reconciler.planning.planner import PlanOptions

    planning = PlanOptions(only=Globs(only), no_secrets=True)
    request = read_request(invocation, paths, files, flags=fleet, planning=planning, allow_commands=allow_commands)
    if output_dir is not None:
        from reconciler.commands.fleet_run import export_fleet
        from reconciler.manifest.discovery import is_below

        real = os.path.realpath(output_dir)
        if inside := next((path for path in paths if is_below(real, os.path.realpath(path))), None):
            raise click.UsageError(f"--output-dir is inside {inside}, whose files are read. Name another folder.")

        return export_fleet(request, output_dir)
    desired = only_server(request)
    if desired is None:
        count = len(request.fleet.servers)
        raise click.UsageError(f"the files declare {count} servers. Name a folder with --output-dir.")
    desired = reconcile.resolve(desired, paths, no_secrets=True, context=request.context)
    return _export_one(invocation, desired, only, request.context)


def _export_one(
    invocation: Invocation, desired: Desired | None, only: tuple[str, ...], context: reconcile.RunContext
) -> ExitCode:
    from reconciler.planning.checks import unmatched_only_warning

    # Path.is_file raises an error for a name that is too long.
    if not invocation.overwrite and invocation.output and os.path.isfile(invocation.output):  # noqa: PTH113
        raise file_exists(invocation.output)  # before any request to the server
    with reconcile.connect(desired, context=context) as connection:
        accounts = connection.reader.list_accounts()
    if only and not reconcile.in_scope(accounts, only):
        invocation.print_warnings([unmatched_only_warning(Globs(only))])
    exported = reconcile.exported(accounts, connection.server, only)
    invocation.write_document(exported.text)
    print_remarks(invocation, exported)
    return ExitCode.OK
