"""The result of a run of the command."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

DOCUMENTATION: Final = "https://email-account-reconciler.github.io/reconciler/"


@dataclass(frozen=True)
class Usage:
    """Resources that a process used.

    Attributes:
        seconds: CPU time, user and system.
        peak_memory: The largest resident set, in KiB.
    """

    seconds: float = 0
    peak_memory: int = 0


@dataclass(frozen=True)
class RunResult:
    """The exit code of a run, and its output by stream or file name."""

    code: int
    texts: Mapping[str, str]
    usage: Usage = field(default=Usage(), compare=False)

    @property
    def out(self) -> str:
        return self.texts["stdout"]

    @property
    def err(self) -> str:
        return self.texts["stderr"]

    @property
    def whole(self) -> str:
        return "\n".join(f"{name}\n{text}" for name, text in self.texts.items())


def help_for(kind: str) -> str:
    """The last lines on standard error after errors of one kind."""
    return f"help: {DOCUMENTATION}errors/#{kind}\najuda: {DOCUMENTATION}pt-BR/errors/#{kind}\n"
