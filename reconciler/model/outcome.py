"""What became of a plan."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from datetime import datetime

    from reconciler.errors import Problem
    from reconciler.model.change import Server
    from reconciler.model.desired import Origin, TestWhen


IN_PLACE: Final = "was in place already; nothing written"
"""The note of a change that counts as applied without a write of ours."""


class Status(StrEnum):
    """What became of a change."""

    APPLIED = "applied"
    FAILED = "failed"
    SKIPPED = "skipped"
    UNKNOWN = "unknown"
    NOT_ATTEMPTED = "not_attempted"


@dataclass(frozen=True, slots=True)
class TestOutcome:
    """What the test endpoint said."""

    __test__ = False

    when: TestWhen
    to_email: str
    passed: bool
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one change, or of one account's test.

    Attributes:
        action: ``create``, ``update``, ``delete``, or ``test`` for an account that was tested alone.
        error: Why it did not come out as planned; ``None`` where it did.
        note: What else happened: already in place, adopted, rolled back.
        origin: Where the account is declared; ``None`` for a delete.
    """

    address: str
    action: str
    status: Status
    id: int | None = None
    error: str | None = None
    note: str | None = None
    test: TestOutcome | None = None
    origin: Origin | None = None

    @property
    def in_place(self) -> bool:
        """Whether it counts as applied without a write of ours."""
        return self.note is not None and self.note.startswith(IN_PLACE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The outcome of a whole run against one server."""

    server: Server
    started_at: datetime
    finished_at: datetime
    outcomes: tuple[Outcome, ...] = ()
    errors: tuple[Problem, ...] = field(default=())
    interrupted: bool = False

    @property
    def complete(self) -> bool:
        """Whether everything was applied and every test passed."""
        return not self.errors and all(
            outcome.status is Status.APPLIED and (outcome.test is None or outcome.test.passed)
            for outcome in self.outcomes
        )
