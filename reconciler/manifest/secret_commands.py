"""Runs the commands that print secrets."""

from __future__ import annotations

import os
import shutil
import signal
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from reconciler.manifest.values import is_own
from reconciler.model.display import shorten

if TYPE_CHECKING:
    import subprocess
    import threading
    from collections.abc import Mapping, Sequence

HEARTBEAT: Final = 0.05
"""Seconds between two looks at whether a command must end."""

_LONGEST_OUTPUT: Final = 1024 * 1024
_CHUNK: Final = 64 * 1024


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
    output, failure = bytearray(), "was interrupted"
    with process:
        try:
            failure = _read(process, output, timeout, stops)
        finally:
            if failure:
                _kill(process)
    if not failure and process.returncode:
        failure = _exit_failure(process.returncode)
    if failure:
        raise SecretCommandError(f"the command {failure}")
    return bytes(output)


def _read(process: subprocess.Popen[bytes], output: bytearray, timeout: float, stops: Sequence[threading.Event]) -> str:
    """Reads until the output is closed and the program has ended. Returns why that failed; empty if it did not.

    A program may end while something that it started still writes the secret, or keeps the output open for ever. The
    one cannot be told from the other, and half a secret must not be used: so an open output is waited for.
    """
    import selectors
    from subprocess import TimeoutExpired

    end = time.monotonic() + timeout
    is_open = True
    assert process.stdout is not None  # noqa: S101 - it is a pipe
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while is_open or process.poll() is None:
            if _any_set(stops):
                return "was interrupted"
            if time.monotonic() >= end:
                return _timeout_failure(process.poll(), timeout)
            if not is_open:
                with suppress(TimeoutExpired):
                    process.wait(HEARTBEAT)
            elif selector.select(HEARTBEAT):
                chunk = os.read(process.stdout.fileno(), _CHUNK)
                is_open = bool(chunk)
                output += chunk
            if len(output) > _LONGEST_OUTPUT:
                return "printed more than 1 MiB"
    return ""


def _timeout_failure(exit_code: int | None, timeout: float) -> str:
    if exit_code is None:
        return f"took longer than {timeout:g} seconds"
    if exit_code:
        return _exit_failure(exit_code)
    return f"has ended, but something that it started kept its output open for {timeout:g} seconds"


def _exit_failure(exit_code: int) -> str:
    return f"ended with exit code {exit_code}; what it wrote is not shown"


def _any_set(stops: Sequence[threading.Event]) -> bool:
    return any(stop.is_set() for stop in stops)


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kills a command and everything that it started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
