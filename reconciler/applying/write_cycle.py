"""The cycle that every write goes through: read, compare, write, verify.

It is repeated as a whole, so that no write is sent without a read just before it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from reconciler.applying.worker_pool import NOT_STARTED
from reconciler.errors import ApiError, NotFoundError, RejectedError, UnreachableError, WithheldError
from reconciler.model.outcome import FailureKind, Outcome, Status
from reconciler.planning.fields import describe_fields, not_kept

if TYPE_CHECKING:
    import threading

    from reconciler.applying.run_state import RunState
    from reconciler.model.account import Account, Fields
    from reconciler.model.plan import Change
    from reconciler.model.ports import AccountReader, AccountWriter
    from reconciler.retry import Retry


@dataclass(frozen=True, slots=True)
class UnverifiedWrite:
    """The account that the server returned for a write, and what was sent; they have not been compared yet."""

    account: Account
    sent: Fields
    note: str | None = None


class WriteAccess(NamedTuple):
    """What the writes of a run share.

    Attributes:
        stop: When set, no request to write is sent any more, even if the read before it is in flight. Those of a
            rollback have none: they are completed.
    """

    server: AccountWriter
    state: RunState
    stop: threading.Event | None


class Write(ABC):
    """One write, and what its attempts have found.

    Attributes:
        attempts: How many requests to write were sent.
    """

    def __init__(self, access: WriteAccess, change: Change) -> None:
        self.server, self.state, self._stop = access
        self.change = change
        self.attempts = 0

    @property
    def is_stopped(self) -> bool:
        """Whether no request to write may be sent any more."""
        return self._stop is not None and self._stop.is_set()

    def run(self, retry: Retry) -> Outcome:
        """Makes attempts until the outcome is clear. ``Outcome.account`` is set if the account is as it should be."""
        try:
            end = retry.run(lambda _deadline: self.attempt())
        except ApiError as error:
            end = self.conclude(error)
        outcome = _verified(end, self.change, self.server) if isinstance(end, UnverifiedWrite) else end
        return replace(outcome, attempts=self.attempts)

    @abstractmethod
    def attempt(self) -> Outcome | UnverifiedWrite:
        """Reads, compares, and writes if that is still right.

        Raises:
            ApiError: A request failed. If the error is transient, another attempt may follow.
        """

    @abstractmethod
    def conclude(self, error: ApiError) -> Outcome | UnverifiedWrite:
        """The outcome after the last attempt has failed; reads again if necessary."""

    def failed(self, error: ApiError, message: str | None = None, status: Status = Status.FAILED) -> Outcome:
        """The outcome if a request failed."""
        kind = FailureKind.UNREACHED if error.is_unreached else None
        if message is None:
            message = f"not written: {error.reason}" if isinstance(error, WithheldError) else error.reason
        return Outcome.of(self.change, status, message, kind=kind)


def _verified(written: UnverifiedWrite, change: Change, server: AccountReader) -> Outcome:
    """Compares the response with what was sent. If they differ, a fresh read decides."""
    account, note = written.account, written.note
    missing = not_kept(written.sent, account)
    if account.id is not None and missing:
        try:
            account = server.get_account(account.id)
        except ApiError as error:
            message = f"written, but the response lacks {', '.join(missing)}, and reading again failed: {error.reason}"
            kind = FailureKind.UNREACHED if error.is_unreached else None
            return Outcome.of(change, Status.UNKNOWN, message, id=account.id, kind=kind, note=note)
        missing = not_kept(written.sent, account)
    if missing:
        message = f"the server did not keep {describe_fields(missing, account)}"
        return Outcome.of(change, Status.FAILED, message, id=account.id, kind=FailureKind.NOT_KEPT, note=note)
    return replace(Outcome.of(change, Status.APPLIED, id=account.id, note=note), account=account)


class ExistingAccountWrite(Write):
    """A write to an account that the server has.

    Args:
        expected: The account as the plan, or an earlier step of this run, has seen it.
        ours: Whether ``expected`` is the response to a write of this run: a field missing from it is unknown.
    """

    state_if_not_done = "not in place so far"

    def __init__(self, access: WriteAccess, change: Change, expected: Account, *, ours: bool) -> None:
        super().__init__(access, change)
        assert expected.id is not None  # noqa: S101 - it is on the server
        self.expected = expected
        self.id = expected.id
        self.ours = ours
        self.doubt: ApiError | None = None
        self._is_reading = False

    def attempt(self) -> Outcome | UnverifiedWrite:
        """Reads the account, compares it, and writes it."""
        self._is_reading = True
        try:
            fresh = self.server.get_account(self.id)
        except NotFoundError:
            return self.gone()
        self._is_reading = False
        if settled := self.compare(fresh):
            return settled
        if self.is_stopped:
            return (
                self._not_done(self.doubt) if self.doubt else Outcome.of(self.change, Status.NOT_ATTEMPTED, NOT_STARTED)
            )
        self.attempts += 1
        try:
            return self.write(fresh)
        except (UnreachableError, WithheldError):
            self.attempts -= 1
            raise
        except ApiError as error:
            # What may have happened stays in doubt, even if the server refuses a later attempt.
            if self.doubt is None or not isinstance(error, RejectedError):
                self.doubt = error
            raise

    def conclude(self, error: ApiError) -> Outcome | UnverifiedWrite:
        """Reads the account again if a write may have taken effect."""
        if self.doubt is None:
            return self.failed(error)
        if self._is_reading:
            return self._not_read(self.doubt, error)
        try:
            fresh = self.server.get_account(self.id)
        except NotFoundError:
            return self.gone()
        except ApiError as again:
            return self._not_read(self.doubt, again)
        return self.compare(fresh) or self._not_done(self.doubt, error)

    @property
    def is_in_doubt(self) -> bool:
        """Whether an attempt may have taken effect."""
        return self.doubt is not None and not isinstance(self.doubt, RejectedError)

    def left_alone(self, reason: str) -> Outcome:
        """A failure; mentions what an earlier attempt may have done."""
        if self.doubt and self.is_in_doubt:
            reason += f" (an earlier attempt: {self.doubt.reason})"
        return Outcome.of(self.change, Status.FAILED, reason)

    def unclear(self, what: str) -> Outcome:
        """The outcome if an attempt may have taken effect, and reading again did not show whether it has."""
        assert self.doubt is not None  # noqa: S101 - something is in doubt
        return Outcome.of(self.change, Status.UNKNOWN, f"{self.doubt.reason}; {what}")

    def _not_read(self, doubt: ApiError, error: ApiError) -> Outcome:
        message = f"{doubt.reason}; it could not be read again: {error.reason}"
        return self.failed(error, message, Status.UNKNOWN)

    def _not_done(self, doubt: ApiError, last: ApiError | None = None) -> Outcome:
        withheld = f"; not written again: {last.reason}" if isinstance(last, WithheldError) else ""
        if isinstance(doubt, RejectedError):
            return Outcome.of(self.change, Status.FAILED, f"{doubt.reason}{withheld}")
        return self.unclear(f"read again, {self.state_if_not_done}{withheld}")

    @abstractmethod
    def gone(self) -> Outcome:
        """The outcome if the account does not exist."""

    @abstractmethod
    def compare(self, fresh: Account) -> Outcome | None:
        """The outcome if nothing is to be written; ``None`` if the account is as expected."""

    @abstractmethod
    def write(self, fresh: Account) -> Outcome | UnverifiedWrite:
        """Sends the write.

        Raises:
            ApiError: The response is anything but a documented success.
        """
