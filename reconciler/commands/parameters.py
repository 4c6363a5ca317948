"""The types of the command line's values."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final, TypeVar

import click

from reconciler.errors import InvalidValueError
from reconciler.model.desired import DeleteLimit
from reconciler.model.duration import parse_duration
from reconciler.model.fleet import Selector

if TYPE_CHECKING:
    from collections.abc import Callable

    from click.shell_completion import CompletionItem

    from reconciler.fleet.selection import Shard

Value = TypeVar("Value")


_NO_NAME: Final = "the name is empty. Check the variable that it comes from."


class Duration(click.ParamType[float]):
    """Seconds as a number, or ``30s``, ``5m``, ``1h``; arrives as seconds.

    Args:
        allow_zero: Whether no time at all is allowed.
        needs_unit: Whether a number alone is an error, for options that people think of in hours.
    """

    name = "duration"

    def __init__(self, *, allow_zero: bool = False, needs_unit: bool = False) -> None:
        self._allow_zero = allow_zero
        self._needs_unit = needs_unit

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Converts the string to seconds."""
        text = str(value)
        if self._needs_unit and text[-1:].isdecimal():
            self.fail(f"{value!r} has no unit; write {text}m for minutes, or {text}h for hours", param, ctx)
        try:
            return parse_duration(value, allow_zero=self._allow_zero)
        except InvalidValueError:
            forms = "30s" if self._needs_unit else "30, 30s"
            self.fail(f"{value!r} is not a duration up to a day; write {forms}, 5m or 1h", param, ctx)


class Limit(click.ParamType[DeleteLimit]):
    """A number, or a percentage such as ``30%``."""

    name = "limit"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> DeleteLimit:
        """Converts the string to a limit."""
        text = str(value)
        try:
            return DeleteLimit.parse(int(text) if text.isdecimal() else text)
        except ValueError:
            self.fail(f"{value!r} is not a limit; write a number or a percentage such as 30%", param, ctx)


class Parsed(click.ParamType[Value]):
    """A value that a function reads from its string; the function's error says what is wrong with it.

    Args:
        what: What the value is called.
        parse: Reads it, or raises ``InvalidValueError``.
    """

    def __init__(self, what: str, parse: Callable[[str], Value]) -> None:
        self.name = what
        self._parse = parse

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Value:
        """Converts the string to the value."""
        try:
            return self._parse(str(value))
        except InvalidValueError as error:
            self.fail(f"{value!r} is not a {self.name}: {error.message}; {error.hint}", param, ctx)


def _shard(text: str) -> Shard:
    from reconciler.fleet.selection import Shard

    return Shard.parse(text, os.environ)


class Address(click.ParamType[str]):
    """An email address."""

    name = "address"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Checks the address as the manifests' addresses are checked."""
        from reconciler.manifest.values import address

        try:
            return address(str(value))
        except InvalidValueError:
            self.fail(f"{value!r} is not an email address", param, ctx)


class FileName(click.ParamType[str]):
    """A file or a folder, as the user named it. The code that opens it reports what is wrong with it."""

    name = "file"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Checks that there is a name."""
        return str(value) or self.fail(_NO_NAME, param, ctx)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG002 - click's interface
        """Leaves it to the shell."""
        from click.shell_completion import CompletionItem

        return [CompletionItem(incomplete, type="file")]


class OutputFile(click.Path):
    """A file to write, as the user named it. It must not be a link, except for those of the system (``/dev/stdout``).

    Git keeps links: in a checkout, a pull request could choose which file of this machine is replaced.
    """

    def convert(
        self, value: str | os.PathLike[str], param: click.Parameter | None, ctx: click.Context | None
    ) -> str | bytes | os.PathLike[str]:
        """Checks that there is a name, and that it is neither a link nor a format."""
        from reconciler.commands.habits import output_hint

        name = str(value)
        if not name:
            self.fail(_NO_NAME, param, ctx)
        if hint := output_hint(name):
            self.fail(f"{name!r} is not a file. {hint}", param, ctx)
        if os.path.islink(name) and not os.path.abspath(name).startswith(("/dev/", "/proc/")):  # noqa: PTH100, PTH114
            self.fail(f"{name} is a link. Name the file that it leads to, or remove the link.", param, ctx)
        return super().convert(value, param, ctx)


DURATION = Duration()
FILE_NAME = FileName()
"""A file that is read, or a folder of manifests: no command overwrites it."""

OUTPUT_FILE = OutputFile(readable=False)
"""A file that is written."""

OWN_FILES = FileName()
"""A folder, or a database, of files that the command itself writes."""
SELECTOR = Parsed("selector", Selector.parse)
SHARD = Parsed("shard", _shard)
