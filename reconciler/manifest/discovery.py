"""Where files may be, and which manifests are found there."""

from __future__ import annotations

import os
import re
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Final, NamedTuple

from reconciler.errors import Kind
from reconciler.manifest.files import Source, file_problem, path_problem, read_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from reconciler.errors import Problem

# ruff: noqa: PTH100, PTH109, PTH112, PTH114, PTH116, PTH118, PTH120 - as in files.py

_SUFFIXES: Final = (".yaml", ".yml", ".json")
_SYSTEM: Final = ("/proc", "/sys", "/dev")
_SUBMODULE_PATH: Final = rb"(?m)^\s*path\s*=\s*\"?([^\"\n]*?)\"?\s*$"
_LARGEST_LIST: Final = 1024 * 1024


def is_manifest_name(name: str) -> bool:
    """Whether a file of this name is read if it is found in a folder."""
    return name.lower().endswith(_SUFFIXES)


def is_below(path: str, root: str) -> bool:
    """Whether a resolved path is a resolved folder, or inside it."""
    return path == root or path.startswith(root.rstrip("/") + "/")


def system_folder(path: str) -> str | None:
    """Which of ``/proc``, ``/sys`` and ``/dev`` a resolved path is below; nothing there is ever read."""
    return next((root for root in _SYSTEM if is_below(path, root)), None)


def file_identity(name: str) -> object:
    """A value that is the same for all paths to one file."""
    try:
        status = os.stat(name)
    except (OSError, ValueError):
        return name
    return (status.st_dev, status.st_ino)


class AllowedRoots:
    """The locations where files may be: below the paths that the user named, or the working directory.

    Anyone who may change a manifest may also replace it, or its folder, by a link. A link must not lead elsewhere,
    because errors could show the content of other files. So a named path inside the working directory allows nothing
    more than the working directory.
    """

    def __init__(self, paths: Iterable[str], within: str | None = None) -> None:
        """Takes the paths that the user named; or a folder, the only one that files may be in."""
        self._roots: list[str] = []
        self._accepted: set[str] = set()  # folders; thousands of files are in one
        if within is not None:
            self._roots.append(os.path.realpath(within))
            self.described = "the repository"
            return
        self.described = "the given paths and the working directory"
        with suppress(OSError):  # the working directory is gone
            self._roots.append(os.path.realpath(os.getcwd()))
        for path in paths:
            with suppress(OSError, ValueError):
                self._allow(os.path.abspath(path))

    def _allow(self, path: str) -> None:
        if any(is_below(path, root) for root in self._roots):
            return
        parent = os.path.realpath(os.path.dirname(path))
        if not os.path.isdir(path):
            self._roots.append(parent)
        elif is_below(real := os.path.realpath(path), parent):
            self._roots.append(real)

    def contain(self, real: str) -> bool:
        """Whether a resolved path is below any of them."""
        return any(is_below(real, root) for root in self._roots)

    def refusal(self, name: str) -> Problem | None:
        """The reason why a file or folder must not be read; ``None`` if it may be."""
        folder, last = os.path.split(name)
        is_direct = last not in {"", ".", ".."} and "\0" not in last and not os.path.islink(name)
        if is_direct and folder in self._accepted:
            return None
        try:
            real = os.path.realpath(name)
        except (OSError, ValueError):
            return None  # reading it reports the reason
        if system := system_folder(real):
            return path_problem(Kind.OUTSIDE_PATH, name, f"nothing below {system} is read", "name a regular file")
        if self.contain(real):
            parent = os.path.dirname(real)
            if is_direct and parent != "/" and self.contain(parent):
                self._accepted.add(folder)
            return None
        message = f"this link leads to {real}, outside {self.described}"
        hint = "name that path itself, or replace the link with what it leads to"
        return path_problem(Kind.OUTSIDE_PATH, name, message, hint)


class Reading(NamedTuple):
    """The files read, a problem for each path that yields nothing, and a warning for each file that is skipped.

    Attributes:
        visited: Every file and folder that was looked at, readable or not. If none of them has changed, neither has
            anything else here.
    """

    sources: list[Source]
    problems: list[Problem]
    warnings: list[Problem]
    visited: frozenset[str]


class _Search:
    """Collects each file once, however many of the given paths and links lead to it."""

    def __init__(self, locations: AllowedRoots) -> None:
        self.files: list[tuple[str, str | None]] = []  # names, and the folders that were given
        self.problems: list[Problem] = []
        self._locations = locations
        self.folders: list[str] = []
        self._seen: set[object] = set()
        self._skipped: dict[object, str] = {}

    def add(self, name: str, given: str | None = None) -> None:
        """Adds a file, unless it was reached before."""
        if refusal := self._locations.refusal(name):
            self.problems.append(refusal)
        elif (identity := file_identity(name)) not in self._seen:
            self._seen.add(identity)
            self.files.append((name, given))

    def add_folder(self, folder: str) -> None:
        """Adds the files of a folder, sorted by name."""
        before = len(self.problems)
        found = sorted(self._walk(folder))  # links last, so that a file keeps the name it has without them
        if not found and len(self.problems) == before:
            self.problems.append(no_manifests(folder))
        start = len(self.files)
        for _, name in found:
            self.add(name, folder)
        self.files[start:] = sorted(self.files[start:])

    def skipped(self) -> list[Problem]:
        """A warning for each file that was skipped, except for those that were named."""
        names = sorted(name for identity, name in self._skipped.items() if identity not in self._seen)
        message, hint = (
            "this file is skipped: its name does not end in .yaml, .yml or .json",
            "rename it if it is a manifest",
        )
        return [path_problem(Kind.SKIPPED_FILE, name, message, hint) for name in names]

    def _walk(self, folder: str) -> Iterator[tuple[bool, str]]:
        """Yields each manifest below a folder, and whether a link leads there. Folders behind links come last."""
        folders = deque([(False, folder)])
        entered: set[object] = set()
        while folders:
            through_link, current = folders.pop()
            for entry in self._entries(current, entered):
                path = os.path.join(current, entry.name)
                is_link = through_link or entry.is_symlink()
                if os.path.isdir(path) if is_link else entry.is_dir():  # the latter asks the system nothing
                    (folders.appendleft if is_link else folders.append)((is_link, path))
                elif is_manifest_name(entry.name):
                    yield is_link, path
                else:
                    self._skipped.setdefault(file_identity(path), path)

    def _entries(self, folder: str, entered: set[object]) -> list[os.DirEntry[str]]:
        """The content of a folder that was not entered before, without hidden names."""
        if (identity := file_identity(folder)) in entered:
            return []
        entered.add(identity)
        self.folders.append(folder)
        if refusal := self._locations.refusal(folder):
            self.problems.append(refusal)
            return []
        try:
            with os.scandir(folder) as entries:
                found = list(entries)
        except OSError as error:
            # If the folder were skipped silently, its accounts would be deleted.
            self.problems.append(file_problem(folder, error))
            return []
        if not found and _is_submodule(folder):
            self.problems.append(_not_checked_out(folder))  # as above
        return [entry for entry in found if not entry.name.startswith(".")]


def read_files(paths: Sequence[str], within: str | None = None) -> Reading:
    """Reads files and, recursively and sorted, the YAML and JSON files of folders. Follows links."""
    search = _Search(AllowedRoots(paths, within))
    for path in paths:
        if os.path.isdir(path):
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
    refused = [problem.position.file for problem in search.problems if problem.position]
    visited = frozenset([*paths, *search.folders, *(name for name, _ in search.files), *refused])
    return Reading(sources, search.problems, search.skipped(), visited)


def _is_submodule(folder: str) -> bool:
    """Whether a folder belongs to a Git submodule. Until that is checked out, it is empty."""
    real = os.path.realpath(folder)
    parent = os.path.dirname(real)
    while parent != os.path.dirname(parent):
        try:
            with open(os.path.join(parent, ".gitmodules"), "rb") as listed:  # noqa: PTH123 - as above
                paths = re.findall(_SUBMODULE_PATH, listed.read(_LARGEST_LIST))
        except OSError:
            parent = os.path.dirname(parent)
            continue
        return os.fsencode(os.path.relpath(real, parent)) in paths
    return False


def _not_checked_out(folder: str) -> Problem:
    message = "this folder is a Git submodule that is not checked out: its manifests are missing"
    hint = "run git submodule update --init; for a watcher, which reads one repository, move them into that"
    return path_problem(Kind.NO_YAML_FILES, folder, message, hint)


def no_manifests(folder: str) -> Problem:
    """The problem of a folder in which no file declares accounts."""
    hint = "name a folder with *.yaml, *.yml or *.json files; hidden ones and reconciler's own documents do not count"
    return path_problem(Kind.NO_YAML_FILES, folder, "this folder has no YAML file", hint)
