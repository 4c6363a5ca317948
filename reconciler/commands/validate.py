"""``reconciler validate``: checks the YAML."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import click

from reconciler import wiring
from reconciler.commands.documents import show_validation
from reconciler.commands.options import output_options, paths_argument, trust_option
from reconciler.commands.outputs import keep_apart
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
    keep_apart(invocation, (*paths, trust))
    surroundings = wiring.Surroundings(invocation.redactor, trust=wiring.trust_in(trust))
    show_validation(invocation, wiring.check(paths, surroundings, partial(keep_apart, invocation)))
    return ExitCode.OK
