from __future__ import annotations

import os
import stat
import threading
from typing import TYPE_CHECKING

import pytest

from reconciler.errors import Problem
from reconciler.spec.files import LARGEST, read_files

if TYPE_CHECKING:
    from pathlib import Path

    from tests.spec.conftest import Write


def _read(*paths: str) -> tuple[list[str], list[str]]:
    sources, problems = read_files(paths)
    return [source.name for source in sources], [f"{problem.kind} | {problem}" for problem in problems]


def test_folders_give_their_yaml_files_sorted_and_without_hidden_ones(write: Write) -> None:
    for name in ("d/b.yml", "d/a.yaml", "d/sub/c.yaml", "d/.hidden.yaml", "d/.git/x.yaml", "d/notes.txt"):
        write("x", name)
    assert _read("d") == (["d/a.yaml", "d/b.yml", "d/sub/c.yaml"], [])


def test_a_file_that_is_named_twice_is_read_once(write: Write, folder: Path) -> None:
    write("x", "d/a.yaml")
    (folder / "link.yaml").symlink_to("d/a.yaml")
    assert _read("d/a.yaml", "d", "link.yaml", str(folder / "d/a.yaml")) == (["d/a.yaml"], [])


def test_a_file_named_directly_may_have_any_name(write: Write) -> None:
    assert _read(write("x", ".hidden")) == ([".hidden"], [])


def test_each_obstacle_is_named(folder: Path) -> None:
    (folder / "empty").mkdir()
    with (folder / "large.yaml").open("wb") as stream:
        stream.truncate(LARGEST + 1)
    assert _read("missing.yaml", "empty", "large.yaml", "nul\0", "x" * 300) == (
        [],
        [
            "no_yaml_files | empty: this folder has no YAML file",
            "no_such_file | missing.yaml: there is no such file or folder",
            "too_large | large.yaml: the file is larger than 64 MiB",
            "unreadable | nul\0: it cannot be read: the name is not a valid path",
            f"unreadable | {'x' * 300}: it cannot be read: File name too long",
        ],
    )


def test_a_pipe_is_read_as_far_as_the_limit(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    writer = threading.Thread(target=(folder / "pipe").write_bytes, args=(b"version: 1\n",))
    writer.start()
    sources, problems = read_files(["pipe"])
    writer.join()
    assert ([source.data for source in sources], problems) == ([b"version: 1\n"], [])


def test_an_endless_device_is_too_large() -> None:
    assert _read("/dev/zero") == ([], ["too_large | /dev/zero: the file is larger than 64 MiB"])


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_may_not_be_read_is_named(write: Write, folder: Path) -> None:
    write("x", "d/a.yaml")
    write("x", "d/closed/b.yaml")
    (folder / "d/a.yaml").chmod(0)
    (folder / "d/closed").chmod(0)
    found = _read("d")
    (folder / "d/closed").chmod(stat.S_IRWXU)
    assert found == (
        [],
        ["permission_denied | d/closed: permission denied", "permission_denied | d/a.yaml: permission denied"],
    )


def test_permission_denied_has_a_hint() -> None:
    from reconciler.spec.files import obstacle

    assert obstacle("a.yaml", PermissionError(13, "Permission denied")) == Problem(
        kind="permission_denied", message="permission denied", hint="let the user that runs this read it", file="a.yaml"
    )
