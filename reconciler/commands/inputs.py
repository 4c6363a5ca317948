"""Reads what a command line names, and refuses to replace any of it with what the command writes."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

import click

from reconciler import reconcile
from reconciler.commands.parameters import FILE_NAME, OUTPUT_FILE, FileName, OutputFile
from reconciler.credentials import ServerOptions
from reconciler.errors import Kind
from reconciler.model.ports import Notifier

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from reconciler.commands.invocation import Invocation
    from reconciler.commands.options import FleetFlags
    from reconciler.model.desired import Desired
    from reconciler.model.fleet import Fleet
    from reconciler.planning.planner import PlanOptions
    from reconciler.watch.log import EventLog

_BEGINNING: Final = 256
_OURS: Final = (
    rb'\{\s*"format_version": "[0-9.]+",\s*"tool": \{\s*"name": "reconciler"'  # JSON, and that of Terraform
    rb'|\[\s*(?:\]\s*\Z|\{\s*"description": )'  # GitLab
    rb"|<!-- reconciler|<!doctype html>|::(?:error|warning|notice) "  # Markdown, HTML, GitHub
    rb'|<\?xml [^>]*>\s*<testsuites name="reconciler'  # JUnit
)
"""How our documents begin."""


_VARIABLES: Final = ("RECONCILER_TRUST", "RECONCILER_CA_FILE", "RECONCILER_CLIENT_CERT")
"""They name files that are read."""


class CommandFiles(NamedTuple):
    """What a command reads beside the manifests.

    Attributes:
        server: Options that may name files with credentials.
        trust: The trust file.
    """

    server: ServerOptions = ServerOptions()
    trust: str | None = None


def read_inputs(
    invocation: Invocation, paths: Sequence[str], files: CommandFiles, *, allow_commands: bool = False
) -> tuple[Fleet, reconcile.RunContext]:
    """Reads the manifests of all servers, and the trust file. Resolves no secret.

    Raises:
        click.UsageError: The command would write to a file that the manifests name.
        ManifestError: With every problem in the manifests or in the trust file.
    """
    context = run_context(invocation, files, allow_commands=allow_commands)
    fleet = reconcile.read_fleet(*paths)
    refuse_overwriting_inputs(invocation, files_named_by(fleet))
    return fleet, context


def files_named_by(fleet: Fleet) -> Iterator[str]:
    """The files that manifests name: their bases, and those with secrets and certificates."""
    from reconciler.manifest.trust_check import files_of

    yield from fleet.bases
    for desired in fleet.servers:
        yield from files_of(desired)


class RunRequest(NamedTuple):
    """A command on one server, or on a fleet.

    Attributes:
        fleet: What the manifests declare.
        paths: The manifests, as the user named them.
        flags: What the user narrows the run to.
        planning: How to plan.
        context: What the run takes from outside.
    """

    invocation: Invocation
    fleet: Fleet
    paths: Sequence[str]
    flags: FleetFlags
    planning: PlanOptions
    context: reconcile.RunContext


def read_request(
    invocation: Invocation,
    paths: Sequence[str],
    files: CommandFiles,
    *,
    flags: FleetFlags,
    planning: PlanOptions,
    allow_commands: bool,
) -> RunRequest:
    """``read_inputs`` for a command that may be about a fleet."""
    fleet, context = read_inputs(invocation, paths, files, allow_commands=allow_commands)
    return RunRequest(invocation=invocation, fleet=fleet, paths=paths, flags=flags, planning=planning, context=context)


def only_server(request: RunRequest) -> Desired | None:
    """The server, if there is one and the user narrows nothing; ``None`` for a fleet.

    Raises:
        GuardError: The manifests declare fewer servers than they must.
    """
    servers = request.fleet.servers
    request.fleet.check_min_servers()
    return servers[0] if len(servers) == 1 and not request.flags.narrow else None


def run_context(invocation: Invocation, files: CommandFiles, *, allow_commands: bool = False) -> reconcile.RunContext:
    """What the run takes from outside: the command line, the environment, the user at the terminal.

    Raises:
        ManifestError: With every problem in the trust file.
    """
    from reconciler.commands.process import CrashReporter

    return reconcile.RunContext(
        server=files.server,
        trust=reconcile.read_trust(files.trust) if files.trust is not None else None,
        allow_commands=allow_commands,
        redactor=invocation.redactor,
        notifier=invocation.notifier(),
        explain_bug=CrashReporter(invocation.redactor).explain,
    )


def logging_context(
    invocation: Invocation, files: CommandFiles, log: EventLog, *, allow_commands: bool
) -> reconcile.RunContext:
    """``run_context`` for a process that runs for long: warnings go to its log, and it remembers replaced tokens.

    Raises:
        ManifestError: With every problem in the trust file.
    """
    return replace(
        run_context(invocation, files, allow_commands=allow_commands),
        notifier=Notifier(warn=log.warn, note=lambda text: log.event("note", text)),
        replaced_tokens={},
    )


def refuse_overwriting_inputs(
    invocation: Invocation, read: Iterable[str] = (), written: Iterable[tuple[str, str]] = ()
) -> None:
    """Refuses a command line that would lose a file to what is written.

    What the command line itself names is known from the types of its parameters: ``FILE_NAME`` is read, ``OUTPUT_FILE``
    is written.

    Args:
        invocation: Knows the file for the document. If it is refused, the document that reports it goes elsewhere.
        read: Other files that are read, and folders of manifests.
        written: Other files that are written, each with the option that it follows from.

    Raises:
        click.UsageError: One that is written is read as well, or written twice.
    """
    outputs = [*([("--output", invocation.output)] if invocation.output else []), *_named(OUTPUT_FILE), *written]
    if not outputs:
        return
    variables = filter(None, map(os.environ.get, _VARIABLES))
    conflict = _conflict([*read, *variables, *(name for _option, name in _named(FILE_NAME))], outputs)
    if conflict:
        invocation.output, invocation.output_refused = None, True
        raise click.UsageError(conflict)


def _named(kind: FileName | OutputFile) -> Iterator[tuple[str, str]]:
    """The values of the current command's parameters of this type, each with its option."""
    context = click.get_current_context(silent=True)
    for parameter in context.command.params if context else ():
        value = context.params.get(parameter.name or "") if context and parameter.type is kind else None
        for one in value if isinstance(value, tuple) else (value,):
            if one:
                yield parameter.opts[0], one


def may_be_replaced(name: str) -> bool:
    """Whether nothing is lost with a file: it is not there, is empty, or begins as a document of ours does."""
    if not os.path.isfile(name):  # noqa: PTH113 - names stay as the user wrote them
        return True
    try:
        with open(name, "rb") as file:  # noqa: PTH123 - as above
            beginning = file.read(_BEGINNING)
    except OSError:
        return False
    return not beginning or re.match(_OURS, beginning) is not None


def _conflict(read: Iterable[str], written: Iterable[tuple[str, str]]) -> str | None:
    inputs = {mark for name in read for mark in _marks(name)}
    folders = [mark for mark in inputs if isinstance(mark, str) and os.path.isdir(mark)]  # noqa: PTH112 - as below
    outputs: dict[str | tuple[int, int], str] = {}
    for option, name in written:
        if os.path.exists(name) and not os.path.isfile(name):  # noqa: PTH110, PTH113 - a device has nothing to lose
            continue
        marks = _marks(name)
        if not inputs.isdisjoint(marks) or any(_is_manifest_within(os.path.realpath(name), one) for one in folders):
            return f"{option} names a file that is read: {name}. Name another one."
        for other in filter(None, map(outputs.get, marks)):
            return f"{other} and {option} name the same file: {name}. Name two."
        outputs |= dict.fromkeys(marks, option)
    return None


def _marks(name: str) -> list[str | tuple[int, int]]:
    """What a file is known by. It may have other names: links, and names that share its content."""
    real = os.path.realpath(name)
    try:
        status = os.stat(real)  # noqa: PTH116 - names stay as the user wrote them
    except OSError:
        return [real]
    return [real, (status.st_dev, status.st_ino)]


def _is_manifest_within(name: str, folder: str) -> bool:
    from reconciler.manifest.discovery import is_manifest_name

    if not (name.startswith(os.path.join(folder, "")) and is_manifest_name(name)):  # noqa: PTH118 - as above
        return False
    return not _may_be_ours(name)


def _may_be_ours(name: str) -> bool:
    """Whether a file in a folder of manifests may be (over)written: a document of ours, which is not read there."""
    from reconciler.manifest.files import Source, read_file
    from reconciler.manifest.parsed_file import parse_file

    if not name.lower().endswith(".json"):
        return False
    found = read_file(name, os.path.dirname(name))  # noqa: PTH120 - as above
    return parse_file(found) is None if isinstance(found, Source) else found.kind == Kind.NO_SUCH_FILE
