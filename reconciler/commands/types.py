"""Values that options take: durations, limits, addresses, files."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

import click

from reconciler.model.desired import DeleteLimit

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600}
_LONGEST = 24 * 3600


class Duration(click.ParamType[float]):
    """Seconds as a number, or ``30s``, ``5m``, ``1h``; arrives as seconds."""

    name = "duration"

    def __init__(self, *, zero: bool = False) -> None:
        """``zero`` allows no time at all."""
        self._zero = zero

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Turns the text into seconds."""
        found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", str(value))
        seconds = float(found[1]) * _UNITS[found[2]] if found else -1.0
        if not 0 <= seconds <= _LONGEST or (seconds == 0 and not self._zero):
            self.fail(f"{value!r} is not a duration up to a day; write 30, 30s, 5m or 1h", param, ctx)
        return seconds


class Limit(click.ParamType[DeleteLimit]):
    """A number, or a percentage such as ``30%``."""

    name = "limit"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> DeleteLimit:
        """Turns the text into a limit."""
        found = re.fullmatch(r"(\d{1,9})(%?)", str(value))
        if not found or (found[2] and int(found[1]) > 100):  # noqa: PLR2004 - per cent
            self.fail(f"{value!r} is not a limit; write a number or a percentage such as 30%", param, ctx)
        return DeleteLimit(int(found[1]), percent=bool(found[2]))


class Address(click.ParamType[str]):
    """An email address."""

    name = "address"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Takes what looks like an address."""
        if not re.fullmatch(r"[^\s@\x00-\x1f]+@[^\s@\x00-\x1f]+", str(value)):
            self.fail(f"{value!r} is not an email address", param, ctx)
        return str(value)


class FileName(click.ParamType[str]):
    """A file or a folder, as the user named it. Whoever opens it says what is wrong with it; shells complete it."""

    name = "file"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG002 - click's interface
        """Leaves it to the shell."""
        from click.shell_completion import CompletionItem

        return [CompletionItem(incomplete, type="file")]


class OutputFile(click.Path):
    """A file to write, as the user named it. It must not be a link, except for those of the system (``/dev/stdout``).

    Git keeps links: in a checkout, somebody else's pull request could choose which file of this machine is replaced.
    """

    def convert(
        self, value: str | os.PathLike[str], param: click.Parameter | None, ctx: click.Context | None
    ) -> str | bytes | os.PathLike[str]:
        """Takes the name, if it is not a link."""
        name = str(value)
        if os.path.islink(name) and not os.path.abspath(name).startswith(("/dev/", "/proc/")):  # noqa: PTH100, PTH114
            self.fail(f"{name} is a link. Name the file that it leads to, or remove the link.", param, ctx)
        return super().convert(value, param, ctx)


DURATION = Duration()
WAIT = Duration(zero=True)
DELETE_LIMIT = Limit()
ADDRESS = Address()
FILE_NAME = FileName()
OUTPUT_FILE = OutputFile(readable=False)
