"""Finding and reading YAML files: paths to bytes, with every obstacle named."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from reconciler.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

LARGEST: Final = 64 * 1024 * 1024
"""Bytes. A quarter of a million accounts fit; what is larger is not a set of accounts."""

SUFFIXES: Final = (".yaml", ".yml")
"""How the names of the files end that are read in a folder."""


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """A YAML file as it was read, under the name the user gave it."""

    name: str
    data: bytes = field(repr=False)

    @property
    def folder(self) -> str:
        """Where relative paths inside the file start from."""
        return os.path.dirname(os.path.abspath(self.name))  # noqa: PTH100, PTH120 - names stay as the user wrote them


@dataclass(slots=True)
class _Search:
    """Collects files once each, however many of the given paths lead to them."""

    names: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    _seen: set[str] = field(default_factory=set)

    def add(self, name: str) -> None:
        real = name if "\0" in name else os.path.realpath(name)
        if real not in self._seen:
            self._seen.add(real)
            self.names.append(name)

    def add_folder(self, folder: str) -> None:
        found = sorted(self._walk(folder))
        if not found and not any(problem.file == folder for problem in self.problems):
            message = "this folder has no YAML file"
            hint = "name a folder that holds *.yaml or *.yml files; hidden ones do not count"
            self.problems.append(Problem(kind="no_yaml_files", message=message, hint=hint, file=folder))
        for name in found:
            self.add(name)

    def _walk(self, folder: str) -> Iterable[str]:
        for parent, folders, files in os.walk(folder, onerror=self._unreadable):
            folders[:] = [name for name in folders if not name.startswith(".")]
            for name in files:
                if name.endswith(SUFFIXES) and not name.startswith("."):
                    yield os.path.join(parent, name)  # noqa: PTH118 - keeps a leading ./ as the user wrote it

    def _unreadable(self, error: OSError) -> None:
        # A folder that is passed over in silence would have its accounts deleted.
        self.problems.append(obstacle(str(error.filename), error))


def read_files(paths: Sequence[str]) -> tuple[list[Source], list[Problem]]:
    """Reads files and, recursively and sorted, the ``*.yaml`` and ``*.yml`` files of folders.

    Returns:
        The sources, and a problem for every path that yields none.
    """
    search = _Search()
    for path in paths:
        if os.path.isdir(path):  # noqa: PTH112 - see Source.folder
            search.add_folder(path)
        else:
            search.add(path)
    sources = []
    for name in search.names:
        outcome = read_file(name)
        if isinstance(outcome, Source):
            sources.append(outcome)
        else:
            search.problems.append(outcome)
    return sources, search.problems


def read_file(name: str) -> Source | Problem:
    """Reads one file; a problem where that fails."""
    try:
        with open(name, "rb") as stream:  # noqa: PTH123 - see Source.folder
            status = os.fstat(stream.fileno())
            if stat.S_ISREG(status.st_mode) and status.st_size > LARGEST:
                return _too_large(name)
            data = stream.read(LARGEST + 1)
    except (OSError, ValueError) as error:
        return obstacle(name, error)
    return _too_large(name) if len(data) > LARGEST else Source(name, data)


def _too_large(name: str) -> Problem:
    message = f"the file is larger than {LARGEST // 1024 // 1024} MiB"
    return Problem(kind="too_large", message=message, hint="split it into several files of one folder", file=name)


def obstacle(name: str, error: OSError | ValueError) -> Problem:
    """Why a file or folder cannot be read."""
    if isinstance(error, FileNotFoundError):
        return Problem(kind="no_such_file", message="there is no such file or folder", hint="check the path", file=name)
    if isinstance(error, PermissionError):
        hint = "let the user that runs this read it"
        return Problem(kind="permission_denied", message="permission denied", hint=hint, file=name)
    reason = error.strerror if isinstance(error, OSError) and error.strerror else "the name is not a valid path"
    return Problem(kind="unreadable", message=f"it cannot be read: {reason}", hint="check the path", file=name)
