"""Reads and replaces files without hanging, and recognises the documents that reconciler itself writes."""

from __future__ import annotations

import errno
import os
import re
import select
import stat
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from reconciler.errors import Kind, Position, Problem
from reconciler.writable_file import NotRegularError

if TYPE_CHECKING:
    from pathlib import Path

# Paths are strings here, and not pathlib's: names stay as the user wrote them, with a leading ./ and with links.
# ruff: noqa: PTH100, PTH116, PTH120

LARGEST: Final = 64 * 1024 * 1024
"""The maximum size of a manifest in bytes: enough for 250,000 accounts."""

_PIPE_TIMEOUT: Final = 30.0
"""How long to wait for the end of a pipe, in seconds: as long as for a reference's command."""

_PIECE: Final = 16 * 1024
"""The fewest bytes to read at once."""

_JSON_ESCAPE: Final = rb"\\(?:u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})|[^\n])"
"""Any escape of a JSON string; with groups if it is a surrogate pair."""


class TooLargeError(OSError):
    """A file has more bytes than allowed."""

    def __init__(self, largest: int) -> None:
        size = f"{largest // 1024} KiB" if largest < 1024**2 else f"{largest // 1024**2} MiB"
        super().__init__(errno.EFBIG, f"the file is larger than {size}")


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """A YAML file as it was read, under the name the user gave it.

    Attributes:
        given: The folder that the user named and in which the file was found; ``None`` if the file itself was named.
    """

    name: str
    data: bytes = field(repr=False)
    given: str | None = None

    @property
    def folder(self) -> str:
        """The folder from which relative paths in the file start."""
        return os.path.dirname(os.path.abspath(self.name))

    def may_contain(self, *words: bytes) -> bool:
        """Whether a key or value of the file may contain one of the words: as it is, or spelled with escapes."""
        return b"\\" in self.data or any(word in self.data for word in words)


def read_file(name: str, given: str | None = None, largest: int = LARGEST) -> Source | Problem:
    """Reads one YAML or JSON file; returns a problem if that fails."""
    try:
        data = read_bytes(name, largest)
    except (OSError, ValueError) as error:
        return file_problem(name, error)
    return Source(name, re.sub(_JSON_ESCAPE, _joined, data) if name.lower().endswith(".json") else data, given)


def _joined(escape: re.Match[bytes]) -> bytes:
    """JSON writes a character like 😀 as two escapes, which YAML does not allow."""
    if not escape[1]:
        return escape[0]
    high, low = int(escape[1], 16), int(escape[2], 16)
    return b"\\U%08x" % (0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00))


def read_bytes(path: str, largest: int, *, allow_pipe: bool = False, timeout: float = _PIPE_TIMEOUT) -> bytes:
    """The content of a regular file.

    Args:
        path: Its name.
        largest: The most bytes it may have.
        allow_pipe: Whether it may be a pipe as well, such as ``/dev/fd/63`` that a shell makes of ``<(command)``.
        timeout: Seconds to wait for the end of a pipe.

    Raises:
        NotRegularError: It is anything else. A device is not opened, and a pipe cannot block the run.
        TooLargeError: It has more bytes.
        TimeoutError: The pipe did not end in time.
        OSError: It cannot be read.
        ValueError: The path is not valid.
    """
    is_file = not allow_pipe and _is_regular(path)
    name = path if allow_pipe or is_file else os.path.realpath(path)  # /dev/fd/63 has no path of its own
    allowed = (stat.S_IFREG, stat.S_IFIFO) if allow_pipe else (stat.S_IFREG,)
    if not is_file and stat.S_IFMT(os.stat(name).st_mode) not in allowed:
        raise NotRegularError
    # If something has replaced the file meanwhile, a link is not followed, and a pipe does not block.
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY | (0 if allow_pipe else os.O_NOFOLLOW)
    descriptor = os.open(name, flags)
    try:
        status = os.fstat(descriptor)
        if stat.S_IFMT(status.st_mode) not in allowed:
            raise NotRegularError
        return _content(descriptor, status, largest, timeout)
    finally:
        os.close(descriptor)


def _is_regular(path: str) -> bool:
    """Whether a path ends in a regular file, and not in a link to one."""
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except OSError:
        return False


def _content(descriptor: int, status: os.stat_result, largest: int, timeout: float) -> bytes:
    """Everything up to the end of a file, which may grow meanwhile, or of a pipe."""
    is_pipe, end = stat.S_ISFIFO(status.st_mode), time.monotonic() + timeout
    size = max(status.st_size, _PIECE)
    data = b""
    while max(len(data), status.st_size) <= largest:
        if is_pipe and not select.select([descriptor], [], [], max(0.0, end - time.monotonic()))[0]:
            raise TimeoutError(errno.ETIMEDOUT, "the pipe did not end in time")
        piece = os.read(descriptor, size)
        if not piece:
            return data
        data += piece
    raise TooLargeError(largest)


def replace_file(
    target: Path, data: bytes, *, mode: int, owner: tuple[int, int] | None = None, overwrite: bool = True
) -> None:
    """Writes a file atomically: whatever happens, it has either its previous content or the new one.

    Args:
        target: The file.
        data: Its new content.
        mode: Its permissions.
        owner: Its user and group; ``None`` for the current ones.
        overwrite: Whether it may exist.

    Raises:
        FileExistsError: It exists, and must not be overwritten.
        OSError: It cannot be written.
    """
    from tempfile import mkstemp

    descriptor, name = mkstemp(dir=target.parent, prefix=f".{target.name}.")
    scratch = target.parent / name
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(descriptor)
            if owner is not None:
                os.fchown(descriptor, *owner)
            os.fchmod(descriptor, mode)
        if not overwrite:
            target.touch(exist_ok=False)
        scratch.replace(target)
    finally:
        scratch.unlink(missing_ok=True)


def file_problem(name: str, error: OSError | ValueError) -> Problem:
    """The reason why a file or folder cannot be read."""
    match error:
        case FileNotFoundError():
            return path_problem(Kind.NO_SUCH_FILE, name, "there is no such file or folder", "check the path")
        case PermissionError():
            hint = "grant the current user read permission"
            return path_problem(Kind.PERMISSION_DENIED, name, "permission denied", hint)
        case NotRegularError():
            return path_problem(Kind.UNREADABLE, name, str(error.strerror), "name a regular file")
        case TooLargeError():
            hint = "check the path; split a manifest into several files in one folder"
            return path_problem(Kind.TOO_LARGE, name, str(error.strerror), hint)
    reason = error.strerror if isinstance(error, OSError) and error.strerror else "the name is not a valid path"
    return path_problem(Kind.UNREADABLE, name, f"it cannot be read: {reason}", "check the path")


def path_problem(kind: Kind, name: str, message: str, hint: str) -> Problem:
    """A problem of a file or folder as a whole."""
    return Problem(kind=kind, message=message, hint=hint, position=Position(name))


_OWN_DATA: Final = ((b'{"at": "', "a journal"), (b"[\n]\n", "a GitLab report"))
"""How files begin that cannot be recognised by their keys."""

_OWN_KEYS: Final = (
    ("terraform_version", "a plan in Terraform's format"),
    ("resource_changes", "a plan"),
    ("results", "a result"),
    ("valid", "the result of a validation"),
    ("watcher", "the state of a fleet"),
)
_TRUST_KEYS: Final = frozenset({"servers", "commands", "smtp_servers", "recipients", "limits"})


def own_data_kind(data: bytes) -> str | None:
    """Which of reconciler's own documents a file is that need not be loaded for that; ``None`` for any other."""
    return next((kind for beginning, kind in _OWN_DATA if data.startswith(beginning)), None)


def own_document_kind(value: object) -> str | None:
    """Which of reconciler's own documents a loaded file is; ``None`` for a manifest and anything else."""
    match value:
        case [{"check_name": str(name)}, *_] if name.startswith("reconciler:"):
            return "a GitLab report"
        case {"format_version": _, **others}:
            return next((kind for key, kind in _OWN_KEYS if key in others), None)
        case {"$schema": schema} if "json-schema.org" in str(schema):
            return "a JSON Schema"
        case dict() if not _TRUST_KEYS.isdisjoint(value) and value.keys() - {"version"} <= _TRUST_KEYS:
            return "a trust file"
    return None
