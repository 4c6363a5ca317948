"""The files of commits: each commit has a folder of its own, which is either complete or not there."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from reconciler.errors import Kind, SourceError
from reconciler.manifest.discovery import is_below
from reconciler.model.display import shorten
from reconciler.source.git_program import GitError

if TYPE_CHECKING:
    from collections.abc import Collection

    from reconciler.source.repository import Repository

# ruff: noqa: PTH100, PTH114, PTH115, PTH118 - links are resolved step by step

_UNFINISHED: Final = ".new-"
_MOST_LINKS: Final = 40
_LONGEST: Final = 200


class WorkTrees:
    """A folder with one work tree for each commit, for reading only.

    A work tree is written under another name, and renamed once it is complete. Submodules are not checked out: their
    folders are empty.
    """

    def __init__(self, folder: Path, repository: Repository) -> None:
        """Takes a folder that only this process uses."""
        self._folder = folder
        self._repository = repository
        self._checked: set[str] = set()

    def open(self) -> None:
        """Creates the folder, and removes what a killed process left behind."""
        self._folder.mkdir(exist_ok=True)
        for leftover in self._folder.glob(f"{_UNFINISHED}*"):
            shutil.rmtree(leftover, ignore_errors=True)

    def get(self, commit: str) -> Path:
        """The work tree of a commit, checked out unless it is there already.

        Raises:
            GitError: Git cannot check it out.
            SourceError: The disk is full.
            OSError: The folder cannot be written.
        """
        if not self.has(commit):
            shutil.rmtree(self._folder / commit, ignore_errors=True)
            self._check_out(commit)
            self._checked.add(commit)
        return self._tree(commit)

    def has(self, commit: str) -> bool:
        """Whether the work tree of a commit is there. One of an earlier process is compared with its index first.

        After a power failure, files may be empty.
        """
        if commit not in self._checked and self._is_unchanged(commit):
            self._checked.add(commit)
        return commit in self._checked and self._tree(commit).is_dir()

    def keep(self, commits: Collection[str]) -> None:
        """Removes the work trees of all other commits."""
        for found in self._folder.glob("*"):
            if found.name not in commits:
                self._checked.discard(found.name)
                shutil.rmtree(found, ignore_errors=True)

    def _tree(self, commit: str) -> Path:
        return self._folder / commit / "files"

    def _check_out(self, commit: str) -> None:
        new = Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=self._folder))
        try:
            (new / "files").mkdir()
            self._repository.run(
                "read-tree",
                "--reset",
                "-u",
                "--no-recurse-submodules",
                commit,
                index=new / "index",
                work_tree=new / "files",
            )
            new.rename(self._folder / commit)
        finally:
            shutil.rmtree(new, ignore_errors=True)

    def _is_unchanged(self, commit: str) -> bool:
        tree, index = self._tree(commit), self._folder / commit / "index"
        if not (tree.is_dir() and index.is_file()):
            return False
        try:
            changed = self._repository.ask("diff-files", "--quiet", index=index, work_tree=tree) is None
            return not (changed or self._repository.run("ls-files", "--others", index=index, work_tree=tree))
        except GitError:
            return False


def path_inside(tree: Path, path: str, commit: str) -> str:
    """A path in the work tree of a commit, with links resolved.

    Raises:
        SourceError: It does not exist, or a link leads outside the work tree.
    """
    shown = shorten(path, _LONGEST) or "."
    try:
        root = os.path.realpath(tree)
        real = os.path.realpath(os.path.join(root, path), strict=True)
    except OSError as error:
        is_missing = isinstance(error, FileNotFoundError | NotADirectoryError)
        message = f"commit {commit} has no file or folder {shown}" if is_missing else f"{shown}: {error.strerror}"
        hint = "check the path; it is relative to the top of the repository"
        raise SourceError.of(message, kind=Kind.NO_SUCH_FILE, hint=hint) from None
    if is_below(real, root):
        return real
    message, hint = f"{shown} is a link that leads outside the repository", "replace it with what it leads to"
    raise SourceError.of(message, kind=Kind.OUTSIDE_PATH, hint=hint)


def leads_through(path: str, folder: Path) -> bool:
    """Whether a path, or any link on the way to what it names, is inside a folder.

    Whoever can commit to the repository can change such a file.
    """
    root, current, links = os.path.realpath(folder), "/", 0
    waiting = os.path.abspath(path).split("/")[::-1]
    while waiting:
        part = waiting.pop()
        if part in {"", "."}:
            continue
        current = os.path.dirname(current) if part == ".." else os.path.join(current, part)  # noqa: PTH120 - as above
        if is_below(current, root):
            return True
        if os.path.islink(current):
            target, links = os.readlink(current), links + 1
            if links > _MOST_LINKS:
                return True
            waiting += target.split("/")[::-1]
            current = "/" if target.startswith("/") else os.path.dirname(current)  # noqa: PTH120 - as above
    return False
