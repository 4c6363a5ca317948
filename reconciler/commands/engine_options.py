"""The options that name the broker of an engine, and what a command with an engine does not take."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

import click

from reconciler.commands.options import Command, packed
from reconciler.commands.parameters import DURATION, FILE_NAME
from reconciler.errors import InvalidValueError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from reconciler.fleet.broker import BrokerAddress
    from reconciler.model.redaction import Redactor

VARIABLE = "RECONCILER_ENGINE"


def _engine(context: click.Context, _parameter: click.Parameter, value: str | None) -> str | None:
    """The option, else the variable. Only the variable may contain a password: command lines are visible to others."""
    if context.resilient_parsing:
        return None
    if value is not None and "@" in value:
        # It is not repeated: it may contain a password.
        raise click.UsageError(f"--engine contains a user name or a password. Set {VARIABLE} in its place.")
    value = os.environ.get(VARIABLE) if value is None else value
    if value == "":
        raise click.UsageError(f"--engine, or {VARIABLE}, is empty. Name a broker, or leave it out.")
    return value


class EngineFlags(NamedTuple):
    """The broker, if the command uses an engine.

    Attributes:
        url: ``None`` without an engine.
        ca_file: The CA of the broker.
        queue_timeout: Seconds that a message may wait for a worker.
    """

    url: str | None
    ca_file: str | None
    queue_timeout: float = 600.0

    def address(self, redactor: Redactor) -> BrokerAddress | None:
        """The broker's address; ``None`` without an engine. Its password is redacted from now on.

        Raises:
            click.UsageError: It is not the address of a broker.
        """
        from reconciler.fleet.broker import BrokerAddress

        if self.url is None:
            return None
        try:
            address = BrokerAddress.parse(self.url, self.ca_file)
        except InvalidValueError as error:
            raise click.UsageError(f"--engine, or {VARIABLE}: {error.message}; {error.hint}.") from None
        address.remember(redactor)
        return address


_URL = click.option(
    "--engine",
    callback=_engine,
    metavar="URL",
    help=f"The broker of the workers, as in redis://host:6379/0; or {VARIABLE}, which may contain a password.",
)
_CA_FILE = click.option(
    "--engine-ca-file", type=FILE_NAME, metavar="FILE", help="Private CA of a broker with rediss://."
)


def _client_options(queue_timeout: str) -> Callable[[Command], Command]:
    return packed(
        "engine",
        lambda engine, engine_ca_file, queue_timeout: EngineFlags(
            url=engine, ca_file=engine_ca_file, queue_timeout=queue_timeout
        ),
        _URL,
        _CA_FILE,
        click.option(
            "--queue-timeout",
            type=DURATION,
            default=queue_timeout,
            show_default=True,
            metavar="DURATION",
            help="How long a server waits for a worker.",
        ),
    )


engine_options = _client_options("10m")
"""The engine of a client; it arrives as ``engine: EngineFlags``."""

watch_engine_options = _client_options("2m")
"""``engine_options`` for a watcher: a round should not wait long for a site without workers; the next one comes."""

broker_options = packed(
    "engine", lambda engine, engine_ca_file: EngineFlags(url=engine, ca_file=engine_ca_file), _URL, _CA_FILE
)
"""The broker of a worker; likewise."""


def refuse_wider_options(given: Mapping[str, bool]) -> None:
    """Refuses options that the worker decides about, or that could widen what it does.

    Args:
        given: For each option, whether it was given.

    Raises:
        click.UsageError: One was.
    """
    found = [name for name, is_given in given.items() if is_given]
    if found:
        what = " and ".join(found)
        hint = "Workers take such options from their own command lines, or not at all."
        raise click.UsageError(f"{what} cannot be used with --engine. {hint}")
