"""A lock for each server on this machine: one run writes at a time. A lock ends with the process that holds it."""

from __future__ import annotations

import json
import os
import stat
import time
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Final

from reconciler.errors import Kind, LockedError, Problem

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator, Mapping

_PAUSE: Final = 0.1
_LARGEST: Final = 4096


class _ImpossibleError(Exception):
    """A lock is impossible; the message says why."""


@contextmanager
def server_lock(
    url: str,
    *,
    timeout: float,
    environ: Mapping[str, str],
    stop: threading.Event,
    warn: Callable[[Problem], None],
    note: Callable[[str], None],
) -> Iterator[None]:
    """Holds the lock of a server. If locking is impossible, warns and continues without it.

    Args:
        url: The server's URL, normalized.
        timeout: Seconds to wait for another run.
        environ: Environment variables; ``XDG_STATE_HOME`` names the folder for program state.
        stop: Ends the wait.
        warn: Called with a warning.
        note: Called with a note.

    Raises:
        LockedError: The other run did not end in time.
    """
    try:
        descriptor = _open(_folder(environ), f"{sha256(url.encode()).hexdigest()}.lock")
    except (OSError, _ImpossibleError) as error:
        warn(_unlocked(error))
        yield
        return
    try:
        try:
            _take(descriptor, url, timeout, stop, note)
        except OSError as error:
            warn(_unlocked(error))
        yield
    finally:
        os.close(descriptor)


def _folder(environ: Mapping[str, str]) -> Path:
    state = environ.get("XDG_STATE_HOME", "")
    if not os.path.isabs(state):  # noqa: PTH117 - the specification requires relative paths to be ignored
        try:
            state = str(Path.home() / ".local" / "state")
        except RuntimeError:
            raise _ImpossibleError("this user has no home folder") from None
    return Path(state) / "reconciler"


def _open(folder: Path, name: str) -> int:
    """Opens the lock file. Follows no link, and uses nothing that belongs to another user."""
    folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    try:
        directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except NotADirectoryError:
        raise _ImpossibleError(f"{folder} is a link, or no folder") from None
    try:
        if os.fstat(directory).st_uid != os.geteuid():
            raise _ImpossibleError(f"{folder} belongs to another user")
        os.fchmod(directory, 0o700)
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = os.open(name, flags, 0o600, dir_fd=directory)
    finally:
        os.close(directory)
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1 or status.st_uid != os.geteuid():
        os.close(descriptor)
        raise _ImpossibleError(f"{folder / name} is not a file of this user alone")
    return descriptor


def _take(descriptor: int, url: str, timeout: float, stop: threading.Event, note: Callable[[str], None]) -> None:
    import fcntl

    end = time.monotonic() + timeout
    has_noted = False
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pass
        else:
            break
        left = end - time.monotonic()
        if left <= 0 or stop.wait(min(_PAUSE, left)):
            raise _locked(descriptor, url, timeout)
        if not has_noted:
            note(f"Waiting for another run on {url} to end: {_holder(descriptor)}.")
            has_noted = True
    _sign(descriptor, url)


def _sign(descriptor: int, url: str) -> None:
    """Writes who holds the lock, for other runs to print. On a full disk, the lock works without it."""
    holder = {"pid": os.getpid(), "user": _user(), "since": datetime.now(UTC).isoformat(timespec="seconds"), "url": url}
    text = json.dumps(holder).encode()
    try:
        os.pwrite(descriptor, text, 0)
        if os.fstat(descriptor).st_size > len(text):  # truncating takes long on some file systems
            os.ftruncate(descriptor, len(text))
    except OSError:
        pass


@cache
def _user() -> str:
    import pwd

    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return f"uid {os.geteuid()}"


def _holder(descriptor: int) -> str:
    """The holder of the lock, from its file."""
    try:
        holder = json.loads(os.pread(descriptor, _LARGEST, 0))
        return f"process {int(holder['pid'])} of {holder['user']}, since {holder['since']}"
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return "a process that has not said who it is"


def _locked(descriptor: int, url: str, timeout: float) -> LockedError:
    message = f"another run is applying to {url}: {_holder(descriptor)}; nothing was written"
    hint = f"wait for it to end, or give more time than --lock-timeout {timeout:g}s"
    return LockedError(Problem(kind=Kind.LOCKED, message=message, hint=hint))


def _unlocked(error: OSError | _ImpossibleError) -> Problem:
    reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
    message = f"no lock keeps other runs on this machine from applying at the same time: {reason}"
    hint = "set XDG_STATE_HOME to a folder of this user that can be written, and run one apply at a time"
    return Problem(kind=Kind.NO_LOCK, message=message, hint=hint)
