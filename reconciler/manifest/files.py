"""Finds and reads manifests: paths to bytes, with every problem named."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from reconciler.errors import Kind, Position, Problem
from reconciler.manifest.regular_file import NotRegularError, TooLargeError, read_regular

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

LARGEST: Final = 64 * 1024 * 1024
"""Bytes. A quarter of a million accounts fit; what is larger is not a set of accounts."""

_SUFFIXES: Final = (".yaml", ".yml", ".json")
_SYSTEM: Final = ("/proc", "/sys", "/dev")
_SURROGATES: Final = re.compile(
    rb"\\(?:u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})|[^\n])",
)
"""Any escape of a JSON string; with groups if it is a character outside the plane that one ``\\u`` reaches."""


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
        """Where relative paths inside the file start from."""
        return os.path.dirname(os.path.abspath(self.name))  # noqa: PTH100, PTH120 - names stay as the user wrote them


class Reading(NamedTuple):
    """What was read, a problem for every path that yields nothing, and a warning for every file that is skipped."""

    sources: list[Source]
    problems: list[Problem]
    warnings: list[Problem]


def is_manifest_name(name: str) -> bool:
    """Whether a file of this name is read if it is found in a folder."""
    return name.lower().endswith(_SUFFIXES)


def is_below(path: str, root: str) -> bool:
    """Whether a resolved path is a resolved folder, or inside it."""
    return path == root or path.startswith(root.rstrip("/") + "/")


def system_folder(path: str) -> str | None:
    """The one of ``/proc``, ``/sys`` and ``/dev`` that a resolved path is below; nothing there is ever read."""
    return next((root for root in _SYSTEM if is_below(path, root)), None)


class Locations:
    """The locations where files may be: below the paths that the user named, or the working directory.

    Whoever may change a manifest may also replace it, or its folder, by a link. A link must not lead elsewhere, where
    the errors would show somebody's file. So a named path that is inside the working directory allows nothing more
    than the working directory.
    """

    def __init__(self, paths: Iterable[str]) -> None:
        """Takes the paths that the user named."""
        self._roots: list[str] = []
        with suppress(OSError):  # the working directory is gone
            self._roots.append(os.path.realpath(os.getcwd()))  # noqa: PTH109 - as below
        for path in paths:
            with suppress(OSError, ValueError):
                self._allow(os.path.abspath(path))  # noqa: PTH100 - names stay as the user wrote them

    def _allow(self, path: str) -> None:
        if any(is_below(path, root) for root in self._roots):
            return
        parent = os.path.realpath(os.path.dirname(path))  # noqa: PTH120 - as above
        if not os.path.isdir(path):  # noqa: PTH112 - as above
            self._roots.append(parent)
        elif is_below(real := os.path.realpath(path), parent):
            self._roots.append(real)

    def hold(self, real: str) -> bool:
        """Whether a resolved path is below any of them."""
        return any(is_below(real, root) for root in self._roots)

    def refusal(self, name: str) -> Problem | None:
        """Why a file or folder must not be read, if it must not."""
        try:
            real = os.path.realpath(name)
        except (OSError, ValueError):
            return None  # opening it says why
        if system := system_folder(real):
            message, hint = f"nothing below {system} is read", "name a regular file"
        elif not self.hold(real):
            message = f"this link leads to {real}, outside the given paths and the working directory"
            hint = "name that path itself, or replace the link with what it leads to"
        else:
            return None
        return Problem(kind=Kind.OUTSIDE_PATH, message=message, hint=hint, position=Position(name))


class _Search:
    """Collects files once each, however many of the given paths and links lead to them."""

    def __init__(self, locations: Locations) -> None:
        self.files: list[tuple[str, str | None]] = []  # names, and the folders that were given
        self.problems: list[Problem] = []
        self._locations = locations
        self._seen: set[object] = set()
        self._skipped: dict[object, str] = {}

    def add(self, name: str, given: str | None = None) -> None:
        """Adds a file, unless it was reached before."""
        refusal = self._locations.refusal(name)
        if refusal:
            self.problems.append(refusal)
        elif (identity := file_identity(name)) not in self._seen:
            self._seen.add(identity)
            self.files.append((name, given))

    def add_folder(self, folder: str) -> None:
        """Adds the files of a folder, sorted by name."""
        before = len(self.problems)
        files, links = self._walk(folder)
        if not files and not links and len(self.problems) == before:
            self.problems.append(no_manifests(folder))
        start = len(self.files)
        for name in (*sorted(files), *sorted(links)):
            self.add(name, folder)
        self.files[start:] = sorted(self.files[start:])

    def skipped(self) -> list[Problem]:
        """A warning for each file that was skipped, except for those that were named."""
        names = sorted(name for identity, name in self._skipped.items() if identity not in self._seen)
        message = "this file is skipped: its name does not end in .yaml, .yml or .json"
        hint = "rename it if it is a manifest"
        return [Problem(kind=Kind.SKIPPED_FILE, message=message, hint=hint, position=Position(name)) for name in names]

    def _walk(self, folder: str) -> tuple[list[str], list[str]]:
        """The files of a folder, and those that only links lead to; folders that are links come last."""
        files: list[str] = []
        links: list[str] = []
        folders, linked, entered = [folder], list[str](), set[object]()
        while folders or linked:
            through_link = not folders
            current = (folders or linked).pop()
            for entry in self._entries(current, entered):
                path = os.path.join(current, entry.name)  # noqa: PTH118 - keeps a leading ./ as the user wrote it
                is_link = through_link or entry.is_symlink()
                if os.path.isdir(path):  # noqa: PTH112 - as above
                    (linked if is_link else folders).append(path)
                elif is_manifest_name(entry.name):
                    (links if is_link else files).append(path)
                else:
                    self._skipped.setdefault(file_identity(path), path)
        return files, links

    def _entries(self, folder: str, entered: set[object]) -> list[os.DirEntry[str]]:
        """What is in a folder that was not entered before, without hidden names."""
        if (identity := file_identity(folder)) in entered:
            return []
        entered.add(identity)
        if refusal := self._locations.refusal(folder):
            self.problems.append(refusal)
            return []
        try:
            with os.scandir(folder) as entries:
                return [entry for entry in entries if not entry.name.startswith(".")]
        except OSError as error:
            # A folder that is passed over in silence would have its accounts deleted.
            self.problems.append(file_problem(folder, error))
            return []


def file_identity(name: str) -> object:
    """What two paths to one file have in common."""
    try:
        status = os.stat(name)  # noqa: PTH116 - names stay as the user wrote them
    except (OSError, ValueError):
        return name
    return (status.st_dev, status.st_ino)


def read_files(paths: Sequence[str]) -> Reading:
    """Reads files and, recursively and sorted, the YAML and JSON files of folders. Follows links."""
    search = _Search(Locations(paths))
    for path in paths:
        if os.path.isdir(path):  # noqa: PTH112 - see Source.folder
            search.add_folder(path)
        else:
            search.add(path)
    sources = []
    for name, given in search.files:
        outcome = read_file(name, given)
        if isinstance(outcome, Source):
            sources.append(outcome)
        else:
            search.problems.append(outcome)
    return Reading(sources, search.problems, search.skipped())


def read_file(name: str, given: str | None = None) -> Source | Problem:
    """Reads one file; a problem if that fails. Only regular files are read: a pipe could block the run."""
    try:
        data = read_regular(name, LARGEST)
    except NotRegularError:
        return Problem(
            kind=Kind.UNREADABLE,
            message="this is not a regular file",
            hint="name a regular file",
            position=Position(name),
        )
    except TooLargeError:
        return _too_large(name)
    except (OSError, ValueError) as error:
        return file_problem(name, error)
    return Source(name, _SURROGATES.sub(_character, data) if name.lower().endswith(".json") else data, given)


def _character(escape: re.Match[bytes]) -> bytes:
    """JSON writes a character like 😀 as two escapes, which YAML does not have."""
    if not escape[1]:
        return escape[0]
    high, low = int(escape[1], 16), int(escape[2], 16)
    return b"\\U%08x" % (0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00))


def no_manifests(folder: str) -> Problem:
    """The problem of a folder in which nothing declares accounts."""
    message = "this folder has no YAML file"
    hint = "name a folder with *.yaml, *.yml or *.json files; hidden ones and reconciler's own documents do not count"
    return Problem(kind=Kind.NO_YAML_FILES, message=message, hint=hint, position=Position(folder))


def _too_large(name: str) -> Problem:
    message = f"the file is larger than {LARGEST // 1024 // 1024} MiB"
    return Problem(
        kind=Kind.TOO_LARGE, message=message, hint="split it into several files of one folder", position=Position(name)
    )


def file_problem(name: str, error: OSError | ValueError) -> Problem:
    """Why a file or folder cannot be read."""
    if isinstance(error, FileNotFoundError):
        return Problem(
            kind=Kind.NO_SUCH_FILE,
            message="there is no such file or folder",
            hint="check the path",
            position=Position(name),
        )
    if isinstance(error, PermissionError):
        hint = "let the user that runs this read it"
        return Problem(kind=Kind.PERMISSION_DENIED, message="permission denied", hint=hint, position=Position(name))
    reason = error.strerror if isinstance(error, OSError) and error.strerror else "the name is not a valid path"
    return Problem(
        kind=Kind.UNREADABLE, message=f"it cannot be read: {reason}", hint="check the path", position=Position(name)
    )
