"""What became of a step, and the words for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.errors import RejectedError, UnreachableError

if TYPE_CHECKING:
    from reconciler.errors import ApiError, ReconcilerError


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
