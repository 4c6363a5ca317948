"""The bare repository in the state directory: the newest commit of one ref, and its history since the last good one."""

from __future__ import annotations

import shutil
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final, NamedTuple

from reconciler.errors import Kind, SourceError
from reconciler.model.display import shorten
from reconciler.source.git_address import checked_commit
from reconciler.source.git_program import GitError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from reconciler.source.git_program import Git

_TIP: Final = "refs/reconciler/tip"
_GOOD: Final = "refs/reconciler/good"
"""The last good commit. Git deletes what no ref leads to."""

_FETCH: Final = ("fetch", "--quiet", "--force", "--no-tags", "--no-recurse-submodules", "--no-write-fetch-head")
_LEFTOVERS: Final = (
    "*.lock",
    "refs/**/*.lock",
    "objects/info/*.lock",
    "objects/pack/tmp_*",
    "objects/*/tmp_obj_*",
    "gc.pid",
)
_LONGEST: Final = 200

_SHA1: Final = "sha1"
_SHA256: Final = "sha256"
_SHA256_LENGTH: Final = 64


class RemoteRef(NamedTuple):
    """A ref of the remote, by its full name, and the commit that it leads to."""

    name: str
    commit: str


class Repository:
    """A shallow repository that holds one ref of one remote.

    Its history is cut only below the commit that was fetched first. All commits after that are complete, so that
    ``is_ancestor`` is exact for the last good commit and for what was fetched later.
    """

    def __init__(self, folder: Path, git: Git) -> None:
        """Takes a folder that only this process uses; its content can be fetched again."""
        self.folder = folder
        self._git = git
        self._options = (f"--git-dir={folder}",)
        self._format = _SHA1
        self._is_open = False

    def open(self) -> None:
        """Creates the repository if it is missing or broken, and removes what a killed git left behind.

        Raises:
            SourceError: That is not possible.
        """
        if self._is_open:
            return
        for pattern in _LEFTOVERS:
            for leftover in self.folder.glob(pattern):
                leftover.unlink(missing_ok=True)
        try:
            self._format = self._git.run(*self._options, "rev-parse", "--show-object-format").strip()
        except GitError:
            self.reset()
        self._is_open = True

    def reset(self) -> None:
        """Throws everything away."""
        shutil.rmtree(self.folder, ignore_errors=True)
        options = ("--quiet", "--bare", "--template=", f"--object-format={self._format}")
        self._git.run("init", *options, "--", str(self.folder))

    def tidy(self) -> None:
        """Packs the objects once there are many. If that fails, the next time will do."""
        with suppress(SourceError):
            self.run("gc", "--auto", "--quiet")

    def is_healthy(self) -> bool:
        """Whether git finds nothing wrong with the repository."""
        try:
            self.run("fsck", "--no-dangling", "--no-progress")
        except GitError:
            return False
        return True

    def run(self, *arguments: str, index: Path | None = None, work_tree: Path | None = None) -> str:
        """The output of a command; see ``Git.run``."""
        with self._watched():
            return self._git.run(*self._global(work_tree), *arguments, environ=_environment(index))

    def ask(self, *arguments: str, index: Path | None = None, work_tree: Path | None = None) -> str | None:
        """The output of a command, or ``None`` if it means no; see ``Git.ask``."""
        with self._watched():
            return self._git.ask(*self._global(work_tree), *arguments, environ=_environment(index))

    @contextmanager
    def _watched(self) -> Iterator[None]:
        """After any failure, the repository is opened again: git may have been killed."""
        try:
            yield
        except SourceError:
            self._is_open = False
            raise

    def _global(self, work_tree: Path | None) -> Sequence[str]:
        if work_tree is None:
            return self._options
        return (*self._options, "-c", "core.bare=false", f"--work-tree={work_tree}")

    def look_up(self, url: str, ref: str) -> RemoteRef:
        """Asks the remote for a ref: a branch, a tag, or ``refs/...`` in full.

        Raises:
            SourceError: The remote cannot be asked, has no such ref, or has both a branch and a tag of this name.
        """
        is_full = ref.startswith("refs/") or ref == "HEAD"
        names = [ref] if is_full else [f"refs/heads/{ref}", f"refs/tags/{ref}"]
        output = self._git.run("ls-remote", "--", url, *(asked for name in names for asked in (name, f"{name}^{{}}")))
        found = {name: commit for commit, _, name in (line.partition("\t") for line in output.splitlines())}
        existing = [name for name in names if name in found]
        if len(existing) == 1:
            (name,) = existing
            commit = checked_commit(found.get(f"{name}^{{}}", found[name]))
            if commit:
                return RemoteRef(name, commit)
        shown = shorten(ref, _LONGEST)
        if len(existing) > 1:
            message, hint = f"{shown} is both a branch and a tag", f"write refs/heads/{shown} or refs/tags/{shown}"
        else:
            what = "ref" if is_full else "branch or tag"
            message = f"the Git repository has no {what} named {shown}"
            hint = "check the ref; it may have been deleted or renamed"
        raise SourceError.of(message, kind=Kind.GIT_REF, hint=hint)

    def fetch(self, url: str, ref: RemoteRef, good: str, *, must_descend: bool) -> str:
        """Fetches a ref, with enough of its history to decide whether it descends from the last good commit.

        Returns:
            The commit; it may be newer than the one that was looked up.

        Raises:
            SourceError: That is not possible.
        """
        if self._format != (needed := _SHA256 if len(ref.commit) == _SHA256_LENGTH else _SHA1):
            self._format = needed
            self.reset()
        if good and not self._keep(good) and not self._is_complete():
            self.reset()  # its history is cut in another place, so that it could not decide
            if must_descend and ref.commit != good:
                # If the remote no longer has that commit, the whole history shows that nothing descends from it.
                with suppress(GitError):
                    self._fetch(url, good, _GOOD, "--depth=1")
                self._fetch(url, ref.name, _TIP)
                return self._tip(ref)
        if self._commit(_TIP) != ref.commit:
            self._fetch(url, ref.name, _TIP, *(() if self._has_commits() else ("--depth=1",)))
        return self._tip(ref)

    def _has_commits(self) -> bool:
        return bool(self.run("for-each-ref", "--count=1", "refs/reconciler"))

    def _is_complete(self) -> bool:
        """Whether the history of all commits is there."""
        return self._has_commits() and not (self.folder / "shallow").exists()

    def _fetch(self, url: str, name: str, target: str, *options: str) -> None:
        self.run(*_FETCH, *options, "--", url, f"+{name}:{target}")

    def _tip(self, ref: RemoteRef) -> str:
        commit = self._commit(_TIP)
        if not commit:
            message = f"{shorten(ref.name, _LONGEST)} leads to no commit"
            raise SourceError.of(message, kind=Kind.GIT_REF, hint="name a branch, or a tag of a commit")
        return commit

    def _commit(self, name: str) -> str:
        """The commit that a name leads to; empty if there is none."""
        found = self.ask("rev-parse", "--quiet", "--verify", "--end-of-options", f"{name}^{{commit}}")
        return (found or "").strip()

    def has(self, commit: str) -> bool:
        """Whether a commit is there."""
        return bool(self._commit(commit))

    def _keep(self, good: str) -> bool:
        """Makes sure that the last good commit is not deleted; returns whether it is there."""
        if not self.has(good):
            return False
        self.run("update-ref", _GOOD, good)
        return True

    def is_ancestor(self, ancestor: str, commit: str) -> bool:
        """Whether a commit descends from another one, or is the same."""
        return self.has(ancestor) and self.ask("merge-base", "--is-ancestor", ancestor, commit) is not None

    def verify(self, commit: str, allowed_signers: Path | None) -> None:
        """Checks the signature of a commit.

        Args:
            commit: Its hash.
            allowed_signers: The SSH keys that may sign, and no others; ``None`` for those that git is configured to
                accept.

        Raises:
            SourceError: It is not signed, or not by them.
        """
        options: tuple[str, ...] = ()
        if allowed_signers is not None:
            options = ("-c", f"gpg.ssh.allowedSignersFile={allowed_signers.absolute()}")
            for kind in ("gpg", "gpg.openpgp", "gpg.x509"):  # otherwise any key in the user's keyring could sign
                options += ("-c", f"{kind}.program=false")
        try:
            self.run(*options, "verify-commit", "--end-of-options", commit)
        except GitError as error:
            reason = "" if error.reason.startswith("exit code") else f": {error.reason}"
            message = f"commit {commit} has no accepted signature{reason}"
            hint = "have an allowed signer sign the newest commit; only that one is checked"
            raise SourceError.of(message, kind=Kind.GIT_SIGNATURE, hint=hint) from None


def _environment(index: Path | None) -> dict[str, str]:
    return {} if index is None else {"GIT_INDEX_FILE": str(index)}
