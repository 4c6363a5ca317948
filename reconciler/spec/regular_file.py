"""Reads files that the YAML names: only regular ones, without waiting for anybody."""

from __future__ import annotations

import os
import stat


class NotRegularError(OSError):
    """What should be read is a pipe, a device, a folder, or a socket."""


class TooLargeError(OSError):
    """A file is larger than it may be."""


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
