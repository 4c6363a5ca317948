"""Makes a plan from desired and current. Pure: no clock, no network, no files."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from reconciler.errors import Kind, Problem
from reconciler.model.account import ACCOUNT_DEFAULTS, NO_GLOBS, Globs, label
from reconciler.model.desired import NO_DELIVERY_TEST, DeliveryTestWhen
from reconciler.model.plan import Action, Change, Counts, Plan
from reconciler.model.secret import UNKNOWN, source_of
from reconciler.planning.checks import (
    default_account_warning,
    default_outside_only_warning,
    destination_problems,
    hidden_password_warning,
    identity_problems,
    masked_notes,
    password_notes,
    password_problems,
    recipient_problems,
    suspension,
    taken_addresses,
    taken_name_warnings,
    uncompared_password_warning,
    unmatched_only_warning,
)
from reconciler.planning.fields import changed_fields, field_changes, is_hidden, target_account
from reconciler.planning.guards import check_guards
from reconciler.planning.matching import match

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconciler.model.account import Account
    from reconciler.model.desired import DeleteLimit, DeliveryTestSettings, Desired, DesiredAccount, Policy
    from reconciler.model.plan import FieldChange, Step
    from reconciler.model.server import Server
    from reconciler.model.trust import Trust
    from reconciler.planning.matching import Matching


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanOptions:
    """The command line's options for planning. ``None`` leaves the choice to the YAML's policy.

    Attributes:
        only: The addresses in scope; empty for all.
        rotate_passwords: Send declared passwords if the server hides the current ones.
        trust: Where accounts with passwords may log in, and what limits the policy; ``None`` without a trust file.
        no_secrets: Passwords were not resolved, and are not compared.
    """

    prune: bool | None = None
    max_deletes: DeleteLimit | None = None
    allow_empty: bool = False
    only: Globs = NO_GLOBS
    rotate_passwords: bool = False
    test: DeliveryTestSettings = NO_DELIVERY_TEST
    trust: Trust | None = None
    no_secrets: bool = False


def make_plan(desired: Desired, current: Sequence[Account], server: Server, options: PlanOptions) -> Plan:
    """Plans the changes that make the server match the declaration.

    Args:
        desired: The declared set; passwords of the accounts in scope are resolved.
        current: All accounts on the server.
        server: How reports name the server.
        options: The command line's options.

    Returns:
        The plan, with errors and refusals if it must not be applied. The same accounts give the same plan, whatever
        their order.
    """
    return _Planner(desired, current, options).plan(server)


class _Planner:
    def __init__(self, desired: Desired, current: Sequence[Account], options: PlanOptions) -> None:
        self.desired = desired
        self.current = sorted(current, key=lambda account: (account.key, account.id or 0))
        self.policy: Policy = desired.policy
        self.options = options
        always = options.trust.limits.protect.patterns if options.trust else ()
        self.protect = Globs((*self.policy.protect.patterns, *always)) if always else self.policy.protect
        self.prune = self.policy.prune if options.prune is None else options.prune
        self.changes: list[Change] = []
        self.unchanged: list[Account] = []
        self.uncompared: list[Change] = []
        self.password_sources: dict[int | None, str] = {}
        self.untouched: list[Account] = []
        self.warnings: list[Problem] = list(desired.warnings)
        self.errors: list[Problem] = []
        self.counts: Counter[str] = Counter()
        self.hidden_passwords = 0
        self.without_recipient: list[DesiredAccount] = []
        self.has_default = False
        self.next_default = next((entry for entry in desired.accounts if entry.account.is_default), None)

    def plan(self, server: Server) -> Plan:
        if problems := identity_problems(self.current):
            counts = Counts(unmanaged=len(self.current))
            return Plan(server=server, untouched=tuple(self.current), counts=counts, errors=problems)
        declared = sorted(self.desired.accounts, key=lambda entry: (entry.account.key, entry.account.id or 0))
        matching = match(declared, self.current, self.policy)
        for account in matching.left_alone:
            self._leave(account, "ignored" if account.email in self.policy.ignore else "unmanaged")
        self._plan_accounts(matching)
        uncompared = self._labelled_uncompared() if self.options.no_secrets else None
        steps = self._order() if self.changes else ()  # most plans change nothing
        self.warnings += hidden_password_warning(self.hidden_passwords)
        self.warnings += uncompared_password_warning(len(uncompared or ()))
        if self.changes:
            others = [*self.unchanged, *self.untouched]
            self.warnings += default_account_warning(self.current, self.changes, others)
        if reason := self.desired.server.suspended:
            self.warnings.append(suspension(reason, "apply writes nothing to it"))
        refusals = check_guards(
            deletes=self.counts[Action.DELETE],
            managed=len(self.current) - len(matching.left_alone),
            limits=self._delete_limits(),
            allow_empty=self.options.allow_empty,
        )
        return Plan(
            server=server,
            changes=tuple(self.changes),
            steps=steps,
            unchanged=tuple(self.unchanged),
            untouched=tuple(self.untouched),
            uncompared=uncompared,
            password_sources=self.password_sources,
            counts=Counts(**self.counts),
            warnings=tuple(self.warnings),
            errors=tuple(self.errors),
            refusals=tuple(refusals),
            suspended=self.desired.server.suspended,
        )

    def _delete_limits(self) -> tuple[DeleteLimit, ...]:
        if self.options.max_deletes:
            return (self.options.max_deletes,)
        trust = self.options.trust
        trusted = trust.limits.max_deletes if trust else None
        return (self.policy.max_deletes, trusted) if trusted else (self.policy.max_deletes,)

    def _order(self) -> tuple[Step, ...]:
        """Labels the changes, checks them against each other and the other accounts, and orders them."""
        from reconciler.planning.ordering import order

        self.changes.sort(key=lambda change: change.key)
        changes = label_changes(self.changes, [*self.unchanged, *self.untouched])
        self.errors += recipient_problems(self.without_recipient)
        self.errors += taken_addresses(changes, self.untouched)
        ordered = order(changes, [account.name or "" for account in self.current])
        self.changes = list(ordered.changes)
        self.errors += ordered.errors
        self.warnings += taken_name_warnings(self.changes, self.untouched)
        return ordered.steps

    def _plan_accounts(self, matching: Matching) -> None:
        only, declared = self.options.only, self.desired.accounts
        scope = {entry.account.email for entry in declared if entry.in_scope(only)} if only else None
        self.errors += [problem for problem in matching.errors if scope is None or problem.address in scope]
        self.warnings += [problem for problem in matching.warnings if scope is None or problem.address in scope]
        self.has_default = any(one is self.next_default and found and found.is_default for one, found in matching.pairs)
        for desired, current in matching.pairs:
            if scope is not None and not desired.in_scope(only):
                if current:
                    self._leave(current, "unmanaged")
            elif current:
                self._plan_update(self._keeping_default(desired, current), current)
            else:
                self._plan_create(desired)
        for account in matching.undeclared:
            self._plan_undeclared(account)
        for account in matching.ambiguous:
            self._leave(account, "unmanaged")
        if scope is not None and not scope and not any(account.email in only for account in self.current):
            self.warnings.append(unmatched_only_warning(only))

    def _keeping_default(self, desired: DesiredAccount, current: Account) -> DesiredAccount:
        """Keeps the default account the default one if ``--only`` leaves out the account that has yet to replace it."""
        demoted = current.is_default and desired.account.fields.get("default") is False
        successor = self.next_default if demoted else None
        if successor is None or self.has_default or successor.in_scope(self.options.only):
            return desired
        self.warnings.append(default_outside_only_warning(desired, successor.account.email))
        fields = {name: value for name, value in desired.account.fields.items() if name != "default"}
        return desired._replace(account=desired.account._replace(fields=fields))

    def _plan_update(self, desired: DesiredAccount, current: Account) -> None:
        managed = desired.account.fields
        changes = changed_fields(current, managed)
        hidden = current.fields.get("password") is UNKNOWN and "password" in managed
        unresolved = is_hidden(managed.get("password"))
        if hidden and self.options.rotate_passwords:
            changes = field_changes(current.fields, managed, [*(change.field for change in changes), "password"])
        after = target_account(current, managed, changes) if changes or hidden or unresolved else current
        self.errors += password_problems(desired, current, after, changes)
        self._check_destination(desired, after)
        if changes:
            self._add(self._update(desired, current, after, changes), desired)
            return
        self.hidden_passwords += hidden and not unresolved
        if not unresolved and (source := source_of(managed.get("password"))):
            self.password_sources[current.id] = source
        if unresolved:
            changes = field_changes(current.fields, managed, ["password"])
            self.uncompared.append(self._update(desired, current, after, changes))
        self.unchanged.append(current)
        self.counts["unchanged"] += 1

    def _update(
        self, desired: DesiredAccount, current: Account, after: Account, changes: tuple[FieldChange, ...]
    ) -> Change:
        renamed = current.key != desired.account.key
        reason = f"renamed from {current.email}" if renamed else "differs from the declaration"
        return Change(
            action=Action.UPDATE,
            address=desired.account.email,
            before=current,
            after=after,
            managed=desired.account.fields,
            fields=changes,
            reason=f"{reason} ({desired.position})",
            notes=(*password_notes(current, after, desired.account.fields, changes), *masked_notes(current)),
            test=self._test_settings(desired),
            position=desired.position,
        )

    def _plan_create(self, desired: DesiredAccount) -> None:
        account = ACCOUNT_DEFAULTS.with_fields(desired.account.fields)
        self.errors += password_problems(desired, None, account, ())
        self._check_destination(desired, account)
        given = [name for name, value in account.fields.items() if value is not None]
        change = Change(
            action=Action.CREATE,
            address=account.email,
            before=None,
            after=account,
            managed=desired.account.fields,
            fields=field_changes(None, account.fields, given),
            reason=f"declared ({desired.position}), not on the server",
            test=self._test_settings(desired),
            position=desired.position,
        )
        self._add(change, desired)

    def _check_destination(self, desired: DesiredAccount, after: Account) -> None:
        if self.options.trust:
            self.errors += destination_problems(desired, after.fields, self.options.trust)

    def _plan_undeclared(self, account: Account) -> None:
        if self.options.only and account.email not in self.options.only:
            self._leave(account, "unmanaged")
        elif glob := self.protect.match(account.email):
            self._leave(account, "protected")
            message = f"{account.email} (id {account.id}) is not declared; protected by {glob!r}, it stays"
            self.warnings.append(Problem(kind=Kind.PROTECTED, message=message, address=account.email))
        elif self.prune:
            reason = "on the server, but not declared, and pruning is on"
            change = Change(action=Action.DELETE, address=account.email, before=account, after=None, reason=reason)
            self._add(change)
        else:
            self._leave(account, "unmanaged")

    def _add(self, change: Change, desired: DesiredAccount | None = None) -> None:
        self.changes.append(change)
        self.counts[change.action] += 1
        if desired and change.test.when not in (None, DeliveryTestWhen.OFF) and not change.test.to_email:
            self.without_recipient.append(desired)

    def _leave(self, account: Account, as_what: str) -> None:
        self.untouched.append(account)
        self.counts[as_what] += 1

    def _test_settings(self, desired: DesiredAccount) -> DeliveryTestSettings:
        return self.options.test.over(desired.test.over(self.policy.test))

    def _labelled_uncompared(self) -> tuple[Change, ...]:
        """The updates that uncompared passwords may need, labelled as in a plan that contains them."""
        ours = {id(change.before) for change in self.uncompared}
        others = [account for account in self.unchanged if id(account) not in ours]
        found = label_changes([*self.uncompared, *self.changes], [*others, *self.untouched])[: len(self.uncompared)]
        return tuple(sorted(found, key=lambda change: change.key))


def label_changes(changes: Sequence[Change], others: Sequence[Account]) -> list[Change]:
    """The changes, with ``#id`` added to every address that the plan would otherwise show for two accounts.

    Args:
        changes: Changes with plain addresses.
        others: The accounts of the plan that do not change.
    """
    seen = Counter(change.key[0] for change in changes)
    seen.update(account.key for account in others)
    return [
        replace(change, address=label(change.address, change.id, ambiguous=True)) if seen[change.key[0]] > 1 else change
        for change in changes
    ]
