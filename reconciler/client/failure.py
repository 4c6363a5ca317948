"""What an attempt can fail of, before it is known whether another one follows and which error the caller sees."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from reconciler.errors import ApiError, OutcomeUnknownError

if TYPE_CHECKING:
    from reconciler.errors import Problem


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

    def exception(self, *, writing: bool = False) -> ApiError:
        """The error for the caller, whose request was, or was not, ``writing``."""
        if writing and self.doubtful:
            message = f"it is not certain whether the server did it: {self.problem.message}"
            error: ApiError = OutcomeUnknownError(replace(self.problem, message=message))
        else:
            error = self.error(self.problem)
        error.transient, error.retry_after = self.transient, self.after
        return error


class AttemptError(Exception):
    """Carries a failure from where it happened to where it is judged; never leaves this package."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(str(failure.problem))
        self.failure = failure
        self.transient = failure.transient
        self.retry_after = failure.after


class UnreadableError(Exception):
    """An answer that came but makes no sense; the text says why. Never leaves this package."""
