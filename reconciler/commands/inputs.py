"""Keeps the files that a command writes apart from those that it reads, and from each other."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Final

import click

from reconciler.errors import Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from reconciler.commands.invocation import Invocation
    from reconciler.credentials import ServerOptions

_BEGINNING: Final = 256
_OURS: Final = re.compile(
    rb'\{\s*"format_version": "[0-9.]+",\s*"tool": \{\s*"name": "reconciler"'  # JSON, and that of Terraform
    rb'|\[(?:\]\s*\Z|\s*\{\s*"description": )'  # GitLab
    rb"|<!-- reconciler|<!doctype html>|::(?:error|warning|notice) "  # Markdown, HTML, GitHub
    rb'|<\?xml [^>]*>\s*<testsuites name="reconciler'  # JUnit
)


def refuse_overwriting_inputs(
    invocation: Invocation, read: Iterable[str | None], *, save: str | None = None, journal: str | None = None
) -> None:
    """Refuses a command line that would lose a file to what is written.

    Args:
        invocation: Knows the file for the document. Where it is refused, the document that tells of it goes elsewhere.
        read: Files, and folders of YAML files.
        save: The file for the plan.
        journal: The file for the journal.

    Raises:
        click.UsageError: One that is written is read as well, or written twice.
    """
    written = {"--output": invocation.output, "--save": save, "--journal": journal}
    complaint = _complaint([name for name in read if name], written)
    if complaint:
        invocation.output, invocation.output_refused = None, True
        raise click.UsageError(complaint)


def files_of(server: ServerOptions, trust: str | None = None) -> list[str | None]:
    """The files that the server's options, their variables, and ``--trust`` name."""
    variables = ("RECONCILER_TRUST", "RECONCILER_CA_FILE")
    return [*server.own_files(os.environ), server.ca_file, *map(os.environ.get, variables), trust]


def may_be_replaced(name: str) -> bool:
    """Whether nothing is lost with a file: it is not there, is empty, or begins as a document of ours does."""
    if not os.path.isfile(name):  # noqa: PTH113 - names stay as the user wrote them
        return True
    try:
        with open(name, "rb") as file:  # noqa: PTH123 - as above
            beginning = file.read(_BEGINNING)
    except OSError:
        return False
    return not beginning or _OURS.match(beginning) is not None


def _complaint(read: Sequence[str], written: Mapping[str, str | None]) -> str | None:
    inputs = [_Name(name) for name in read]
    outputs: dict[str, _Name] = {}
    for option, name in written.items():
        if not name or (os.path.exists(name) and not os.path.isfile(name)):  # noqa: PTH110, PTH113 - a device takes all
            continue
        found = _Name(name)
        if any(found.is_same(one) or _is_manifest_within(found.real, one.real) for one in inputs):
            return f"{option} names a file that is read: {name}. Name another one."
        for other, earlier in outputs.items():
            if found.is_same(earlier):
                return f"{other} and {option} name the same file: {name}. Name two."
        outputs[option] = found
    return None


class _Name:
    """A name of a file, which may have others: links, and names that share its content."""

    def __init__(self, name: str) -> None:
        self.real = os.path.realpath(name)
        try:
            status = os.stat(self.real)  # noqa: PTH116 - names stay as the user wrote them
        except OSError:
            self._identity = None
        else:
            self._identity = (status.st_dev, status.st_ino)

    def is_same(self, other: _Name) -> bool:
        """Whether both name one file."""
        return self.real == other.real or (self._identity is not None and self._identity == other._identity)


def _is_manifest_within(name: str, folder: str) -> bool:
    from reconciler.manifest.files import is_manifest_name

    if not (name.startswith(os.path.join(folder, "")) and is_manifest_name(name)):  # noqa: PTH118 - as above
        return False
    return not _may_be_ours(name)


def _may_be_ours(name: str) -> bool:
    """Whether a file in a folder of manifests may be (over)written: a document of ours, which is not read there."""
    from reconciler.manifest.files import Source, read_file
    from reconciler.manifest.sheet import parse_file

    if not name.lower().endswith(".json"):
        return False
    found = read_file(name, os.path.dirname(name))  # noqa: PTH120 - as above
    return parse_file(found) is None if isinstance(found, Source) else found.kind == Kind.NO_SUCH_FILE
