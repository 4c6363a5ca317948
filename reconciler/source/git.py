"""Manifests in a Git repository, at one ref."""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from reconciler.errors import Kind, SourceError
from reconciler.model.display import escape
from reconciler.source.git_address import checked_commit, checked_path, checked_ref, checked_url
from reconciler.source.git_program import Git, GitError, disk_full
from reconciler.source.repository import Repository
from reconciler.source.revision import Revision
from reconciler.source.work_trees import WorkTrees, leads_through, path_inside

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from reconciler.source.repository import RemoteRef

TIMEOUT: Final = 120.0
"""Seconds that each git command may take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GitOptions:
    """Which commits are accepted.

    Attributes:
        allow_rewind: Whether a commit need not descend from the last good one.
        verify_signatures: Whether a commit must be signed. That is the newest commit of the ref, the one that is used:
            its signature covers all of its files, and the hashes of its ancestors, none of which is used.
        allowed_signers: The SSH keys that may sign, in the format of ``ssh-keygen``; signatures of any other kind are
            then refused. ``None`` for what git is configured to accept, such as the keys of the user's GPG keyring.
        timeout: Seconds that each git command may take.
        environ: The environment of git; ``None`` for that of this process.
    """

    allow_rewind: bool = False
    verify_signatures: bool = False
    allowed_signers: Path | None = None
    timeout: float = TIMEOUT
    environ: Mapping[str, str] | None = None


class GitSource:
    """Offers the newest commit of a ref, if it descends from the last good one.

    Everything is fetched by the git program, whose own configuration gives the credentials. Submodules are not
    followed, and hooks do not run. Filters, such as that of Git LFS, run only if the user's configuration has them.
    """

    def __init__(
        self, url: str, ref: str, path: str, *, folder: Path, last_good: str = "", options: GitOptions | None = None
    ) -> None:
        """Takes where the manifests are.

        Args:
            url: The repository, without credentials; a local path works too.
            ref: A branch, a tag, or ``refs/...`` in full. A name that is both is refused.
            path: A folder or a file in the repository; empty for all of it.
            folder: Where this source keeps its files. No other process may use it. It may be lost.
            last_good: The last good commit of an earlier process; empty if there was none.
            options: Which commits are accepted.

        Raises:
            SourceError: A value cannot be used.
        """
        self._options = options or GitOptions()
        self._url, self._ref, self._path = checked_url(url), checked_ref(ref), checked_path(path)
        self.name = escape(f"{self._url} {self._ref}")
        self._folder = folder.absolute()
        self._git = Git(self._folder, self._options.timeout, self._options.environ)
        self._repository = Repository(self._folder / "repository.git", self._git)
        self._trees = WorkTrees(self._folder / "trees", self._repository)
        self._good = checked_commit(last_good)
        self._before = ""
        self._is_loaded = False
        self._is_tidy = False
        self._offered: Revision | None = None
        self._check_signers()

    def _check_signers(self) -> None:
        signers = self._options.allowed_signers
        if signers is None:
            return
        if leads_through(str(signers), self._folder):
            message = f"the file of allowed signers is inside the work tree: {signers}"
            hint = "name a file that commits to the repository cannot change"
            raise SourceError.of(message, kind=Kind.GIT_SIGNATURE, hint=hint)
        if not signers.is_file():
            message = f"there is no file of allowed signers: {signers}"
            raise SourceError.of(message, kind=Kind.GIT_SIGNATURE, hint="check the path")

    def last_good(self) -> Revision | None:
        """The last good commit, from the folder alone; see ``Source.last_good``."""
        if not self._good:
            return None
        try:
            with self._folder_errors():
                self._open()
                if self._trees.has(self._good) or self._repository.has(self._good):
                    self._verify(self._good)
                    self._offered = self._revision(self._good)
                    return self._offered
        except SourceError:
            return None
        return None

    def fetch(self) -> Revision | None:
        """The newest commit; see ``Source.fetch``.

        Raises:
            SourceError: The remote cannot be reached, or the commit is refused.
        """
        with self._folder_errors():
            self._open()
            ref = self._repository.look_up(self._url, self._ref)
            if self._is_loaded and ref.commit == self._good and self._trees.has(self._good):
                self._tidy()
                return None
            if self._offered and self._offered.commit == ref.commit and self._trees.has(ref.commit):
                return self._offered
            try:
                self._offered = self._fetched(ref)
            except GitError:
                if self._repository.is_healthy():
                    raise
                self._repository.reset()
                self._offered = self._fetched(ref)
            return self._offered

    def is_intact(self, revision: Revision) -> bool:
        """Whether this is the revision that was offered: nothing changes the files of a commit."""
        return revision == self._offered

    def accept(self, revision: Revision) -> bool:
        """The commit is the last good one from now on. The work tree of the one before stays: it may be in use."""
        if not self.is_intact(revision):
            return False
        if revision.commit != self._good:
            self._before, self._good = self._good, revision.commit
        self._is_loaded, self._is_tidy = True, False
        self._trees.keep({self._before, self._good})
        return True

    def close(self) -> None:
        """Kills the git command that runs, and lets none start any more."""
        self._git.end()

    def _tidy(self) -> None:
        """Tidies up after each new commit, when nothing waits for it."""
        if not self._is_tidy:
            self._is_tidy = True
            self._repository.tidy()

    def _open(self) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._trees.open()
        self._repository.open()

    def _fetched(self, ref: RemoteRef) -> Revision:
        must_descend = not self._options.allow_rewind
        commit = self._repository.fetch(self._url, ref, self._good, must_descend=must_descend)
        if self._good and must_descend and not self._repository.is_ancestor(self._good, commit):
            raise self._rewound(commit)
        self._verify(commit)
        return self._revision(commit)

    def _verify(self, commit: str) -> None:
        if self._options.verify_signatures:
            self._repository.verify(commit, self._options.allowed_signers)

    def _revision(self, commit: str) -> Revision:
        tree = self._trees.get(commit)
        self._trees.keep({self._before, self._good, commit})
        return Revision(commit, [path_inside(tree, self._path, commit)], root=os.path.realpath(tree))

    def _rewound(self, commit: str) -> SourceError:
        message = f"commit {commit} of {escape(self._ref)} does not descend from the last good commit {self._good}"
        hint = "revert with a new commit instead of rewriting history, or allow it once with --allow-rewind"
        return SourceError.of(message, kind=Kind.GIT_REWOUND, hint=hint)

    @contextmanager
    def _folder_errors(self) -> Iterator[None]:
        """Converts the errors of files in the folder."""
        try:
            yield
        except OSError as error:
            if error.errno in {errno.ENOSPC, errno.EDQUOT}:
                raise disk_full() from None
            message = f"the folder of the Git repository cannot be used: {error.strerror} ({error.filename})"
            hint = "check the state directory and its permissions"
            raise SourceError.of(message, kind=Kind.GIT_FAILED, hint=hint) from None
