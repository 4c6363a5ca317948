"""What the core needs from the outside, as protocols; ``api`` implements them, and so do the fakes in the tests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from reconciler.model.account import Account, Fields
    from reconciler.model.outcome import Outcome, Status
    from reconciler.model.plan import Change, Step
    from reconciler.model.secret import Secret


class AccountReader(Protocol):
    """Reading access to a server's accounts; all that ``plan`` ever gets."""

    def list_accounts(self) -> tuple[Account, ...]:
        """All accounts, in the server's order. Raises ``ApiError``, also for an answer that is not a list."""

    def get_account(self, account_id: int) -> Account:
        """One account as it is now. Raises ``NotFoundError`` where there is none, other ``ApiError`` s otherwise."""


class AccountWriter(AccountReader, Protocol):
    """Reading and writing access; only ``apply`` and ``test`` get it.

    Every method raises ``RejectedError`` or ``UnreachableError`` where the server certainly did nothing, and
    ``OutcomeUnknownError`` where that is not certain. No method ever sends ``UNKNOWN``.
    """

    def create_account(self, fields: Fields) -> Account:
        """Creates an account, with a single attempt once the request has left. Fields that are ``None`` are not sent.

        Returns:
            The server's answer, read as an account.
        """

    def update_account(self, account: Account) -> Account:
        """Replaces the account ``account.id`` by ``account``: its fields (``None`` as null) and its extra ones.

        Returns:
            The server's answer, read as an account.
        """

    def delete_account(self, account_id: int) -> None:
        """Deletes an account; one that is not there (any more) counts as deleted."""

    def run_delivery_test(self, fields: Fields, to_email: str) -> None:
        """Has the server send a mail to ``to_email`` with the given settings; returns only where it was sent."""


class TokenKeeper(Protocol):
    """Where a refresh token is kept between runs."""

    def turn(self) -> AbstractContextManager[Secret | None]:
        """Keeps other runs from exchanging the token meanwhile; gives the one that another run left, if any."""

    def store(self, token: Secret) -> None:
        """Keeps the token that the server gave in place of the former one. Never raises."""


class RunObserver(Protocol):
    """Is notified about every write of a run. Several threads call it at once."""

    def step_started(self, change: Change, step: Step) -> None:
        """A step starts. An exception keeps it from being written."""

    def step_finished(self, change: Change, step: Step, outcome: Outcome) -> None:
        """A step has succeeded or failed."""

    def outcome_changed(self, change: Change, status: Status) -> None:
        """The final check has found another outcome than the steps reported."""

    def rollback_started(self, change: Change) -> None:
        """A change is about to be undone. An exception keeps that from being written."""

    def rollback_finished(self, change: Change, status: Status) -> None:
        """The change has been undone, or that has failed."""


class NullObserver:
    """A run observer that does nothing."""

    def step_started(self, change: Change, step: Step) -> None:
        """Does nothing."""

    def step_finished(self, change: Change, step: Step, outcome: Outcome) -> None:
        """Does nothing."""

    def outcome_changed(self, change: Change, status: Status) -> None:
        """Does nothing."""

    def rollback_started(self, change: Change) -> None:
        """Does nothing."""

    def rollback_finished(self, change: Change, status: Status) -> None:
        """Does nothing."""


class ObserverGroup:
    """Several run observers as one; the first that raises an error keeps a step from being written."""

    def __init__(self, *observers: RunObserver) -> None:
        self._observers = observers

    def step_started(self, change: Change, step: Step) -> None:
        """Notifies each in turn."""
        for observer in self._observers:
            observer.step_started(change, step)

    def step_finished(self, change: Change, step: Step, outcome: Outcome) -> None:
        """Notifies each in turn."""
        for observer in self._observers:
            observer.step_finished(change, step, outcome)

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
