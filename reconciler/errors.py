"""Every error that a user can see, with its exit code.

ReconcilerError                 1   something is wrong and nothing (more) was done
├── ManifestError                   1   the YAML is wrong; carries every problem found, not the first alone
├── NotTrustedError             1   the YAML uses what neither our rules nor the trust file allow
├── SecretError                 1   a secret reference cannot be resolved
├── ApiError                    1   the server, or the way to it
│   ├── UnreachableError            the request never arrived
│   ├── RejectedError               the server said no (4XX); nothing happened
│   │   └── NotFoundError           404: the account is not there
│   └── OutcomeUnknownError         the request may or may not have taken effect
├── PlanError                   1   no safe plan exists for this YAML and this server
├── LockedError                 1   another run holds the lock of the server
├── StalePlanError              4   the saved plan no longer matches
├── OutputError                 1   the document cannot be written where it should go
│   └── ReaderGoneError             whoever read it has gone; the process ends as SIGPIPE would end it
└── GuardError                  5   a guard refused
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Self


class ExitCode(IntEnum):
    """What the process returns; the table is in the README."""

    OK = 0
    ERROR = 1
    CHANGES = 2
    INCOMPLETE = 3
    STALE_PLAN = 4
    GUARD = 5
    USAGE = 64
    INTERRUPTED = 130


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is wrong, in words for people and in parts for programs.

    Attributes:
        kind: A stable identifier in snake_case, such as ``unknown_key``.
        message: What is wrong, including the value found where it is not a secret.
        hint: What to do about it; empty where the message says it.
        address: The email account concerned.
        file: The YAML file, as the user named it.
        line: Line in ``file``, counted from 1.
        column: Column in ``file``, counted from 1.
    """

    kind: str
    message: str
    hint: str = ""
    address: str | None = None
    file: str | None = None
    line: int | None = None
    column: int | None = None

    def __str__(self) -> str:
        place = ":".join(str(part) for part in (self.file, self.line, self.column) if part is not None)
        return f"{place}: {self.message}" if place else self.message


class ReconcilerError(Exception):
    """The base of all errors that are the user's business; anything else is a bug of ours."""

    exit_code: ExitCode = ExitCode.ERROR
    kind = "error"

    def __init__(self, *problems: Problem) -> None:
        """Takes at least one problem."""
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems

    @classmethod
    def of(cls, message: str, *, kind: str = "", hint: str = "", address: str | None = None) -> Self:
        """Makes the error of a single problem."""
        return cls(Problem(kind=kind or cls.kind, message=message, hint=hint, address=address))


class ManifestError(ReconcilerError):
    """The YAML is wrong."""

    kind = "spec"


class NotTrustedError(ReconcilerError):
    """The YAML uses something that it must not use. Nothing was resolved, run or sent."""

    kind = "not_trusted"


class SecretError(ReconcilerError):
    """A secret reference cannot be resolved."""

    kind = "secret"


class ApiError(ReconcilerError):
    """The server, or the way to it, failed us.

    Attributes:
        transient: Another attempt may go better.
        retry_after: Seconds that the server asks to wait before the next attempt.
    """

    kind = "api"
    transient = False
    retry_after: float | None = None


class UnreachableError(ApiError):
    """The request never arrived: nothing happened on the server."""

    kind = "unreachable"


class RejectedError(ApiError):
    """The server said no (4XX): nothing happened on the server."""

    kind = "rejected"


class NotFoundError(RejectedError):
    """The account is not on the server."""

    kind = "not_found"


class OutcomeUnknownError(ApiError):
    """The request may or may not have taken effect: time-out, reset, 5XX, or an answer that makes no sense."""

    kind = "outcome_unknown"


class PlanError(ReconcilerError):
    """No safe plan exists for this YAML and this server."""

    kind = "plan"


class LockedError(ReconcilerError):
    """Another run holds the lock of the server."""

    kind = "locked"


class StalePlanError(ReconcilerError):
    """The saved plan no longer matches what would be done now."""

    exit_code = ExitCode.STALE_PLAN
    kind = "stale_plan"


class OutputError(ReconcilerError):
    """The document cannot be written where it should go."""

    kind = "output"


class ReaderGoneError(OutputError):
    """Whoever read standard output has gone, as ``head`` does once it has its lines."""


class GuardError(ReconcilerError):
    """A guard refused: too many deletes, or an empty set."""

    exit_code = ExitCode.GUARD
    kind = "guard"
