"""Words that people bring from other tools get a hint that names what to write instead."""

from __future__ import annotations

import importlib
import json
import re
from typing import TYPE_CHECKING

import click
import pytest

from reconciler.cli import COMMANDS as REAL_COMMANDS
from reconciler.cli import cli
from reconciler.commands import habits

if TYPE_CHECKING:
    from tests.support.cli_runner import CliProcess

APPROVES = "`reconciler apply PATH --auto-approve` applies without asking."
TWO_DASHES = "Long options have two dashes: "
NAME_FILES = "Name files and folders without an option, as in `reconciler plan accounts.yaml`."


@pytest.mark.parametrize(
    ("words", "command"),
    [
        (("diff", "preview"), "reconciler plan PATH"),
        (("sync", "deploy"), "reconciler apply PATH"),
        (("dump", "import", "pull"), "reconciler export -o accounts.yaml"),
        (("lint", "check"), "reconciler validate PATH"),
        (("destroy",), "reconciler apply PATH"),
    ],
)
def test_a_command_of_another_tool_names_ours(user: CliProcess, words: tuple[str, ...], command: str) -> None:
    for word in words:
        done = user.run(word, "accounts.yaml")
        assert (done.code, done.out) == (64, "")
        last = done.err.splitlines()[-1]
        assert last.startswith(f"Error: No such command '{word}'. ")
        assert f"`{command}`" in last
        assert "Did you mean" not in last


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("plan --json a.yaml", "`--format json` writes JSON."),
        ("export --json", "This command writes no JSON; `validate`, `plan`, `apply`, `test` and `status` do, with"),
        ("apply --yes a.yaml", "`--auto-approve` applies without asking."),
        ("apply -y a.yaml", "`--auto-approve` applies without asking."),
        ("plan --yes a.yaml", f"This command asks nothing. {APPROVES}"),
        ("plan --auto-approve a.yaml", f"This command asks nothing. {APPROVES}"),
        ("plan -auto-approve a.yaml", f"This command asks nothing. {APPROVES}"),
        ("apply -auto-approve a.yaml", f"{TWO_DASHES}`--auto-approve`."),
        ("apply --force a.yaml", "`--auto-approve` applies without asking; `--max-deletes` and `--allow-empty` lift"),
        ("apply -n a.yaml", "`--dry-run` shows what would change, and writes nothing."),
        ("apply --check a.yaml", "`--dry-run` shows what would change, and writes nothing."),
        ("apply --dry-run --detailed-exitcode a.yaml", "`reconciler plan PATH --detailed-exitcode` ends with 2 if"),
        ("plan --dry-run a.yaml", "A plan is always a dry run: it writes nothing."),
        ("watch -n a.yaml", "`--on-commit plan --on-drift report` shows what would change, and writes nothing."),
        ("test --dry-run a.yaml", "`reconciler plan PATH` shows what would change, and writes nothing."),
        ("export -f a.yaml", NAME_FILES),
        ("plan --file a.yaml", NAME_FILES),
        ("plan -var-file=vars.yaml a.yaml", NAME_FILES),
        ("plan --target a@example.com a.yaml", "`--only ADDRESS` narrows the command to some accounts."),
        ("--json plan a.yaml", "Options follow the command, as in"),
        ("apply --auto-aprove a.yaml", "Did you mean '--auto-approve'?"),
        ("plan --detaled-exitcode a.yaml", "Did you mean '--detailed-exitcode'?"),
    ],
)
def test_an_option_of_another_tool_names_ours(user: CliProcess, line: str, hint: str) -> None:
    done = user.run(*line.split())
    assert (done.code, done.out) == (64, "")
    assert re.search(rf"^Error: No such option '--?[a-z-]+'\. {re.escape(hint)}", done.err, re.MULTILINE), done.err


def test_an_unknown_option_gets_no_suggestion_by_chance(user: CliProcess) -> None:
    done = user.run("plan", "--wibble", "a.yaml")
    assert (done.code, done.err.splitlines()[-1]) == (64, "Error: No such option '--wibble'.")


@pytest.mark.parametrize("words", [["-f", "a.yaml"], ["-fa.yaml"], ["-f", "servers/"], ["-f", "."]])
def test_a_file_after_f_is_explained_as_kubectl_has_it(user: CliProcess, words: list[str]) -> None:
    done = user.run("apply", *words)
    assert (done.code, done.out) == (64, "")
    assert done.err.endswith(f"'junit'. `-f` is `--format` here. {NAME_FILES}\n"), done.err


def test_a_format_that_does_not_exist_is_not_taken_for_a_file(user: CliProcess) -> None:
    done = user.run("plan", "-f", "jsn", "a.yaml")
    assert (done.code, "without an option" in done.err) == (64, False)


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("json", "`-o` names a file here, and `-f` the format. For a file of that name, write `-o ./json`."),
        ("ut=plan.json", f"{TWO_DASHES}`--output FILE`, or `--save FILE` for a plan."),
    ],
)
def test_a_format_after_o_writes_no_file_of_that_name(user: CliProcess, word: str, hint: str) -> None:
    done = user.run("plan", f"-o{word}", "a.yaml")
    assert done.code == 64
    assert done.err.endswith(f"{word!r} is not a file. {hint}\n")
    assert [one.name for one in user.folder.iterdir()] == []


def test_a_program_gets_the_hint_in_its_document(user: CliProcess) -> None:
    done = user.run("plan", "a.yaml", "--yes", "--format", "json")
    (error,) = json.loads(done.out)["errors"]
    assert done.code == 64
    assert (error["kind"], error["message"]) == (
        "usage",
        f"No such option '--yes'. This command asks nothing. {APPROVES}",
    )


def test_no_hint_is_about_a_word_that_exists() -> None:
    assert not habits.COMMANDS.keys() & REAL_COMMANDS.keys()


def test_every_command_and_option_in_a_hint_exists() -> None:
    hints = [*habits.COMMANDS.values(), *(hint.text for hints in habits.OPTIONS.values() for hint in hints)]
    shown = {command for hint in hints for command in re.findall(r"`reconciler ([a-z]\w*)", hint)}
    assert shown <= REAL_COMMANDS.keys()
    options = {option for hint in hints for option in re.findall(r"(?<![\w-])--[a-z][a-z-]+", hint)}
    options |= {hint.needs for hints in habits.OPTIONS.values() for hint in hints if hint.needs}
    commands = [getattr(importlib.import_module(f"reconciler.commands.{name}"), name) for name in REAL_COMMANDS]
    known = {option for command in [cli, *commands] for one in command.params for option in one.opts}
    assert options <= known | {*click.Context(cli, **cli.context_settings).help_option_names}
