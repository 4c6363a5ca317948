"""Runs the commands that print secrets. What they print goes to the caller alone."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

COMMAND_TIMEOUT: Final = 30.0
"""Seconds."""

_LONGEST_OUTPUT: Final = 1024 * 1024


class CommandError(Exception):
    """A command that gave no secret; the text says why and shows nothing that it printed."""


def output_of(arguments: Sequence[str], folder: str, environ: Mapping[str, str], timeout: float) -> bytes:
    """What a command prints, without a shell and without a terminal.

    Standard error is thrown away unseen: tools print pieces of what they decrypt there.

    Raises:
        CommandError: It cannot be started, takes too long, prints too much, or ends with another code than 0.
    """
    try:
        process = subprocess.Popen(  # noqa: S603 - the arguments are the user's, and --allow-commands was given
            list(arguments),
            cwd=folder,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is not a valid command"
        raise CommandError(f"the command cannot be started: {reason}") from None
    return _collected(process, timeout)


def _collected(process: subprocess.Popen[bytes], timeout: float) -> bytes:
    late = threading.Event()

    def give_up() -> None:
        late.set()
        _kill(process)

    watchdog = threading.Timer(timeout, give_up)
    watchdog.start()
    try:
        with process:
            output = process.stdout.read(_LONGEST_OUTPUT + 1) if process.stdout else b""
            if len(output) > _LONGEST_OUTPUT:
                _kill(process)
    finally:
        watchdog.cancel()
    if late.is_set():
        raise CommandError(f"the command took longer than {timeout:g} seconds")
    if len(output) > _LONGEST_OUTPUT:
        raise CommandError("the command printed more than 1 MiB")
    if process.returncode:
        raise CommandError(f"the command ended with exit code {process.returncode}; what it wrote is not shown")
    return output


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Ends a command with everything that it started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
