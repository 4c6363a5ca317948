"""``reconciler trust``: prints a trust file that allows what the manifests use now."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import click

from reconciler import reconcile
from reconciler.commands.options import output_options, paths_argument
from reconciler.commands.inputs import refuse_overwriting_inputs
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
    from reconciler.manifest.trust_writer import trust_yaml

    refuse_overwriting_inputs(invocation, paths)
    context = reconcile.RunContext(invocation.redactor)
    desired = reconcile.check(paths, context, partial(refuse_overwriting_inputs, invocation))
    invocation.emit(trust_yaml(desired, reconcile.server_url(desired.server, url, context)))
    return ExitCode.OK
