"""``reconciler suspend``: stops the watcher from writing to a server."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import click

from reconciler.commands.options import state_dir_option
from reconciler.commands.output import quiet_option
from reconciler.commands.parameters import Duration
from reconciler.errors import ExitCode, Kind, ReconcilerError
from reconciler.model.display import control_character, display_sentence

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from reconciler.commands.invocation import Invocation
    from reconciler.watch.records import Suspension

_LONGEST_REASON: Final = 500


def _checked_reason(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    reason = value.strip()
    if not reason:
        raise click.UsageError("--reason is empty. Say why, for those who find the server suspended.")
    if found := control_character(reason):
        raise click.UsageError(f"--reason contains the control character {found}. Write it on one line.")
    if len(reason) > _LONGEST_REASON:
        raise click.UsageError(f"--reason has {len(reason)} characters. Write it in at most {_LONGEST_REASON}.")
    return reason


@click.command(
    short_help="Stop the watcher from writing to a server.",
    epilog="""\b
Examples:
  reconciler suspend b001 --reason 'moving to another data centre'
  reconciler suspend b001 --reason 'debugging mail' --for 4h""",
)
@click.argument("server")
@click.option(
    "--reason", required=True, callback=_checked_reason, metavar="TEXT", help="Why; everybody who looks sees it."
)
@click.option(
    "--for", "duration", type=Duration(needs_unit=True), metavar="DURATION", help="End by itself, as after 30m or 4h."
)
@state_dir_option
@quiet_option
@click.pass_obj
def suspend(invocation: Invocation, *, server: str, reason: str, duration: float | None, state_dir: Path) -> ExitCode:
    """Stop the watcher from writing to a server.

    The watcher still plans SERVER and shows it, as suspended. `reconciler resume` ends the suspension.
    """
    from reconciler.watch.records import SuspendedBy, Suspension
    from reconciler.watch.state import WatchState

    if not os.path.exists(state_dir):  # noqa: PTH110 - Path.exists raises an error for a folder it may not read
        invocation.print_note(f"{state_dir} is created: no watcher has used it yet")
    state = WatchState(state_dir)
    if state.lost:
        invocation.print_note(f"warning: {display_sentence(state.lost)}")
    now = datetime.now(UTC)
    records, before = state.records(), state.suspensions(now).get(server)
    check_server(server, records)
    if not records:
        invocation.print_note(f"the watcher has not stored any server yet, so the name {server} was not checked")
    until = None if duration is None else now + timedelta(seconds=duration)
    if before and before.by is SuspendedBy.HEAL_LIMIT and until:
        invocation.print_note(
            "the heal limit had stopped it, so that only `reconciler resume` ends this, and not --for"
        )
        until = None
    after = Suspension(reason=reason, by=SuspendedBy.COMMAND, user=login_name(), since=now, until=until)
    state.suspend(server, after)
    state.close()
    invocation.write_document(f"{display_sentence(server)} is {phrase(after)}\n", for_people=True)
    if before:
        invocation.print_note(f"this replaces the former suspension: {phrase(before)}")
    return ExitCode.OK


def phrase(suspension: Suspension) -> str:
    """A suspension as part of a sentence."""
    user = f" by {display_sentence(suspension.user)}" if suspension.user else ""
    until = f" until {suspension.until:%Y-%m-%d %H:%M:%S} UTC" if suspension.until else ""
    return f"suspended{user}{until}: {display_sentence(suspension.reason)}"


def check_server(name: str, known: Collection[str]) -> None:
    """Checks that the watcher knows a server, once it knows any.

    Raises:
        ReconcilerError: It does not.
    """
    if not known or name in known:
        return
    from reconciler.manifest.suggestions import suggestion
    from reconciler.report.server_names import count_phrase

    message = f"the watcher knows no server {display_sentence(name)}; it knows {count_phrase(len(known))}"
    hint = suggestion(name, known) or "`reconciler status` lists them"
    raise ReconcilerError.of(message, kind=Kind.UNKNOWN_SERVER, hint=hint)


def login_name() -> str:
    """The user at the keyboard, also behind sudo."""
    from reconciler.applying.lock import current_user

    is_root = os.geteuid() == 0
    return (os.environ.get("SUDO_USER") if is_root else None) or current_user()
