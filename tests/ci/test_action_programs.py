"""The action's programs on every kind of event and on what an attacker can prepare.

``test_action.py`` runs the action as a whole, with act; here a program that writes down what it is given is in
reconciler's place. Most cases run the whole program in this process, with the environment and the folder of the step;
some start an interpreter for it, as the runner does.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import runpy
import shlex
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from itertools import takewhile
from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest

from tests.support.github_api import REPOSITORY, TOKEN
from tests.support.workflow_runner import HEAD, ROOT, pull_request

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.github_api import FakeGitHub

PROGRAMS = ROOT / ".github" / "action"
RECORDER = """\
#!/bin/sh
exec 3>>{record}
printf '%s\\0' $# "$@" >&3
env -0 >&3
printf '\\0' >&3
for argument; do
    case $previous in
    --save)
        echo '{{"summary": {{"create": 1, "update": 0, "delete": 0}}}}' >"$argument" ;;
    --journal)
        for server in b001 b002; do
            echo '{{"event": "outcome", "status": "applied", "server": "'$server'",' \\
                '"action": "update", "address": "a@example.com", "id": 1}}' >>"$argument"
        done ;;
    esac
    previous=$argument
done
"""
HERE: dict[str, Any] = {"full_name": REPOSITORY, "id": 1}
PUSH: dict[str, Any] = {"ref": "refs/heads/main", "after": HEAD, "repository": HERE}
QUEUE = "refs/heads/gh-readonly-queue/main/pr-7-abc"
COMMENT: dict[str, Any] = {"comment": {"body": "/apply"}, "issue": {"number": 7, "pull_request": {}}}
NO_SERVER = "<!-- reconciler: e3b0c44298fc -->"
"""The marker of a plan without a server."""
SECRETS = {"RECONCILER_REFRESH_TOKEN": "token-canary", "CERTS_PASSWORD": "password-canary"}


@dataclass
class Job:
    """A step of a job that uses the action.

    Attributes:
        event: The name of the event that started the workflow.
        payload: The bytes of the event's file; ``None`` if it is not there.
        starts_python: Whether an interpreter is started for the program, which takes most of the time.
    """

    folder: Path
    event: str = "push"
    payload: bytes | None = json.dumps(PUSH).encode()
    environ: dict[str, str] = field(default_factory=dict)
    starts_python: bool = False

    @property
    def checkout(self) -> Path:
        return self.folder / "checkout"

    @property
    def temp(self) -> Path:
        return self.folder / "temp"

    def on(self, event: str, payload: object) -> Job:
        self.event, self.payload = event, json.dumps(payload).encode()
        return self

    def run(self, command: str = "plan", *, program: str = "run", **inputs: str) -> Ran:
        """Runs a program of the action with inputs, as ``action.yml`` does."""
        for made in (self.checkout, self.temp):
            made.mkdir(exist_ok=True)
        event, recorder, record = (self.folder / name for name in ("event.json", "recorder", "record"))
        if self.payload is not None:
            event.write_bytes(self.payload)
        recorder.write_text(RECORDER.format(record=shlex.quote(str(record))))
        recorder.chmod(0o700)
        for file in ("output", "summary", "record"):
            (self.folder / file).write_text("")
        environ = {
            "PATH": os.environ["PATH"],
            "GITHUB_ACTION_PATH": str(ROOT),
            "GITHUB_EVENT_NAME": self.event,
            "GITHUB_EVENT_PATH": str(event),
            "GITHUB_REPOSITORY": REPOSITORY,
            "GITHUB_WORKSPACE": str(self.checkout),
            "GITHUB_OUTPUT": str(self.folder / "output"),
            "GITHUB_STEP_SUMMARY": str(self.folder / "summary"),
            "RUNNER_TEMP": str(self.temp),
            "RECONCILER_EXECUTABLE": str(recorder),
            "INPUT_COMMAND": command,
            "INPUT_PATHS": "accounts",
            "INPUT_URL": "https://fw.example.com",
            **SECRETS,
            **{f"INPUT_{name.upper()}": value for name, value in inputs.items()},
            **self.environ,
        }
        code, log = (_start_python if self.starts_python else _run_here)(
            PROGRAMS / f"{program}.py", self.checkout, environ
        )
        assert "Traceback" not in log
        return Ran(code, log, recorded(record), (self.folder / "output").read_text())


def _start_python(program: Path, folder: Path, environ: dict[str, str]) -> tuple[int, str]:
    """Starts an interpreter for the program; returns its exit code and what it printed."""
    command = [sys.executable, "-E", "-s", str(program)]
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=False, timeout=60)
    return done.returncode, done.stdout + done.stderr


def _run_here(program: Path, folder: Path, environ: dict[str, str]) -> tuple[int, str]:
    """As ``_start_python``, in this process."""
    printed = io.StringIO()
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with (
            mock.patch.dict(os.environ, environ, clear=True),
            mock.patch.object(sys, "path", [str(PROGRAMS), *sys.path]),
            contextlib.chdir(folder),
            contextlib.redirect_stdout(printed),
            contextlib.redirect_stderr(printed),
            pytest.raises(SystemExit) as ended,
        ):
            runpy.run_path(str(program), run_name="__main__")
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    code = ended.value.code
    assert isinstance(code, int)
    return code, printed.getvalue()


def recorded(record: Path) -> list[tuple[list[str], dict[str, str]]]:
    """Arguments and environment of each call of reconciler that the recorder has written down."""
    fields = iter(os.fsdecode(record.read_bytes()).split("\0")[:-1])
    calls = []
    for count in fields:
        arguments = [next(fields) for _ in range(int(count))]
        calls.append((arguments, dict(pair.split("=", 1) for pair in takewhile(bool, fields))))
    return calls


@dataclass(frozen=True)
class Ran:
    """What came of it.

    Attributes:
        calls: Arguments and environment of each call of reconciler.
    """

    code: int
    log: str
    calls: list[tuple[list[str], dict[str, str]]]
    outputs: str

    @property
    def commands(self) -> list[str]:
        return [arguments[0] for arguments, _environ in self.calls]


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job(tmp_path)


def head(repository: object, *, base: object = HERE) -> dict[str, Any]:
    return {"pull_request": {"number": 7, "head": {"repo": repository}, "base": {"repo": base}}, "repository": HERE}


OURS: dict[str, tuple[str, object]] = {
    "push": ("push", PUSH),
    "push of a tag": ("push", {**PUSH, "ref": "refs/tags/v1"}),
    "push, in other letters": ("push", {**PUSH, "repository": {"full_name": REPOSITORY.upper()}}),
    "workflow_dispatch": ("workflow_dispatch", {"ref": "refs/heads/main", "repository": HERE, "inputs": None}),
    "repository_dispatch": ("repository_dispatch", {"action": "x", "repository": HERE}),
    "schedule": ("schedule", {"schedule": "17 3 * * *", "repository": HERE}),
    "schedule, silent": ("schedule", {}),
    "pull_request": ("pull_request", pull_request()),
    "pull_request_target": ("pull_request_target", head(HERE)),
}
FORKS: dict[str, tuple[str, object]] = {
    "pull_request": ("pull_request", pull_request(repository="stranger/accounts")),
    "pull_request_target": ("pull_request_target", head({"full_name": "stranger/accounts", "id": 2})),
    "deleted fork": ("pull_request_target", head(None)),
    "fork of the same name": ("pull_request_target", head({"full_name": "stranger/" + REPOSITORY, "id": 2})),
    "merge_group": ("merge_group", {"action": "checks_requested", "repository": HERE}),
    "push of a merge queue": ("push", {**PUSH, "ref": QUEUE}),
}
UNKNOWN: dict[str, tuple[str, object]] = {
    "issue_comment": ("issue_comment", {**COMMENT, "repository": HERE}),
    "workflow_run": ("workflow_run", {"workflow_run": {"head_sha": HEAD}, "repository": HERE}),
    "pull_request_review_comment": ("pull_request_review_comment", pull_request()),
    "an event that nobody knows": ("surprise", PUSH),
    "no event": ("", PUSH),
    "push that is a pull request": ("push", {**PUSH, **pull_request(repository="stranger/accounts")}),
    "push that is a comment": ("push", {**PUSH, **COMMENT}),
    "push that is a run": ("push", {**PUSH, "workflow_run": {}}),
    "push to another repository": ("push", {**PUSH, "repository": {"full_name": "stranger/accounts"}}),
    "push of a pull request's ref": ("push", {**PUSH, "ref": "refs/pull/7/merge"}),
    "push of nothing": ("push", {"repository": HERE}),
    "empty push": ("push", {}),
    "schedule elsewhere": ("schedule", {"repository": {"full_name": "stranger/accounts"}}),
    "schedule that is a pull request": ("schedule", pull_request()),
    "dispatch without a repository": ("workflow_dispatch", {"ref": "refs/heads/main"}),
    "dispatch of a pull request": ("workflow_dispatch", {**PUSH, "ref": "refs/pull/7/head"}),
    "pull request without a pull request": ("pull_request", {"repository": HERE}),
    "pull request without a head": ("pull_request", {**pull_request(), "pull_request": {"base": {"repo": HERE}}}),
    "pull request elsewhere": ("pull_request", head(HERE, base={"full_name": "stranger/accounts"})),
    "pull request of a repository with two ids": ("pull_request", head({**HERE, "id": 2})),
    "pull request in words": ("pull_request", {"pull_request": "yes", "repository": REPOSITORY}),
}


@pytest.mark.parametrize("command", ["plan", "apply", "test"])
@pytest.mark.parametrize("event", OURS)
def test_events_of_writers_run_with_secrets(job: Job, event: str, command: str) -> None:
    ran = job.on(*OURS[event]).run(command)
    assert (ran.code, ran.commands) == (0, [command])
    assert ran.calls[0][1].items() >= {**SECRETS, "RECONCILER_URL": "https://fw.example.com"}.items()


@pytest.mark.parametrize("command", ["plan", "apply", "test"])
@pytest.mark.parametrize("event", FORKS)
def test_forks_are_validated_without_secrets(job: Job, event: str, command: str) -> None:
    ran = job.on(*FORKS[event]).run(command, args="--allow-commands")
    assert (ran.code, ran.commands) == (0, ["validate"])
    assert "canary" not in json.dumps(ran.calls)
    assert "--allow-commands" not in ran.calls[0][0]


@pytest.mark.parametrize("command", ["plan", "apply", "test"])
@pytest.mark.parametrize("event", UNKNOWN)
def test_events_without_a_certain_author_are_refused(job: Job, event: str, command: str) -> None:
    ran = job.on(*UNKNOWN[event]).run(command)
    assert (ran.code, ran.calls) == (1, [])
    assert ran.log.startswith(f"::error title=reconciler::{command} refused: ")
    assert "runs only on push, schedule, workflow_dispatch" in ran.log


@pytest.mark.parametrize(
    ("event", "code", "commands"),
    [
        (OURS["push"], 0, ["apply"]),
        (FORKS["pull_request"], 0, ["validate"]),
        (FORKS["push of a merge queue"], 0, ["validate"]),
        (UNKNOWN["issue_comment"], 1, []),
    ],
)
def test_the_programs_do_the_same_as_the_runner_starts_them(
    job: Job, event: tuple[str, object], code: int, commands: list[str]
) -> None:
    here = job.on(*event).run("apply")
    job.starts_python = True
    started = job.run("apply")
    assert (started.code, started.commands) == (code, commands)
    assert (here.code, here.commands) == (code, commands)
    for (_, environ), (_, other) in zip(started.calls, here.calls, strict=True):
        assert environ.keys() - {"LC_CTYPE"} == other.keys()  # the interpreter sets it
    assert ("canary" in json.dumps(started.calls)) is (commands == ["apply"])


def test_programs_that_refuse_do_so_as_the_runner_starts_them(job: Job) -> None:
    job.starts_python = True
    assert job.run("apply", paths='a "b').code == 64
    assert job.run(program="install", version="reconciler").code == 64
    job.environ = {"MARKDOWN": str(job.folder / "absent"), "GITHUB_API_URL": "http://127.0.0.1:1"}
    ran = job.on(*FORKS["pull_request_target"]).run(program="comment")
    assert (ran.code, ran.log) == (0, "")


@pytest.mark.parametrize(
    "payload", [None, b"", b"{", b"\xff\xfe", b"[]", b"null", b'"push"', b"[" * 100_000, b"{}"], ids=repr
)
@pytest.mark.parametrize("event", ["push", "pull_request", "workflow_dispatch"])
def test_an_unreadable_event_file_is_refused(job: Job, event: str, payload: bytes | None) -> None:
    job.event, job.payload = event, payload
    ran = job.run("apply")
    assert (ran.code, ran.calls) == (1, [])
    assert "apply refused: the file of the event" in ran.log


@pytest.mark.parametrize(
    "environ",
    [
        {"GITHUB_REPOSITORY": ""},
        {"GITHUB_REPOSITORY": "stranger/accounts"},
        {"GITHUB_REF": "refs/pull/7/merge"},
        {"GITHUB_HEAD_REF": "change"},
        {"GITHUB_EVENT_PATH": ""},
        {"GITHUB_EVENT_PATH": "/dev/zero"},
        {"GITHUB_EVENT_NAME": "pull_request"},
    ],
    ids=str,
)
def test_an_event_file_that_contradicts_the_job_is_refused(job: Job, environ: dict[str, str]) -> None:
    job.environ = environ
    assert (job.run().code, job.run("apply").calls) == (1, [])


@pytest.mark.parametrize("event", [*FORKS, *UNKNOWN])
def test_validate_runs_on_every_event_without_secrets(job: Job, event: str) -> None:
    ran = job.on(*{**FORKS, **UNKNOWN}[event]).run("validate", trust="/nowhere/trust.yaml")
    assert (ran.code, ran.commands) == (0, ["validate"])
    assert "canary" not in json.dumps(ran.calls)
    assert "--trust" not in ran.calls[0][0]


@pytest.mark.parametrize("event", ["pull_request_target", "merge_group"])
def test_only_a_trusted_pull_request_gets_a_comment(job: Job, event: str) -> None:
    job.environ = {"MARKDOWN": str(job.folder / "absent"), "GITHUB_API_URL": "http://127.0.0.1:1"}
    assert (job.on(*FORKS[event]).run(program="comment").code, job.run(program="comment").log) == (0, "")


def test_the_same_account_on_two_servers_counts_twice(job: Job) -> None:
    assert "\n2\n" in job.run("apply").outputs.partition("update<<")[2].partition("delete<<")[0]


def comment(job: Job, github: FakeGitHub, body: str, **inputs: str) -> list[str]:
    """Lets the action comment on a pull request; returns all comments, without their hidden lines."""
    (job.folder / "comment.md").write_text(body)
    job.environ = {
        "MARKDOWN": str(job.folder / "comment.md"),
        "GITHUB_API_URL": github.server.url,
        "GITHUB_TOKEN": TOKEN,
        "INPUT_URL": "",
    }
    ran = job.on("pull_request", pull_request()).run(program="comment", **inputs)
    assert (ran.code, ran.log) == (0, "")
    return [one["body"].split("\n", 2)[2] for one in github.comments]


def test_a_fleet_keeps_its_comment_when_a_server_is_added(job: Job, github: FakeGitHub) -> None:
    comment(job, github, "<!-- reconciler: aaaa -->\n2 servers\n")
    assert comment(job, github, "<!-- reconciler: bbbb -->\n3 servers\n") == ["3 servers\n"]


def test_each_shard_has_its_own_comment_even_if_it_fails(job: Job, github: FakeGitHub) -> None:
    comment(job, github, "<!-- reconciler: aaaa -->\nfirst\n", args="--shard 1/2")
    comment(job, github, f"{NO_SERVER}\nempty\n", args="--shard 2/2")
    assert comment(job, github, f"{NO_SERVER}\nfailed\n", args="--shard 1/2") == ["failed\n", "empty\n"]
    assert comment(job, github, "<!-- reconciler: cccc -->\nagain\n", args="--shard 1/2") == ["again\n", "empty\n"]


def test_a_server_keeps_its_comment_when_the_arguments_change(job: Job, github: FakeGitHub) -> None:
    comment(job, github, "<!-- reconciler: aaaa -->\nfirst\n")
    comment(job, github, "<!-- reconciler: aaaa -->\nsecond\n", args="--no-prune")
    assert comment(job, github, "<!-- reconciler: bbbb -->\nother\n", args="--only x") == ["second\n", "other\n"]


def test_github_tokens_are_not_passed_on(job: Job) -> None:
    names = ("GITHUB_TOKEN", "ACTIONS_RUNTIME_TOKEN", "ACTIONS_ID_TOKEN_REQUEST_TOKEN", "GITHUB_ENV", "GITHUB_PATH")
    job.environ = dict.fromkeys(names, "forge-canary")
    ((_arguments, environ),) = job.run().calls
    assert set(names).isdisjoint(environ)
    assert "GITHUB_OUTPUT" not in environ


@pytest.mark.parametrize("command", ["plan", "apply"])
@pytest.mark.parametrize("planted", ["plan.json", "plans"])
def test_a_committed_link_is_neither_replaced_nor_followed(job: Job, planted: str, command: str) -> None:
    job.checkout.mkdir()
    victim = job.folder / "victim"
    victim.mkdir()
    (victim / "plan.json").write_text("precious")
    (job.checkout / planted).symlink_to(victim / "plan.json" if planted == "plan.json" else victim)
    for name in (planted, str(job.checkout / planted)):
        ran = job.run(command, plan_file=name if planted == "plan.json" else f"{name}/plan.json")
        assert (ran.code, ran.calls) == (64, [])
        assert f"{planted} is a link, which is neither read nor replaced" in ran.log
    assert (victim / "plan.json").read_text() == "precious"
    assert (job.checkout / planted).is_symlink()


def test_a_committed_plan_is_replaced(job: Job) -> None:
    job.checkout.mkdir()
    (job.checkout / "plan.json").write_text("committed")
    ran = job.run(plan_file="plan.json")
    assert json.loads((job.checkout / "plan.json").read_text())["summary"]["create"] == 1
    assert f"\n{job.checkout}/plan.json\n" in ran.outputs


def test_files_of_a_run_are_outside_the_checkout(job: Job) -> None:
    # With RUNNER_TEMP in the checkout a pull request could prepare what is found there.
    for temp, inside in ((str(job.temp), True), ("", False), (str(job.checkout), False)):
        job.environ = {"RUNNER_TEMP": temp}
        arguments = job.run().calls[0][0]
        saved = arguments[arguments.index("--save") + 1]
        assert saved.startswith(str(job.temp)) is inside
        assert not saved.startswith(str(job.checkout))


@pytest.mark.parametrize(
    ("inputs", "complaint"),
    [
        ({"paths": 'a "b'}, "`paths` is not quoted as in a shell"),
        ({"args": "--only 'x"}, "`args` is not quoted as in a shell"),
        ({"no_secrets": "yes"}, '`no-secrets: yes` is neither "true" nor "false"'),
        ({"command": "apply", "no_secrets": "true"}, "`no-secrets` is for plan"),
        ({"paths": "a\n::error::x"}, None),
    ],
)
def test_invalid_inputs_are_errors(job: Job, inputs: dict[str, str], complaint: str | None) -> None:
    ran = job.run(**inputs)
    assert (ran.code, complaint or "") == (
        64 if complaint else 0,
        complaint if complaint and complaint in ran.log else "",
    )
    assert not any(line.startswith("::error::") for line in ran.log.splitlines())


def test_trust_and_no_secrets_reach_the_command(job: Job) -> None:
    job.temp.mkdir()
    trust = str(job.temp / "trust.yaml")
    assert job.run(trust=trust, no_secrets="true").calls[0][0][5:] == [
        "--trust",
        trust,
        "--no-secrets",
        "--",
        "accounts",
    ]
    assert job.run("apply", trust=trust).calls[0][0][-4:] == ["--trust", trust, "--", "accounts"]
    assert job.run("test", trust=trust).calls[0][0][-4:] == ["--trust", trust, "--", "accounts"]


@pytest.mark.parametrize(
    ("trust", "clones", "accepted"),
    [
        ("trust.yaml", ["."], False),
        ("accounts/trust.yaml", ["."], False),
        ("trust.yaml", [], False),
        ("other/trust.yaml", ["."], False),
        ("other/trust.yaml", [".", "other"], True),
        ("../temp/trust.yaml", ["."], True),
    ],
)
def test_a_trust_file_next_to_the_yaml_is_refused(job: Job, trust: str, clones: list[str], accepted: bool) -> None:
    for clone in clones:
        (job.checkout / clone / ".git").mkdir(parents=True)
    ran = job.run("apply", trust=trust)
    assert (ran.code, ran.commands) == ((0, ["apply"]) if accepted else (64, []))
    assert accepted or "is in the checkout, where a pull request can change it" in ran.log


def test_a_trust_file_in_a_submodule_is_refused(job: Job) -> None:
    (job.checkout / ".git").mkdir(parents=True)
    (job.checkout / "other").mkdir()
    (job.checkout / "other" / ".git").write_text("gitdir: ../.git/modules/other\n")
    assert job.run("apply", trust="other/trust.yaml").code == 64


@pytest.mark.parametrize("version", [".", "./reconciler", "file:///somewhere", "git+file:///somewhere", "installed"])
def test_code_in_a_checkout_of_a_fork_is_not_run(job: Job, version: str) -> None:
    job.checkout.mkdir()
    planted = job.checkout / "reconciler"
    planted.write_text("#!/bin/sh\n")
    planted.chmod(0o700)
    job.environ = {"PATH": f".:{os.environ['PATH']}"}
    ran = job.on(*FORKS["pull_request_target"]).run(program="install", version=version)
    assert ran.code == 64
    assert "is in the checkout, whose author may be anybody" in ran.log


@pytest.mark.parametrize(
    "version",
    [
        "reconciler",
        "Reconciler",
        "reconciler==0.2.2",
        "reconciler>0",
        "reconciler[sandbox]",
        "reconciler @ https://host/reconciler.whl",
        "reconciler; python_version > '3'",
    ],
)
def test_the_project_that_has_the_bare_name_on_pypi_is_refused(job: Job, version: str) -> None:
    ran = job.run(program="install", version=version)
    assert (ran.code, list(job.temp.iterdir())) == (64, [])
    assert "would install another project: on PyPI, `reconciler` is a pandas tool" in ran.log
    assert "`email-account-reconciler`" in ran.log


def test_modules_in_the_checkout_are_not_imported(job: Job) -> None:
    job.checkout.mkdir()
    for name in ("workflow", "author", "json", "shlex", "sitecustomize"):
        (job.checkout / f"{name}.py").write_text("raise SystemExit('imported from the checkout')")
    job.environ, job.starts_python = {"PYTHONPATH": "."}, True
    assert job.run("apply").commands == ["apply"]
