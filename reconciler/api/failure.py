"""What an attempt can fail of, before it is known whether another one follows and which error the caller sees."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from reconciler.errors import ApiError, OutcomeUnknownError, Problem

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why one attempt did not end in a good answer.

    Attributes:
        problem: What the user gets to see.
        error: The error's class where nothing can have happened on the server, and for reads.
        doubtful: Had the request been a write, it might have taken effect.
        transient: Another attempt may go better.
        after: Seconds that the server asks to wait before the next attempt.
    """

    problem: Problem
    error: type[ApiError]
    doubtful: bool
    transient: bool = False
    after: float | None = None

    def exception(self) -> ApiError:
        """The error for a caller whose request certainly changed nothing."""
        return self.error(self.problem)


class AttemptError(Exception):
    """Carries a failure from where it happened to where it is judged; never leaves this package."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(str(failure.problem))
        self.failure = failure


class UnreadableError(Exception):
    """An answer that came but makes no sense; the text says why. Never leaves this package."""


def outcome_unknown(doubts: Sequence[Failure], last: Failure) -> OutcomeUnknownError:
    """The error for a write of which an attempt may have taken effect, whatever its last attempt says."""
    doubt = doubts[-1]
    message = f"it is not certain whether the server did it: {doubt.problem.message}"
    if last is not doubt:
        message += f"; another attempt: {last.problem.message}"
    return OutcomeUnknownError(Problem(kind=doubt.problem.kind, message=message, hint=last.problem.hint))
