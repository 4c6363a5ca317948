"""Runs the commands that print secrets. What they print goes to the caller alone."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

COMMAND_TIMEOUT: Final = 30.0
"""Seconds."""

_LONGEST_OUTPUT: Final = 1024 * 1024


class SecretCommandError(Exception):
    """A command that gave no secret; the text says why and shows nothing that it printed."""


class Commands:
    """Runs commands, each for as long as it may take, and can end them all. Thread-safe."""

    def __init__(self, environ: Mapping[str, str], timeout: float) -> None:
        """Takes the environment that commands get, and the seconds for one of them."""
        self._environ = environ
        self._timeout = timeout
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[bytes]] = set()
        self._ended = False

    def output_of(self, arguments: Sequence[str], folder: str) -> bytes:
        """What a command prints, without a shell and without a terminal.

        Standard error is thrown away unseen: tools print pieces of what they decrypt there.

        Raises:
            SecretCommandError: It cannot be started, takes too long, prints too much, or ends with another code than 0.
        """
        try:
            process = subprocess.Popen(  # noqa: S603 - the arguments are the user's, and --allow-commands was given
                list(arguments),
                cwd=folder,
                env=dict(self._environ),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "it is not a valid command"
            raise SecretCommandError(f"the command cannot be started: {reason}") from None
        with self._killable(process):
            return _collected(process, self._timeout)

    def end(self) -> None:
        """Kills what runs; what is just being started does not live long either.

        Commands have sessions of their own, where the terminal's Ctrl-C does not reach them.
        """
        with self._lock:
            self._ended = True
            for process in self._running:
                _kill(process)

    @contextmanager
    def _killable(self, process: subprocess.Popen[bytes]) -> Iterator[None]:
        with self._lock:
            self._running.add(process)
            if self._ended:
                _kill(process)
        try:
            yield
        finally:
            with self._lock:
                self._running.remove(process)


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
        raise SecretCommandError(f"the command took longer than {timeout:g} seconds")
    if len(output) > _LONGEST_OUTPUT:
        raise SecretCommandError("the command printed more than 1 MiB")
    if process.returncode:
        raise SecretCommandError(f"the command ended with exit code {process.returncode}; what it wrote is not shown")
    return output


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Ends a command with everything that it started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
