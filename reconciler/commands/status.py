"""``reconciler status``: the state of the servers that a watcher watches."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from reconciler.commands.options import state_dir_option
from reconciler.commands.output import output_options, show_status
from reconciler.commands.parameters import DURATION, FILE_NAME
from reconciler.errors import ExitCode
from reconciler.report.formats import STATUS_FORMATS

if TYPE_CHECKING:
    from pathlib import Path

    from reconciler.commands.invocation import Invocation
    from reconciler.watch.records import ServerRecord, Suspension


@click.command(
    short_help="Show the state of the servers that a watcher watches.",
    epilog="""\b
Examples:
  reconciler status --state-dir /var/lib/reconciler
  reconciler status --url https://watch.example.com --format json""",
)
@click.option("--url", metavar="URL", help="Ask this watcher; RECONCILER_PAGE_TOKEN has the token of its page.")
@state_dir_option
@click.option("--ca-file", type=FILE_NAME, metavar="FILE", help="Private CA of the watcher's URL.")
@click.option(
    "--timeout", type=DURATION, default="30s", show_default=True, metavar="SECONDS", help="Limit for the request."
)
@click.option("--insecure-http", is_flag=True, help="Allow http:// to other machines.")
@output_options(STATUS_FORMATS, "status")
@click.pass_context
def status(
    context: click.Context,
    *,
    url: str | None,
    state_dir: Path,
    ca_file: str | None,
    timeout: float,
    insecure_http: bool,
) -> ExitCode:
    """Show the state of the servers that a watcher watches.

    It is read from the watcher's state directory, or asked from a watcher by its URL.
    """
    invocation: Invocation = context.obj
    if url is None:
        show_status(invocation, _stored(state_dir))
        return ExitCode.OK
    if context.get_parameter_source("state_dir") is click.core.ParameterSource.COMMANDLINE:
        raise click.UsageError("--url and --state-dir exclude each other. Name one.")
    from reconciler.client.watcher import WatcherAddress, watched_servers
    from reconciler.model.secret import Secret

    address = WatcherAddress(url=url, ca_file=ca_file, timeout=timeout, insecure_http=insecure_http)
    token = os.environ.get("RECONCILER_PAGE_TOKEN")
    servers = watched_servers(address, Secret(token) if token else None, invocation.redactor)
    show_status(invocation, servers)
    return ExitCode.OK


def _stored(folder: Path) -> list[dict[str, Any]]:
    """The servers as the watcher stored them, with the suspensions of this moment."""
    from reconciler.watch.api import server_document
    from reconciler.watch.state import WatchState

    state = WatchState(folder, create=False)
    try:
        suspensions = state.suspensions(datetime.now(UTC))
        return [server_document(_current(one, suspensions.get(one.name))) for one in state.records().values()]
    finally:
        state.close()


def _current(record: ServerRecord, suspension: Suspension | None) -> ServerRecord:
    """A record after what people did since the watcher stored it."""
    from reconciler.watch.records import ServerState, SuspendedBy

    stored = record.suspended
    if suspension is not None:
        is_stopped = suspension.by is SuspendedBy.HEAL_LIMIT
        return replace(record, suspended=suspension, state=ServerState.STOPPED if is_stopped else ServerState.SUSPENDED)
    if stored is None or stored.by is SuspendedBy.MANIFEST:
        return record
    # The next round finds out more; until then, this server is not known to be as declared.
    ended = ServerState.DRIFTED if record.drift else ServerState.PENDING if record.changes else ServerState.UNKNOWN
    return replace(record, suspended=None, state=ended)
