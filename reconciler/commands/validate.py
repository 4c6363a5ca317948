"""``reconciler validate``: checks the YAML."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from reconciler.commands.options import output_options, paths_argument
from reconciler.errors import ExitCode
from reconciler.report.formats import Format

if TYPE_CHECKING:
    from reconciler.commands.invocation import Invocation


@click.command(
    epilog="""\b
Example:
  reconciler validate accounts.yaml"""
)
@paths_argument
@output_options([Format.TEXT])
@click.pass_obj
def validate(invocation: Invocation, *, paths: tuple[str, ...]) -> ExitCode:
    """Check the YAML. Needs no server and no secret.

    PATH is a YAML file, or a folder of them; several make one set.
    """
    from reconciler.spec.desired import read_desired

    desired = read_desired(paths)
    if not invocation.quiet:
        invocation.problems(desired.warnings, "warning")
    count = len(desired.accounts)
    invocation.emit(f"Valid: {count} account{'' if count == 1 else 's'}.\n")
    return ExitCode.OK
