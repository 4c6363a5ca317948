"""What became of a step, and the words for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from reconciler.errors import RejectedError, UnreachableError
from reconciler.model.outcome import DeliveryTestResult, Status

if TYPE_CHECKING:
    from reconciler.errors import ApiError, ReconcilerError


@dataclass(frozen=True, slots=True)
class StepResult:
    """What became of a step.

    Attributes:
        unreached: It ended because the server was not reached.
        attempts: How many requests it sent to write.
    """

    status: Status
    id: int | None = None
    error: str | None = None
    note: str | None = None
    test: DeliveryTestResult | None = None
    unreached: bool = False
    attempts: int = 0

    @property
    def ok(self) -> bool:
        """Whether what depends on this step may go on."""
        return self.status is Status.APPLIED and (self.test is None or self.test.passed)


NO_TURN = "the run ended before its turn"


def internal_error(bug: Exception) -> str:
    """A bug as part of a sentence in a report; its own words may hold a secret."""
    return f"internal error ({type(bug).__name__})"


def words(error: ReconcilerError) -> str:
    """An error as part of a sentence in a report."""
    return "; ".join(problem.message for problem in error.problems)


def is_outage(error: ApiError) -> bool:
    """Whether the server was not reached, or only something in front of it that could not reach it either."""
    return isinstance(error, UnreachableError) or (error.transient and not isinstance(error, RejectedError))
