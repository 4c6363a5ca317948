"""Runs the commands that print secrets."""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from reconciler.manifest.values import is_own
from reconciler.model.display import shorten

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Mapping, Sequence

HEARTBEAT: Final = 0.05
"""Seconds between two looks at whether a command must end."""

_LONGEST_OUTPUT: Final = 1024 * 1024


class SecretCommandError(Exception):
    """A command gave no secret. The message shows nothing that the command printed."""

    def __init__(self, message: str, hint: str = "run the command by hand to see what is wrong") -> None:
        """Takes what is wrong, and what to do about it."""
        super().__init__(message)
        self.hint = hint


class SecretCommands:
    """Runs commands that print secrets, each with a time limit, until a stop event is set. Thread-safe."""

    def __init__(self, environ: Mapping[str, str], timeout: float, stops: Sequence[threading.Event] = ()) -> None:
        """Takes the environment, the seconds that each command may take, and events of which any kills them all."""
        self._environ = environ
        self._timeout = timeout
        self._stops = stops

    def output_of(self, arguments: Sequence[str], folder: str) -> bytes:
        """Runs a command, without a shell and without a terminal, and returns its output.

        Its standard error is discarded: some tools print parts of what they decrypt there.

        Raises:
            SecretCommandError: It cannot be started, takes too long, prints too much, or its exit code is not 0; or
                the run was stopped.
        """
        import subprocess

        if _any_set(self._stops):
            raise SecretCommandError("the command was not started: the run was interrupted")
        # A pull request can choose the command, which must not see our own credentials.
        others = {name: value for name, value in self._environ.items() if not is_own(name)}
        try:
            process = subprocess.Popen(  # noqa: S603 - the user allowed these arguments
                list(arguments),
                cwd=folder,
                env=others,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            program = arguments[0]
            is_name = isinstance(error, FileNotFoundError) and os.sep not in program
            if is_name and shutil.which(program, path=others.get("PATH")) is None:
                message = f"the program {shorten(program, 60)} was not found: it is not on PATH"
                raise SecretCommandError(message, "install it where this runs, or write its full path") from None
            reason = getattr(error, "strerror", None) or "it is not a valid command"
            raise SecretCommandError(f"the command cannot be started: {reason}") from None
        return _collected(process, self._timeout, self._stops)


def _collected(process: subprocess.Popen[bytes], timeout: float, stops: Sequence[threading.Event]) -> bytes:
    done = threading.Event()
    watchdog = threading.Thread(target=_watch, args=(process, time.monotonic() + timeout, stops, done), daemon=True)
    watchdog.start()
    try:
        with process:
            output = process.stdout.read(_LONGEST_OUTPUT + 1) if process.stdout else b""
            is_too_long = len(output) > _LONGEST_OUTPUT
            if is_too_long:
                _kill(process)
    finally:
        was_killed = done.is_set()
        done.set()
    if was_killed:
        reason = "was interrupted" if _any_set(stops) else f"took longer than {timeout:g} seconds"
    elif is_too_long:
        reason = "printed more than 1 MiB"
    elif process.returncode:
        reason = f"ended with exit code {process.returncode}; what it wrote is not shown"
    else:
        return output
    raise SecretCommandError(f"the command {reason}")


def _any_set(stops: Sequence[threading.Event]) -> bool:
    return any(stop.is_set() for stop in stops)


def _watch(
    process: subprocess.Popen[bytes], end: float, stops: Sequence[threading.Event], done: threading.Event
) -> None:
    """Kills a command that takes too long, or when the run stops; sets ``done`` if it did."""
    while not done.wait(HEARTBEAT):
        if time.monotonic() >= end or _any_set(stops):
            done.set()
            _kill(process)


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kills a command and everything that it started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
