"""What the command line says of itself."""

from __future__ import annotations

import re

import pytest
from click.testing import CliRunner

from reconciler.cli import cli

COMMANDS = [
    *("validate", "plan", "apply", "test", "export", "show", "trust", "watch", "worker", "status", "suspend", "resume"),
    *("schema", "sandbox", "demo"),
]


def ask(*arguments: str, width: int = 80) -> str:
    return CliRunner(env={"COLUMNS": str(width)}).invoke(cli, arguments, prog_name="reconciler").output


def test_these_are_all_commands() -> None:
    assert sorted(re.findall(r"^  (\w+)  +[A-Z]", ask("--help").partition("Commands:")[2], re.MULTILINE)) == sorted(
        COMMANDS
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_help_fits_80_columns_and_has_examples(command: str) -> None:
    text = ask(command, "--help")
    assert [line for line in text.splitlines() if len(line) > 80] == []
    assert re.search(rf"^  Examples?:\n    (\w+=\S+ )?reconciler {command}", text, re.MULTILINE)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_examples_parse(command: str) -> None:
    epilog = ask(command, "--help").partition("Example")[2].replace("\\\n", " ")
    shown = re.findall(rf"^    reconciler {command}(.*)$", epilog, re.MULTILINE)
    assert shown
    known = set(re.findall(r"(?<=[ ,])(--?[a-z][a-z-]*)", ask(command, "--help").partition("Example")[0]))
    for line in shown:
        assert [word for word in line.split() if word.startswith("-") and word not in known] == []


def test_the_list_of_commands_fits_80_columns_and_says_every_line_to_the_end() -> None:
    text = ask("--help")
    assert [line for line in text.splitlines() if len(line) > 80] == []
    assert "..." not in text.partition("Commands:")[2]
    assert "Start here:" in text


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        (["paln", "a.yaml"], "No such command 'paln'. Did you mean 'plan'?"),
        (["exprot"], "No such command 'exprot'. Did you mean 'export'?"),
    ],
)
def test_a_misspelled_command_gets_a_suggestion(arguments: list[str], meant: str) -> None:
    assert f"Error: {meant}" in ask(*arguments)


def test_an_unknown_word_gets_no_suggestion() -> None:
    assert ask("frobnicate").splitlines()[-1] == "Error: No such command 'frobnicate'."
