"""``reconciler resume``: allows the watcher to write to a server again."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from reconciler.commands.options import state_dir_option
from reconciler.commands.output import quiet_option
from reconciler.commands.suspend import check_server, phrase
from reconciler.errors import ExitCode, Kind, ReconcilerError
from reconciler.model.display import display_sentence

if TYPE_CHECKING:
    from pathlib import Path

    from reconciler.commands.invocation import Invocation
    from reconciler.watch.records import Suspension


@click.command(
    short_help="Allow the watcher to write to a server again.",
    epilog="""\b
Example:
  reconciler resume b001""",
)
@click.argument("server")
@state_dir_option
@quiet_option
@click.pass_obj
def resume(invocation: Invocation, *, server: str, state_dir: Path) -> ExitCode:
    """Allow the watcher to write to SERVER again.

    It ends a suspension by `reconciler suspend` or by the heal limit. One in the manifest ends there.
    """
    from reconciler.watch.records import SuspendedBy
    from reconciler.watch.state import WatchState

    state = WatchState(state_dir, create=False)
    records, suspensions = state.records(), state.suspensions(datetime.now(UTC))
    record = records.get(server)
    declared = record.suspended if record else None
    if declared and declared.by is not SuspendedBy.MANIFEST:
        declared = None
    if server not in suspensions:
        check_server(server, records)
        raise _not_suspended(server, declared)
    ended = state.resume(server)
    state.close()
    if ended is None:  # another process was faster
        raise _not_suspended(server, declared)
    invocation.write_document(f"{display_sentence(server)} is resumed; it was {phrase(ended)}\n", for_people=True)
    if declared:
        invocation.print_note(f"its manifest still suspends it: {display_sentence(declared.reason)}")
    return ExitCode.OK


def _not_suspended(server: str, declared: Suspension | None) -> ReconcilerError:
    name = display_sentence(server)
    if declared is None:
        return ReconcilerError.of(f"{name} is not suspended", kind=Kind.NOT_SUSPENDED)
    message = f"{name} is suspended in its manifest: {display_sentence(declared.reason)}"
    hint = "only the manifest can end that: remove server.suspended there"
    return ReconcilerError.of(message, kind=Kind.NOT_SUSPENDED, hint=hint)
