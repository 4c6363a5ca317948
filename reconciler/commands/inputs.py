"""Reads what a command line names, and refuses to replace any of it with what the command writes."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

import click

from reconciler import reconcile
from reconciler.credentials import ServerOptions
from reconciler.errors import Kind
from reconciler.model.ports import Notifier

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

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


class CommandFiles(NamedTuple):
    """The files that a command line names, apart from the manifests and ``--output``.

    Attributes:
        server: Options that may name files with credentials.
        trust: The trust file.
        plan: The reviewed plan.
        save: The file for the plan.
        journal: The file for the journal.
    """

    server: ServerOptions = ServerOptions()
    trust: str | None = None
    plan: str | None = None
    save: str | None = None
    journal: str | None = None

    @property
    def read(self) -> list[str | None]:
        """Those that are read, including those that variables name."""
        variables = map(os.environ.get, ("RECONCILER_TRUST", "RECONCILER_CA_FILE"))
        return [*self.server.own_files(os.environ), self.server.ca_file, *variables, self.trust, self.plan]


_NO_FILES: Final = CommandFiles()


def read_inputs(
    invocation: Invocation, paths: Sequence[str], files: CommandFiles, *, allow_commands: bool = False
) -> tuple[Fleet, reconcile.RunContext]:
    """Reads the manifests of all servers, and the trust file. Resolves no secret.

    Raises:
        click.UsageError: The command would write to a file that is read, or write one file twice.
        ManifestError: With every problem in the manifests or in the trust file.
    """
    from reconciler.manifest.trust_check import files_of

    refuse_overwriting_inputs(invocation, (*paths, *files.read), files)
    context = run_context(invocation, files, allow_commands=allow_commands)
    fleet = reconcile.read_fleet(*paths)
    named = (name for desired in fleet.servers for name in files_of(desired))
    refuse_overwriting_inputs(invocation, named, files)
    return fleet, context


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
    invocation: Invocation, read: Iterable[str | None], files: CommandFiles = _NO_FILES
) -> None:
    """Refuses a command line that would lose a file to what is written.

    Args:
        invocation: Knows the file for the document. If it is refused, the document that reports it goes elsewhere.
        read: Files, and folders of manifests.
        files: Names the other files that are written.

    Raises:
        click.UsageError: One that is written is read as well, or written twice.
    """
    written = {"--output": invocation.output, "--save": files.save, "--journal": files.journal}
    if not any(written.values()):
        return
    conflict = _conflict([name for name in read if name], written)
    if conflict:
        invocation.output, invocation.output_refused = None, True
        raise click.UsageError(conflict)


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


def _conflict(read: Sequence[str], written: Mapping[str, str | None]) -> str | None:
    inputs = [_Name(name) for name in read]
    outputs: dict[str, _Name] = {}
    for option, name in written.items():
        if not name or (os.path.exists(name) and not os.path.isfile(name)):  # noqa: PTH110, PTH113 - a device has nothing to lose
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
