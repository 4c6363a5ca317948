"""``reconciler status``: the state of the servers that a watcher watches."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from reconciler.commands.inputs import may_be_replaced, refuse_overwriting_inputs
from reconciler.commands.options import insecure_http_option, state_dir_option, timeout_option
from reconciler.commands.output import output_options, show_status
from reconciler.commands.parameters import FILE_NAME
from reconciler.errors import ExitCode
from reconciler.report.formats import STATUS_FORMATS, StatusInput

if TYPE_CHECKING:
    from pathlib import Path

    from reconciler.commands.invocation import Invocation
    from reconciler.model.secret import Secret


@click.command(
    short_help="Show the state of the servers that a watcher watches.",
    epilog="""\b
Examples:
  reconciler status --state-dir /var/lib/reconciler
  reconciler status --url https://watch.example.com --format json""",
)
@click.option("--url", metavar="URL", help="Ask this watcher, instead of reading a state directory.")
@click.option(
    "--page-token-file",
    type=FILE_NAME,
    metavar="FILE",
    help="File with the token of the watcher's page; or RECONCILER_PAGE_TOKEN.",
)
@state_dir_option
@click.option("--ca-file", type=FILE_NAME, metavar="FILE", help="Private CA of the watcher's URL.")
@timeout_option
@insecure_http_option
@output_options(STATUS_FORMATS, "status")
@click.pass_context
def status(  # noqa: PLR0913 - one for each option of the command line
    context: click.Context,
    *,
    url: str | None,
    page_token_file: str | None,
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
        if invocation.output and state_dir.is_dir():
            refuse_overwriting_inputs(invocation, _kept_in(state_dir))
        show_status(invocation, _stored(state_dir))
        return ExitCode.OK
    if context.get_parameter_source("state_dir") is click.core.ParameterSource.COMMANDLINE:
        raise click.UsageError("--url and --state-dir exclude each other. Name one.")
    from reconciler.client.watcher import WatcherAddress, watched_fleet

    address = WatcherAddress(url=url, ca_file=ca_file, timeout=timeout, insecure_http=insecure_http)
    servers, notices = watched_fleet(address, _page_token(page_token_file), invocation.redactor)
    show_status(invocation, StatusInput(servers=servers, notices=notices, is_running=True))
    return ExitCode.OK


def _page_token(file: str | None) -> Secret | None:
    from reconciler.token_file import read_token, secret_from_string
    from reconciler.watch.page_options import TOKEN_VARIABLE

    if file is not None:
        return read_token(file)
    token = os.environ.get(TOKEN_VARIABLE)
    return None if token is None else secret_from_string(TOKEN_VARIABLE, token)


def _kept_in(state_dir: Path) -> list[str]:
    """The files of a state directory, apart from documents that this command has written there."""
    try:
        names = [str(one) for one in state_dir.iterdir()]
    except OSError:
        return []  # reading the state reports why
    return [name for name in names if not may_be_replaced(name)]


def _stored(folder: Path) -> StatusInput:
    """The fleet as the watcher stored it, with the suspensions of this moment."""
    from reconciler.watch.api import notice_documents, server_document
    from reconciler.watch.state import WatchState

    state = WatchState(folder, create=False)
    try:
        is_running = state.is_watched()
        suspensions, records = state.suspensions(datetime.now(UTC)), state.records().values()
        current = [one.with_suspension(suspensions.get(one.name)) for one in records]
        if is_running is False:  # nobody knows when the next check is
            current = [replace(one, next_run=None) for one in current]
        return StatusInput(
            servers=[server_document(one) for one in current],
            notices=notice_documents(state.notices()),
            is_running=is_running,
            last_check=max((one.last_run for one in records if one.last_run), default=None),
        )
    finally:
        state.close()
