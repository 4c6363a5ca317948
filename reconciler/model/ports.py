"""What the core needs from the outside, as protocols. ``client`` and the tests' fakes implement the first two."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from reconciler.errors import Problem
    from reconciler.model.account import Account, Fields
    from reconciler.model.fleet import Batch
    from reconciler.model.outcome import Outcome, Report, Status
    from reconciler.model.plan import Change, Plan
    from reconciler.model.secret import Secret
    from reconciler.model.server import Server


class AccountReader(Protocol):
    """Read access to a server's accounts; all that ``plan`` gets. Every method raises ``ApiError``."""

    def list_accounts(self) -> tuple[Account, ...]:
        """All accounts, in the server's order. Raises unless the response is a complete list."""

    def get_account(self, account_id: int) -> Account:
        """One account as it is now. Raises ``NotFoundError`` if it does not exist."""


class AccountWriter(AccountReader, Protocol):
    """Read and write access; only ``apply`` and ``test`` get it.

    Every write is sent once. It raises ``RejectedError`` or ``UnreachableError`` if the server certainly did nothing,
    and ``OutcomeUnknownError`` if it may have done it. No method ever sends ``UNKNOWN``.
    """

    def create_account(self, fields: Fields) -> Account:
        """Creates an account, and returns it as in the response. Fields that are ``None`` are not sent."""

    def update_account(self, account: Account) -> Account:
        """Replaces the account ``account.id``, and returns it as in the response. ``None`` is sent as null."""

    def delete_account(self, account_id: int) -> None:
        """Deletes an account. Raises ``NotFoundError`` if the server has no such account."""

    def run_delivery_test(self, fields: Fields, to_email: str) -> None:
        """Has the server send a mail to ``to_email`` with the given settings. Returns if it was sent."""


class TokenKeeper(Protocol):
    """Stores a refresh token between runs."""

    def locked(self) -> AbstractContextManager[Secret | None]:
        """Keeps other runs from exchanging the token meanwhile. Yields the token that another run stored, if any."""

    def store(self, token: Secret) -> None:
        """Stores the token that replaces the previous one. Never raises."""

    def refuse(self, reason: str) -> None:
        """Warns that the token that should replace the previous one cannot be used. Never raises."""


class Notifier(NamedTuple):
    """How to reach the user while a connection is in use.

    Attributes:
        warn: Prints a warning.
        note: Prints a note.
    """

    warn: Callable[[Problem], None] = lambda _problem: None
    note: Callable[[str], None] = lambda _text: None


class RunObserver:
    """Is notified about every write of a run. Several threads call it at once. Does nothing."""

    def step_started(self, change: Change) -> None:
        """A step starts. If this raises, the step is not written."""

    def step_finished(self, change: Change, outcome: Outcome) -> None:
        """A step has succeeded or failed."""

    def outcome_changed(self, change: Change, status: Status) -> None:
        """The final check has found another outcome than the steps reported."""

    def rollback_started(self, change: Change) -> None:
        """A change is about to be undone. If this raises, the undo is not written."""

    def rollback_finished(self, change: Change, status: Status) -> None:
        """The change has been undone, or that has failed."""


class ObserverGroup(RunObserver):
    """Several run observers as one; if one raises an error, the step is not written."""

    def __init__(self, *observers: RunObserver) -> None:
        self._observers = observers

    def step_started(self, change: Change) -> None:
        """Notifies each in turn."""
        for observer in self._observers:
            observer.step_started(change)

    def step_finished(self, change: Change, outcome: Outcome) -> None:
        """Notifies each in turn."""
        for observer in self._observers:
            observer.step_finished(change, outcome)

    def outcome_changed(self, change: Change, status: Status) -> None:
        """Notifies each in turn."""
        for observer in self._observers:
            observer.outcome_changed(change, status)

    def rollback_started(self, change: Change) -> None:
        """Notifies each in turn."""
        for observer in self._observers:
            observer.rollback_started(change)

    def rollback_finished(self, change: Change, status: Status) -> None:
        """Notifies each in turn."""
        for observer in self._observers:
            observer.rollback_finished(change, status)


class FleetObserver:
    """Is notified as the run proceeds, from one thread. Does nothing."""

    def planned(self, plan: Plan) -> None:
        """A server was planned."""

    def batch_started(self, batch: Batch) -> None:
        """A batch is about to start. This is not called if all servers are one batch."""

    def pause_started(self, seconds: float, batch: Batch) -> None:
        """The run waits before it starts a batch."""

    def started(self, server: Server) -> None:
        """The run on a server starts."""

    def finished(self, report: Report) -> None:
        """The run on a server has ended, or will not start."""
