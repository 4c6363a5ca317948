from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from reconciler.errors import SourceError
from reconciler.source.git import GitOptions, GitSource
from tests.support.git_remote import GitRemote

if TYPE_CHECKING:
    from reconciler.source.revision import Revision


class Following:
    """A source of a remote's ``main``, its folder, and the last good commit that outlives the source."""

    def __init__(self, remote: GitRemote, folder: Path) -> None:
        self.remote = remote
        self.folder = folder
        self.options = GitOptions(environ=remote.environ, timeout=20)
        self.good = ""
        self.ref, self.path, self.url = "main", "", remote.url
        self.source = self.start()

    def start(self, **options: object) -> GitSource:
        """A new process with the same folder."""
        self.options = replace(self.options, **options)  # type: ignore[arg-type]
        self.source = GitSource(
            self.url, self.ref, self.path, folder=self.folder, last_good=self.good, options=self.options
        )
        return self.source

    def accept_newest(self) -> str:
        revision = self.source.fetch()
        assert revision
        assert self.source.accept(revision)
        self.good = revision.commit
        return revision.commit

    def files(self) -> dict[str, str]:
        """The files of the newest commit, by their names in the work tree."""
        return files_of(self.source.fetch())

    def error(self) -> str:
        with pytest.raises(SourceError) as caught:
            self.source.fetch()
        return shown(caught.value)


def files_of(revision: Revision | None) -> dict[str, str]:
    assert revision
    (path,) = map(Path, revision.paths)
    found = sorted(path.rglob("*")) if path.is_dir() else [path]
    return {str(one.relative_to(path)): one.read_text() for one in found if one.is_file()}


def shown(error: SourceError) -> str:
    return "; ".join(f"{one.kind} | {one} | {one.hint}" for one in error.problems)


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A remote with one commit, to copy: faster than creating it for each test."""
    folder = tmp_path_factory.mktemp("remote")
    GitRemote(folder).commit({"a.yaml": "one"})
    return folder


@pytest.fixture
def following(template: Path, tmp_path: Path) -> Following:
    return Following(GitRemote.copied(template, tmp_path), tmp_path / "state")
