"""The cycle that creates an account."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.applying.cycle import Cycle, Written
from reconciler.applying.result import NO_TURN, is_outage, words
from reconciler.errors import ApiError, Kind, OutcomeUnknownError, RejectedError, UnreachableError
from reconciler.model.outcome import IN_PLACE, Status, StepResult
from reconciler.planning.fields import can_compare, describe_fields, is_different, not_kept

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconciler.applying.newcomers import Newcomers
    from reconciler.model.account import Account, Fields
    from reconciler.model.plan import Change
    from reconciler.model.ports import AccountWriter


class Create(Cycle):
    """Creates an account, unless one has appeared at its address."""

    def __init__(self, server: AccountWriter, newcomers: Newcomers, change: Change, fields: Fields) -> None:
        assert change.after is not None  # noqa: S101 - a create has an account
        self._server = server
        self._newcomers = newcomers
        self._change = change
        self._key = change.after.key
        self._fields: Fields = {**change.after.fields, **fields}
        self._sent: Fields = {**change.managed, **fields}
        self._again = False
        self._listing = False
        self._refusal: RejectedError | None = None
        self._doubt: ApiError | None = None

    def attempt(self) -> StepResult | Written:
        """Looks at the list, at a new one if this is not the first attempt, and creates the account."""
        self._listing = True
        there = self._newcomers.fresh(self._key) if self._again else self._newcomers.strangers(self._key)
        self._listing = False
        if there:
            return self._met(there)
        if self.stopped and self._refusal:
            return StepResult(Status.FAILED, None, words(self._refusal))
        if self.stopped:
            return StepResult(Status.NOT_ATTEMPTED, None, NO_TURN)
        self._again = True
        self.attempts += 1
        try:
            answer = self._server.create_account(self._fields)
        except UnreachableError:
            self.attempts -= 1
            raise
        except RejectedError as error:
            self._refusal = error
            raise
        except ApiError as error:
            self._doubt = error
            # Raised as one that is not transient: this must not be sent again.
            raise OutcomeUnknownError(*error.problems) from None
        if answer.key != self._key or not self._newcomers.welcome(answer):
            self._doubt = OutcomeUnknownError.of(
                f"the server answered with another account ({answer.email}, id {answer.id})",
                kind=Kind.INVALID_RESPONSE,
            )
            raise self._doubt
        return Written(answer, self._sent)

    def conclude(self, error: ApiError) -> StepResult | Written:
        """Looks for the account if it may have been created."""
        if self._doubt:
            return self._searched(self._doubt)
        if self._refusal is None:
            return StepResult(Status.FAILED, None, words(error), unreached=is_outage(error))
        if error is self._refusal and error.transient:
            # It was refused for the moment only; whether that is true, the list says.
            self._listing = True
            try:
                there = self._newcomers.fresh(self._key)
            except ApiError as unread:
                error = unread
            else:
                return self._met(there) if there else StepResult(Status.FAILED, None, words(self._refusal))
        if self._listing:
            message = f"{words(self._refusal)}; the list could not be read to look for it: {words(error)}"
            return StepResult(Status.UNKNOWN, None, message, unreached=is_outage(error))
        return StepResult(Status.FAILED, None, words(error), unreached=is_outage(error))

    def _met(self, there: Sequence[Account]) -> StepResult | Written:
        """An account is there: somebody else's, which is left alone, or one that our own request has made."""
        managed = self._change.managed
        account = there[0].unmasked(managed)
        if len(there) == 1 and self._refusal and not is_different(account, self._sent):
            self._newcomers.welcome(account)
            return Written(account, self._sent, f"{words(self._refusal)}; found on the server and adopted")
        if len(there) == 1 and can_compare(account, managed) and not is_different(account, managed):
            return Written(account, {}, IN_PLACE)
        ids = ", ".join(str(one.id) for one in there)
        message = f"an account with its address (id {ids}) has appeared since the plan; left alone"
        return StepResult(Status.FAILED, None, message)

    def _searched(self, doubt: ApiError) -> StepResult | Written:
        found = self._newcomers.find(self._key)
        if found is not None and len(found) == 1:
            if others := not_kept(self._sent, found[0]):
                # Somebody else may have made it at the same time; or the server has changed what we sent.
                there = f"an account with its address is there, with other values: {describe_fields(others, found[0])}"
                return StepResult(Status.UNKNOWN, found[0].id, f"{words(doubt)}; {there}; left alone")
            self._newcomers.welcome(found[0])
            return Written(found[0], self._sent, f"{words(doubt)}; found on the server and adopted")
        if found is None:
            return StepResult(
                Status.UNKNOWN,
                None,
                f"{words(doubt)}; the list could not be read to look for it",
                unreached=is_outage(doubt),
            )
        findings = f"{len(found)} accounts have its address now" if found else "it is not on the server so far"
        return StepResult(Status.UNKNOWN, None, f"{words(doubt)}; {findings}")
