"""Reads files without waiting for anybody who may never come: regular ones, and pipes that the user names."""

from __future__ import annotations

import errno
import os
import select
import stat
import time
from typing import Final

_PATIENCE: Final = 30.0
"""Seconds that a pipe has; as many as a command of a reference."""


class NotRegularError(OSError):
    """What should be read is a pipe, a device, a folder, or a socket."""

    def __init__(self) -> None:
        super().__init__(errno.EINVAL, "this is not a regular file")


class TooLargeError(OSError):
    """A file is larger than it may be."""

    def __init__(self) -> None:
        super().__init__(errno.EFBIG, "the file is too large")


def read_regular(path: str, largest: int) -> bytes:
    """The content of a regular file.

    Args:
        path: Its name.
        largest: Bytes that it may have.

    Raises:
        NotRegularError: It is no regular file. A pipe is not waited for, and a device is not opened.
        TooLargeError: It has more bytes than it may.
        OSError: It cannot be read.
        ValueError: It is no valid path.
    """
    real = os.path.realpath(path)
    if not stat.S_ISREG(os.lstat(real).st_mode):
        raise NotRegularError
    # A pipe that takes the file's place meanwhile is not waited for, and a link is not followed.
    descriptor = os.open(real, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NOCTTY)
    return _content(descriptor, largest)


def read_given(path: str, largest: int, patience: float = _PATIENCE) -> bytes:
    """The content of a file that the user names on the command line: a regular one, or a pipe of another program.

    Args:
        path: Its name.
        largest: Bytes that it may have.
        patience: Seconds until a pipe has to be at its end.

    Raises:
        TimeoutError: A pipe took longer.
        OSError, ValueError: As of ``read_regular``.
    """
    mode = os.stat(path).st_mode  # noqa: PTH116 - names stay as the user wrote them
    if not (stat.S_ISFIFO(mode) or stat.S_ISREG(mode)):
        raise NotRegularError
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    if not stat.S_ISFIFO(mode):
        return _content(descriptor, largest)
    try:
        return _drained(descriptor, largest, time.monotonic() + patience)
    finally:
        os.close(descriptor)


def _content(descriptor: int, largest: int) -> bytes:
    with os.fdopen(descriptor, "rb") as stream:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise NotRegularError
        if status.st_size > largest:
            raise TooLargeError
        data = stream.read(largest + 1)
    if len(data) > largest:
        raise TooLargeError
    return data


def _drained(descriptor: int, largest: int, end: float) -> bytes:
    data = b""
    while len(data) <= largest:
        if not select.select([descriptor], [], [], max(0.0, end - time.monotonic()))[0]:
            raise TimeoutError(errno.ETIMEDOUT, "nobody wrote to the end of the pipe in time")
        piece = os.read(descriptor, largest + 1 - len(data))
        if not piece:
            return data
        data += piece
    raise TooLargeError
