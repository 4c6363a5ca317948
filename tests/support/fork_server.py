"""Runs the command without starting a Python interpreter, which would take most of the time of a short run.

A fork server imports everything that the commands need, and does nothing else. For each run it forks a process, which
gets the arguments, folder, environment and standard streams of that run. A run leaves nothing behind for the next one.
It ends as the command does, up to the point where the interpreter would only free its memory. Its pauses are short.

The interpreter reads some variables only when it starts, so runs with other values of them have a fork server of their
own. A run with a closed standard stream, or one that reads ``/proc/self``, has to start an interpreter.
"""

from __future__ import annotations

import atexit
import fcntl
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
import termios
import threading
import time
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NoReturn

from tests.support.pauses import shorten_pauses
from tests.support.run_result import RunResult, Usage

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

ROOT = Path(__file__).parents[2]
RECONCILER = Path(sys.executable).with_name("reconciler")
IMPORTED_LATE = ("deepdiff", "email_validator", "encodings.idna", "encodings.utf_8_sig")
"""Modules that no module of ours imports at its top, but most runs need."""
READ_AT_START = ("PYTHON", "LANG", "LC_")
"""Prefixes of the variables that the interpreter reads when it starts."""
MAX_INPUT = 60_000
"""Bytes that fit into a pipe before it is read."""


class Process:
    """A run of the command that has been started."""

    def __init__(self, pid: int, status: BinaryIO, pipes: Mapping[str, int]) -> None:
        self.pid = pid
        self._status = status
        self._pipes = dict(pipes)
        self._read = {name: bytearray() for name in pipes}
        self._selector = selectors.DefaultSelector()
        for name, pipe in pipes.items():
            self._selector.register(pipe, selectors.EVENT_READ, name)

    def wait_for_error_text(self, words: str, timeout: float = 60, *, count: int = 1) -> str:
        """Reads until ``words`` appear ``count`` times on standard error; returns what has been written so far."""
        deadline = time.monotonic() + timeout
        while (text := self._text("stderr")).count(words) < count:
            assert self._read_more(deadline), f"ended without {words!r}: {text}"
        return text

    def finish(self, timeout: float = 60) -> RunResult:
        """Waits until the run has ended and its streams are closed."""
        deadline = time.monotonic() + timeout
        try:
            while self._read_more(deadline):
                pass
            status, seconds, peak_memory = self._status.readline().split()
        except BaseException:
            self.kill()
            raise
        finally:
            self._close()
        texts = {name: self._text(name) for name in self._pipes}
        return RunResult(
            os.waitstatus_to_exitcode(int(status)), texts, Usage(float(seconds), peak_memory=int(peak_memory))
        )

    def wait(self, timeout: float = 60) -> int:
        """As ``finish``; returns the exit code."""
        return self.finish(timeout).code

    def close(self, name: str) -> None:
        """Closes our end of the pipe that the run writes ``name`` to; what is left in it is lost."""
        self._selector.unregister(self._pipes[name])
        os.close(self._pipes.pop(name))
        del self._read[name]

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        """Ends the run at once, unless it has ended already."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)

    def _text(self, name: str) -> str:
        return bytes(self._read[name]).decode("utf-8", "replace").replace("\r\n", "\n")

    def _read_more(self, deadline: float) -> bool:
        """Whether a pipe is still open after reading what is there."""
        if not self._selector.get_map():
            return False
        left = deadline - time.monotonic()
        ready = self._selector.select(left) if left > 0 else []
        if not ready:
            raise subprocess.TimeoutExpired("reconciler", left)
        for key, _ in ready:
            data = os.read(key.fd, 65536)
            self._read[key.data] += data
            if not data:
                self._selector.unregister(key.fd)
        return True

    def _close(self) -> None:
        self._selector.close()
        self._status.close()
        for pipe in self._pipes.values():
            os.close(pipe)


def start(
    arguments: Sequence[str],
    folder: Path,
    environ: Mapping[str, str],
    *,
    stdin: int | str | None = None,
    stdout: int | None = None,
    stderr: int | None = None,
) -> Process:
    """Starts the command.

    Args:
        arguments: Those after the command's name.
        folder: The working directory.
        environ: The whole environment.
        stdin: Text, or a descriptor; nothing can be read if ``None``. A terminal becomes the controlling one.
        stdout: A descriptor; a pipe to us if ``None``.
        stderr: As ``stdout``.
    """
    pipes: dict[str, int] = {}
    descriptors, ours = [], []
    if not isinstance(stdin, int):
        stdin = _input(stdin)
        ours.append(stdin)
    descriptors.append(stdin)
    for name, given in (("stdout", stdout), ("stderr", stderr)):
        if given is None:
            pipes[name], write = os.pipe()
            ours.append(write)
        descriptors.append(write if given is None else given)
    request = {
        "arguments": [_bytes(one) for one in (str(RECONCILER), *arguments)],
        "folder": str(folder),
        "environ": {name: _bytes(value) for name, value in environ.items()},
    }
    try:
        pid, status = _server(_start_variables(environ)).fork(request, descriptors)
    finally:
        for descriptor in ours:
            os.close(descriptor)
    return Process(pid, status, pipes)


def end() -> None:
    """Ends all fork servers."""
    for server in _RUNNING:
        server.end()
    _RUNNING.clear()
    _server.cache_clear()


def _start_variables(environ: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """The variables for which a fork server of its own is needed; the forked process handles PYTHONIOENCODING."""
    found = {name: value for name, value in environ.items() if name.startswith(READ_AT_START)}
    return tuple(sorted((name, value) for name, value in found.items() if name != "PYTHONIOENCODING"))


def _bytes(text: str) -> str:
    """The bytes that the system passes for ``text``, in a form for JSON; the forked run decodes them as it would."""
    return os.fsencode(text).decode("latin-1")


def _input(text: str | None) -> int:
    """A descriptor that ``text`` can be read from."""
    if text is None:
        return os.open(os.devnull, os.O_RDONLY)
    read, write = os.pipe()
    with open(write, "wb") as pipe:  # noqa: PTH123 - a descriptor
        data = text.encode()
        assert len(data) <= MAX_INPUT
        pipe.write(data)
    return read


_RUNNING: list[_ForkServer] = []


@cache
def _server(variables: tuple[tuple[str, str], ...]) -> _ForkServer:
    server = _ForkServer(dict(variables))
    _RUNNING.append(server)
    return server


class _ForkServer:
    """A fork server, as the tests see it."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._connection, theirs = socket.socketpair()
        inherited = {name: value for name, value in os.environ.items() if name.startswith(("PATH", "COVERAGE"))}
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.fork_server", str(theirs.fileno())],
                cwd=ROOT,
                env={**inherited, **variables},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,  # a pipe, as in most runs: the interpreter looks at it when it starts
                pass_fds=[theirs.fileno()],
            )

    def fork(self, request: Mapping[str, object], streams: Sequence[int]) -> tuple[int, BinaryIO]:
        """Forks a run; returns its process id, and a pipe for its status."""
        read, write = os.pipe()
        try:
            socket.send_fds(self._connection, [b"r"], [*streams, write])
        finally:
            os.close(write)
        self._connection.sendall(json.dumps(request).encode() + b"\n")
        status = open(read, "rb")  # noqa: PTH123, SIM115 - a descriptor; the process closes it
        return int(status.readline()), status

    def end(self) -> None:
        self._connection.close()
        self._process.communicate()


def _serve(connection: socket.socket) -> None:
    """Forks a process for each request, and reports its end, until the other side closes the connection."""
    _import_commands()
    on_interrupt = signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for pytest, which then ends this process
    requests = connection.makefile("rb")
    with selectors.DefaultSelector() as selector:
        selector.register(connection, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.data:
                    selector.unregister(key.fd)
                    os.close(key.fd)
                    _report_end(*key.data)
                    continue
                *streams, status = socket.recv_fds(connection, 1, 4)[1] or [0]
                if not streams:
                    return
                request = json.loads(requests.readline())
                child = os.fork()
                if child == 0:
                    _close_all(selector, connection, status)
                    signal.signal(signal.SIGINT, on_interrupt)
                    _run(request, streams)
                for descriptor in streams:
                    os.close(descriptor)
                os.write(status, f"{child}\n".encode())
                selector.register(os.pidfd_open(child), selectors.EVENT_READ, (child, status))


def _close_all(selector: selectors.BaseSelector, connection: socket.socket, status: int) -> None:
    """Closes what a forked process inherits: the server's descriptors, and those of other runs."""
    for key in list(selector.get_map().values()):
        if key.data:
            os.close(key.fd)
            os.close(key.data[1])
    selector.close()
    connection.close()
    os.close(status)


def _report_end(child: int, status: int) -> None:
    _, code, usage = os.wait4(child, 0)
    seconds = usage.ru_utime + usage.ru_stime
    with suppress(BrokenPipeError):  # the test gave up on this run
        os.write(status, f"{code} {seconds} {usage.ru_maxrss}\n".encode())
    os.close(status)


def _import_commands() -> None:
    """Imports everything but the sandbox, which few runs need."""
    import reconciler
    from reconciler.manifest.parsed_file import validate
    from reconciler.manifest.schema import SHAPE
    from reconciler.manifest.trust import TRUST_SHAPE

    for module in pkgutil.walk_packages(reconciler.__path__, "reconciler."):
        if not module.name.startswith("reconciler.sandbox"):
            importlib.import_module(module.name)
    for name in IMPORTED_LATE:
        importlib.import_module(name)
    for shape in (SHAPE, TRUST_SHAPE):
        validate({}, shape)  # builds the validator
    gc.collect()
    gc.freeze()  # else each run searches all of this for garbage when it ends


def _run(request: Mapping[str, object], streams: Iterable[int]) -> None:
    """Makes this process what the installed command is at its start, and runs that."""
    from reconciler.__main__ import main

    for number, descriptor in enumerate(streams):
        os.dup2(descriptor, number)
        os.close(descriptor)
    arguments, folder, environ = request["arguments"], request["folder"], request["environ"]
    assert isinstance(arguments, list)
    assert isinstance(folder, str)
    assert isinstance(environ, dict)
    environ = {name: os.fsdecode(value.encode("latin-1")) for name, value in environ.items()}
    if os.isatty(0):
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    os.chdir(folder)
    added = {name: value for name, value in os.environ.items() if name == "LC_CTYPE"}  # Python does this at its start
    os.environ.clear()
    os.environ.update({**added, **environ})
    time.tzset()
    _open_streams()
    sys.argv[:] = [os.fsdecode(one.encode("latin-1")) for one in arguments]
    shorten_pauses()
    try:
        main()
    except SystemExit as ended:
        _end(ended)


def _end(ended: SystemExit) -> NoReturn:
    """Does what the interpreter does as it exits, but does not free its memory, which takes longer than most runs."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, ValueError):
        raise ended from None  # the interpreter reports it
    os._exit(ended.code if isinstance(ended.code, int) else 1)


def _open_streams() -> None:
    """Opens the standard streams with the encoding and buffering that the interpreter would give them."""
    encoding, _, errors = os.environ.get("PYTHONIOENCODING", "").partition(":")
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        former = getattr(sys, name)
        strictness = former.errors if name == "stderr" or not encoding else errors or "strict"
        stream = open(  # noqa: SIM115 - a descriptor, open as long as the process lives
            number,
            "w" if number else "r",
            encoding=encoding or former.encoding,
            errors=strictness,
            closefd=False,
            buffering=1 if name == "stderr" or os.isatty(number) else -1,
        )
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


if __name__ == "__main__":
    with socket.socket(fileno=int(sys.argv[1])) as ours:
        _serve(ours)
