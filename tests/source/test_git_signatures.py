"""Signed commits, with real keys."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from reconciler.errors import SourceError
from tests.source.conftest import Following, shown

pytestmark = pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="needs ssh-keygen")

HINT = "have an allowed signer sign the newest commit; only that one is checked"


@pytest.fixture
def keys(tmp_path: Path) -> dict[str, Path]:
    """The private keys of an allowed signer and of someone else."""
    found = {}
    for name in ("ada", "eve"):
        found[name] = tmp_path / name
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(found[name])]
        subprocess.run(command, check=True)
    return found


@pytest.fixture
def signers(keys: dict[str, Path], tmp_path: Path) -> Path:
    found = tmp_path / "allowed_signers"
    found.write_text(f"ada@example.com {keys['ada'].with_suffix('.pub').read_text()}")
    return found


@pytest.fixture
def verifying(following: Following, signers: Path) -> Following:
    following.start(verify_signatures=True, allowed_signers=signers)
    return following


def signed_commit(following: Following, key: Path, text: str) -> str:
    options = ("-c", "gpg.format=ssh", "-c", f"user.signingKey={key}")
    (following.remote.files / "a.yaml").write_text(text)
    following.remote.git(*options, "commit", "--quiet", "--all", "--message=signed", "--gpg-sign")
    return following.remote.head()


def test_a_commit_that_an_allowed_signer_signed_is_offered(verifying: Following, keys: dict[str, Path]) -> None:
    commit = signed_commit(verifying, keys["ada"], "two")
    assert verifying.accept_newest() == commit


def test_the_file_of_signers_may_have_a_relative_path(
    following: Following, keys: dict[str, Path], signers: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(signers.parent)
    following.start(verify_signatures=True, allowed_signers=Path(signers.name))
    commit = signed_commit(following, keys["ada"], "two")
    assert following.accept_newest() == commit


def test_the_last_good_commit_needs_a_signature_too(following: Following, keys: dict[str, Path], signers: Path) -> None:
    following.accept_newest()
    assert following.start(verify_signatures=True, allowed_signers=signers).last_good() is None
    signed_commit(following, keys["ada"], "two")
    following.accept_newest()
    assert following.start().last_good()


def test_a_commit_without_a_signature_is_refused(verifying: Following, keys: dict[str, Path]) -> None:
    signed_commit(verifying, keys["ada"], "two")
    verifying.accept_newest()
    commit = verifying.remote.commit({"a.yaml": "three"})
    refused = f"git_signature | commit {commit} has no accepted signature | {HINT}"
    assert [verifying.error(), verifying.error()] == [refused, refused]
    assert signed_commit(verifying, keys["ada"], "four") == verifying.accept_newest()


def test_a_commit_that_someone_else_signed_is_refused(verifying: Following, keys: dict[str, Path]) -> None:
    commit = signed_commit(verifying, keys["eve"], "two")
    error = verifying.error()
    assert error.startswith(f"git_signature | commit {commit} has no accepted signature: Good ")
    assert "No principal matched" in error


def test_without_a_file_git_decides_who_may_sign(following: Following, keys: dict[str, Path], signers: Path) -> None:
    signed_commit(following, keys["ada"], "two")
    following.start(verify_signatures=True)
    assert following.error().startswith("git_signature | ")
    following.remote.configure("gpg.ssh.allowedSignersFile", str(signers))
    assert following.start().fetch()


def test_with_a_file_no_key_of_the_keyring_counts(verifying: Following, tmp_path: Path) -> None:
    accepting = tmp_path / "gpg"
    accepting.write_text("#!/bin/sh\ncat > /dev/null; echo; echo '[GNUPG:] GOODSIG 0 Ada'\n")
    accepting.chmod(0o755)
    remote = verifying.remote
    remote.configure("gpg.program", str(accepting))
    tree, parent = remote.git("rev-parse", "HEAD^{tree}").strip(), remote.head()
    signature = "gpgsig -----BEGIN PGP SIGNATURE-----\n \n iQ==\n -----END PGP SIGNATURE-----"
    person = "Eve <eve@example.com> 1700000000 +0000"
    raw = tmp_path / "commit"
    raw.write_text(f"tree {tree}\nparent {parent}\nauthor {person}\ncommitter {person}\n{signature}\n\nforged\n")
    commit = remote.git("hash-object", "-t", "commit", "-w", str(raw)).strip()
    remote.git("update-ref", "refs/heads/main", commit)
    assert verifying.error().startswith("git_signature | ")
    verifying.start(allowed_signers=None)
    assert verifying.accept_newest() == commit


def test_a_missing_file_of_signers_is_an_error(following: Following, tmp_path: Path) -> None:
    with pytest.raises(SourceError) as caught:
        following.start(verify_signatures=True, allowed_signers=tmp_path / "none")
    assert shown(caught.value) == (
        f"git_signature | there is no file of allowed signers: {tmp_path}/none | check the path"
    )


def test_a_file_of_signers_in_the_work_tree_is_refused(following: Following) -> None:
    following.accept_newest()
    (inside,) = following.folder.glob("trees/*/files/a.yaml")
    with pytest.raises(SourceError) as caught:
        following.start(verify_signatures=True, allowed_signers=inside)
    assert shown(caught.value) == (
        f"git_signature | the file of allowed signers is inside the work tree: {inside}"
        " | name a file that commits to the repository cannot change"
    )
