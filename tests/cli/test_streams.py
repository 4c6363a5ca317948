"""The document goes to standard output or a file, everything else to standard error."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.cli.conftest import RECONCILER, User, on_server

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import IO

    from reconciler.sandbox.server import Sandbox

FULL_DISK = Path("/dev/full")

FILE = """\
version: 1
accounts:
  - {email: a@example.com, name: A, service: other, smtp_server: smtp.example.com, password: hunter2-literal}
"""


def test_json_stands_alone_on_standard_output(at_sandbox: User, sandbox: Sandbox) -> None:
    sandbox.seed([on_server("b@example.com"), on_server("c@example.com")])
    at_sandbox.write("a.yaml", FILE)
    plan = at_sandbox.run("plan", "a.yaml", "-f", "json", "--no-prune")
    assert json.loads(plan.out)["summary"]["create"] == 1
    applied = at_sandbox.run("apply", "a.yaml", "-f", "json", "--no-prune", "--auto-approve")
    assert json.loads(applied.out)["summary"]["applied"] == 1
    assert "Plan: 1 to create, 0 to update, 0 to delete." in applied.err
    for done in (plan, applied):
        assert "hunter2" not in done.out + done.err


def test_quiet_leaves_the_document_alone(at_sandbox: User) -> None:
    at_sandbox.write("a.yaml", FILE)
    done = at_sandbox.run("apply", "a.yaml", "-f", "json", "-q", "--auto-approve")
    assert (done.code, done.err) == (0, "")


def test_the_document_goes_to_a_file(at_sandbox: User) -> None:
    at_sandbox.write("a.yaml", FILE)
    done = at_sandbox.run("plan", "a.yaml", "-f", "json", "-o", "plan.json")
    assert (done.code, done.out) == (0, "")
    assert json.loads((at_sandbox.folder / "plan.json").read_text())["applyable"] is True
    assert sorted(path.name for path in at_sandbox.folder.iterdir()) == ["a.yaml", "plan.json"]


def test_a_json_document_is_printed_on_failure_too(user: User) -> None:
    user.write("a.yaml", "version: 1\naccounts:\n  - {email: a@example.com, name: A, service: gmail, smtp_sever: s}\n")
    user.environ["RECONCILER_URL"] = "http://127.0.0.1:9"
    for command, key in (
        ("plan", "resource_changes"),
        ("apply", "results"),
        ("test", "results"),
        ("validate", "valid"),
    ):
        done = user.run(command, "a.yaml", "-f", "json")
        document = json.loads(done.out)
        assert done.code == 1
        assert not document[key]
        first = document["errors"][0]
        assert (first["kind"], first["file"], first["line"]) == ("unknown_key", "a.yaml", 3)
        assert "smtp_server" in first["message"] + first.get("hint", "")


def test_a_file_keeps_its_permissions_and_a_planted_link_is_not_followed(at_sandbox: User) -> None:
    at_sandbox.write("a.yaml", FILE)
    plan = at_sandbox.write("plan.txt", "former")
    plan.chmod(0o600)
    assert at_sandbox.run("plan", "a.yaml", "-o", "plan.txt").code == 0
    assert plan.stat().st_mode & 0o777 == 0o600
    assert plan.read_text().endswith("Plan: 1 to create, 0 to update, 0 to delete.\n")
    assert sorted(path.name for path in at_sandbox.folder.iterdir()) == ["a.yaml", "plan.txt"]


def test_a_file_that_cannot_be_written_is_a_clear_error(at_sandbox: User) -> None:
    at_sandbox.write("a.yaml", FILE)
    done = at_sandbox.run("plan", "a.yaml", "-o", "nowhere/plan.txt")
    assert done.code == 1
    assert "error: cannot write nowhere/plan.txt: No such file or directory\n" in done.err


@pytest.mark.parametrize("asked", [["--help"], ["--version"], ["plan", "--help"], []])
def test_help_that_does_not_fit_on_the_disk_is_a_clear_error(user: User, asked: list[str]) -> None:
    completion = {} if asked else {"_RECONCILER_COMPLETE": "bash_source"}
    with FULL_DISK.open("w") as disk:
        done = finished(user, *asked, stdout=disk, stderr=subprocess.PIPE, environ=completion)
    assert done == (1, None, "error: cannot write to standard output: No space left on device\n")


@pytest.mark.parametrize("wrong", [["plan", "--bad"], ["plan"], ["nonsense"], []])
def test_wrong_usage_is_wrong_usage_where_nobody_can_be_told(user: User, wrong: list[str]) -> None:
    with FULL_DISK.open("w") as disk:
        assert finished(user, *wrong, stdout=subprocess.PIPE, stderr=disk) == (64, "", None)


def finished(
    user: User, *arguments: str, stdout: int | IO[str], stderr: int | IO[str], environ: Mapping[str, str] | None = None
) -> tuple[int, str | None, str | None]:
    """The exit code of a run, and what came through its pipes."""
    done = subprocess.run(
        [RECONCILER, *arguments],
        cwd=user.folder,
        env=user.environment(environ),
        stdout=stdout,
        stderr=stderr,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def test_other_code_pages_get_the_same_words(at_sandbox: User, sandbox: Sandbox) -> None:
    sandbox.seed([on_server("a@example.com", name="Ação")])
    at_sandbox.write("a.yaml", FILE)
    environ = {"PYTHONUTF8": "0", "PYTHONIOENCODING": "cp1252:strict", "LC_ALL": "C"}
    raw = at_sandbox.run("plan", "a.yaml", environ=environ | {"PYTHONIOENCODING": "ascii:strict"})
    assert raw.code == 0
    assert '"A\\xe7\\xe3o" -> "A"' in raw.out
