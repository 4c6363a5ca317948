"""The document goes to standard output or a file, everything else to standard error."""

from __future__ import annotations

import json
import os
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.accounts_api import account_json
from tests.support.cli_runner import RECONCILER, CliProcess, RunResult
from tests.support.run_result import help_for

if TYPE_CHECKING:
    from reconciler.sandbox import Sandbox

FULL_DISK = Path("/dev/full")

FILE = """\
version: 1
accounts:
  - {email: a@example.com, name: A, service: other, smtp_server: smtp.example.com, password: hunter2-literal}
"""


def test_standard_output_holds_only_the_json_document(at_sandbox: CliProcess, sandbox: Sandbox) -> None:
    sandbox.seed([account_json("b@example.com"), account_json("c@example.com")])
    at_sandbox.write("a.yaml", FILE)
    plan = at_sandbox.run("plan", "a.yaml", "-f", "json", "--no-prune")
    assert json.loads(plan.out)["summary"]["create"] == 1
    applied = at_sandbox.run("apply", "a.yaml", "-f", "json", "--no-prune", "--auto-approve")
    assert json.loads(applied.out)["summary"]["applied"] == 1
    assert "Plan: 1 to create, 0 to update, 0 to delete." in applied.err
    for done in (plan, applied):
        assert "hunter2" not in done.out + done.err


def test_quiet_prints_the_document_and_nothing_else(at_sandbox: CliProcess) -> None:
    at_sandbox.write("a.yaml", FILE)
    done = at_sandbox.run("apply", "a.yaml", "-f", "json", "-q", "--auto-approve")
    assert (done.code, done.err) == (0, "")


def test_the_document_goes_to_a_file(at_sandbox: CliProcess) -> None:
    at_sandbox.write("a.yaml", FILE)
    done = at_sandbox.run("plan", "a.yaml", "-f", "json", "-o", "plan.json")
    assert (done.code, done.out) == (0, "")
    assert json.loads((at_sandbox.folder / "plan.json").read_text())["applyable"] is True
    assert sorted(path.name for path in at_sandbox.folder.iterdir()) == ["a.yaml", "plan.json"]


def test_a_failure_prints_a_json_document_too(user: CliProcess) -> None:
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


def test_a_replaced_file_keeps_its_permissions(at_sandbox: CliProcess) -> None:
    at_sandbox.write("a.yaml", FILE)
    plan = at_sandbox.write("plan.txt", "former")
    plan.chmod(0o600)
    assert at_sandbox.run("plan", "a.yaml", "-o", "plan.txt").code == 0
    assert plan.stat().st_mode & 0o777 == 0o600
    assert plan.read_text().endswith("Plan: 1 to create, 0 to update, 0 to delete.\n")
    assert sorted(path.name for path in at_sandbox.folder.iterdir()) == ["a.yaml", "plan.txt"]


def test_a_file_that_cannot_be_written_is_a_clear_error(at_sandbox: CliProcess) -> None:
    at_sandbox.write("a.yaml", FILE)
    done = at_sandbox.run("plan", "a.yaml", "-o", "nowhere/plan.txt")
    assert done.code == 1
    assert "error: cannot write nowhere/plan.txt: No such file or directory\n" in done.err


@pytest.mark.parametrize("asked", [["--help"], ["--version"], ["plan", "--help"], []])
def test_help_that_does_not_fit_on_the_disk_is_a_clear_error(user: CliProcess, asked: list[str]) -> None:
    completion = {} if asked else {"_RECONCILER_COMPLETE": "bash_source"}
    with FULL_DISK.open("w") as disk:
        done = user.run(*asked, stdout=disk, environ=completion)
    message = "error: cannot write to standard output: No space left on device\n"
    assert (done.code, done.err) == (1, f"{message}{help_for('output')}")


@pytest.mark.parametrize("wrong", [["plan", "--bad"], ["plan"], ["nonsense"], []])
def test_wrong_usage_ends_with_64_even_if_it_cannot_be_printed(user: CliProcess, wrong: list[str]) -> None:
    with FULL_DISK.open("w") as disk:
        done = user.run(*wrong, stderr=disk)
    assert (done.code, done.out) == (64, "")


def test_plain_text_is_escaped_for_an_ascii_terminal(at_sandbox: CliProcess, sandbox: Sandbox) -> None:
    sandbox.seed([account_json("a@example.com", name="Ação")])
    at_sandbox.write("a.yaml", FILE)
    environ = {"PYTHONUTF8": "0", "PYTHONIOENCODING": "cp1252:strict", "LC_ALL": "C"}
    raw = at_sandbox.run("plan", "a.yaml", environ=environ | {"PYTHONIOENCODING": "ascii:strict"})
    assert raw.code == 0
    assert '"A\\xe7\\xe3o" -> "A"' in raw.out


@pytest.mark.parametrize("document", ["json", "markdown", "html", "tfplan"])
def test_documents_for_programs_are_always_utf_8(at_sandbox: CliProcess, sandbox: Sandbox, document: str) -> None:
    sandbox.seed([account_json("a@example.com", name="Ação")])
    at_sandbox.write("a.yaml", FILE)
    code_page = {"PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii", "LC_ALL": "C"}
    done = at_sandbox.run("plan", "a.yaml", "-f", document, environ=code_page)
    assert (done.code, "\\xe7" in done.out) == (0, False)
    assert any(form in done.out for form in ("Ação", "A\\u00e7\\u00e3o"))


@pytest.mark.parametrize(
    "arguments",
    [
        ["plan", "a.yaml", "-f", "json", "--nope"],
        ["plan", "--nope", "-f", "json", "a.yaml"],
        ["plan", "--nope", "--format=json", "a.yaml"],
        ["apply", "a.yaml", "-x", "-fjson"],
        ["apply", "a.yaml", "--nope=1", "-qfjson"],
        ["test", "-f", "text", "--format", "json"],
        ["validate", "--format=json"],
        ["plan", "a.yaml", "-f", "json", "--save"],
        ["plan", "a.yaml", "--parallelism", "-f", "json"],
        ["plan", "a.yaml", "--max-deletes", "many", "-f", "json"],
        ["apply", "a.yaml", "--on-failure=hope", "-f", "json"],
        ["plan", "a.yaml", "--allow-empty=yes", "-f", "json"],
        ["--nope", "plan", "a.yaml", "-f", "json"],
    ],
)
def test_incorrect_usage_prints_the_document_that_was_asked_for(user: CliProcess, arguments: list[str]) -> None:
    done = user.run(*arguments)
    (error,) = json.loads(done.out)["errors"]
    assert (done.code, error["kind"]) == (64, "usage")
    assert error["message"] in done.err


def test_incorrect_usage_without_a_format_prints_no_document(user: CliProcess) -> None:
    for arguments in (["--nope"], ["--nope", "--", "-f", "json"], ["-f", "nonsense"], ["--save", "-f", "json", "-x"]):
        done = user.run("plan", "a.yaml", *arguments)
        assert (done.code, done.out) == (64, "")


def test_incorrect_usage_is_written_to_the_file_that_was_asked_for(user: CliProcess) -> None:
    done = user.run("plan", "a.yaml", "--nope", "-f", "json", "-oplan.json")
    assert (done.code, done.out) == (64, "")
    assert json.loads((user.folder / "plan.json").read_text(encoding="utf-8"))["errors"][0]["kind"] == "usage"
    assert "wrote plan.json\n" in done.err


@pytest.mark.parametrize("wrong", [["--nope"], ["--parallelism", "none"], ["--save"]])
def test_incorrect_usage_replaces_no_file_that_is_read(user: CliProcess, wrong: list[str]) -> None:
    user.write("set/a.yaml", FILE)
    user.write("key", "token")
    for output, read in (("set/a.yaml", "set"), ("set/a.yaml", "set/a.yaml"), ("key", "--refresh-token-file=key")):
        done = user.run("plan", read, "-f", "json", "-o", output, *wrong)
        assert (done.code, json.loads(done.out)["errors"][0]["kind"]) == (64, "usage")
    assert (user.folder / "set/a.yaml").read_text(encoding="utf-8") == FILE
    assert (user.folder / "key").read_text(encoding="utf-8") == "token"


@pytest.mark.parametrize("command", ["validate", "apply"])
def test_a_deleted_working_directory_is_an_error(user: CliProcess, command: str) -> None:
    gone = user.folder / "gone"
    gone.mkdir()
    program = ["sh", "-c", 'rmdir "$PWD" && exec "$@"', "sh", str(RECONCILER), command, "a.yaml"]
    environ = {"RECONCILER_URL": "http://127.0.0.1:9", "RECONCILER_TOKEN": "x"}
    done = user.run_program(program, folder=gone, environ=environ)
    assert (done.code, done.err) == (
        1,
        "error: the working directory no longer exists\n"
        "  hint: change to a folder that exists\n"
        f"{help_for('no_working_directory')}",
    )


def assert_no_bug(done: RunResult) -> None:
    assert "this is a bug" not in done.whole
    assert "Traceback" not in done.whole


WRITERS = ["apply a.yaml", "plan a.yaml -f json", "export", "test a.yaml --to-email o@x.io"]


@pytest.mark.parametrize(
    ("command", "redirection"),
    [
        *((WRITERS[0], one) for one in ("<&-", ">&-", "2>&-")),
        *((command, "<&- >&- 2>&-") for command in WRITERS[:2]),
    ],
)
def test_a_closed_stream_is_not_reported_as_a_bug(at_sandbox: CliProcess, command: str, redirection: str) -> None:
    at_sandbox.write("a.yaml", FILE)
    (at_sandbox.folder / "tmp").mkdir()
    done = at_sandbox.run_program(["sh", "-c", f"exec {RECONCILER} {command} {redirection}"], environ={"TMPDIR": "tmp"})
    assert_no_bug(done)
    assert list((at_sandbox.folder / "tmp").iterdir()) == []  # no crash log


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
@pytest.mark.parametrize("command", WRITERS)
def test_a_full_disk_is_not_reported_as_a_bug(at_sandbox: CliProcess, command: str, stream: str) -> None:
    at_sandbox.write("a.yaml", FILE)
    (at_sandbox.folder / "tmp").mkdir()
    with FULL_DISK.open("w") as disk:
        given = {"stdout": disk} if stream == "stdout" else {"stderr": disk}
        done = at_sandbox.run(*command.split(), environ={"TMPDIR": "tmp"}, **given)  # type: ignore[arg-type]
    assert_no_bug(done)
    assert list((at_sandbox.folder / "tmp").iterdir()) == []


ODD = ["x" * 300, "d/" * 2500 + "a", "a\nb", "a.yaml/b"]
NOT_ASCII = ["\udcff\udcfe", "nowhere/é"]
"""Names for which it matters how Python encodes them."""
CODE_PAGES = [{"PYTHONUTF8": "0", "LC_ALL": "C", "PYTHONIOENCODING": one} for one in ("utf-8", "ascii:strict")]


@pytest.mark.parametrize(("name", "code_page"), [*product(ODD, [{}]), *product(NOT_ASCII, CODE_PAGES)])
def test_an_odd_file_name_is_not_reported_as_a_bug(
    at_sandbox: CliProcess, name: str, code_page: dict[str, str]
) -> None:
    at_sandbox.write("a.yaml", FILE)
    for arguments in (
        ["validate", name],
        ["plan", "a.yaml", "--save", name],
        ["apply", "a.yaml", "--plan", name],
        ["apply", "a.yaml", "--auto-approve", "--journal", name],
        ["export", "-o", name],
        ["plan", "a.yaml", "--ca-file", name],
        ["plan", "a.yaml", "--trust", name],
    ):
        done = at_sandbox.run(*arguments, environ=code_page)
        assert_no_bug(done)
        assert done.code in (0, 1, 64), arguments


def test_every_written_file_is_reported(at_sandbox: CliProcess) -> None:
    at_sandbox.write("a.yaml", FILE)
    for arguments, files in (
        (["plan", "a.yaml", "--save", "plan.json", "-o", "plan.html", "-f", "html"], ["plan.html", "plan.json"]),
        (["validate", "a.yaml", "-o", "out.json", "-f", "json"], ["out.json"]),
        (["schema", "plan", "-o", "schema.json"], ["schema.json"]),
        (["apply", "a.yaml", "--auto-approve", "--journal", "j", "-o", "report.txt"], ["j", "report.txt"]),
        (["apply", "a.yaml", "--auto-approve", "--journal", "j", "-o", "report.txt"], ["report.txt"]),
        (["export", "-o", "export.yaml"], ["export.yaml"]),
        (["plan", "a.yaml", "-o", "/dev/null"], []),
    ):
        done = at_sandbox.run(*arguments)
        printed = [line.removeprefix("wrote ") for line in done.err.splitlines() if line.startswith("wrote ")]
        assert (done.code, printed) == (0, files), arguments
        assert not any(line.startswith("wrote ") for line in at_sandbox.run(*arguments, "-q").err.splitlines())


@pytest.mark.parametrize(
    ("command", "option"),
    [
        ("plan", "-o"),
        ("plan", "--save"),
        ("apply", "-o"),
        ("apply", "--journal"),
        ("validate", "-o"),
        ("test", "-o"),
        ("export", "-o"),
    ],
)
@pytest.mark.parametrize("target", ["precious.txt", "absent.txt"])
def test_a_link_is_never_written_through(at_sandbox: CliProcess, command: str, option: str, target: str) -> None:
    at_sandbox.write("a.yaml", FILE)
    precious = at_sandbox.write("precious.txt", "precious")
    link = at_sandbox.folder / "link"
    link.symlink_to(target)
    paths = [] if command == "export" else ["a.yaml"]
    done = at_sandbox.run(command, *paths, option, "link")
    assert done.code == 64
    assert "link is a link. Name the file that it leads to, or remove the link.\n" in done.err
    assert (precious.read_text(), link.is_symlink(), (at_sandbox.folder / "absent.txt").exists()) == (
        "precious",
        True,
        False,
    )


def test_dev_stdout_can_be_written_to(at_sandbox: CliProcess) -> None:
    at_sandbox.write("a.yaml", FILE)
    assert "Plan: 1 to create" in at_sandbox.run("plan", "a.yaml", "-o", "/dev/stdout").out
    with (at_sandbox.folder / "redirected").open("w") as file:
        file.write("before\n")
        file.flush()
        assert at_sandbox.run("plan", "a.yaml", "-o", "/dev/stdout", stdout=file).code == 0
    text = (at_sandbox.folder / "redirected").read_text()
    assert (text.startswith("before\n"), "Plan: 1 to create" in text) == (True, True)


def test_the_document_goes_to_a_program_that_reads_a_pipe(at_sandbox: CliProcess) -> None:
    at_sandbox.write("a.yaml", FILE)
    shell = ["bash", "-c", '"$0" validate a.yaml -o >(tr a-z A-Z >upper); wait $!', str(RECONCILER)]
    assert at_sandbox.run_program(shell).code == 0
    assert (at_sandbox.folder / "upper").read_text() == "VALID: 1 ACCOUNT.\n"


@pytest.mark.parametrize("option", [("-o", "pipe"), ("-q", "--save", "pipe")])
def test_a_pipe_that_nobody_reads_is_an_error(at_sandbox: CliProcess, option: tuple[str, ...]) -> None:
    at_sandbox.write("a.yaml", FILE)
    os.mkfifo(at_sandbox.folder / "pipe")
    done = at_sandbox.run("plan", "a.yaml", *option)
    assert (done.code, "error: cannot write pipe: no program reads this pipe\n" in done.err) == (1, True)


def test_a_report_for_a_pipe_that_nobody_reads_is_not_lost(at_sandbox: CliProcess) -> None:
    at_sandbox.write("a.yaml", FILE)
    os.mkfifo(at_sandbox.folder / "pipe")
    done = at_sandbox.run("apply", "a.yaml", "--auto-approve", "-q", "-o", "pipe")
    assert (done.code, "Done: 1 applied" in done.err) == (1, True)


@pytest.mark.parametrize(
    "arguments",
    [["validate", ""], ["plan", "a.yaml", "-o", ""], ["plan", "a.yaml", "--save="], ["plan", "a.yaml", "--trust="]],
)
def test_an_empty_name_of_a_file_is_wrong_usage(at_sandbox: CliProcess, arguments: list[str]) -> None:
    at_sandbox.write("a.yaml", FILE)
    done = at_sandbox.run(*arguments)
    assert (done.code, done.out) == (64, "")
    assert done.err.endswith(": the name is empty. Check the variable that it comes from.\n")
