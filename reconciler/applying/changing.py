"""The cycles that write an account which the server has: an update, a delete."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Final

from reconciler.applying.cycle import Cycle, Written
from reconciler.applying.result import NO_TURN, is_outage, words
from reconciler.errors import ApiError, Kind, NotFoundError, OutcomeUnknownError, RejectedError, UnreachableError
from reconciler.model.account import Account, Fields, known
from reconciler.model.outcome import IN_PLACE, Status, StepResult
from reconciler.model.secret import UNKNOWN
from reconciler.planning.checks import loses_password
from reconciler.planning.fields import changed_fields, is_another, is_different, is_same_moment, target_account

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconciler.applying.ledger import SentWrites
    from reconciler.model.plan import Change
    from reconciler.model.ports import AccountWriter

GONE: Final = "was gone already; nothing written"


class _OnAccount(Cycle):
    """The write of an account that the server has; ``still`` says what it is like if that cannot be seen."""

    still = "not in place so far"

    def __init__(self, server: AccountWriter, expected: Account) -> None:
        assert expected.id is not None  # noqa: S101 - it is on the server
        self.server = server
        self.expected = expected
        self.id = expected.id
        self.doubt: ApiError | None = None
        self._reading = False

    def attempt(self) -> StepResult | Written:
        """Reads the account, judges what it is like, and writes it."""
        self._reading = True
        try:
            fresh = self.server.get_account(self.id)
        except NotFoundError:
            return self.gone()
        self._reading = False
        if settled := self.judged(fresh):
            return settled
        if self.stopped:
            return self._undone(self.doubt) if self.doubt else StepResult(Status.NOT_ATTEMPTED, self.id, NO_TURN)
        self.attempts += 1
        try:
            return self.write(fresh)
        except UnreachableError:
            self.attempts -= 1
            raise
        except ApiError as error:
            # What may have happened stays in doubt, even if the server refuses a later attempt.
            if self.doubt is None or not isinstance(error, RejectedError):
                self.doubt = error
            raise

    def conclude(self, error: ApiError) -> StepResult | Written:
        """Reads the account again if a write may have had an effect."""
        if self.doubt is None:
            return StepResult(Status.FAILED, self.id, words(error), unreached=is_outage(error))
        if self._reading:
            return self._unread(self.doubt, error)
        try:
            fresh = self.server.get_account(self.id)
        except NotFoundError:
            return self.gone()
        except ApiError as again:
            return self._unread(self.doubt, again)
        return self.judged(fresh) or self._undone(self.doubt)

    def _unread(self, doubt: ApiError, error: ApiError) -> StepResult:
        message = f"{words(doubt)}; it could not be read again: {words(error)}"
        return StepResult(Status.UNKNOWN, self.id, message, unreached=is_outage(error))

    def _undone(self, doubt: ApiError) -> StepResult:
        if isinstance(doubt, RejectedError):
            return StepResult(Status.FAILED, self.id, words(doubt))
        return StepResult(Status.UNKNOWN, self.id, f"{words(doubt)}; read again, {self.still}")

    def left_alone(self, reason: str) -> StepResult:
        """A failure; what an earlier attempt may have done is part of the story."""
        may_have_done = self.doubt is not None and not isinstance(self.doubt, RejectedError)
        earlier = f" (an earlier attempt: {words(self.doubt)})" if self.doubt and may_have_done else ""
        return StepResult(Status.FAILED, self.id, f"{reason}{earlier}")

    @abstractmethod
    def gone(self) -> StepResult:
        """What it means that the account is not there."""

    @abstractmethod
    def judged(self, fresh: Account) -> StepResult | Written | None:
        """What it means that the account is as ``fresh``; ``None`` if it is as it was expected, and to be written."""

    @abstractmethod
    def write(self, fresh: Account) -> StepResult | Written:
        """Writes. Raises ``ApiError`` for anything but a documented success."""


class Update(_OnAccount):
    """Gives an account its declared values.

    Args:
        goal: What this step writes: the declared values, or some of them and a temporary name.
        expected: The account as the plan, or an earlier step of this run, has seen it.
        ours: Whether ``expected`` is the response to a write of this run; a field that it lacks says nothing.
    """

    def __init__(
        self, server: AccountWriter, ledger: SentWrites, change: Change, goal: Fields, *, expected: Account, ours: bool
    ) -> None:
        super().__init__(server, expected)
        self._ledger = ledger
        self._change = change
        self._goal = goal
        self._ours = ours

    def gone(self) -> StepResult:
        """A failure: somebody has deleted it."""
        if self.doubt:
            return StepResult(Status.FAILED, self.id, f"{words(self.doubt)}; read again, the account is gone")
        return StepResult(Status.FAILED, self.id, "the account is gone: deleted since the plan")

    def judged(self, fresh: Account) -> StepResult | Written | None:
        """A success if it is in place; a failure if somebody else has changed it."""
        managed = self._change.managed
        fresh = fresh.unmasked(managed)
        conflicts = self._ledger.conflicts(self.expected, fresh, ours=self._ours)
        if is_another(self.expected, fresh):
            return self._conflict(conflicts)
        in_place = not is_different(fresh, self._goal) or not is_different(fresh, managed)
        if not self._ours and self._sends_hidden_password(fresh):
            nobody_else = in_place or set(conflicts) <= {"updated_at"}
            if self.doubt and nobody_else and self._leaves_no_trace(self.doubt, fresh):
                message = f"{words(self.doubt)}; read again, but the server hides the password"
                return StepResult(Status.UNKNOWN, self.id, message)
        elif in_place:
            return Written(fresh, {}, f"{words(self.doubt)}; read again and found in place" if self.doubt else IN_PLACE)
        if conflicts:
            return self._conflict(conflicts)
        if loses_password(self._target(fresh), managed):
            return StepResult(Status.FAILED, self.id, "the server hides the password now; left alone")
        return None

    def write(self, fresh: Account) -> Written:
        """Replaces the account, with what it had and nobody declares."""
        sent = known(self._target(fresh).fields)
        answer = self.server.update_account(Account(sent, self.id, fresh.extra))
        if answer.id != self.id:
            raise OutcomeUnknownError.of(
                f"the server answered with another account (id {answer.id})", kind=Kind.INVALID_RESPONSE
            )
        if fresh.updated_at is not None and is_same_moment(answer.updated_at, fresh.updated_at):
            # The response has the time of the last write but one, so the time of this one is not known.
            answer = answer._replace(updated_at=None)
        # What is not declared and was empty, the server may fill in by itself.
        managed = self._change.managed
        return Written(answer, {name: value for name, value in sent.items() if value is not None or name in managed})

    def _target(self, fresh: Account) -> Account:
        return target_account(fresh, self._goal, changed_fields(fresh, self._goal))

    def _sends_hidden_password(self, fresh: Account) -> bool:
        """Whether the change is about a password that the server hides, so that nothing can tell if it is in place."""
        return fresh.fields.get("password") is UNKNOWN and any(one.field == "password" for one in self._change.fields)

    def _leaves_no_trace(self, doubt: ApiError, fresh: Account) -> bool:
        """Whether nothing tells if a password that the server hides was stored by a write without a clear response."""
        if isinstance(doubt, RejectedError):
            return False
        times = (self.expected.updated_at, fresh.updated_at)
        return None in times or not is_same_moment(*times)

    def _conflict(self, names: Sequence[str]) -> StepResult:
        return self.left_alone(f"changed since the plan: {', '.join(names)}; left alone")


class Delete(_OnAccount):
    """Deletes an account that is as it was expected.

    Args:
        ours: Whether ``expected`` is the response to a write of this run; a field that it lacks says nothing.
    """

    still = "still there so far"

    def __init__(self, server: AccountWriter, ledger: SentWrites, expected: Account, *, ours: bool) -> None:
        super().__init__(server, expected)
        self._ledger = ledger
        self._ours = ours

    def gone(self) -> StepResult:
        """A success, whoever has deleted it."""
        note = f"{words(self.doubt)}; read again and found gone" if self.doubt else GONE
        return StepResult(Status.APPLIED, self.id, note=note)

    def judged(self, fresh: Account) -> StepResult | None:
        """A failure if somebody else has changed it, or if its id is another account's by now."""
        conflicts = self._ledger.conflicts(self.expected, fresh, ours=self._ours)
        if not conflicts:
            return None
        message = f"changed since the plan: {', '.join(conflicts)}; left alone"
        if is_another(self.expected, fresh):
            message = f"changed since the plan: id {self.id} is now that of another account, which is left alone"
        return self.left_alone(message)

    def write(self, fresh: Account) -> StepResult:
        """Deletes the account."""
        assert fresh.id is not None  # noqa: S101 - it has been read
        self.server.delete_account(fresh.id)
        return StepResult(Status.APPLIED, self.id)
