"""The formats for build servers, by the installed command."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from tests.support.accounts_api import account_json

if TYPE_CHECKING:
    from reconciler.sandbox import Sandbox
    from tests.support.cli_runner import CliProcess

ONE = """\
version: 1
accounts:
  - {email: a@example.com, name: A, service: other, smtp_server: smtp.example.com}
"""


def test_github_gets_annotations_and_a_job_summary(at_sandbox: CliProcess, sandbox: Sandbox) -> None:
    sandbox.seed([account_json("gone@example.com"), account_json("also@example.com")])
    at_sandbox.write("a.yaml", ONE)
    summary = at_sandbox.write("summary.md", "what others wrote\n")
    done = at_sandbox.run("plan", "a.yaml", "-f", "github", environ={"GITHUB_STEP_SUMMARY": str(summary)})
    assert done.code == 5
    assert done.out == (
        "::error title=reconciler%3A guard_empty::the plan deletes every account under management (2 of 2)"
        "%0Ahint: check that the right files and the right server are meant; `--allow-empty` permits it\n"
        "::error title=reconciler%3A guard_max_deletes::the plan deletes 2 of 2 accounts; the limit is 30%25"
        "%0Ahint: check that nothing is missing from the files; `--max-deletes 2` permits it for this run\n"
        "::notice title=reconciler::127.0.0.1: Plan: 1 to create, 0 to update, 2 to delete.\n"
    )
    text = summary.read_text(encoding="utf-8")
    assert text.startswith("what others wrote\n<!-- reconciler: ")
    assert "**Nothing can be applied.**" in text


def test_a_job_summary_that_cannot_be_written_is_a_warning(at_sandbox: CliProcess) -> None:
    at_sandbox.write("a.yaml", ONE)
    done = at_sandbox.run("plan", "a.yaml", "-f", "github", environ={"GITHUB_STEP_SUMMARY": "/nowhere/summary"})
    assert (done.code, done.err) == (
        0,
        "warning: cannot write /nowhere/summary: No such file or directory\n"
        "  hint: check the folder, its permissions, and the free space\n",
    )


def test_a_pipe_is_no_job_summary(at_sandbox: CliProcess) -> None:
    at_sandbox.write("a.yaml", ONE)
    os.mkfifo(at_sandbox.folder / "pipe")
    done = at_sandbox.run(
        "apply", "a.yaml", "--auto-approve", "-q", "-f", "github", environ={"GITHUB_STEP_SUMMARY": "pipe"}
    )
    assert (done.code, done.err.splitlines()[0]) == (0, "warning: cannot write pipe: this is not a regular file")


def test_an_error_in_the_yaml_is_annotated_at_its_position(user: CliProcess) -> None:
    user.write("mail/a.yaml", "version: 1\naccounts: 7\n")
    done = user.run("validate", "mail/a.yaml", "-f", "github", environ={"GITHUB_WORKSPACE": str(user.folder)})
    assert done.code == 1
    assert done.out.startswith("::error file=mail/a.yaml,line=2,title=reconciler%3A ")
    (issue,) = json.loads(user.run("validate", "mail/a.yaml", "-f", "gitlab").out)
    assert issue["location"] == {"path": "mail/a.yaml", "lines": {"begin": 2}}


def test_delivery_tests_have_a_junit_report(at_sandbox: CliProcess) -> None:
    at_sandbox.write("a.yaml", ONE.replace("smtp.example.com", "smtp.example.com, has_auth: false"))
    done = at_sandbox.run("test", "a.yaml", "--to-email", "ops@example.com", "-f", "junit")
    assert done.out.startswith('<?xml version="1.0" encoding="UTF-8"?>\n<testsuites name="reconciler" tests="1" ')


def test_apply_reports_its_error_in_every_format(user: CliProcess) -> None:
    user.write("a.yaml", ONE)
    for chosen in ("json", "markdown", "github", "gitlab", "junit"):
        done = user.run("apply", "a.yaml", "-f", chosen)
        assert done.code == 1
        assert "no server is named" in done.out.replace("<code>", "").replace("</code>", "")


def test_plan_reports_its_error_in_every_format(user: CliProcess) -> None:
    user.write("a.yaml", ONE)
    for chosen in ("json", "markdown", "html", "github", "gitlab", "tfplan"):
        assert "no server is named" in user.run("plan", "a.yaml", "-f", chosen).out


def test_a_text_of_an_earlier_run_stays_and_the_user_is_told(at_sandbox: CliProcess) -> None:
    at_sandbox.write("a.yaml", ONE)
    assert at_sandbox.run("plan", "a.yaml", "-o", "plan.txt").code == 0
    before = (at_sandbox.folder / "plan.txt").read_text()
    done = at_sandbox.run("plan", "missing.yaml", "-o", "plan.txt")
    assert done.code == 1
    assert done.err.startswith(
        "note: plan.txt was not replaced: this run has no plan to write, so it holds what it held before; fix the"
        " errors below and run again, or delete it\nerror: missing.yaml: there is no such file or folder\n"
    )
    assert (at_sandbox.folder / "plan.txt").read_text() == before
    assert "not replaced" not in at_sandbox.run("plan", "missing.yaml", "-o", "new.txt").err


@pytest.mark.parametrize("ending", ["json", "yaml"])
def test_documents_of_ours_are_no_manifests(at_sandbox: CliProcess, sandbox: Sandbox, ending: str) -> None:
    sandbox.seed([account_json("certs@example.com")])
    at_sandbox.write("set/a.yaml", f"{ONE}policy: {{protect: [certs@example.com]}}\n")
    at_sandbox.write("bad/a.yaml", "version: 1\naccounts: 7\n")
    recipient = ("--to-email", "ops@example.com")
    written = [
        (name, form, *arguments)
        for name, *arguments in (
            ("valid", "validate", "set"),
            ("invalid", "validate", "bad"),
            ("planned", "plan", "set"),
            ("unplanned", "plan", "bad"),
            ("tested", "test", "set", *recipient),
            ("untested", "test", "set", "--only", "certs@example.com", *recipient),
            ("applied", "apply", "set", "--auto-approve", "--journal", f"journal.{ending}"),
            ("unchanged", "apply", "set", "--auto-approve"),
            ("refused", "apply", "bad"),
        )
        for form in ("json", "gitlab", "tfplan")
        if form != "tfplan" or arguments[0] == "plan"
    ]
    written += [
        ("state", "json", "status", "--state-dir", "state"),
        ("saved", "json", "plan", "set", "--save", f"saved.{ending}"),
    ]
    for name, form, *arguments in written:
        at_sandbox.run(*arguments, "-f", form, "-q", "-o", f"{name}-{form}.{ending}")
    for name, *arguments in (("schema", "schema", "manifest"), ("trust", "trust", "set")):
        at_sandbox.write(f"{name}.{ending}", at_sandbox.run(*arguments).out)
    files = [*at_sandbox.folder.glob(f"*.{ending}")]
    assert len(files) == len(written) + 4  # the journal, the saved plan, the schema and the trust file
    for file in files:
        file.rename(at_sandbox.folder / "set" / file.name)
    done = at_sandbox.run("validate", "set")
    assert (done.code, done.out, done.err) == (0, "Valid: 1 account.\n", "")


def test_the_empty_list_of_another_program_is_an_error(user: CliProcess) -> None:
    user.write("set/a.yaml", ONE)
    user.write("set/b.json", "[]\n")
    done = user.run("validate", "set")
    assert (done.code, done.err.partition("\n")[0]) == (
        1,
        "error: set/b.json:1:1: the document: expected a mapping, found a list",
    )


def test_the_schemas_are_printed(user: CliProcess) -> None:
    for document in ("plan", "result"):
        Draft202012Validator.check_schema(json.loads(user.run("schema", document).out))


def test_no_input_file_is_overwritten(at_sandbox: CliProcess) -> None:
    at_sandbox.write("set/a.yaml", ONE)
    at_sandbox.run("plan", "set", "--save", "plan.json")
    saved = (at_sandbox.folder / "plan.json").read_text(encoding="utf-8")
    at_sandbox.write("more/a.json", '{"version": 1, "accounts": []}')
    read, twice = "names a file that is read", "--output and --save name the same file"
    for arguments, words in (
        (("validate", "set/a.yaml", "-o", "set/a.yaml", "-f", "json"), f"--output {read}: set/a.yaml."),
        (("validate", "set", "-o", "set/../set/a.yaml"), f"--output {read}: set/../set/a.yaml."),
        (("plan", "set", "--save", "set/a.yaml"), f"--save {read}: set/a.yaml."),
        (("plan", "set", "--save", "new.json", "-o", "./new.json"), f"{twice}: new.json. Name two."),
        (("test", "set", "-o", "set/a.yaml"), f"--output {read}: set/a.yaml."),
        (("plan", "more", "--save", "more/a.json"), f"--save {read}: more/a.json."),
        (("apply", "set", "--plan", "plan.json", "-o", "plan.json"), f"--output {read}: plan.json."),
        (
            ("apply", "set", "--auto-approve", "--journal", "j", "-o", "j"),
            "--output and --journal name the same file: j.",
        ),
    ):
        done = at_sandbox.run(*arguments)
        assert (done.code, words in done.err) == (64, True), arguments
    assert (at_sandbox.folder / "set/a.yaml").read_text(encoding="utf-8") == ONE
    assert (at_sandbox.folder / "plan.json").read_text(encoding="utf-8") == saved
    assert sorted(one.name for one in at_sandbox.folder.iterdir()) == ["more", "plan.json", "set"]
    assert at_sandbox.run("plan", "set", "--save", "/dev/null", "-o", "/dev/null").code == 0
    for _ in range(2):
        assert at_sandbox.run("plan", "set", "--save", "set/plan.json").code == 0
