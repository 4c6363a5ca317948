"""Runs the command without starting Python anew, which takes most of the time of a short run.

A helper process imports what the commands need, and does nothing else. For each run it forks a process, which gets the
arguments, folder, environment and standard streams of that run and ends as the command does. Nothing of a run is left
for the next one.

What Python makes of PYTHON*, LC_* and closed streams when it starts, and ``/proc/self/environ``, are those of the
helper: whoever tries these starts the command itself.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import pkgutil
import selectors
import signal
import socket
import subprocess
import sys
import time
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ROOT = Path(__file__).parents[2]
RECONCILER = Path(sys.executable).with_name("reconciler")
LATER = ("deepdiff", "email_validator", "tenacity")
"""What no module imports at once, but most runs need."""
MOST_INPUT = 60_000
"""The bytes that fit into a pipe that nobody reads from yet."""


def run(
    arguments: Sequence[str], folder: Path, environ: Mapping[str, str], *, stdin: str | None, timeout: float
) -> subprocess.CompletedProcess[str]:
    """Runs the command to its end, as ``subprocess.run`` would."""
    request = {"arguments": [str(RECONCILER), *arguments], "folder": str(folder), "environ": dict(environ)}
    helper = _helper()
    try:
        return helper.run(request, _input(stdin), timeout)
    except BaseException:  # a time-out, of ours or pytest's: what is still to come would be taken for the next run's
        end()
        raise


def end() -> None:
    """Ends the helper and the run that is under way, if there are any."""
    if _helper.cache_info().currsize:
        _helper().end()
        _helper.cache_clear()


@cache
def _helper() -> _Helper:
    return _Helper()


class _Helper:
    """The helper process, as seen by the tests."""

    def __init__(self) -> None:
        self._connection, theirs = socket.socketpair()
        kept = {name: value for name, value in os.environ.items() if name.startswith(("PATH", "COVERAGE"))}
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.commands.fork_server", str(theirs.fileno())],
                cwd=ROOT,
                env={**kept, "PYTHONUTF8": "1"},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,  # a pipe, as in each run: Python looks at what it is when it starts
                pass_fds=[theirs.fileno()],
            )
        self._answers = self._connection.makefile("rb")
        self._child = 0

    def run(self, request: Mapping[str, object], stdin: int, timeout: float) -> subprocess.CompletedProcess[str]:
        pipes = [os.pipe(), os.pipe()]
        theirs = [stdin, *(write for _, write in pipes)]
        try:
            socket.send_fds(self._connection, [b"r"], theirs)
        finally:
            for descriptor in theirs:
                os.close(descriptor)
        self._connection.sendall(json.dumps(request).encode() + b"\n")
        self._child = int(self._answers.readline())
        out, err = _read([read for read, _ in pipes], timeout)
        status = int(self._answers.readline())
        self._child = 0
        return subprocess.CompletedProcess(str(request["arguments"]), os.waitstatus_to_exitcode(status), out, err)

    def end(self) -> None:
        if self._child:
            os.kill(self._child, signal.SIGKILL)
        self._answers.close()
        self._connection.close()
        self._process.communicate()


def _input(text: str | None) -> int:
    """A descriptor that the text can be read from."""
    if text is None:
        return os.open(os.devnull, os.O_RDONLY)
    read, write = os.pipe()
    with open(write, "wb") as pipe:  # noqa: PTH123 - a descriptor
        data = text.encode()
        assert len(data) <= MOST_INPUT
        pipe.write(data)
    return read


def _read(pipes: Sequence[int], timeout: float) -> list[str]:
    """What comes through the pipes until nobody holds them any more."""
    latest = time.monotonic() + timeout
    found = {pipe: bytearray() for pipe in pipes}
    with selectors.DefaultSelector() as selector:
        for pipe in pipes:
            selector.register(pipe, selectors.EVENT_READ)
        try:
            while selector.get_map():
                left = latest - time.monotonic()
                ready = selector.select(left) if left > 0 else []
                if not ready:
                    raise subprocess.TimeoutExpired("reconciler", timeout)
                for key, _ in ready:
                    data = os.read(key.fd, 65536)
                    found[key.fd] += data
                    if not data:
                        selector.unregister(key.fd)
        finally:
            for pipe in pipes:
                os.close(pipe)
    return [bytes(data).decode().replace("\r\n", "\n").replace("\r", "\n") for data in found.values()]


def _serve(connection: socket.socket) -> None:
    """Forks a process for each run, until nobody asks for one any more."""
    _import_commands()
    heed = signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for pytest, which then ends this process
    requests = connection.makefile("rb")
    while streams := socket.recv_fds(connection, 1, 3)[1]:
        request = json.loads(requests.readline())
        child = os.fork()
        if child == 0:
            requests.close()
            connection.close()
            signal.signal(signal.SIGINT, heed)
            _become(request, streams)
        for descriptor in streams:
            os.close(descriptor)
        connection.sendall(f"{child}\n".encode())
        _, status = os.waitpid(child, 0)
        connection.sendall(f"{status}\n".encode())


def _import_commands() -> None:
    """Imports everything but the sandbox, which runs once if at all."""
    import reconciler

    for module in pkgutil.walk_packages(reconciler.__path__, "reconciler."):
        if not module.name.startswith("reconciler.sandbox"):
            importlib.import_module(module.name)
    for name in LATER:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()  # else each run searches all of this for garbage when it ends


def _become(request: dict[str, object], streams: Sequence[int]) -> None:
    """Makes this process what the installed command is at its start, and runs that."""
    from reconciler.__main__ import main

    for place, descriptor in enumerate(streams):
        os.dup2(descriptor, place)
        os.close(descriptor)
    arguments, folder, environ = request["arguments"], request["folder"], request["environ"]
    assert isinstance(arguments, list)
    assert isinstance(folder, str)
    assert isinstance(environ, dict)
    os.chdir(folder)
    added = {name: value for name, value in os.environ.items() if name == "LC_CTYPE"}  # by Python itself, at its start
    os.environ.clear()
    os.environ.update({**added, **environ})
    time.tzset()
    sys.argv[:] = arguments
    main()


if __name__ == "__main__":
    with socket.socket(fileno=int(sys.argv[1])) as ours:
        _serve(ours)
