from __future__ import annotations

import os
import stat
import subprocess
import threading
from typing import TYPE_CHECKING

import pytest

from reconciler.errors import ManifestError, Position, Problem, file_order
from reconciler.manifest import schema_text
from reconciler.manifest.discovery import read_files
from reconciler.manifest.files import LARGEST, TooLargeError, read_bytes
from reconciler.manifest.loader import load
from reconciler.manifest.reader import read_manifests

if TYPE_CHECKING:
    from pathlib import Path

    from tests.manifest.conftest import Write


def _read(*paths: str) -> tuple[list[str], list[str]]:
    sources, problems, _, _ = read_files(paths)
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


def test_a_submodule_that_is_not_checked_out_is_an_error(write: Write, folder: Path) -> None:
    other, own = folder / "other", folder / "own"
    write("x", "other/a.yaml")
    write("x", "own/manifests/b.yaml")
    for repository in (other, own):
        _git(repository, "init", "--quiet")
        _git(repository, "add", ".")
        _git(repository, "commit", "--quiet", "-m", "x")
    _git(own, "submodule", "--quiet", "add", "../other", "manifests/team")
    _git(own, "commit", "--quiet", "-m", "y")
    assert _read("own/manifests") == (["own/manifests/b.yaml", "own/manifests/team/a.yaml"], [])
    _git(folder, "clone", "--quiet", "own", "clone")
    message = "this folder is a Git submodule that is not checked out: its manifests are missing"
    problem = f"no_yaml_files | clone/manifests/team: {message}"
    assert _read("clone/manifests") == (["clone/manifests/b.yaml"], [problem])
    assert _read("clone/manifests/team") == ([], [problem])
    (folder / "clone/manifests/empty").mkdir()
    assert _read("clone/manifests") == (["clone/manifests/b.yaml"], [problem])


def _git(folder: Path, *arguments: str) -> None:
    identity = ("-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "protocol.file.allow=always")
    subprocess.run(["git", "-C", folder, *identity, *arguments], check=True)


def test_a_pipe_cannot_block_the_run(folder: Path) -> None:
    (folder / "d").mkdir()
    os.mkfifo(folder / "d/pipe.yaml")
    (folder / "link.yaml").symlink_to("d/pipe.yaml")
    for name in ("d/pipe.yaml", "link.yaml", "d"):
        file = "d/pipe.yaml" if name == "d" else name
        assert _read(name) == ([], [f"unreadable | {file}: this is not a regular file"])


@pytest.mark.parametrize("name", ["/dev/zero", "/dev/stdin", "/proc/self/environ", "/sys/kernel/notes"])
def test_nothing_below_the_system_folders_is_read(folder: Path, name: str) -> None:
    (folder / "link.yaml").symlink_to(name)
    root = "/proc" if name == "/dev/stdin" else f"/{name.split('/')[1]}"
    for path in (name, "link.yaml", str(folder)):
        file = str(folder / "link.yaml") if path == str(folder) else path
        found = _read(path)
        assert found[0] == []
        assert found[1][0].startswith(f"outside_path | {file}: ")
        assert name != "/proc/self/environ" or found[1] == [f"outside_path | {file}: nothing below {root} is read"]


def test_folders_give_json_too_with_any_case_of_the_extension(write: Write) -> None:
    for name in ("d/sales.YAML", "d/b.Yml", "d/x.json", "d/y.JSON"):
        write("x", name)
    assert _read("d") == (["d/b.Yml", "d/sales.YAML", "d/x.json", "d/y.JSON"], [])


def test_links_are_followed_and_each_file_is_read_once(write: Write, folder: Path) -> None:
    write("x", "d/real/a.yaml")
    write("x", "elsewhere/b.yaml")
    (folder / "d/a-link").symlink_to("real")
    (folder / "d/b-link").symlink_to("../elsewhere")
    (folder / "d/loop").symlink_to(".")
    (folder / "d/real/up").symlink_to("..")
    (folder / "d/circle").symlink_to("circle")
    (folder / "d/again.yaml").symlink_to("real/a.yaml")
    (folder / "d/real/hard.yaml").hardlink_to(folder / "d/real/a.yaml")
    (folder / "link").symlink_to("d")
    assert _read("d") == (["d/b-link/b.yaml", "d/real/a.yaml"], [])
    assert _read("link") == (["link/b-link/b.yaml", "link/real/a.yaml"], [])


def test_a_folder_mounted_by_kubernetes_is_read_once(write: Write, folder: Path) -> None:
    write("x", "d/..2026_01/accounts.yaml")
    (folder / "d/..data").symlink_to("..2026_01")
    (folder / "d/accounts.yaml").symlink_to("..data/accounts.yaml")
    assert _read(str(folder / "d")) == ([str(folder / "d/accounts.yaml")], [])


@pytest.mark.parametrize("inside", [True, False], ids=["in the working directory", "elsewhere"])
def test_a_link_must_not_lead_outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, inside: bool) -> None:
    secret = tmp_path / "home/credentials.yaml"
    repository = tmp_path / "repository"
    for folder in (secret.parent, repository / "d", tmp_path / "cwd"):
        folder.mkdir(parents=True)
    secret.write_text("hunter2: x")
    (repository / "d/file.yaml").symlink_to(secret)
    (repository / "d/folder").symlink_to(secret.parent)
    (repository / "named").symlink_to(secret.parent)
    monkeypatch.chdir(repository if inside else tmp_path / "cwd")
    base = "" if inside else f"{repository}/"
    for name, link, target in [
        (f"{base}d/file.yaml", f"{base}d/file.yaml", secret),
        (f"{base}named", f"{base}named", secret.parent),
        (f"{base}named/credentials.yaml", f"{base}named/credentials.yaml", secret)
        if inside
        else (f"{base}d/file.yaml", f"{base}d/file.yaml", secret),
    ]:
        where = "outside the given paths and the working directory"
        assert _read(name) == ([], [f"outside_path | {link}: this link leads to {target}, {where}"])
    assert [problem.split(": ")[0] for problem in _read(f"{base}d")[1]] == [
        f"outside_path | {base}d/folder",
        f"outside_path | {base}d/file.yaml",
    ]
    monkeypatch.chdir(tmp_path)
    assert _read(f"{repository}/d")[0] == [f"{repository}/d/file.yaml"]


def test_other_files_are_reported_once_and_hidden_ones_are_not(write: Write, folder: Path) -> None:
    for name in ("d/a.yaml", "d/notes.txt", "d/sub/accounts.yaml.bak", "d/.hidden", "d/named.txt"):
        write("x", name)
    (folder / "d/again").symlink_to("sub")
    warnings = read_files(["d", "d/sub", "d", "d/named.txt"]).warnings
    assert [(one.kind, file_order(one)[0]) for one in warnings] == [
        ("skipped_file", "d/notes.txt"),
        ("skipped_file", "d/sub/accounts.yaml.bak"),
    ]


def test_json_writes_some_characters_as_two_escapes(write: Write) -> None:
    (source,) = read_files([write(rb'{"a": "\\ud83d \ud83d\ude00\n"}', "x.json")]).sources
    assert load(source.data).value == {"a": "\\ud83d \U0001f600\n"}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_files_without_read_permission_are_reported(write: Write, folder: Path) -> None:
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
    from reconciler.manifest.files import file_problem

    assert file_problem("a.yaml", PermissionError(13, "Permission denied")) == Problem(
        kind="permission_denied",
        message="permission denied",
        hint="grant the current user read permission",
        position=Position("a.yaml"),
    )


_MANIFEST = "version: 1\naccounts: []\n"
_OWN = {
    "plan.json": '{"format_version": "1.0", "tool": {}, "resource_changes": []}',
    "sorted.json": '{"applyable": true, "format_version": "1.0", "resource_changes": []}',
    "result.json": '{"format_version": "1.0", "results": [], "errors": []}',
    "tfplan.json": '{"format_version": "1.2", "terraform_version": "1.9.0", "resource_changes": []}',
    "validation.json": '{"format_version": "1.0", "valid": false, "errors": []}',
    "gitlab.json": '[{"check_name": "reconciler:unknown_key"}]',
    "schema.json": schema_text(),
    "trust.yaml": "version: 1\nservers: [{url: 'https://*'}]\nsmtp_servers: [x]\n",
    "journal.json": '{"at": "2026-01-01T00:00:00Z", "server": "x"}\n{"at": "2026-01-01T00:00:01Z"}\n',
}


def test_our_own_documents_are_skipped_in_folders(write: Write) -> None:
    write(_MANIFEST, "d/accounts.yaml")
    for name, text in _OWN.items():
        write(text, f"d/{name}")
    assert read_manifests(["d"]).warnings == ()


@pytest.mark.parametrize("name", _OWN)
def test_our_own_documents_are_not_manifests(write: Write, name: str) -> None:
    write(_OWN[name], f"d/{name}")
    write(_MANIFEST, "more/accounts.yaml")
    for path, kind in ((f"d/{name}", "not_a_manifest"), ("d", "no_yaml_files")):
        with pytest.raises(ManifestError) as caught:
            read_manifests([path, "more"])
        assert [problem.kind for problem in caught.value.problems] == [kind]


@pytest.mark.parametrize(
    "text",
    [
        "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {ports: []}\n",
        "services: {web: {image: nginx}}\n",
        "version: '3'\nname: web\nservices: {web: {image: nginx}}\nnetworks: {}\n",
        "name: CI\non: [push]\njobs: {test: {runs-on: ubuntu-latest, steps: []}}\n",
        "stages: [test]\ndefault: {image: python}\ntest: {script: [pytest]}\n",
        "- hosts: all\n  name: Mail\n  tasks: []\n",
    ],
)
def test_the_yaml_of_another_program_is_one_error(write: Write, text: str) -> None:
    write(text, "d/other.yaml")
    for path in ("d/other.yaml", "d"):
        with pytest.raises(ManifestError) as caught:
            read_manifests([path])
        assert [(one.kind, one.message, one.hint) for one in caught.value.problems] == [
            (
                "not_a_manifest",
                "this is no file of accounts: its keys are not those that such a file has",
                "name the YAML with the accounts; it begins with version: 1",
            )
        ]


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("acounts: []\n", ["missing_key", "unknown_key"]),
        ("version: 1\naccounts: []\nservices: {}\n", ["unknown_key"]),
        ("version: 1\nhosts: []\n", ["missing_key", "unknown_key"]),
        ("- email: a@example.com\n  hosts: all\n", ["wrong_type"]),
    ],
)
def test_a_manifest_with_wrong_keys_is_told_which(write: Write, text: str, kinds: list[str]) -> None:
    with pytest.raises(ManifestError) as caught:
        read_manifests([write(text)])
    assert [one.kind for one in caught.value.problems] == kinds


def test_a_pipe_that_the_user_names_has_a_time_limit(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    with pytest.raises(TimeoutError):
        read_bytes("pipe", 10, allow_pipe=True, timeout=0.2)
    for text in (b"0123456789", b"0123456789x"):
        writer = threading.Thread(target=(folder / "pipe").write_bytes, args=(text,))
        writer.start()
        if len(text) > 10:
            with pytest.raises(TooLargeError):
                read_bytes("pipe", 10, allow_pipe=True)
        else:
            assert read_bytes("pipe", 10, allow_pipe=True) == text
        writer.join()


@pytest.mark.parametrize(
    "text",
    [
        "SMTP_PASSWORD=canary\nexport AWS_KEY='canary two'\n",
        "canary\n",
        "canary: canary\n",
        '{"client_secret": "canary", "canary": 5}\n',
        "- canary\n- canary: canary\n",
        "machine x login canary password canary\n",
        "[default]\naws = canary\n",
        "-----BEGIN KEY-----\ncanary\n-----END KEY-----\n",
        "db_canary: &canary a\nother: *canary\n",
        "*canary\n",
        "%canary x\n",
        '"canary\n',
        "\tcanary\n",
        "a: canary: canary\n",
        "? canary\n",
        "<<: {canary: 1}\n",
    ],
)
def test_a_link_to_other_files_shows_nothing_of_them(folder: Path, text: str) -> None:
    (folder / "d").mkdir()
    (folder / "d/.env").write_text(text)
    (folder / "d/accounts.yaml").symlink_to(".env")
    for path in ("d/accounts.yaml", "d"):
        with pytest.raises(ManifestError) as caught:
            read_manifests([path])
        assert "canary" not in "".join(f"{one.message} {one.hint}" for one in caught.value.problems)
        assert all(file_order(one)[0] == "d/accounts.yaml" for one in caught.value.problems)
