"""Opens files for writing without waiting: a pipe that nobody reads would block a run, and no signal would end it."""

from __future__ import annotations

import errno
import os
import stat
from typing import IO


class NotRegularError(OSError):
    """A pipe, device, folder or socket was named instead of a file."""

    def __init__(self) -> None:
        super().__init__(errno.EINVAL, "this is not a regular file")


class UnreadPipeError(OSError):
    """A pipe was named that no program reads."""

    def __init__(self) -> None:
        super().__init__(errno.ENXIO, "no program reads this pipe")


def open_to_append(path: str, *, allow_pipe: bool = False, buffering: int = -1) -> IO[bytes]:
    """Opens a file, which is created if it does not exist, or a device, to append to it.

    Args:
        path: Its name.
        allow_pipe: Whether it may be a pipe as well, such as ``/dev/fd/63`` that a shell makes of ``>(command)``.
        buffering: As for ``open``.

    Raises:
        NotRegularError: It is a pipe or a socket, and must not be one.
        UnreadPipeError: No program reads the pipe.
        OSError: It cannot be opened.
    """
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
    try:
        descriptor = os.open(path, flags, 0o666)
    except OSError as error:
        if error.errno == errno.ENXIO:
            raise (UnreadPipeError if allow_pipe else NotRegularError) from None
        raise
    if not allow_pipe and stat.S_ISFIFO(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise NotRegularError
    os.set_blocking(descriptor, True)
    return os.fdopen(descriptor, "ab", buffering)
