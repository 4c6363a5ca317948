"""Runs the command that the action was asked for, and says in outputs and the job's summary what came of it."""

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

import origin
import places
import workflow

if TYPE_CHECKING:
    from collections.abc import Iterable

_COMMANDS = ("validate", "plan", "apply", "test")
_ACTIONS = ("create", "update", "delete")
_REFUSED = 1
_USAGE = 64
_HELD_BACK = re.compile(r"GITHUB_TOKEN|ACTIONS_\w*TOKEN|GITHUB_(ENV|PATH|OUTPUT|STATE)|PYTHON\w+")
"""The forge's tokens, the files by which later steps can be changed, and PYTHONPATH, which can name the checkout."""

_SKIPPED = """\
### reconciler: {command} skipped

{reason}. Forks get neither the secrets that a {command} needs (the server's key, the passwords that the YAML refers to)
nor the right to comment, so the YAML was **validated** and nothing more: {verdict}
Somebody with write access can see the {command} by pushing the branch to this repository.
"""

_UNTRUSTED = (
    "{command} refused: {reason}. The YAML decides where secrets go, so {command} runs only on push, schedule,"
    " workflow_dispatch and repository_dispatch, and on pull requests from branches of this repository."
    " `command: validate` needs no secret and runs on every event"
)


@dataclass(frozen=True)
class Request:
    """What was asked for.

    Attributes:
        plan_file: Where ``plan`` saves its plan, or the reviewed plan that ``apply`` holds to; may be absent.
        options: What the other inputs come to, as options of the command.
        arguments: More arguments for the command.
    """

    command: str
    paths: list[str]
    plan_file: Path | None
    options: list[str]
    arguments: list[str]


def main() -> int:
    """Runs it; returns the exit code of reconciler."""
    try:
        asked = _read_inputs()
    except workflow.InputError as error:
        workflow.say("error", str(error))
        return _USAGE
    verdict = origin.judge()
    if asked.command == "validate":
        return _validate(asked, verdict)
    if verdict.origin is origin.Origin.FORK:
        return _validate_only(asked, verdict)
    if not verdict.trusted:
        workflow.say("error", _UNTRUSTED.format(command=asked.command, reason=verdict.reason))
        return _REFUSED
    return {"plan": _plan, "apply": _apply, "test": _test}[asked.command](asked)


def _read_inputs() -> Request:
    command, paths = _input("COMMAND"), _words("PATHS")
    if command not in _COMMANDS or not paths:
        wrong = "`paths` is empty" if command in _COMMANDS else f"`command: {command}` is unknown"
        raise workflow.InputError(f"{wrong}; command is one of {', '.join(_COMMANDS)}, paths are the YAML files")
    options = []
    if trust := _input("TRUST"):
        places.keep_out_of_checkout(trust, paths)
        options += ["--trust", trust]
    if _is_true("NO_SECRETS"):
        if command != "plan":
            raise workflow.InputError(f"`no-secrets` is for plan; {command} has no such option")
        options += ["--no-secrets"]
    plan_file = _input("PLAN_FILE")
    return Request(
        command=command,
        paths=paths,
        plan_file=places.without_links(plan_file) if plan_file else None,
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


def _validate_only(asked: Request, verdict: origin.Verdict) -> int:
    workflow.say("notice", f"{verdict.reason} and gets no secrets: {asked.command} skipped, the YAML validated")
    code = _run(["validate", "--format", "github"], asked.paths, workflow.environment())
    outcome = "it is not valid; the annotations say why." if code else "it is valid."
    workflow.summarize(_SKIPPED.format(command=asked.command, reason=verdict.reason, verdict=outcome))
    return code


def _validate(asked: Request, verdict: origin.Verdict) -> int:
    # The trust file is a secret of its environment: what it lists is not for everybody to learn by trying.
    options = asked.options if verdict.trusted else []
    arguments = ["validate", "--format", "github", *options, *asked.arguments]
    return _run(arguments, asked.paths, workflow.environment())


def _test(asked: Request) -> int:
    return _run(["test", "--format", "github", *asked.options, *asked.arguments], asked.paths, _secrets())


def _plan(asked: Request) -> int:
    saved = workflow.scratch() / "plan.json"
    if asked.plan_file and not _make_way(asked.plan_file):
        return _USAGE
    arguments = ["plan", "--format", "github", "--save", str(saved), *asked.options, *asked.arguments]
    code = _run(arguments, asked.paths, _secrets())
    if saved.exists():
        summary = json.loads(saved.read_bytes())["summary"]
        if asked.plan_file:
            shutil.copyfile(saved, asked.plan_file)
        _announce(Counter({action: summary[action] for action in _ACTIONS}))
        workflow.set_outputs(**{"plan-file": str(asked.plan_file or saved)})
    return code


def _make_way(file: Path) -> bool:
    """A plan that cannot be applied is not saved; one of an earlier run must not be taken for it."""
    try:
        file.unlink(missing_ok=True)
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        workflow.say("error", f"`plan-file: {file}` cannot be written: {error.strerror}")
        return False
    return True


def _apply(asked: Request) -> int:
    given = _value_of("--journal", asked.arguments)
    journal = Path(given) if given else workflow.scratch() / "journal.jsonl"
    size = journal.stat().st_size if journal.exists() else 0
    how = ["--plan", str(asked.plan_file)] if asked.plan_file else ["--auto-approve"]
    noted = [] if given else ["--journal", str(journal)]
    arguments = ["apply", "--format", "github", *how, *noted, *asked.options, *asked.arguments]
    code = _run(arguments, asked.paths, _secrets())
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


def _secrets() -> dict[str, str]:
    """The step's environment, where the secrets are."""
    return {name: value for name, value in os.environ.items() if not _HELD_BACK.fullmatch(name)}


def _run(arguments: list[str], paths: list[str], environment: dict[str, str]) -> int:
    """Runs reconciler; its Markdown goes to the job's summary, and to a file for a comment."""
    summary = workflow.scratch() / "summary.md"
    environment["GITHUB_STEP_SUMMARY"] = str(summary)
    if url := _input("URL"):
        environment["RECONCILER_URL"] = url
    line = shlex.join(["reconciler", *arguments, "--", *paths])
    # A line of its own could be a command to the runner.
    sys.stdout.write("$ " + "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in line) + "\n")
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


def _value_of(option: str, arguments: list[str]) -> str:
    for position, argument in enumerate(arguments):
        if argument == option and position + 1 < len(arguments):
            return arguments[position + 1]
        if argument.startswith(f"{option}="):
            return argument.partition("=")[2]
    return ""


if __name__ == "__main__":
    sys.exit(main())
