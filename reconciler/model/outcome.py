"""The outcome of a change, of a delivery test and of a whole run."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Self

from reconciler.errors import ApiError, GuardError, StalePlanError

if TYPE_CHECKING:
    from collections.abc import Callable

    from reconciler.errors import Position, Problem
    from reconciler.model.account import Account
    from reconciler.model.desired import DeliveryTestWhen
    from reconciler.model.plan import Change
    from reconciler.model.server import Server


class Status(StrEnum):
    """The outcome of a change, or of an account that was only tested: that is ``PASSED``, never ``APPLIED``."""

    APPLIED = "applied"
    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"
    UNKNOWN = "unknown"
    NOT_ATTEMPTED = "not_attempted"


class ServerStatus(StrEnum):
    """The outcome of a run on one server."""

    APPLIED = "applied"
    UNCHANGED = "unchanged"
    FAILED = "failed"
    UNREACHABLE = "unreachable"
    REFUSED = "refused"
    UNKNOWN = "unknown"
    NOT_ATTEMPTED = "not_attempted"

    @classmethod
    def after(cls, error: BaseException) -> ServerStatus:
        """The outcome after an error that occurred before any write."""
        if isinstance(error, ApiError) and error.is_outage:
            return cls.UNREACHABLE
        if isinstance(error, GuardError | StalePlanError):
            return cls.REFUSED
        return cls.FAILED


@dataclass(frozen=True, slots=True)
class DeliveryTestResult:
    """The result of a delivery test.

    Attributes:
        error: Why the test did not pass.
        unclear: Whether it is unknown if the mail was sent.
        unreached: Whether the server was not reached.
    """

    __test__ = False

    when: DeliveryTestWhen
    to_email: str
    passed: bool
    error: str | None = None
    unclear: bool = False
    unreached: bool = False

    @property
    def status(self) -> Status:
        """The test's outcome: passed, failed or unknown."""
        if self.passed:
            return Status.PASSED
        return Status.UNKNOWN if self.unclear else Status.FAILED

    @property
    def failure(self) -> str:
        """Part of a sentence for a report: the test did not pass, and why."""
        what = (
            "the outcome of the test is unknown, and its mail may have been sent" if self.unclear else "the test failed"
        )
        return f"{what}: {self.error}" if self.error else what


class FailureKind(StrEnum):
    """Why a change failed or has an unknown outcome, if the program has to know; ``error`` is the message for users."""

    UNREACHED = "unreached"
    DELIVERY_TEST = "delivery_test"
    NOT_KEPT = "not_kept"
    NOT_CONFIRMED = "not_confirmed"
    TEMPORARY_NAME = "temporary_name"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The outcome of a step, of a change, or of the delivery test of one account.

    Attributes:
        action: ``create``, ``update``, ``delete``, or ``test`` for an account that was only tested.
        error: Why the outcome is not as planned; ``None`` if it is.
        kind: The kind of error, for programs.
        note: What else happened: already in place, adopted, rolled back.
        position: Where the account is declared; ``None`` for a delete.
        written: False if an applied change was in place already, so that nothing was written.
        attempts: How many requests to write were sent.
        account: The account as the run left it, for the final check.
        changed_since: Whether another writer has changed the account since.
    """

    address: str
    action: str
    status: Status
    id: int | None = None
    error: str | None = None
    kind: FailureKind | None = None
    note: str | None = None
    test: DeliveryTestResult | None = None
    position: Position | None = None
    written: bool = True
    attempts: int = field(default=0, compare=False)
    account: Account | None = field(default=None, repr=False, compare=False)
    changed_since: bool = False

    @classmethod
    def of(
        cls,
        change: Change,
        status: Status,
        error: str | None = None,
        *,
        id: int | None = None,  # noqa: A002 - the attribute's name
        kind: FailureKind | None = None,
        note: str | None = None,
    ) -> Self:
        """The outcome of a change or of one of its steps."""
        return cls(
            address=change.address,
            action=change.action,
            status=status,
            id=change.id if id is None else id,
            error=error,
            kind=kind,
            note=note,
            position=change.position,
        )

    @classmethod
    def in_place(cls, change: Change, account: Account | None = None) -> Self:
        """The outcome of a change that was in place already."""
        outcome = cls.of(
            change, Status.APPLIED, id=account.id if account else None, note="was in place already; nothing written"
        )
        return replace(outcome, written=False, account=account)

    @property
    def succeeded(self) -> bool:
        """Whether the change was applied, and its test, if there was one, passed."""
        return self.status in (Status.APPLIED, Status.PASSED) and (self.test is None or self.test.passed)

    @property
    def unreached(self) -> bool:
        """Whether the server was not reached in the end."""
        return self.kind is FailureKind.UNREACHED or (self.test is not None and self.test.unreached)

    def redacted(self, redact: Callable[[str], str]) -> Self:
        """The outcome without secrets that became known after it was noted."""
        test = self.test
        if test and test.error:
            test = replace(test, error=redact(test.error))
        error, note = (redact(part) if part else part for part in (self.error, self.note))
        return replace(self, error=error, note=note, test=test) if error or note or test else self

    def with_note(self, note: str) -> Self:
        """The outcome with one more note."""
        return replace(self, note=f"{self.note}; {note}" if self.note else note)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The outcome of a whole run against one server.

    Attributes:
        verified: Whether the final check could be made, or there was nothing to check.
        not_started: The outcome for the server if the run did not start there; ``errors`` say why.
    """

    server: Server
    started_at: datetime
    finished_at: datetime
    outcomes: tuple[Outcome, ...] = ()
    errors: tuple[Problem, ...] = field(default=())
    interrupted: bool = False
    verified: bool = True
    not_started: ServerStatus | None = None

    @classmethod
    def of_failure(cls, server: Server, status: ServerStatus, errors: tuple[Problem, ...]) -> Self:
        """The report of a run that did not start on a server."""
        now = datetime.now(UTC)
        return cls(server=server, started_at=now, finished_at=now, errors=errors, verified=False, not_started=status)

    @classmethod
    def of_no_changes(cls, server: Server) -> Self:
        """The report of a server that is as declared."""
        now = datetime.now(UTC)
        return cls(server=server, started_at=now, finished_at=now)

    @property
    def complete(self) -> bool:
        """Whether everything was applied and confirmed, and every delivery test passed."""
        as_planned = all(outcome.succeeded and not outcome.changed_since for outcome in self.outcomes)
        return as_planned and self.verified and not self.errors and self.not_started is None

    @property
    def status(self) -> ServerStatus:
        """The outcome for the server as a whole. Delivery tests that pass do not count as changes."""
        if self.not_started:
            return self.not_started
        if not self.complete:
            return self._incomplete()
        return ServerStatus.APPLIED if self._has(Status.APPLIED) else ServerStatus.UNCHANGED

    def redacted(self, redact: Callable[[str], str]) -> Self:
        """The report without secrets, wherever they became known."""
        outcomes = tuple(outcome.redacted(redact) for outcome in self.outcomes)
        return replace(self, outcomes=outcomes, errors=tuple(problem.redacted(redact) for problem in self.errors))

    def _incomplete(self) -> ServerStatus:
        if self._has(Status.UNKNOWN):
            return ServerStatus.UNKNOWN
        only_stopped = bool(self.outcomes) and all(outcome.status is Status.NOT_ATTEMPTED for outcome in self.outcomes)
        return ServerStatus.NOT_ATTEMPTED if only_stopped and not self.errors else ServerStatus.FAILED

    def _has(self, status: Status) -> bool:
        return any(outcome.status is status for outcome in self.outcomes)
