"""What an incorrect command line says about its command and its output; click stops reading at the first mistake."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import takewhile
from typing import TYPE_CHECKING, Any, Final

import click

from reconciler.commands.inputs import refuse_overwriting_inputs

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from reconciler.commands.invocation import Invocation

_OF_OUTPUT: Final = ("format", "output", "quiet", "plain")
"""The parameters whose callbacks only store a value in the ``Invocation``."""


@dataclass(slots=True)
class _Arguments:
    """A command's arguments, as far as they can be parsed.

    Attributes:
        options: Values by the name of the parameter; the last one wins.
        words: Everything else: paths, values of other options, unknown options.
    """

    options: dict[str, Any] = field(default_factory=dict)
    words: list[str] = field(default_factory=list)


def add_usage(error: click.UsageError, commands: click.Group, arguments: Sequence[str]) -> None:
    """Lets an error show its command's usage and ``--help``, as most do: click omits it if an option lacks a value."""
    found = _command(commands, arguments)
    if error.ctx is None and found:
        error.ctx, _ = found


def recover_output_options(invocation: Invocation, commands: click.Group, arguments: Sequence[str]) -> None:
    """Applies ``--format``, ``--output`` and the like, wherever they are in an incorrect command line.

    Args:
        invocation: Gets the values. A file that the command line also names for anything else is not written.
        commands: The group that the command is in.
        arguments: The whole command line.
    """
    command = _command(commands, arguments)
    if command is None:
        return
    context, rest = command
    context.obj = invocation
    found = _parse(context.command, rest)
    for parameter in context.command.params:
        if parameter.name in _OF_OUTPUT and parameter.name in found.options:
            try:
                parameter.process_value(context, found.options[parameter.name])
            except click.UsageError:
                continue
    if invocation.output_refused:
        invocation.output = None
        return
    try:
        refuse_overwriting_inputs(invocation, found.words)
    except click.UsageError:
        return


def _command(commands: click.Group, arguments: Sequence[str]) -> tuple[click.Context, list[str]] | None:
    """The command that a command line names, and the arguments after it; ``None`` if it names none."""
    group = click.Context(commands, info_name="reconciler")
    known = commands.list_commands(group)
    before = list(takewhile(lambda word: word not in known, arguments))
    if len(before) == len(arguments):
        return None
    name, *rest = arguments[len(before) :]
    command = commands.get_command(group, name)
    assert command is not None  # noqa: S101 - it is in the list
    return click.Context(command, parent=group, info_name=name), rest


def _parse(command: click.Command, arguments: Sequence[str]) -> _Arguments:
    options = {word: one for one in command.params if isinstance(one, click.Option) for word in one.opts}
    found = _Arguments()
    rest = iter(arguments)
    for word in rest:
        if word == "--":
            found.words.extend(rest)
        elif word.startswith("--"):
            head, equals, value = word.partition("=")
            _take(found, options.get(head), [value] if equals else [], rest)
        elif word.startswith("-") and len(word) > 1:
            _take_letters(found, options, word[1:], rest)
        else:
            found.words.append(word)
    return found


def _take_letters(found: _Arguments, options: Mapping[str, click.Option], letters: str, rest: Iterator[str]) -> None:
    """Parses ``-qfjson``: flags, up to a letter that takes the rest as its value."""
    for place, letter in enumerate(letters, 1):
        option = options.get(f"-{letter}")
        if option and not option.is_flag:
            _take(found, option, [letters[place:]] if letters[place:] else [], rest)
            return
        _take(found, option, [], rest)


def _take(found: _Arguments, option: click.Option | None, attached: Sequence[str], rest: Iterator[str]) -> None:
    """Stores the value of an option: attached to it, or the next word."""
    if option is None:
        found.words.extend(attached)
        return
    if option.is_flag:
        found.options[option.name or ""] = True
        return
    value = attached[0] if attached else next(rest, None)
    if value is not None:
        found.options[option.name or ""] = value
        if option.name != "output":
            found.words.append(value)
