"""What a crash, a power failure or another program leaves behind in the source's folder."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from reconciler.source.work_trees import leads_through
from tests.source.conftest import Following, files_of

FETCH = """
import sys
from pathlib import Path
from reconciler.source.git import GitSource
GitSource(sys.argv[1], "main", "", folder=Path(sys.argv[2])).fetch()
"""


def tree(following: Following) -> Path:
    (found,) = following.folder.glob("trees/*/files")
    return found


def test_a_process_killed_while_it_writes_a_work_tree_leaves_none(following: Following, tmp_path: Path) -> None:
    reached = tmp_path / "reached"
    os.mkfifo(reached)
    remote = following.remote
    remote.configure("filter.slow.smudge", f"cat; echo > {reached}; exec sleep 60")
    remote.commit({"z.slow": "z", ".gitattributes": "*.slow filter=slow\n"})
    command = [sys.executable, "-c", FETCH, remote.url, str(following.folder)]
    with subprocess.Popen(command, env=remote.environ) as process:
        reached.read_text()
        process.kill()
    (unfinished,) = following.folder.glob("trees/*")
    assert (unfinished / "files" / "a.yaml").exists()
    kill_group_of(unfinished)
    remote.configure("filter.slow.smudge", "cat")
    assert following.start().last_good() is None
    assert sorted(following.files()) == [".gitattributes", "a.yaml", "z.slow"]
    assert [path.name for path in following.folder.glob("trees/*")] == [remote.head()]


def kill_group_of(work_tree: Path) -> None:
    """Kills git, which outlives the process that started it."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            is_ours = f"--work-tree={work_tree}/files" in (process / "cmdline").read_text()
        except OSError:
            continue
        if is_ours:
            os.killpg(os.getpgid(int(process.name)), signal.SIGKILL)


@pytest.mark.parametrize(
    "lock", ["shallow.lock", "HEAD.lock", "config.lock", "refs/reconciler/tip.lock", "packed-refs.lock"]
)
def test_locks_of_a_killed_git_are_removed(following: Following, lock: str) -> None:
    following.accept_newest()
    (following.folder / "repository.git" / lock).touch()
    commit = following.remote.commit({"a.yaml": "two"})
    following.start()
    assert following.accept_newest() == commit


@pytest.mark.parametrize("name", ["HEAD", "config", "shallow", "objects", "refs/reconciler/tip"])
@pytest.mark.parametrize("is_restart", [True, False], ids=["at start", "while running"])
def test_a_corrupt_repository_is_fetched_again(following: Following, name: str, *, is_restart: bool) -> None:
    following.accept_newest()
    damage(following.folder / "repository.git", name)
    following.remote.commit({"a.yaml": "two"})
    if is_restart:
        following.start()
    assert following.files() == {"a.yaml": "two"}


def damage(repository: Path, name: str) -> None:
    files = [repository / name]
    if name == "objects":
        files = [path for path in (repository / "objects").rglob("*") if path.is_file()]
    for path in files:
        path.chmod(0o600)
        path.write_bytes(b"\0" * 20)


@pytest.mark.parametrize("change", ["emptied", "deleted", "added"])
def test_a_work_tree_that_is_not_as_it_was_is_replaced(following: Following, change: str) -> None:
    following.accept_newest()
    file = tree(following) / "a.yaml"
    if change == "emptied":
        file.write_text("")
    elif change == "deleted":
        file.unlink()
    else:
        (tree(following) / "b.yaml").write_text("b")
    assert files_of(following.start().last_good()) == {"a.yaml": "one"}


def test_a_work_tree_outlives_the_repository(following: Following) -> None:
    good = following.accept_newest()
    damage(following.folder / "repository.git", "HEAD")
    shutil.rmtree(following.remote.bare)
    revision = following.start().last_good()
    assert revision
    assert (revision.commit, files_of(revision)) == (good, {"a.yaml": "one"})


def test_many_objects_are_packed_when_nothing_is_new(following: Following) -> None:
    following.remote.configure("gc.auto", "1")
    following.accept_newest()
    objects = following.folder / "repository.git" / "objects"
    (objects / "17").mkdir(exist_ok=True)
    for number in range(2):  # git estimates the number of objects by this folder
        (objects / "17" / f"{number:038}").touch()
    assert list(objects.glob("pack/*.pack")) == []
    assert following.source.fetch() is None
    assert list(objects.glob("pack/*.pack"))


def test_a_work_tree_is_used_again_after_a_restart(following: Following) -> None:
    following.accept_newest()
    before = tree(following).stat().st_ino
    assert following.start().last_good()
    assert tree(following).stat().st_ino == before


def test_only_work_trees_that_may_be_in_use_are_kept(following: Following) -> None:
    accepted = [following.accept_newest()]
    for text in ("two", "three"):
        following.remote.commit({"a.yaml": f"bad {text}"})
        following.source.fetch()
        following.remote.commit({"a.yaml": text})
        accepted.append(following.accept_newest())
    kept = [path.name for path in following.folder.glob("trees/*")]
    assert sorted(kept) == sorted(accepted[-2:])


def test_only_the_user_may_read_the_folder(following: Following) -> None:
    following.accept_newest()
    assert following.folder.stat().st_mode & 0o777 == 0o700


def test_files_in_the_work_tree_are_recognised(following: Following, tmp_path: Path) -> None:
    following.accept_newest()
    inside = tree(following) / "a.yaml"
    outside = tmp_path / "trust.yaml"
    outside.touch()
    (tmp_path / "to-file").symlink_to(inside)
    (tmp_path / "to-folder").symlink_to(inside.parent)
    (tmp_path / "loop").symlink_to("loop")
    (inside.parent / "back").symlink_to(outside)
    paths = {
        str(inside): True,
        str(inside.parent / "missing.yaml"): True,
        str(tmp_path / "to-file"): True,
        str(tmp_path / "to-folder" / "a.yaml"): True,
        str(tmp_path / "to-folder" / "back"): True,
        str(tmp_path / "state" / ".." / "state" / "x"): True,
        str(tmp_path / "loop"): True,
        str(outside): False,
        str(tmp_path / "state-2"): False,
        str(tmp_path / "state" / ".." / "trust.yaml"): False,
    }
    assert {path: leads_through(path, following.folder) for path in paths} == paths
