"""``reconciler schema``: prints the JSON Schemas."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import click

from reconciler.commands.output import output_options
from reconciler.errors import ExitCode
from reconciler.report.formats import Format

if TYPE_CHECKING:
    from reconciler.commands.invocation import Invocation


@click.command(
    epilog="""\b
Examples:
  reconciler schema manifest -o manifest.schema.json
  reconciler schema plan > plan.schema.json"""
)
@click.argument("document", type=click.Choice(["manifest", "plan", "result"]))
@output_options([Format.TEXT])
@click.pass_obj
def schema(invocation: Invocation, *, document: Literal["manifest", "plan", "result"]) -> ExitCode:
    """Print the JSON Schema of a document.

    `manifest` is the YAML, `plan` what `plan --format json` prints, `result` what `apply` and `test` print with it.
    """
    if document == "manifest":
        from reconciler.manifest import schema_text

        invocation.write_document(schema_text())
    else:
        from reconciler.report import json

        invocation.write_document(json.schema_text(document))
    return ExitCode.OK
