"""Locks on this machine, in files of this user alone. A lock ends with the process that holds it.

Each server has one, so that one run writes at a time. The watcher takes another for its state directory.
"""

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

    from reconciler.model.ports import Notifier

_PAUSE: Final = 0.1
_LARGEST: Final = 4096


class UnsafeFolderError(Exception):
    """A folder, or a file in it, must not be used; the message says why."""


@contextmanager
def server_lock(
    url: str,
    *,
    timeout: float,
    environ: Mapping[str, str],
    stop: threading.Event,
    notifier: Notifier,
) -> Iterator[None]:
    """Holds the lock of a server. If locking is impossible, warns and continues without it.

    Args:
        url: The server's URL, normalized.
        timeout: Seconds to wait for another run.
        environ: Environment variables; ``XDG_STATE_HOME`` names the folder for program state.
        stop: Ends the wait.
        notifier: Prints that locking is impossible, and that another run is waited for.

    Raises:
        LockedError: The other run did not end in time.
    """
    try:
        descriptor = open_private(state_home(environ), f"{sha256(url.encode()).hexdigest()}.lock")
    except (OSError, UnsafeFolderError) as error:
        notifier.warn(_unlocked(error))
        yield
        return
    try:
        try:
            _take(descriptor, url, timeout, stop, notifier.note)
        except OSError as error:
            notifier.warn(_unlocked(error))
        yield
    finally:
        os.close(descriptor)


def state_home(environ: Mapping[str, str]) -> Path:
    """This program's folder for state, as the XDG specification has it. It may not exist.

    Raises:
        UnsafeFolderError: The user has no home folder.
    """
    state = environ.get("XDG_STATE_HOME", "")
    if not os.path.isabs(state):  # noqa: PTH117 - the specification requires relative paths to be ignored
        try:
            state = str(Path.home() / ".local" / "state")
        except RuntimeError:
            raise UnsafeFolderError("this user has no home folder") from None
    return Path(state) / "reconciler"


def open_private(folder: Path, name: str) -> int:
    """Opens a file in a folder, and creates both if need be, for the folder's owner alone.

    It follows no link, and uses nothing that another user could have planted. Root may use the folder of a service, as
    in ``sudo reconciler suspend``: what it creates belongs to that service.

    Raises:
        OSError: They cannot be opened.
        UnsafeFolderError: They must not be used.
    """
    try:
        directory = _open_folder(folder)
    except NotADirectoryError:
        raise UnsafeFolderError(f"{folder} is a link, or no folder") from None
    me = os.geteuid()
    try:
        owner = os.fstat(directory)
        if me not in {owner.st_uid, 0} and owner.st_uid != 0:
            raise UnsafeFolderError(f"{folder} belongs to another user")
        _make_private(directory, owner, 0o700)
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = os.open(name, flags, 0o600, dir_fd=directory)
    finally:
        os.close(directory)
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1 or status.st_uid not in {me, owner.st_uid}:
        os.close(descriptor)
        raise UnsafeFolderError(f"{folder / name} is not a file of this user alone")
    _make_private(descriptor, status, 0o600)
    if me == 0 != owner.st_uid:
        os.fchown(descriptor, owner.st_uid, owner.st_gid)
    return descriptor


def _open_folder(folder: Path) -> int:
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return os.open(folder, flags)
    except FileNotFoundError:
        folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        return os.open(folder, flags)


def _make_private(descriptor: int, status: os.stat_result, mode: int) -> None:
    if status.st_uid == os.geteuid() and stat.S_IMODE(status.st_mode) != mode:
        os.fchmod(descriptor, mode)


def take_lock(descriptor: int, what: str) -> bool:
    """Takes the lock of an open file and notes the holder in it, unless another process has it.

    Args:
        descriptor: The file.
        what: What the lock is for.

    Raises:
        OSError: The file system has no locks.
    """
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    _sign(descriptor, what)
    return True


def is_locked(path: Path) -> bool | None:
    """Whether a process holds the lock of a file, which may not exist; ``None`` if that cannot be found out.

    It shares the lock for a moment: what takes it meanwhile has to try again.
    """
    import fcntl

    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return None
    else:
        return False
    finally:
        os.close(descriptor)


def _take(descriptor: int, url: str, timeout: float, stop: threading.Event, note: Callable[[str], None]) -> None:
    end = time.monotonic() + timeout
    has_noted = False
    while not take_lock(descriptor, url):
        left = end - time.monotonic()
        if left <= 0 or stop.wait(min(_PAUSE, left)):
            raise _locked(descriptor, url, timeout)
        if not has_noted:
            note(f"Waiting for another run on {url} to end: {lock_holder(descriptor)}.")
            has_noted = True


def _sign(descriptor: int, what: str) -> None:
    """Writes who holds the lock, for other runs to print. On a full disk, the lock works without it."""
    since = datetime.now(UTC).isoformat(timespec="seconds")
    holder = {"pid": os.getpid(), "user": current_user(), "since": since, "url": what}
    text = json.dumps(holder).encode()
    try:
        os.pwrite(descriptor, text, 0)
        if os.fstat(descriptor).st_size > len(text):  # truncating takes long on some file systems
            os.ftruncate(descriptor, len(text))
    except OSError:
        pass


@cache
def current_user() -> str:
    """The login name of the user that runs this process."""
    import pwd

    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return f"uid {os.geteuid()}"


def lock_holder(descriptor: int) -> str:
    """The holder of a lock, from its file."""
    try:
        holder = json.loads(os.pread(descriptor, _LARGEST, 0))
        since = datetime.fromisoformat(holder["since"]).astimezone(UTC)
        return f"process {int(holder['pid'])} of {holder['user']}, since {since:%Y-%m-%d %H:%M:%S} UTC"
    except (OSError, ValueError, LookupError, TypeError, OverflowError, RecursionError):
        return "a process that has not said who it is"


def _locked(descriptor: int, url: str, timeout: float) -> LockedError:
    message = f"another run is applying to {url}: {lock_holder(descriptor)}; nothing was written"
    hint = f"wait for it to end, or give more time than --lock-timeout {timeout:g}s"
    return LockedError(Problem(kind=Kind.LOCKED, message=message, hint=hint))


def _unlocked(error: OSError | UnsafeFolderError) -> Problem:
    reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
    message = f"no lock keeps other runs on this machine from applying at the same time: {reason}"
    hint = "set XDG_STATE_HOME to a folder of this user that can be written, and run one apply at a time"
    return Problem(kind=Kind.NO_LOCK, message=message, hint=hint)
