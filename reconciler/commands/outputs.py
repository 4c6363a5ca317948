"""Keeps the files that a command writes apart from those that it reads, and from each other."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

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
    complaint = _complaint([name for name in read if name], {"--output": invocation.output, "--save": save})
    if complaint:
        invocation.output = None
        raise click.UsageError(complaint)


def _complaint(read: Sequence[str], written: Mapping[str, str | None]) -> str | None:
    inputs = [os.path.realpath(name) for name in read]
    outputs: dict[str, str] = {}
    for option, name in written.items():
        if not name or (os.path.exists(name) and not os.path.isfile(name)):  # noqa: PTH110, PTH113 - a device takes all
            continue
        real = os.path.realpath(name)
        if any(real == one or _is_manifest_within(real, one) for one in inputs):
            return f"{option} names a file that is read: {name}. Name another one."
        if real in outputs:
            return f"{outputs[real]} and {option} name the same file: {name}. Name two."
        outputs[real] = option
    return None


def _is_manifest_within(name: str, folder: str) -> bool:
    from reconciler.spec.files import is_manifest_name

    if not (name.startswith(os.path.join(folder, "")) and is_manifest_name(name)):  # noqa: PTH118 - as above
        return False
    return not _may_be_ours(name)


def _may_be_ours(name: str) -> bool:
    """Whether a file in a folder of manifests may be (over)written: a document of ours, which is not read there."""
    from reconciler.spec.files import Source, read_file
    from reconciler.spec.sheet import read_sheet

    if not name.lower().endswith(".json"):
        return False
    found = read_file(name, os.path.dirname(name))  # noqa: PTH120 - as above
    return read_sheet(found) is None if isinstance(found, Source) else found.kind == "no_such_file"
