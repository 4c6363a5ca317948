"""The three writes: create, update, delete."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from reconciler.applying.worker_pool import NOT_STARTED
from reconciler.applying.write_cycle import ExistingAccountWrite, UnverifiedWrite, Write
from reconciler.errors import ApiError, Kind, OutcomeUnknownError, RejectedError, UnreachableError, WithheldError
from reconciler.model.account import Account, Fields, writable_fields
from reconciler.model.outcome import Outcome, Status
from reconciler.model.secret import UNKNOWN
from reconciler.planning.checks import loses_password
from reconciler.planning.fields import (
    can_compare,
    changed_fields,
    describe_fields,
    is_different,
    is_recreated,
    is_same_moment,
    not_kept,
    target_account,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconciler.applying.write_cycle import WriteAccess
    from reconciler.model.plan import Change


class Create(Write):
    """Creates an account, unless one was created at its address since the plan.

    Args:
        fields: What this step writes instead of the declared values: a temporary name, or nothing.
    """

    def __init__(self, access: WriteAccess, change: Change, fields: Fields) -> None:
        super().__init__(access, change)
        assert change.after is not None  # noqa: S101 - a create has an account
        self._key = change.after.key
        self._fields: Fields = {**change.after.fields, **fields}
        self._sent: Fields = {**change.managed, **fields}
        self._is_repeated = False
        self._is_listing = False
        self._refusal: RejectedError | None = None
        self._doubt: ApiError | None = None

    def attempt(self) -> Outcome | UnverifiedWrite:
        """Looks for accounts of the address, in a fresh list if this is not the first attempt, and creates one."""
        self._is_listing = True
        there = self.state.unplanned_accounts(self._key, fresh=self._is_repeated)
        self._is_listing = False
        if there:
            return self._outcome_if_address_taken(there)
        if self.is_stopped and self._refusal:
            return self.failed(self._refusal)
        if self.is_stopped:
            return Outcome.of(self.change, Status.NOT_ATTEMPTED, NOT_STARTED)
        self._is_repeated = True
        self.attempts += 1
        try:
            response = self.server.create_account(self._fields)
        except (UnreachableError, WithheldError):
            self.attempts -= 1
            raise
        except RejectedError as error:
            self._refusal = error
            raise
        except ApiError as error:
            self._doubt = error
            # Raised as an error that is not transient: the request must not be sent again.
            raise OutcomeUnknownError(*error.problems) from None
        if response.key != self._key or not self.state.add_created(response):
            self._doubt = OutcomeUnknownError.of(
                f"the response was about another account ({response.email}, id {response.id})",
                kind=Kind.INVALID_RESPONSE,
            )
            raise self._doubt
        return UnverifiedWrite(response, self._sent)

    def conclude(self, error: ApiError) -> Outcome | UnverifiedWrite:
        """Searches for the account if it may have been created."""
        if self._doubt:
            return self._searched(self._doubt)
        if self._refusal is None:
            return self.failed(error)
        if error is self._refusal and error.transient:
            # The server reported a temporary refusal. The list shows whether that is true.
            self._is_listing = True
            try:
                there = self.state.unplanned_accounts(self._key, fresh=True)
            except ApiError as unread:
                error = unread
            else:
                return self._outcome_if_address_taken(there) if there else self.failed(self._refusal)
        if self._is_listing:
            message = f"{self._refusal.reason}; the list could not be read to look for it: {error.reason}"
            return self.failed(error, message, Status.UNKNOWN)
        return self.failed(error)

    def _outcome_if_address_taken(self, there: Sequence[Account]) -> Outcome | UnverifiedWrite:
        """The outcome if accounts of the address exist: they may be another writer's, or created by our request."""
        managed = self.change.managed
        account = there[0].unmasked(managed)
        if len(there) == 1 and self._refusal and not is_different(account, self._sent):
            self.state.add_created(account)
            return UnverifiedWrite(account, self._sent, f"{self._refusal.reason}; found on the server and adopted")
        if len(there) == 1 and can_compare(account, managed) and not is_different(account, managed):
            return Outcome.in_place(self.change, account)
        ids = ", ".join(str(one.id) for one in there)
        message = f"an account with its address (id {ids}) has appeared since the plan; left alone"
        return Outcome.of(self.change, Status.FAILED, message)

    def _searched(self, doubt: ApiError) -> Outcome | UnverifiedWrite:
        found = self.state.find_created(self._key)
        if found is None:
            message = f"{doubt.reason}; the list could not be read to look for it"
            return self.failed(doubt, message, Status.UNKNOWN)
        if len(found) != 1:
            what = f"{len(found)} accounts have its address now" if found else "it is not on the server so far"
            return Outcome.of(self.change, Status.UNKNOWN, f"{doubt.reason}; {what}")
        if others := not_kept(self._sent, found[0]):
            # Another writer may have created it at the same time, or the server has changed what was sent.
            there = f"an account with its address is there, with other values: {describe_fields(others, found[0])}"
            return Outcome.of(self.change, Status.UNKNOWN, f"{doubt.reason}; {there}; left alone", id=found[0].id)
        self.state.add_created(found[0])
        return UnverifiedWrite(found[0], self._sent, f"{doubt.reason}; found on the server and adopted")


class Update(ExistingAccountWrite):
    """Gives an account its declared values.

    Args:
        goal: What this step writes: the declared values, or some of them and a temporary name.
    """

    def __init__(self, access: WriteAccess, change: Change, expected: Account, goal: Fields, *, ours: bool) -> None:
        super().__init__(access, change, expected, ours=ours)
        self._goal = goal

    def gone(self) -> Outcome:
        """A failure: another writer has deleted it."""
        if self.doubt:
            return Outcome.of(self.change, Status.FAILED, f"{self.doubt.reason}; read again, the account is gone")
        return Outcome.of(self.change, Status.FAILED, "the account is gone: deleted since the plan")

    def compare(self, fresh: Account) -> Outcome | None:
        """A success if it is in place; a failure if another writer has changed it."""
        managed = self.change.managed
        fresh = fresh.unmasked(managed)
        conflicts = self.state.conflicts(self.expected, fresh, ours=self.ours)
        conflict = self.left_alone(f"changed since the plan: {', '.join(conflicts)}; left alone")
        if is_recreated(self.expected, fresh):
            return conflict
        is_in_place = not is_different(fresh, self._goal) or not is_different(fresh, managed)
        sends_hidden_password = not self.ours and self._sends_hidden_password(fresh)
        if is_in_place and not sends_hidden_password:
            return self._found_in_place(fresh)
        only_ours = is_in_place or set(conflicts) <= {"updated_at"}
        if sends_hidden_password and only_ours and self._may_have_stored_password(fresh):
            return self.unclear("read again, but the server hides the password")
        if conflicts:
            return conflict
        if loses_password(self._target(fresh), managed):
            return Outcome.of(self.change, Status.FAILED, "the server hides the password now; left alone")
        return None

    def write(self, fresh: Account) -> UnverifiedWrite:
        """Replaces the account; fields that are not declared keep their values."""
        sent = writable_fields(self._target(fresh).fields)
        response = self.server.update_account(fresh._replace(fields=sent))
        if response.id != self.id:
            message = f"the response was about another account (id {response.id})"
            raise OutcomeUnknownError.of(message, kind=Kind.INVALID_RESPONSE)
        if fresh.updated_at is not None and is_same_moment(response.updated_at, fresh.updated_at):
            # The response has the time of the write before this one, so the time of this one is unknown.
            response = response._replace(updated_at=None)
        # The server may fill in fields that are not declared and were empty.
        managed = self.change.managed
        return UnverifiedWrite(
            response, {name: value for name, value in sent.items() if value is not None or name in managed}
        )

    def _target(self, fresh: Account) -> Account:
        before = self.change.before
        as_planned = before is not None and fresh.fields == before.fields and self._goal == self.change.managed
        # The plan has compared these values already.
        changes = self.change.fields if as_planned else changed_fields(fresh, self._goal)
        return target_account(fresh, self._goal, changes)

    def _sends_hidden_password(self, fresh: Account) -> bool:
        """Whether the change is about a password that the server hides: whether it is in place cannot be seen."""
        return fresh.fields.get("password") is UNKNOWN and any(one.field == "password" for one in self.change.fields)

    def _may_have_stored_password(self, fresh: Account) -> bool:
        """Whether a write without a clear response may have stored the password: the account's times decide."""
        times = (self.expected.updated_at, fresh.updated_at)
        return self.is_in_doubt and (None in times or not is_same_moment(*times))

    def _found_in_place(self, fresh: Account) -> Outcome:
        if self.doubt is None:
            return Outcome.in_place(self.change, fresh)
        note = f"{self.doubt.reason}; read again and found in place"
        return replace(Outcome.of(self.change, Status.APPLIED, note=note), account=fresh)


class Delete(ExistingAccountWrite):
    """Deletes an account that is as expected."""

    state_if_not_done = "still there so far"

    def gone(self) -> Outcome:
        """A success, whichever writer deleted it."""
        if self.doubt:
            note = f"{self.doubt.reason}; read again and found gone"
            return Outcome.of(self.change, Status.APPLIED, id=self.id, note=note)
        note = "was gone already; nothing written"
        return replace(Outcome.of(self.change, Status.APPLIED, id=self.id, note=note), written=False)

    def compare(self, fresh: Account) -> Outcome | None:
        """A failure if another writer has changed it, or if its id belongs to another account now."""
        conflicts = self.state.conflicts(self.expected, fresh, ours=self.ours)
        if is_recreated(self.expected, fresh):
            return self.left_alone(
                f"changed since the plan: id {self.id} is now that of another account, which is left alone"
            )
        return self.left_alone(f"changed since the plan: {', '.join(conflicts)}; left alone") if conflicts else None

    def write(self, fresh: Account) -> Outcome:
        """Deletes the account."""
        del fresh
        self.server.delete_account(self.id)
        return Outcome.of(self.change, Status.APPLIED, id=self.id)
