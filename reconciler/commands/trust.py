"""``reconciler trust``: prints a trust file that allows what the manifests use now."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from reconciler import reconcile
from reconciler.commands.inputs import CommandFiles, read_inputs
from reconciler.commands.options import paths_argument
from reconciler.commands.output import output_options
from reconciler.credentials import ServerOptions
from reconciler.errors import ExitCode
from reconciler.report.formats import Format

if TYPE_CHECKING:
    from reconciler.commands.invocation import Invocation


@click.command(
    epilog="""\b
Examples:
  reconciler trust accounts.yaml -o /etc/reconciler/trust.yaml
  reconciler plan accounts.yaml --trust /etc/reconciler/trust.yaml"""
)
@paths_argument
@click.option("--url", metavar="URL", help="The server; wins over RECONCILER_URL and the YAML.")
@output_options([Format.TEXT])
@click.pass_obj
def trust(invocation: Invocation, *, paths: tuple[str, ...], url: str | None) -> ExitCode:
    """Print a trust file that allows exactly what the YAML uses now.

    Read it, then keep it where a pull request cannot change it.
    """
    from reconciler.manifest.trust import trust_yaml

    fleet, context = read_inputs(invocation, paths, CommandFiles(server=ServerOptions(url=url)))
    reconcile.approve(fleet.servers, None, context)
    reconcile.check_single_url(fleet, context)
    servers = [(desired, context.server_url(desired.server.url)) for desired in fleet.servers]
    invocation.write_document(trust_yaml(servers))
    return ExitCode.OK
