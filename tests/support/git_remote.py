"""A real bare repository to fetch from, and what its users do to it."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


class GitRemote:
    """A bare repository with the branch ``main``, and a clone from which commits are pushed.

    Attributes:
        environ: Variables with which git reads neither the user's configuration nor the system's.
        url: A ``file://`` URL, so that shallow fetches work as over a network.
    """

    def __init__(self, folder: Path, *options: str) -> None:
        self.bare = folder / "remote.git"
        self.clone = folder / "clone"
        self.url = f"file://{self.bare}"
        self.environ = isolated(folder)
        self._run("init", "--quiet", "--bare", "--initial-branch=main", *options, str(self.bare), folder=folder)
        self._run("init", "--quiet", "--initial-branch=main", *options, str(self.clone), folder=folder)

    def git(self, *arguments: str) -> str:
        """Runs git in the clone."""
        return self._run(*arguments, folder=self.clone)

    def commit(self, files: Mapping[str, str], *options: str, push: bool = True) -> str:
        """Commits files on top of the current commit, pushes to ``main``, and returns the hash."""
        for name, text in files.items():
            path = self.clone / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message=change", *options)
        if push:
            self.push("HEAD:refs/heads/main")
        return self.head()

    def push(self, *refspecs: str) -> None:
        """Pushes, by force."""
        self.git("push", "--quiet", "--force", str(self.bare), *refspecs)

    def head(self) -> str:
        return self.git("rev-parse", "HEAD").strip()

    def _run(self, *arguments: str, folder: Path) -> str:
        done = subprocess.run(
            ["git", *arguments], cwd=folder, env=self.environ, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


def isolated(home: Path) -> dict[str, str]:
    """An environment in which git reads only the configuration in ``home``."""
    (home / ".gitconfig").touch()
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "GIT_CONFIG_GLOBAL": str(home / ".gitconfig"),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_AUTHOR_NAME": "Ada",
        "GIT_AUTHOR_EMAIL": "ada@example.com",
        "GIT_COMMITTER_NAME": "Ada",
        "GIT_COMMITTER_EMAIL": "ada@example.com",
    }
