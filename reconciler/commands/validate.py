"""``reconciler validate``: checks the YAML."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import click

from reconciler import reconcile
from reconciler.commands.documents import show_validation
from reconciler.commands.options import output_options, paths_argument, trust_option
from reconciler.commands.outputs import refuse_overwriting_inputs
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
    refuse_overwriting_inputs(invocation, (*paths, trust))
    context = reconcile.RunContext(invocation.redactor, trust=reconcile.trust_in(trust))
    show_validation(invocation, reconcile.check(paths, context, partial(refuse_overwriting_inputs, invocation)))
    return ExitCode.OK
