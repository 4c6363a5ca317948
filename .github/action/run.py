"""Runs the command that the inputs ask for, and sets the step's outputs and the job's summary."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import author
import safe_paths
import workflow

if TYPE_CHECKING:
    from collections.abc import Iterable

_COMMANDS = ("validate", "plan", "apply", "test")
_ACTIONS = ("create", "update", "delete")
_REFUSED = 1
_USAGE = 64
_WITHHELD = re.compile(r"GITHUB_TOKEN|ACTIONS_\w*TOKEN|GITHUB_(ENV|PATH|OUTPUT|STATE)|PYTHON\w+")
"""GitHub's tokens, the files by which later steps can be changed, and PYTHONPATH, which may name the checkout."""

_SKIPPED = """\
### reconciler: {command} skipped

{reason}. A fork's workflow gets neither the secrets that {command} needs (the server's API key, and the passwords that
the YAML refers to) nor permission to comment, so the YAML was only **validated**: {result}
To run {command}, somebody with write access can push the branch to this repository.
"""

_UNTRUSTED = (
    "{command} refused: {reason}. The YAML decides where secrets go, so {command} runs only on push, schedule,"
    " workflow_dispatch and repository_dispatch, and on pull requests from branches of this repository."
    " `command: validate` needs no secret and runs on every event"
)


@dataclass(frozen=True)
class Inputs:
    """The action's inputs.

    Attributes:
        plan_file: Where ``plan`` saves its plan, or the reviewed plan for ``apply``; may be absent.
        options: The options for the command that other inputs set.
        arguments: More arguments for the command.
    """

    command: str
    paths: list[str]
    plan_file: Path | None
    options: list[str]
    arguments: list[str]


def main() -> int:
    """Runs the command; returns its exit code."""
    try:
        inputs = _read_inputs()
    except workflow.InputError as error:
        workflow.annotate("error", str(error))
        return _USAGE
    assessment = author.assess()
    if inputs.command == "validate":
        return _validate(inputs, assessment)
    if assessment.author is author.Author.FORK:
        return _validate_only(inputs, assessment)
    if not assessment.trusted:
        workflow.annotate("error", _UNTRUSTED.format(command=inputs.command, reason=assessment.reason))
        return _REFUSED
    return {"plan": _plan, "apply": _apply, "test": _test}[inputs.command](inputs)


def _read_inputs() -> Inputs:
    command, paths = _input("COMMAND"), _words("PATHS")
    if command not in _COMMANDS or not paths:
        problem = "`paths` is empty" if command in _COMMANDS else f"`command: {command}` is unknown"
        raise workflow.InputError(f"{problem}; command is one of {', '.join(_COMMANDS)}, paths are the YAML files")
    options = []
    if trust := _input("TRUST"):
        safe_paths.check_trust_file(trust, paths)
        options += ["--trust", trust]
    if _is_true("NO_SECRETS"):
        if command != "plan":
            raise workflow.InputError(f"`no-secrets` is for plan; {command} has no such option")
        options += ["--no-secrets"]
    plan_file = _input("PLAN_FILE")
    return Inputs(
        command=command,
        paths=paths,
        plan_file=safe_paths.path_without_links(plan_file) if plan_file else None,
        options=options,
        arguments=_words("ARGS"),
    )


def _input(name: str) -> str:
    return os.environ.get(f"INPUT_{name}", "").strip()


def _words(name: str) -> list[str]:
    try:
        return shlex.split(_input(name))
    except ValueError as error:
        raise workflow.InputError(f"`{name.lower()}` is not quoted as in a shell: {error}") from None


def _is_true(name: str) -> bool:
    value = _input(name).lower()
    if value not in ("", "true", "false"):
        raise workflow.InputError(f'`{name.lower().replace("_", "-")}: {value}` is neither "true" nor "false"')
    return value == "true"


def _validate_only(inputs: Inputs, assessment: author.Assessment) -> int:
    message = f"{assessment.reason} and gets no secrets: {inputs.command} skipped, the YAML validated"
    workflow.annotate("notice", message)
    code = _run(["validate", "--format", "github"], inputs.paths, workflow.environment_without_secrets())
    result = "it is not valid; see the annotations." if code else "it is valid."
    workflow.add_summary(_SKIPPED.format(command=inputs.command, reason=assessment.reason, result=result))
    return code


def _validate(inputs: Inputs, assessment: author.Assessment) -> int:
    # The trust file is a secret of its environment: an untrusted author could guess what it lists.
    options = inputs.options if assessment.trusted else []
    arguments = ["validate", "--format", "github", *options, *inputs.arguments]
    return _run(arguments, inputs.paths, workflow.environment_without_secrets())


def _test(inputs: Inputs) -> int:
    arguments = ["test", "--format", "github", *inputs.options, *inputs.arguments]
    return _run(arguments, inputs.paths, _environment_with_secrets())


def _plan(inputs: Inputs) -> int:
    saved = workflow.new_folder() / "plan.json"
    if inputs.plan_file and not _prepare_plan_file(inputs.plan_file):
        return _USAGE
    arguments = ["plan", "--format", "github", "--save", str(saved), *inputs.options, *inputs.arguments]
    code = _run(arguments, inputs.paths, _environment_with_secrets())
    if saved.exists():
        summary = json.loads(saved.read_bytes())["summary"]
        if inputs.plan_file:
            shutil.copyfile(saved, inputs.plan_file)
        _set_counts(Counter({action: summary[action] for action in _ACTIONS}))
        workflow.set_outputs(**{"plan-file": str(inputs.plan_file or saved)})
    return code


def _prepare_plan_file(file: Path) -> bool:
    """Removes the plan of an earlier run: a plan that cannot be applied is not saved, and must not leave that one."""
    try:
        file.unlink(missing_ok=True)
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        workflow.annotate("error", f"`plan-file: {file}` cannot be written: {error.strerror}")
        return False
    return True


def _apply(inputs: Inputs) -> int:
    given = _value_of("--journal", inputs.arguments)
    journal = Path(given) if given else workflow.new_folder() / "journal.jsonl"
    size = journal.stat().st_size if journal.exists() else 0
    approval = ["--plan", str(inputs.plan_file)] if inputs.plan_file else ["--auto-approve"]
    journal_option = [] if given else ["--journal", str(journal)]
    arguments = ["apply", "--format", "github", *approval, *journal_option, *inputs.options, *inputs.arguments]
    code = _run(arguments, inputs.paths, _environment_with_secrets())
    if journal.exists():
        with journal.open("rb") as file:
            file.seek(size)
            _set_counts(_applied_changes(file))
    elif code == 0:
        _set_counts(Counter())
    return code


def _applied_changes(journal: Iterable[bytes]) -> Counter[str]:
    """Counts the applied changes by action; an account that took two writes counts once."""
    status = {}
    for entry in map(json.loads, filter(bytes.strip, journal)):
        if entry["event"] == "outcome" and not entry.get("rollback"):
            status[entry["server"], entry["action"], entry["address"], entry["id"]] = entry["status"]
    return Counter(action for (_server, action, *_account), last in status.items() if last == "applied")


def _set_counts(counts: Counter[str]) -> None:
    changes = "true" if counts.total() else "false"
    workflow.set_outputs(changes=changes, **{action: str(counts[action]) for action in _ACTIONS})


def _environment_with_secrets() -> dict[str, str]:
    """The step's environment, which holds the secrets."""
    return {name: value for name, value in os.environ.items() if not _WITHHELD.fullmatch(name)}


def _run(arguments: list[str], paths: list[str], environment: dict[str, str]) -> int:
    """Runs reconciler; its Markdown goes to the job's summary, and to a file for a comment."""
    summary = workflow.new_folder() / "summary.md"
    environment["GITHUB_STEP_SUMMARY"] = str(summary)
    if url := _input("URL"):
        environment["RECONCILER_URL"] = url
    line = shlex.join(["reconciler", *arguments, "--", *paths])
    # A line break could start a command to the runner.
    escaped = "".join(character if character.isprintable() else ascii(character)[1:-1] for character in line)
    sys.stdout.write(f"$ {escaped}\n")
    sys.stdout.flush()
    command = [os.environ["RECONCILER_EXECUTABLE"], *arguments, "--", *paths]
    with subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL) as process:  # noqa: S603 - no shell
        # If the job is cancelled, reconciler finishes the requests in flight and reports what it has done.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda received, _frame: process.send_signal(received))
        code = process.wait()
    if summary.exists():
        workflow.add_summary(summary.read_text(encoding="utf-8"))
        workflow.set_outputs(markdown=str(summary))
    return code


def _value_of(option: str, arguments: list[str]) -> str:
    for position, argument in enumerate(arguments):
        if argument == option and position + 1 < len(arguments):
            return arguments[position + 1]
        if argument.startswith(f"{option}="):
            return argument.partition("=")[2]
    return ""


if __name__ == "__main__":
    sys.exit(main())
