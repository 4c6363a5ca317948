"""``reconciler show``: the manifest of one server of a fleet."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from reconciler.commands.inputs import files_named_by, refuse_overwriting_inputs
from reconciler.commands.options import paths_argument
from reconciler.commands.output import output_options
from reconciler.errors import ExitCode, Kind, ManifestError
from reconciler.report.formats import Format

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconciler.commands.invocation import Invocation


@click.command(
    epilog="""\b
Examples:
  reconciler show b001 fleet/
  reconciler show b001 fleet/ --explain"""
)
@click.argument("name")
@paths_argument
@click.option("--explain", is_flag=True, help="Add where each value is written.")
@output_options([Format.TEXT])
@click.pass_obj
def show(invocation: Invocation, *, name: str, paths: tuple[str, ...], explain: bool) -> ExitCode:
    """Print what the YAML comes to for one server of a fleet.

    NAME is the server's name; bases are merged, and variables substituted.
    """
    from reconciler.manifest.reader import read_groups
    from reconciler.manifest.show import show_yaml

    if Path(name).exists() and not Path(paths[-1]).exists():
        raise _swapped(name, paths)
    fleet, groups = read_groups(paths)
    refuse_overwriting_inputs(invocation, files_named_by(fleet))
    found = [desired.named_server.name for desired in fleet.servers]
    if name not in found:
        raise _unknown(name, found)
    index = found.index(name)
    invocation.write_document(show_yaml(fleet.servers[index], groups[index], explain=explain))
    return ExitCode.OK


def _swapped(name: str, paths: Sequence[str]) -> ManifestError:
    """The error for files that are named before the server."""
    from reconciler.manifest.files import file_problem

    *others, last = paths
    command = shlex.join(("reconciler", "show", last, name, *others))
    hint = f"the server's name comes before the files; if {last} is its name: `{command}`"
    return ManifestError(replace(file_problem(last, FileNotFoundError()), hint=hint))


def _unknown(name: str, known: Sequence[str]) -> ManifestError:
    from reconciler.manifest.suggestions import suggestion

    count, one = ("1 server", "it") if len(known) == 1 else (f"{len(known)} servers", "one of them")
    unnamed = 'its server has neither `server.name` nor `server.url`; set one of them, or write "" as its name'
    hint = suggestion(name, known) or (f"{one} is {known[0]}" if known[0] else unnamed)
    return ManifestError.of(
        f"no server is called {name}; the files declare {count}", kind=Kind.UNKNOWN_SERVER, hint=hint
    )
