"""Read, compare and write: what a step repeats as a whole, so that no write goes out without a fresh read."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from reconciler.applying.result import is_outage, words
from reconciler.errors import ApiError
from reconciler.model.outcome import Status, StepResult
from reconciler.planning.fields import describe_fields, not_kept

if TYPE_CHECKING:
    import threading

    from reconciler.model.account import Account, Fields
    from reconciler.model.ports import AccountReader
    from reconciler.retry import Retry

NOT_KEPT: Final = "the server did not keep"


@dataclass(frozen=True, slots=True)
class Written:
    """An account as the server has it after a write; what was sent has yet to be compared with it."""

    answer: Account
    sent: Fields
    note: str | None = None


class Cycle(ABC):
    """One write in the making; keeps what its attempts have met.

    Attributes:
        attempts: How many requests to write have been sent.
        stop: Once set, nothing is written any more, even if the read before it was under way. A cycle that takes
            something back has none: it goes on.
    """

    attempts = 0
    stop: threading.Event | None = None

    @property
    def stopped(self) -> bool:
        """Whether no write may start any more."""
        return self.stop is not None and self.stop.is_set()

    @abstractmethod
    def attempt(self) -> StepResult | Written:
        """Reads, compares, and writes if that is still right.

        Raises:
            ApiError: A request failed; if it is transient, another attempt may follow.
        """

    @abstractmethod
    def conclude(self, error: ApiError) -> StepResult | Written:
        """What is true once no other attempt follows, the last one having ended in ``error``; looks if need be."""


def carry_out(cycle: Cycle, server: AccountReader, retry: Retry) -> tuple[StepResult, Account | None]:
    """Makes attempts until it is clear what became of the write.

    Returns:
        What became of it, and the account as it is now, if it is as it was to be.
    """
    account = None
    try:
        end = retry.run(lambda _deadline: cycle.attempt())
    except ApiError as error:
        end = cycle.conclude(error)
    if isinstance(end, Written):
        end, account = _verified(end, server)
    return replace(end, attempts=cycle.attempts), account


def _verified(written: Written, server: AccountReader) -> tuple[StepResult, Account | None]:
    """Compares the answer with what was sent; if it lacks some of it, or shows other values, a fresh read decides."""
    answer, note = written.answer, written.note
    missing = not_kept(written.sent, answer)
    if answer.id is not None and missing:
        try:
            answer = server.get_account(answer.id)
        except ApiError as error:
            what = f"written, but the answer lacks {', '.join(missing)}, and reading again failed: {words(error)}"
            return StepResult(Status.UNKNOWN, answer.id, what, note, unreached=is_outage(error)), None
        missing = not_kept(written.sent, answer)
    if missing:
        message = f"{NOT_KEPT} {describe_fields(missing, answer)}"
        return StepResult(Status.FAILED, answer.id, message, note), None
    return StepResult(Status.APPLIED, answer.id, note=note), answer
