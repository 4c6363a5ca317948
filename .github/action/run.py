"""Runs the command that the action was asked for, and says in outputs and the job's summary what came of it."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import workflow

if TYPE_CHECKING:
    from collections.abc import Iterable

_COMMANDS = ("validate", "plan", "apply", "test")
_ACTIONS = ("create", "update", "delete")
_USAGE = 64

_FORK = """\
### reconciler: {command} skipped

This pull request comes from a fork. Forks get neither the secrets that a {command} needs (the server's key, the
passwords that the YAML refers to) nor the right to comment, so the YAML was **validated** and nothing more: {verdict}
Somebody with write access can see the {command} by pushing the branch to this repository.
"""


@dataclass(frozen=True)
class Request:
    """What was asked for.

    Attributes:
        plan_file: Where ``plan`` saves its plan, or the reviewed plan that ``apply`` holds to; may be empty.
        arguments: More arguments for the command.
    """

    command: str
    paths: list[str]
    plan_file: str
    arguments: list[str]


def main() -> int:
    """Runs it; returns the exit code of reconciler."""
    asked = Request(
        command=os.environ.get("INPUT_COMMAND", "").strip(),
        paths=shlex.split(os.environ.get("INPUT_PATHS", "")),
        plan_file=os.environ.get("INPUT_PLAN_FILE", "").strip(),
        arguments=shlex.split(os.environ.get("INPUT_ARGS", "")),
    )
    if asked.command not in _COMMANDS or not asked.paths:
        wrong = "`paths` is empty" if asked.command in _COMMANDS else f"`command: {asked.command}` is unknown"
        workflow.say("error", f"{wrong}; command is one of {', '.join(_COMMANDS)}, paths are the YAML files")
        return _USAGE
    if workflow.from_fork() and asked.command != "validate":
        return _validate_only(asked)
    runs = {"validate": _validate, "plan": _plan, "apply": _apply, "test": _test}
    return runs[asked.command](asked)


def _validate_only(asked: Request) -> int:
    workflow.say("notice", f"a pull request from a fork gets no secrets: {asked.command} skipped, the YAML validated")
    code = _run(["validate", "--format", "github"], asked.paths)
    verdict = "it is not valid; the annotations say why." if code else "it is valid."
    workflow.summarize(_FORK.format(command=asked.command, verdict=verdict))
    return code


def _validate(asked: Request) -> int:
    return _run(["validate", "--format", "github", *asked.arguments], asked.paths)


def _test(asked: Request) -> int:
    return _run(["test", "--format", "github", *asked.arguments], asked.paths)


def _plan(asked: Request) -> int:
    file = Path(asked.plan_file or _scratch("plan.json")).resolve()
    # A plan that cannot be applied is not saved; one of an earlier run must not be taken for it.
    file.unlink(missing_ok=True)
    file.parent.mkdir(parents=True, exist_ok=True)
    code = _run(["plan", "--format", "github", "--save", str(file), *asked.arguments], asked.paths)
    if file.exists():
        summary = json.loads(file.read_bytes())["summary"]
        _announce(Counter({action: summary[action] for action in _ACTIONS}))
        workflow.set_outputs(**{"plan-file": str(file)})
    return code


def _apply(asked: Request) -> int:
    given = _value_of("--journal", asked.arguments)
    journal = Path(given or _scratch("journal.jsonl"))
    size = journal.stat().st_size if journal.exists() else 0
    how = ["--plan", asked.plan_file] if asked.plan_file else ["--auto-approve"]
    noted = [] if given else ["--journal", str(journal)]
    code = _run(["apply", "--format", "github", *how, *noted, *asked.arguments], asked.paths)
    if journal.exists():
        with journal.open("rb") as file:
            file.seek(size)
            _announce(_written(file))
    elif code == 0:
        _announce(Counter())
    return code


def _written(lines: Iterable[bytes]) -> Counter[str]:
    """What was written, by action; an account that took two writes counts once."""
    status = {}
    for entry in map(json.loads, filter(bytes.strip, lines)):
        if entry["event"] == "outcome" and not entry.get("rollback"):
            status[entry["action"], entry["address"], entry["id"]] = entry["status"]
    return Counter(action for (action, _address, _id), last in status.items() if last == "applied")


def _announce(counts: Counter[str]) -> None:
    workflow.set_outputs(changes="true" if counts.total() else "false", **{one: str(counts[one]) for one in _ACTIONS})


def _run(arguments: list[str], paths: list[str]) -> int:
    """Runs reconciler; its Markdown goes to the job's summary, and to a file for a comment."""
    summary = Path(_scratch("summary.md"))
    environment = {**os.environ, "GITHUB_STEP_SUMMARY": str(summary)}
    if url := os.environ.get("INPUT_URL", "").strip():
        environment["RECONCILER_URL"] = url
    sys.stdout.write(f"$ reconciler {shlex.join([*arguments, '--', *paths])}\n")
    sys.stdout.flush()
    command = [os.environ["RECONCILER_EXECUTABLE"], *arguments, "--", *paths]
    with subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL) as process:  # noqa: S603 - no shell
        # A job that is cancelled: reconciler ends what is in flight and reports what was done.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda received, _frame: process.send_signal(received))
        code = process.wait()
    if summary.exists():
        workflow.summarize(summary.read_text(encoding="utf-8"))
        workflow.set_outputs(markdown=str(summary))
    return code


def _scratch(name: str) -> str:
    """A new file's path in the runner's folder for them, which is emptied after the job."""
    folder = Path(os.environ.get("RUNNER_TEMP") or ".").resolve() / "reconciler-runs"
    number = len(list(folder.glob("*"))) if folder.is_dir() else 0
    path = folder / str(number) / name
    path.parent.mkdir(parents=True)
    return str(path)


def _value_of(option: str, arguments: list[str]) -> str:
    for position, argument in enumerate(arguments):
        if argument == option and position + 1 < len(arguments):
            return arguments[position + 1]
        if argument.startswith(f"{option}="):
            return argument.partition("=")[2]
    return ""


if __name__ == "__main__":
    sys.exit(main())
