"""The pages of the documentation, and the blocks of code on them."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click
from markdown_it import MarkdownIt

from reconciler.cli import cli

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob(".github/*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md")]
)

_NOT_RUN = re.compile(r"<!-- not run: .+ -->\s*", re.DOTALL)
_BEFORE_A_COMMAND = re.compile(r"[;&|(!]+|\w+=\S*|sudo|env|exec|then|do|if|else|while|time|&&|\|\|")


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        line: The line of the page with its first fence.
        may_run: Whether no comment before it says that it is not run.
    """

    language: str
    text: str
    line: int
    may_run: bool

    @property
    def name(self) -> str | None:
        """The file that its first line names in a comment, such as ``# accounts.yaml``."""
        found = re.match(r"(?:#!.*\n)?# ?(\S*[\w-]\.(?:ya?ml|service|timer|conf|sh))\b", self.text)
        return found[1] if found else None

    @property
    def steps(self) -> list[Step]:
        """The commands of a console, each with the output that is shown below it."""
        steps: list[Step] = []
        lines = iter(self.text.splitlines())
        for line in lines:
            if line.startswith("$ "):
                steps.append(Step(_whole_command(line[2:], lines), []))
            else:
                assert steps, "a console begins with a command: `$ …`"
                steps[-1].output.append(line)
        return steps

    @property
    def script(self) -> str:
        """The commands, as a script."""
        return "\n".join(step.command for step in self.steps) if self.language == "console" else self.text


@dataclass(frozen=True)
class Step:
    """A command, and the lines that are shown below it."""

    command: str
    output: list[str]


def _whole_command(line: str, lines: Iterator[str]) -> str:
    """A command with the lines that continue it: after a backslash, and up to the end of a here-document."""
    while line.endswith("\\"):
        line += "\n" + next(lines)
    if here := re.search(r"<<-?\s*'?(\w+)'?", line):
        while not line.endswith("\n" + here[1]):
            line += "\n" + next(lines)
    return line


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page. Code that is only indented has no language, and is reported as such."""
    tokens = MarkdownIt("commonmark").parse(page.read_text(encoding="utf-8"))
    found = []
    for number, token in enumerate(tokens):
        if token.type in ("fence", "code_block"):
            assert token.map
            before = tokens[number - 1]
            may_run = not (before.type == "html_block" and _NOT_RUN.fullmatch(before.content))
            language = token.info.split()[0] if token.info.strip() else ""
            found.append(Block(language, token.content, token.map[0] + 1, may_run))
    return found


def code_spans(page: Path) -> list[str]:
    """What is written as code in the text."""
    tokens = MarkdownIt("commonmark").enable("table").parse(page.read_text(encoding="utf-8"))
    return [child.content for token in tokens for child in token.children or () if child.type == "code_inline"]


def reconciler_commands(script: str) -> Iterator[list[str]]:
    """The arguments of each ``reconciler …`` in a script."""
    script = re.sub(r"\\\n", " ", re.sub(r"(?m)(^|\s)#.*$", "", script))
    for line in script.splitlines():
        lexer = shlex.shlex(re.sub(r"\$\(", " ; ", line), posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        words = list(lexer)
        for number, word in enumerate(words):
            is_first = number == 0 or _BEFORE_A_COMMAND.fullmatch(words[number - 1])
            if word.rpartition("/")[2] == "reconciler" and (is_first or words[number + 1 : number + 2] in KNOWN):
                rest = words[number + 1 :]
                end = next((at for at, one in enumerate(rest) if re.fullmatch(r"[<>|&;()]+", one)), len(rest))
                yield rest[: end - 1] if end < len(rest) and rest[end - 1] in ("1", "2") else rest[:end]


def parse(arguments: list[str]) -> None:
    """Parses a command line, without running it.

    Raises:
        click.UsageError: It is wrong.
    """
    group = click.Context(cli, info_name="reconciler")
    if arguments[:1] in ([], ["--version"], ["--help"], ["-h"]):
        return
    command = cli.get_command(group, arguments[0])
    if command is None:
        raise click.UsageError(f"no command {arguments[0]!r}")
    if not {"--help", "-h"} & set(arguments):
        command.make_context(arguments[0], arguments[1:], parent=group)


KNOWN = [[name] for name in cli.list_commands(click.Context(cli))]


def is_known(words: list[str]) -> bool:
    """Whether a command that the text mentions exists, with the options that it has there."""
    if len(words) == 1 or words[1].startswith("-"):
        return set(words[1:]) <= {"--version", "--help", "-h"}
    if words[1].isupper():
        return True  # a word for any command
    command = cli.get_command(click.Context(cli), words[1])
    return command is not None and {word.partition("=")[0] for word in words if word.startswith("--")} <= options(
        command
    )


def options(command: click.Command | None = None) -> set[str]:
    """The options of a command; of all commands without one."""
    if command is None:
        commands = [cli.get_command(click.Context(cli), name) for (name,) in KNOWN]
        return {option for one in (cli, *commands) if one for option in options(one)}
    below = command.commands.values() if isinstance(command, click.Group) else ()
    own = {option for one in command.params for option in (*one.opts, *one.secondary_opts)}
    return {"--help", "--version", *own}.union(*(options(one) for one in below))
