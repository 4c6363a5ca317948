"""A plan and its parts."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple

from reconciler.model.account import NO_FIELDS
from reconciler.model.desired import NO_DELIVERY_TEST, DeliveryTestWhen
from reconciler.model.secret import source_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reconciler.errors import Position, Problem
    from reconciler.model.account import Account, Fields, Globs, Value
    from reconciler.model.desired import DeliveryTestSettings
    from reconciler.model.server import Server


class Action(StrEnum):
    """What happens to an account."""

    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"


class FieldChange(NamedTuple):
    """One field that changes."""

    field: str
    before: Value
    after: Value


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What happens to one account, as the reviewer sees it.

    Attributes:
        address: The account's label: its address as it will be (as it is, for a delete), with ``#id`` if ambiguous.
        before: The account on the server; ``None`` exactly for a create.
        after: The whole account as it will be; ``None`` exactly for a delete.
        managed: The declared fields; empty for a delete.
        fields: What changes; empty for a delete.
        reason: Why it is planned, as a sentence.
        notes: What else a reviewer should know: passwords that cannot be compared, temporary names.
        test: Whether the settings are tested before or after the write, and who receives the mail.
        position: Where the account is declared; ``None`` for a delete.
    """

    action: Action
    address: str
    before: Account | None
    after: Account | None
    managed: Fields = field(default_factory=lambda: NO_FIELDS)
    fields: tuple[FieldChange, ...] = ()
    reason: str = ""
    notes: tuple[str, ...] = ()
    test: DeliveryTestSettings = NO_DELIVERY_TEST
    position: Position | None = None

    def in_scope(self, only: Globs) -> bool:
        """Whether ``only`` selects the account, by its address as it will be (as it is, for a delete)."""
        return not only or self.account.email in only

    @property
    def account(self) -> Account:
        """The account as it will be; as it is, for a delete."""
        account = self.after or self.before
        assert account is not None  # noqa: S101 - a change has one of the two
        return account

    @property
    def promotes(self) -> bool:
        """Whether it makes the account the default one."""
        was = self.before is not None and self.before.is_default
        return self.after is not None and self.after.is_default and not was

    @property
    def demotes(self) -> bool:
        """Whether it clears the account's default flag, or deletes the default account."""
        will = self.after is not None and self.after.is_default
        return self.before is not None and self.before.is_default and not will

    @property
    def id(self) -> int | None:
        """The server's id; ``None`` for a create."""
        return self.before.id if self.before else None

    @property
    def password_from(self) -> str | None:
        """Where the declared password comes from: ``env NAME``; ``None`` if none is declared."""
        return source_of(self.managed.get("password"))

    @property
    def key(self) -> tuple[str, int]:
        """The account's identity and id: unique in a plan, and the sort key of changes."""
        return (self.account.key, self.id or 0)


class Step(NamedTuple):
    """One write. A change is one step, or two if the account needs a temporary name.

    Attributes:
        change: One of ``Plan.changes``.
        fields: Values that this step writes instead of the change's own: the temporary name, or nothing.
        requires: Indexes of the steps that must succeed first; the steps themselves would make ``==`` recurse.
        last: Whether it is a delete that no step waits for, which runs after every other step.
        after: Indexes of the steps that go first, whether they succeed or not.
        shared: More steps that must succeed first, in sets that several steps share. Thousands of steps may wait for
            thousands, so these sets are never copied.
    """

    change: Change
    fields: Fields
    requires: frozenset[int] = frozenset()
    last: bool = False
    after: frozenset[int] = frozenset()
    shared: tuple[frozenset[int], ...] = ()


class DeliveryTest(NamedTuple):
    """A test mail to send with the settings of one account.

    Attributes:
        fields: The whole account as declared, over what the server has.
        when: Before or after a write; a test without a write counts as ``before``.
        position: Where the account is declared.
    """

    address: str
    fields: Fields
    to_email: str
    id: int | None = None
    when: DeliveryTestWhen = DeliveryTestWhen.BEFORE
    position: Position | None = None


class Counts(NamedTuple):
    """The number of accounts in each class. Every account that the plan has seen is in one."""

    create: int = 0
    update: int = 0
    delete: int = 0
    unchanged: int = 0
    ignored: int = 0
    protected: int = 0
    unmanaged: int = 0


_NO_ACCOUNTS: Final = Counts()


class PlanStatus(StrEnum):
    """The outcome of planning one server."""

    PLANNED = "planned"
    REFUSED = "refused"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything that would be written to one server, and why.

    Attributes:
        changes: Sorted by address, then id.
        steps: The writes, each after those that it requires.
        unchanged: Declared accounts that need no change, as the server has them.
        untouched: The other accounts, which stay as they are: ignored, protected, unmanaged, outside ``--only``.
        uncompared: Updates of unchanged accounts to their declared passwords, which were not compared with the stored
            ones; ``None`` if passwords were compared.
        password_sources: For each unchanged account, by its id, where its declared password comes from; not if it is
            only a reference that was not resolved.
        warnings: What a reviewer should look at.
        errors: Why no safe plan exists; then nothing can be applied.
        refusals: Guards that refused; then nothing can be applied either.
        suspended: Why nothing is written to the server for now; ``None`` if it is not suspended.
    """

    server: Server
    changes: tuple[Change, ...] = ()
    steps: tuple[Step, ...] = ()
    unchanged: tuple[Account, ...] = ()
    untouched: tuple[Account, ...] = ()
    uncompared: tuple[Change, ...] | None = None
    password_sources: Mapping[int | None, str] = field(default_factory=dict)
    counts: Counts = _NO_ACCOUNTS
    warnings: tuple[Problem, ...] = ()
    errors: tuple[Problem, ...] = field(default=())
    refusals: tuple[Problem, ...] = field(default=())
    suspended: str | None = None

    @property
    def current(self) -> tuple[Account, ...]:
        """Every account on the server, as the plan has seen it."""
        return (*self.unchanged, *self.untouched, *(change.before for change in self.changes if change.before))

    def restricted(self, only: Globs) -> Plan:
        """The plan for some addresses alone. Its guards counted others, so their refusals do not hold."""
        if not only:
            return self
        return replace(self, changes=tuple(one for one in self.changes if one.in_scope(only)), refusals=())

    @property
    def applicable(self) -> bool:
        """Whether ``apply`` may write this plan."""
        return not self.errors and not self.refusals and not (self.suspended and self.changes)

    @property
    def status(self) -> PlanStatus:
        """Whether there is a plan that can be applied, and otherwise the reason."""
        if self.errors:
            return PlanStatus.FAILED
        return PlanStatus.REFUSED if self.refusals else PlanStatus.PLANNED
