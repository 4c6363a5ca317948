"""``reconciler schema``: prints the JSON Schemas."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from reconciler.errors import ExitCode

if TYPE_CHECKING:
    from reconciler.commands.invocation import Invocation


@click.command(
    epilog="""\b
Example:
  reconciler schema spec > accounts.schema.json"""
)
@click.argument("document", type=click.Choice(["spec"]))
@click.pass_obj
def schema(invocation: Invocation, *, document: str) -> ExitCode:  # noqa: ARG001 - click has checked it
    """Print the JSON Schema of a document; `spec` is the YAML."""
    from reconciler.spec.schema import schema_text

    invocation.emit(schema_text())
    return ExitCode.OK
