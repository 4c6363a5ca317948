"""A real bare repository to fetch from, and what its users do to it."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


class GitRemote:
    """A bare repository whose branch ``main`` is checked out in a folder beside it.

    Attributes:
        bare: The repository.
        files: The folder.
        url: A ``file://`` URL, so that shallow fetches work as over a network.
        environ: Variables with which git reads neither the user's configuration nor the system's.
    """

    def __init__(self, folder: Path, *options: str) -> None:
        """Creates the repository in a folder, with options of ``git init``, unless it is there."""
        self.bare = folder / "remote.git"
        self.files = folder / "files"
        self.url = f"file://{self.bare}"
        self.environ = isolated(folder)
        if not self.bare.exists():
            self.files.mkdir()
            self._run("init", "--quiet", "--bare", "--template=", "--initial-branch=main", *options, str(self.bare))

    @classmethod
    def copied(cls, template: Path, folder: Path) -> Self:
        """A copy of a remote in another folder."""
        for name in ("remote.git", "files"):
            shutil.copytree(template / name, folder / name)
        return cls(folder)

    def git(self, *arguments: str) -> str:
        """Runs git in the repository and the folder."""
        return self._run(f"--git-dir={self.bare}", f"--work-tree={self.files}", *arguments)

    def commit(self, files: Mapping[str, str], *options: str) -> str:
        """Commits files on top of the current commit, and returns the hash."""
        for name, text in files.items():
            path = self.files / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message=change", *options)
        return self.head()

    def head(self) -> str:
        """The current commit."""
        return self.git("rev-parse", "HEAD").strip()

    def configure(self, name: str, value: str) -> None:
        """Changes the configuration of the user, who is also the one that fetches."""
        self._run("config", "--global", name, value)

    def _run(self, *arguments: str) -> str:
        done = subprocess.run(
            ["git", *arguments], cwd=self.files, env=self.environ, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


def isolated(home: Path) -> dict[str, str]:
    """An environment in which git reads only the configuration in a folder, and does no housekeeping."""
    configuration = home / ".gitconfig"
    if not configuration.exists():
        configuration.write_text("[core]\nfsync = none\n[maintenance]\nauto = false\n")
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "GIT_CONFIG_GLOBAL": str(configuration),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_AUTHOR_NAME": "Ada",
        "GIT_AUTHOR_EMAIL": "ada@example.com",
        "GIT_COMMITTER_NAME": "Ada",
        "GIT_COMMITTER_EMAIL": "ada@example.com",
    }
