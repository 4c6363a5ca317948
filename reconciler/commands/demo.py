"""``reconciler demo``: the whole story in a sandbox."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from reconciler.commands.types import FILE_NAME

if TYPE_CHECKING:
    from reconciler.commands.invocation import Invocation
    from reconciler.errors import ExitCode


@click.command(
    short_help="See the whole story, in a sandbox on this machine.",
    epilog="""\b
Examples:
  reconciler demo
  reconciler demo accounts.yaml""",
)
@click.argument("path", required=False, type=FILE_NAME, metavar="[PATH]")
@click.pass_obj
def demo(invocation: Invocation, *, path: str | None) -> ExitCode:
    """See the whole story in one command, in a sandbox on this machine.

    With PATH, the story is told with your own YAML; its server and its secrets are not used.
    """
    from reconciler.sandbox.demo import Demo, example

    return Demo(path or example(), lambda line: invocation.emit(f"{line}\n", for_people=True)).tell()
