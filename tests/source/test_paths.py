"""Paths on this machine: what counts as a change, and when it is offered."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from reconciler.errors import SourceError
from reconciler.source.git_address import checked_commit
from reconciler.source.paths import PathsSource
from reconciler.source.revision import Revision

if TYPE_CHECKING:
    from collections.abc import Callable

ONE = "version: 1\nserver: {url: 'https://fw.example.com'}\naccounts: [{email: one@example.com}]\n"
TWO = ONE.replace("one@", "two@")


class Watched:
    """A source of ``manifests``, and the clock that it reads."""

    def __init__(self, *paths: str) -> None:
        self.now = 0.0
        self.source = PathsSource(paths or ("manifests",), lambda: self.now)

    def look(self, after: float = 1.0) -> Revision | None:
        self.now += after
        return self.source.fetch()

    def settle(self) -> Revision | None:
        """What is offered once a change has been unchanged for a second."""
        self.look()
        return self.look()

    def accept_newest(self) -> str:
        revision = self.settle()
        assert revision
        assert self.source.accept(revision)
        return revision.commit

    def error(self) -> str:
        self.look()
        with pytest.raises(SourceError) as caught:
            self.look()
        return "; ".join(f"{one.kind} | {one} | {one.hint}" for one in caught.value.problems)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    found = tmp_path / "manifests"
    found.mkdir()
    (found / "a.yaml").write_text(ONE)
    return found


@pytest.fixture
def watched(folder: Path) -> Watched:
    assert folder.exists()
    return Watched()


def test_content_is_offered_after_a_second_without_change(watched: Watched) -> None:
    offered = [watched.look(0), watched.look(0.9), watched.look(0.1)]
    assert offered[:2] == [None, None]
    assert offered[2]
    assert (len(offered[2].commit), offered[2].paths) == (32, ("manifests",))
    assert checked_commit(offered[2].commit) == ""  # a repository may take the place of the paths


def test_accepted_content_is_not_offered_again(watched: Watched) -> None:
    watched.accept_newest()
    assert [watched.look(), watched.look()] == [None, None]


def test_content_that_is_not_accepted_is_offered_again(watched: Watched) -> None:
    assert watched.settle() == watched.look()


def test_each_write_starts_the_second_again(watched: Watched, folder: Path) -> None:
    watched.accept_newest()
    offered = []
    for number in range(4):
        (folder / "a.yaml").write_text(f"{TWO}# {number}\n")
        offered.append(watched.look(0.9))
    assert offered == [None] * 4
    assert watched.look(0.9) is None
    assert watched.look(0.1)


def test_writing_the_same_content_again_is_no_change(watched: Watched, folder: Path) -> None:
    watched.accept_newest()
    (folder / "a.yaml").write_text(ONE)
    assert [watched.look(), watched.look(), watched.look()] == [None] * 3


def test_a_change_that_keeps_size_and_time_is_found(watched: Watched, folder: Path) -> None:
    watched.accept_newest()
    before = (folder / "a.yaml").stat()
    (folder / "a.yaml").write_text(TWO)
    os.utime(folder / "a.yaml", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert watched.settle()


def test_a_file_replaced_by_renaming_is_found(watched: Watched, folder: Path) -> None:
    watched.accept_newest()
    (folder / ".a.yaml.tmp").write_text(TWO)
    (folder / ".a.yaml.tmp").rename(folder / "a.yaml")
    assert watched.settle()


def test_temporary_files_of_editors_are_no_change(watched: Watched, folder: Path) -> None:
    watched.accept_newest()
    for name in (".a.yaml.swp", "a.yaml~", "4913", "#a.yaml#"):
        (folder / name).write_text("x")
    assert [watched.look(), watched.look()] == [None, None]
    for name in (".a.yaml.swp", "a.yaml~"):
        (folder / name).unlink()
    assert [watched.look(), watched.look()] == [None, None]


def test_a_folder_where_something_always_changes_is_still_offered(watched: Watched, folder: Path) -> None:
    watched.look()
    (folder / "notes.txt").touch()
    assert watched.look()


def test_new_renamed_and_deleted_files_are_changes(watched: Watched, folder: Path) -> None:
    commits = [watched.accept_newest()]
    (folder / "deeper").mkdir()
    (folder / "deeper" / "b.yaml").write_text(TWO)
    commits.append(watched.accept_newest())
    (folder / "deeper" / "b.yaml").rename(folder / "deeper" / "c.yaml")
    commits.append(watched.accept_newest())
    (folder / "deeper" / "c.yaml").unlink()
    assert watched.accept_newest() == commits[0]
    assert len(set(commits)) == 3


def test_a_config_map_of_kubernetes_is_swapped_as_a_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    mount = tmp_path / "mount"
    for version, text in (("..1", ONE), ("..2", TWO)):
        (mount / version).mkdir(parents=True)
        (mount / version / "accounts.yaml").write_text(text)
    (mount / "..data").symlink_to("..1")
    (mount / "accounts.yaml").symlink_to("..data/accounts.yaml")
    by_folder, by_file = Watched("mount"), Watched("mount/accounts.yaml")
    before = [by_folder.accept_newest(), by_file.accept_newest()]
    (mount / "..data_tmp").symlink_to("..2")
    (mount / "..data_tmp").rename(mount / "..data")
    after = [by_folder.accept_newest(), by_file.accept_newest()]
    assert [one != other for one, other in zip(before, after, strict=True)] == [True, True]


def test_bases_outside_the_paths_are_watched(folder: Path) -> None:
    (folder / "a.yaml").write_text("version: 1\nextends: ../common.yaml\nserver: {name: fw}\naccounts: []\n")
    (folder.parent / "common.yaml").write_text("version: 1\nbase: true\nextends: top.yaml\n")
    watched = Watched()
    commits = [watched.accept_newest()]
    for text in ("version: 1\nbase: true\n", "version: 1\nbase: true\ndefaults: {smtp_port: 25}\n"):
        (folder.parent / "top.yaml").write_text(text)
        commits.append(watched.accept_newest())
    assert len(set(commits)) == 3


def test_files_that_are_not_yaml_are_offered_for_the_loader_to_report(watched: Watched, folder: Path) -> None:
    (folder / "a.yaml").write_text("extends: [")
    assert watched.settle()


def test_a_vanished_path_is_an_error_after_a_second(watched: Watched, folder: Path) -> None:
    commit = watched.accept_newest()
    folder.rename("elsewhere")
    assert watched.error() == "no_such_file | manifests: there is no such file or folder | check the path"
    Path("elsewhere").rename(folder)
    with pytest.raises(SourceError):
        watched.look()
    assert watched.look() is None
    (folder / "a.yaml").write_text(TWO)
    assert watched.accept_newest() != commit


def test_a_path_that_is_gone_for_a_moment_is_no_error(watched: Watched, folder: Path) -> None:
    watched.accept_newest()
    folder.rename("elsewhere")
    offered = [watched.look(0.5)]
    Path("elsewhere").rename(folder)
    assert [*offered, watched.look(0.5), watched.look()] == [None] * 3


def test_a_folder_without_manifests_is_an_error(watched: Watched, folder: Path) -> None:
    watched.accept_newest()
    (folder / "a.yaml").unlink()
    assert watched.error() == (
        "no_yaml_files | manifests: this folder has no YAML file"
        " | name a folder with *.yaml, *.yml or *.json files; hidden ones and reconciler's own documents do not count"
    )


def test_a_file_that_cannot_be_read_is_an_error(watched: Watched, folder: Path) -> None:
    watched.accept_newest()
    (folder / "a.yaml").unlink()
    (folder / "a.yaml").symlink_to("gone.yaml")
    assert watched.error() == "no_such_file | manifests/a.yaml: there is no such file or folder | check the path"


@pytest.mark.parametrize("change", ["a.yaml", "b.yaml"])
def test_what_changes_while_it_is_loaded_is_not_accepted(watched: Watched, folder: Path, change: str) -> None:
    revision = watched.settle()
    assert revision
    (folder / change).write_text(TWO)
    assert not watched.source.accept(revision)
    assert not watched.source.is_intact(revision)
    assert watched.look() is None
    assert watched.look() != revision


def test_a_file_that_is_there_only_while_loading_is_noticed(watched: Watched, folder: Path) -> None:
    revision = watched.settle()
    assert revision
    assert watched.source.is_intact(revision)
    (folder / "b.yaml").write_text(TWO)
    (folder / "b.yaml").unlink()
    assert not watched.source.is_intact(revision)


def test_only_the_offered_revision_is_accepted(watched: Watched) -> None:
    watched.settle()
    assert not watched.source.accept(Revision("0" * 40, ["manifests"]))


def test_a_quiet_look_opens_no_file(watched: Watched, folder: Path) -> None:
    watched.accept_newest()
    quiet = calls_of_system(watched.look)
    (folder / "a.yaml").write_text(TWO)
    busy = calls_of_system(watched.look)
    assert [sorted(calls & {"stat", "open", "scandir"}) for calls in (quiet, busy)] == [
        ["stat"],
        ["open", "scandir", "stat"],
    ]


def calls_of_system(function: Callable[[], object]) -> set[str]:
    """The names of the functions written in C that a function calls."""
    called: set[str] = set()
    sys.setprofile(
        lambda _frame, event, called_function: called.add(called_function.__name__) if event == "c_call" else None
    )
    try:
        function()
    finally:
        sys.setprofile(None)
    return called


def test_the_name_shows_the_paths_without_control_characters() -> None:
    assert PathsSource(["manifests", "b\n.yaml"]).name == "manifests b\\u000a.yaml"
