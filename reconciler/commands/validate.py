"""``reconciler validate``: checks the YAML."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from reconciler import reconcile
from reconciler.commands.inputs import CommandFiles, read_inputs
from reconciler.commands.options import paths_argument, trust_option
from reconciler.commands.output import output_options, show_validation
from reconciler.errors import ExitCode
from reconciler.report.formats import VALIDATION_FORMATS

if TYPE_CHECKING:
    from reconciler.commands.invocation import Invocation


@click.command(
    epilog="""\b
Examples:
  reconciler validate accounts.yaml
  reconciler validate accounts/ -f github"""
)
@paths_argument
@trust_option
@output_options(VALIDATION_FORMATS, "validation")
@click.pass_obj
def validate(invocation: Invocation, *, paths: tuple[str, ...], trust: str | None) -> ExitCode:
    """Check the YAML. Needs no server and no secret.

    PATH is a YAML file, or a folder of them; several make one set.
    """
    fleet, context = read_inputs(invocation, paths, CommandFiles(trust=trust))
    reconcile.approve(fleet.servers, None, context)
    show_validation(invocation, fleet)
    return ExitCode.OK
