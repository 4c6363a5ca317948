"""Keeps the files that a command writes apart from those that it reads, and from each other."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Iterable

    from reconciler.commands.invocation import Invocation


def keep_apart(invocation: Invocation, read: Iterable[str | None], save: str | None = None) -> None:
    """Refuses a command line that would lose a file to ``--output`` or ``--save``.

    Args:
        invocation: Knows the file for the document. Where it is refused, the document that tells of it goes elsewhere.
        read: Files, and folders of YAML files.
        save: The file for the plan.

    Raises:
        click.UsageError: One that is written is read as well, or written twice.
    """
    inputs = [os.path.realpath(name) for name in read if name]
    outputs: dict[str, str] = {}
    output, invocation.output = invocation.output, None
    for option, name in (("--output", output), ("--save", save)):
        if not name or (os.path.exists(name) and not os.path.isfile(name)):  # noqa: PTH110, PTH113 - a device takes all
            continue
        real = os.path.realpath(name)
        if any(real == one or _is_yaml_within(real, one) for one in inputs):
            raise click.UsageError(f"{option} names a file that is read: {name}. Name another one.")
        if real in outputs:
            raise click.UsageError(f"{outputs[real]} and {option} name the same file: {name}. Name two.")
        outputs[real] = option
    invocation.output = output


def _is_yaml_within(name: str, folder: str) -> bool:
    return name.startswith(os.path.join(folder, "")) and name.endswith((".yaml", ".yml"))  # noqa: PTH118 - as above
