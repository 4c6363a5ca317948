"""What a run does, counted instead of timed: modules imported, requests sent, comparisons made."""

from __future__ import annotations

import click

from reconciler.cli import COMMANDS, cli


def test_the_list_of_commands_says_what_the_commands_say_of_themselves() -> None:
    context = click.Context(cli)
    found = {name: cli.get_command(context, name) for name in cli.list_commands(context)}
    assert {name: command and command.get_short_help_str(limit=67) for name, command in found.items()} == COMMANDS
