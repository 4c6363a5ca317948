"""Which commits of a Git repository are offered."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from reconciler.errors import ManifestError, NotTrustedError, SourceError
from reconciler.reconcile import RunContext, load_fleet, read_fleet
from reconciler.source.git import GitOptions, GitSource
from reconciler.source.revision import Revision
from reconciler.watch.intake import Intake
from tests.source.conftest import Following, files_of, shown
from tests.support.git_remote import GitRemote

if TYPE_CHECKING:
    from pathlib import Path

ABSENT = (
    "git_ref | the Git repository has no branch or tag named {} | check the ref; it may have been deleted or renamed"
)


def test_the_newest_commit_is_offered_until_it_is_accepted(following: Following) -> None:
    revision = following.source.fetch()
    assert revision
    assert revision.commit == following.remote.head()
    assert files_of(revision) == {"a.yaml": "one"}
    assert following.source.fetch() == revision
    assert following.source.accept(revision)
    assert following.source.fetch() is None


def test_later_commits_are_offered(following: Following) -> None:
    following.accept_newest()
    for text in ("two", "three"):
        newest = following.remote.commit({"a.yaml": text, "b/c.yaml": text})
        assert following.files() == {"a.yaml": text, "b/c.yaml": text}
        assert following.accept_newest() == newest


def test_a_commit_that_is_not_accepted_gives_way_to_the_next(following: Following) -> None:
    good = following.accept_newest()
    following.remote.commit({"a.yaml": "bad"})
    assert following.files() == {"a.yaml": "bad"}
    newest = following.remote.commit({"a.yaml": "fixed"})
    assert following.accept_newest() == newest != good


def test_the_first_fetch_is_shallow(following: Following) -> None:
    following.remote.commit({"a.yaml": "two"})
    following.accept_newest()
    assert commits(following) == 1
    following.remote.commit({"a.yaml": "three"})
    following.remote.commit({"a.yaml": "four"})
    following.accept_newest()
    assert commits(following) == 3


def commits(following: Following) -> int:
    repository = following.folder / "repository.git"
    return int(following.remote.git(f"--git-dir={repository}", "rev-list", "--all", "--count"))


def test_a_merge_descends_from_the_commit_it_merges(following: Following) -> None:
    first = following.accept_newest()
    following.remote.git("checkout", "--quiet", "--orphan", "other")
    following.remote.commit({"b.yaml": "two"})
    following.remote.git("merge", "--quiet", "--allow-unrelated-histories", "--strategy=ours", "-m", "merge", first)
    following.remote.git("update-ref", "refs/heads/main", "HEAD")
    assert following.accept_newest() == following.remote.head()


@pytest.mark.parametrize("is_lost", [False, True], ids=["kept", "lost"])
@pytest.mark.parametrize("to", ["HEAD~1", "amended"])
def test_only_descendants_of_the_last_good_commit_are_accepted(following: Following, to: str, *, is_lost: bool) -> None:
    following.remote.commit({"a.yaml": "two"})
    good = following.accept_newest()
    if to == "amended":
        following.remote.commit({"a.yaml": "forged"}, "--amend")
    else:
        following.remote.git("reset", "--quiet", "--hard", to)
    if is_lost:
        shutil.rmtree(following.folder)
    refused = (
        f"git_rewound | commit {following.remote.head()} of main does not descend from the last good commit {good}"
        " | revert with a new commit instead of rewriting history, or allow it once with --allow-rewind"
    )
    assert following.error() == refused
    following.start()
    assert [following.error(), following.error()] == [refused, refused]
    following.start(allow_rewind=True)
    assert following.accept_newest() == following.remote.head()


def test_a_good_commit_that_the_remote_has_forgotten_is_not_an_ancestor(following: Following) -> None:
    following.accept_newest()
    following.remote.commit({"a.yaml": "forged"}, "--amend")
    following.remote.git("reflog", "expire", "--expire=now", "--all")
    following.remote.git("prune", "--expire=now")
    shutil.rmtree(following.folder)
    following.start()
    assert following.error().startswith("git_rewound | ")
    fetched = (following.folder / "repository.git").stat().st_ino
    assert following.error().startswith("git_rewound | ")
    assert (following.folder / "repository.git").stat().st_ino == fetched


def test_descendants_are_accepted_after_the_repository_was_lost(following: Following) -> None:
    following.accept_newest()
    following.remote.commit({"a.yaml": "two"})
    newest = following.remote.commit({"a.yaml": "three"})
    shutil.rmtree(following.folder)
    following.start()
    assert following.accept_newest() == newest
    assert commits(following) == 3


def test_a_branch_that_returns_to_what_it_was_is_accepted_again(following: Following) -> None:
    good = following.accept_newest()
    following.remote.commit({"a.yaml": "forged"}, "--amend")
    following.error()
    following.remote.git("reset", "--quiet", "--hard", good)
    assert following.source.fetch() is None


def test_the_last_good_commit_needs_no_remote_after_a_restart(following: Following) -> None:
    good = following.accept_newest()
    following.remote.commit({"a.yaml": "bad"})
    following.source.fetch()
    shutil.rmtree(following.remote.bare)
    source = following.start()
    revision = source.last_good()
    assert revision
    assert (revision.commit, files_of(revision)) == (good, {"a.yaml": "one"})
    assert source.accept(revision)
    assert following.error() == (
        f"git_failed | git ls-remote failed: '{following.remote.bare}' does not appear to be a git repository"
        " | run git ls-remote with the same URL as the same user to see what is wrong"
    )


def test_the_last_good_commit_is_offered_after_a_restart(following: Following) -> None:
    good = following.accept_newest()
    revision = following.start().fetch()
    assert revision
    assert revision.commit == good


def test_the_accepted_commit_is_offered_again_if_its_files_vanish(following: Following) -> None:
    following.accept_newest()
    shutil.rmtree(following.folder)
    assert following.files() == {"a.yaml": "one"}


def test_there_is_no_last_good_commit_without_its_files(following: Following) -> None:
    assert following.source.last_good() is None
    following.accept_newest()
    shutil.rmtree(following.folder)
    assert following.start().last_good() is None


def test_a_commit_hash_from_elsewhere_is_checked(following: Following) -> None:
    following.good = "--upload-pack=touch"
    assert following.start().last_good() is None
    assert following.accept_newest()


def test_only_the_offered_revision_is_accepted(following: Following) -> None:
    assert not following.source.accept(Revision("0" * 40, ["/etc"]))


@pytest.mark.parametrize("ref", ["v1", "refs/tags/v1", "light", "refs/changes/1", "HEAD"])
def test_a_ref_may_be_a_tag_or_anything_else(following: Following, ref: str) -> None:
    remote = following.remote
    commit = remote.head()
    remote.git("tag", "--annotate", "--message=v1", "v1")
    remote.git("tag", "light")
    remote.git("update-ref", "refs/changes/1", "HEAD")
    following.ref = ref
    following.start()
    assert following.accept_newest() == commit
    assert following.source.fetch() is None


def test_a_tag_that_moves_ahead_is_followed(following: Following) -> None:
    following.ref = "v1"
    following.start()
    for text in ("two", "three"):
        commit = following.remote.commit({"a.yaml": text})
        following.remote.git("tag", "--annotate", "--message=v1", "--force", "v1")
        assert following.accept_newest() == commit


def test_a_ref_that_is_missing_or_deleted_is_an_error(following: Following) -> None:
    following.accept_newest()
    commit = following.remote.head()
    following.remote.git("update-ref", "-d", "refs/heads/main")
    assert following.error() == ABSENT.format("main")
    following.remote.git("update-ref", "refs/heads/main", commit)
    assert following.source.fetch() is None
    following.ref = "refs/heads/gone"
    following.start()
    assert following.error() == ABSENT.format("refs/heads/gone").replace("branch or tag", "ref")


def test_an_empty_repository_has_no_ref(tmp_path: Path) -> None:
    assert Following(GitRemote(tmp_path), tmp_path / "state").error() == ABSENT.format("main")


def test_a_name_that_is_a_branch_and_a_tag_is_refused(following: Following) -> None:
    following.remote.git("tag", "main")
    assert following.error() == ("git_ref | main is both a branch and a tag | write refs/heads/main or refs/tags/main")
    following.ref = "refs/heads/main"
    assert following.start().fetch()


def test_a_tag_of_a_file_is_no_commit(following: Following) -> None:
    following.remote.git("tag", "blob", "HEAD:a.yaml")
    following.ref = "blob"
    following.start()
    assert following.error() == "git_ref | refs/tags/blob leads to no commit | name a branch, or a tag of a commit"


def test_a_local_path_is_a_url_too(following: Following, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(following.remote.bare.parent)
    following.url = "remote.git"
    assert following.start().name == f"{following.remote.bare} main"
    assert following.accept_newest()


def test_repositories_with_sha256_work(tmp_path: Path) -> None:
    remote = GitRemote(tmp_path, "--object-format=sha256")
    commit = remote.commit({"a.yaml": "one"})
    following = Following(remote, tmp_path / "state")
    assert following.accept_newest() == commit


@pytest.mark.parametrize(
    ("path", "files"), [("b", {"c.yaml": "two"}), ("b/c.yaml", {".": "two"}), ("link/", {"c.yaml": "two"})]
)
def test_a_folder_or_file_in_the_repository_is_offered(following: Following, path: str, files: dict[str, str]) -> None:
    (following.remote.files / "link").symlink_to("b")
    following.remote.commit({"b/c.yaml": "two"})
    following.path = path
    following.start()
    assert following.files() == files


def test_a_path_that_the_commit_does_not_have_is_an_error(following: Following) -> None:
    following.path = "b"
    following.start()
    assert following.error() == (
        f"no_such_file | commit {following.remote.head()} has no file or folder b"
        " | check the path; it is relative to the top of the repository"
    )


@pytest.mark.parametrize("target", ["..", "/etc", "../../../repository.git"])
def test_a_path_that_is_a_link_to_elsewhere_is_refused(following: Following, target: str) -> None:
    (following.remote.files / "out").symlink_to(target)
    following.remote.commit({})
    following.path = "out"
    following.start()
    assert following.error() == (
        "outside_path | out is a link that leads outside the repository | replace it with what it leads to"
    )


def test_manifests_may_extend_bases_beside_the_path_but_no_file_outside(
    following: Following, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir("/")  # otherwise the working directory would be allowed too
    server = "version: 1\nextends: {}\nserver: {{name: fw}}\naccounts: []\n"
    base = "version: 1\nbase: true\nserver: {url: 'https://fw.example.com'}\n"
    following.path = "servers"
    following.start()
    following.remote.commit({"common.yaml": base, "servers/fw.yaml": server.format("../common.yaml")})
    assert load(following.source.fetch()) == ["https://fw.example.com"]
    (tmp_path / "outside.yaml").write_text(base)
    (following.remote.files / "common.yaml").unlink()
    (following.remote.files / "common.yaml").symlink_to(tmp_path / "outside.yaml")
    following.remote.commit({})
    with pytest.raises(ManifestError, match="outside the repository"):
        load(following.source.fetch())


def test_a_submodule_below_the_path_is_an_error_and_no_empty_folder(following: Following) -> None:
    server = "version: 1\nserver: {url: 'https://fw.example.com'}\naccounts: []\n"
    following.path = "servers"
    following.start()
    commit = following.remote.commit({"servers/fw.yaml": server})
    assert load(following.source.fetch()) == ["https://fw.example.com"]
    module = '[submodule "team"]\n\tpath = servers/team\n\turl = ../team\n'
    (following.remote.files / ".gitmodules").write_text(module)
    following.remote.git("add", ".gitmodules")
    following.remote.git("update-index", "--add", "--cacheinfo", f"160000,{commit},servers/team")
    following.remote.git("commit", "--quiet", "--message=submodule")
    with pytest.raises(ManifestError, match="Git submodule that is not checked out"):
        load(following.source.fetch())


def load(revision: Revision | None) -> list[str | None]:
    """The URLs of the servers that a revision declares."""
    assert revision
    return [desired.server.url for desired in read_fleet(*revision.paths, within=revision.root).servers]


def test_secrets_are_read_from_the_repository_and_not_from_beside_it(
    following: Following, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir("/")
    (tmp_path / "secret").write_text("s3cret")
    text = """\
version: 1
server: {{url: "https://fw.example.com"}}
defaults: {{service: other, smtp_server: smtp.example.com, smtp_port: 587}}
accounts: [{{email: a@example.com, name: A, password: {{file: {}}}}}]
"""
    following.remote.commit({"a.yaml": text.format(tmp_path / "secret")})
    revision = following.source.fetch()
    assert revision
    with pytest.raises(NotTrustedError, match="the file is outside the repository, /run/secrets and"):
        load_fleet(*revision.paths, context=RunContext(environ={}, within=revision.root))
    # The watcher's page and log have the hint, too.
    look = Intake(following.source, RunContext(environ={})).look()
    assert look.problem.endswith("move it there, or list it in a trust file (--trust)")


def test_submodules_are_not_followed(following: Following) -> None:
    head = following.remote.head()
    following.remote.git("update-index", "--add", "--cacheinfo", f"160000,{head},sub")
    (following.remote.files / ".gitmodules").write_text(
        f'[submodule "sub"]\npath = sub\nurl = {following.remote.url}\n'
    )
    (following.remote.files / "sub").mkdir()
    following.remote.git("add", ".gitmodules")
    following.remote.git("commit", "--quiet", "-m", "sub")
    assert sorted(following.files()) == [".gitmodules", "a.yaml"]


def test_the_environment_cannot_lead_git_to_another_repository(following: Following) -> None:
    elsewhere = {"GIT_DIR": str(following.remote.bare), "GIT_INDEX_FILE": "x", "GIT_WORK_TREE": "/"}
    source = GitSource(
        following.url,
        "main",
        "",
        folder=following.folder,
        options=GitOptions(environ={**following.remote.environ, **elsewhere}),
    )
    assert files_of(source.fetch()) == {"a.yaml": "one"}


def test_a_folder_that_cannot_be_used_is_an_error(following: Following) -> None:
    following.folder.write_text("not a folder")
    with pytest.raises(SourceError) as caught:
        following.source.fetch()
    assert shown(caught.value) == (
        f"git_failed | the folder of the Git repository cannot be used: File exists ({following.folder})"
        " | check the state directory and its permissions"
    )
