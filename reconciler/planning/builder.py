"""Desired and current in, plan out. Computes only: no clock, no network, no files."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from reconciler.errors import Kind, Problem
from reconciler.model.account import ACCOUNT_DEFAULTS, NO_GLOBS, Globs
from reconciler.model.desired import NO_DELIVERY_TEST, DeliveryTestWhen
from reconciler.model.plan import Action, Change, Counts, Plan
from reconciler.model.secret import UNKNOWN
from reconciler.planning.checks import (
    destination_problems,
    identity_problems,
    password_problems,
    taken_addresses,
    test_problems,
)
from reconciler.planning.fields import changed_fields, field_changes, is_hidden, target_account
from reconciler.planning.guard import refusals
from reconciler.planning.labels import labelled
from reconciler.planning.matching import Pair, match
from reconciler.planning.notices import (
    default_account,
    default_kept,
    hidden_password_warning,
    password_notes,
    taken_name_warnings,
    uncompared_passwords,
    unmatched_only_warning,
)
from reconciler.planning.order import order

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconciler.model.account import Account
    from reconciler.model.desired import DeleteLimit, DeliveryTestSettings, Desired, DesiredAccount, Policy
    from reconciler.model.plan import FieldChange, Step
    from reconciler.model.server import Server
    from reconciler.model.trust import Trust


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanOptions:
    """What the command line says about planning. ``None`` leaves it to the YAML's policy.

    Attributes:
        only: Addresses to which everything is narrowed; empty for all.
        rotate_passwords: Send declared passwords where the server hides the current ones.
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


def in_scope(desired: DesiredAccount, only: Globs) -> bool:
    """Whether ``--only`` means this declaration, by its address or its former one."""
    return not only or desired.account.email in only or desired.renamed_from in only


def make_plan(desired: Desired, current: Sequence[Account], server: Server, options: PlanOptions) -> Plan:
    """Plans what makes the server match the declaration.

    Args:
        desired: The declared set; passwords of the accounts in scope are resolved.
        current: Everything the server holds.
        server: How reports name the server.
        options: The command line's say.

    Returns:
        The plan, with errors and refusals where it must not be applied. The same input gives the same plan, whatever
        the order of accounts in it.
    """
    return _Builder(desired, current, options).build(server)


class _Builder:
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
        self.kept: list[Account] = []
        self.warnings: list[Problem] = list(desired.warnings)
        self.errors: list[Problem] = []
        self.classes: Counter[str] = Counter()
        self.hidden = 0
        self.unaddressed: list[DesiredAccount] = []
        self.successor = next((one for one in desired.accounts if one.account.is_default), None)

    def build(self, server: Server) -> Plan:
        if problems := identity_problems(self.current):
            # Without identities nobody can say which account would be written.
            counts = Counts(unmanaged=len(self.current))
            return Plan(server=server, kept=tuple(self.current), counts=counts, errors=problems)
        ignore = self.policy.ignore
        managed = [account for account in self.current if account.email not in ignore] if ignore else self.current
        self.kept = [account for account in self.current if account.email in ignore] if ignore else []
        self.classes["ignored"] = len(self.kept)
        self._pair(managed)
        uncompared = self._uncompared()
        steps = self._arranged() if self.changes else ()  # most plans change nothing
        self.warnings += hidden_password_warning(self.hidden)
        self.warnings += uncompared_passwords(len(uncompared or ()))
        if self.changes:
            self.warnings += default_account(self.current, self.changes, [*self.unchanged, *self.kept])
        deletes = self.classes[Action.DELETE]
        return Plan(
            server=server,
            changes=tuple(self.changes),
            steps=steps,
            unchanged=tuple(self.unchanged),
            kept=tuple(self.kept),
            uncompared=uncompared,
            counts=Counts(**self.classes),
            warnings=tuple(self.warnings),
            errors=tuple(self.errors),
            refusals=refusals(
                deletes=deletes,
                managed=len(managed),
                limits=self._delete_limits(),
                allow_empty=self.options.allow_empty,
            ),
        )

    def _delete_limits(self) -> tuple[DeleteLimit, ...]:
        if self.options.max_deletes:
            return (self.options.max_deletes,)
        trust = self.options.trust
        capped = trust.limits.max_deletes if trust else None
        return (self.policy.max_deletes, capped) if capped else (self.policy.max_deletes,)

    def _arranged(self) -> tuple[Step, ...]:
        """The steps of the changes, which get their labels, and are checked against each other and what stays."""
        self.changes.sort(key=lambda change: change.key)
        self.changes = labelled(self.changes, [*self.unchanged, *self.kept])
        self.errors += test_problems(self.unaddressed)
        self.errors += taken_addresses(self.changes, self.kept)
        ordered = order(self.changes, [account.name or "" for account in self.current])
        self.changes = list(ordered.changes)
        self.errors.extend(ordered.errors)
        self.warnings += taken_name_warnings(self.changes, self.kept)
        return ordered.steps

    def _pair(self, managed: Sequence[Account]) -> None:
        only = self.options.only
        declared = sorted(self.desired.accounts, key=lambda one: (one.account.key, one.account.id or 0))
        matching = match(declared, managed)
        scope = {one.account.email for one in declared if in_scope(one, only)} if only else None
        self.errors += [one for one in matching.errors if scope is None or one.address in scope]
        self.warnings += [one for one in matching.warnings if scope is None or one.address in scope]
        for pair in matching.pairs:
            if scope is None or in_scope(pair.desired, only):
                self._plan_pair(self._sparing_default(pair))
            elif pair.current:
                self._keep(pair.current, "unmanaged")
        for account in matching.undeclared:
            self._plan_undeclared(account)
        for account in matching.ambiguous:
            self._keep(account, "unmanaged")
        if scope is not None and not scope and not any(one.email in only for one in self.current):
            self.warnings.append(unmatched_only_warning(only))

    def _sparing_default(self, pair: Pair) -> Pair:
        """The default account stays the default one, as long as ``--only`` leaves out the one that is to replace it."""
        desired = pair.desired.account
        demoted = pair.current is not None and pair.current.is_default and desired.fields.get("default") is False
        successor = self.successor if demoted else None
        if successor is None or in_scope(successor, self.options.only):
            return pair
        self.warnings.append(default_kept(pair.desired, successor.account.email))
        fields = {name: value for name, value in desired.fields.items() if name != "default"}
        return Pair(pair.desired._replace(account=desired._replace(fields=fields)), pair.current)

    def _plan_pair(self, pair: Pair) -> None:
        managed = pair.desired.account.fields
        current = pair.current
        if current is None:
            self._plan_create(pair.desired)
            return
        found = changed_fields(current, managed)
        hidden = current.fields.get("password") is UNKNOWN and "password" in managed
        uncompared = is_hidden(managed.get("password"))
        if hidden and self.options.rotate_passwords:
            found = field_changes(current.fields, managed, [*(change.field for change in found), "password"])
        after = target_account(current, managed, found) if found or hidden or uncompared else current
        self.errors += password_problems(pair.desired, current, after, found)
        self._check_destination(pair.desired, after)
        if not found:
            self.hidden += hidden and not uncompared
            if uncompared:
                found = field_changes(current.fields, managed, ["password"])
                self.uncompared.append(self._update(pair.desired, current, after, found))
            self.unchanged.append(current)
            self.classes["unchanged"] += 1
            return
        self._add(self._update(pair.desired, current, after, found))
        self._need_recipient(self.changes[-1].test, pair.desired)

    def _update(
        self, desired: DesiredAccount, current: Account, after: Account, found: tuple[FieldChange, ...]
    ) -> Change:
        renamed = current.key != desired.account.key
        reason = f"renamed from {current.email}" if renamed else "differs from the declaration"
        return Change(
            action=Action.UPDATE,
            address=desired.account.email,
            before=current,
            after=after,
            managed=desired.account.fields,
            fields=found,
            reason=f"{reason} ({desired.position})",
            notes=password_notes(current, after, desired.account.fields, found),
            test=self._test_of(desired),
            position=desired.position,
        )

    def _plan_create(self, desired: DesiredAccount) -> None:
        account = ACCOUNT_DEFAULTS.with_fields(desired.account.fields)
        self.errors += password_problems(desired, None, account, ())
        self._check_destination(desired, account)
        self._add(
            Change(
                action=Action.CREATE,
                address=account.email,
                before=None,
                after=account,
                managed=desired.account.fields,
                fields=field_changes(
                    None, account.fields, [name for name, value in account.fields.items() if value is not None]
                ),
                reason=f"declared ({desired.position}), not on the server",
                test=self._test_of(desired),
                position=desired.position,
            )
        )
        self._need_recipient(self.changes[-1].test, desired)

    def _check_destination(self, desired: DesiredAccount, after: Account) -> None:
        if self.options.trust:
            self.errors += destination_problems(desired, after.fields, self.options.trust)

    def _plan_undeclared(self, account: Account) -> None:
        if self.options.only and account.email not in self.options.only:
            self._keep(account, "unmanaged")
        elif glob := self.protect.match(account.email):
            self._keep(account, "protected")
            self.warnings.append(
                Problem(
                    kind=Kind.PROTECTED,
                    message=f"{account.email} (id {account.id}) is not declared; protected by {glob!r}, it stays",
                    address=account.email,
                )
            )
        elif self.prune:
            self._add(
                Change(
                    action=Action.DELETE,
                    address=account.email,
                    before=account,
                    after=None,
                    reason="on the server, but not declared, and pruning is on",
                )
            )
        else:
            self._keep(account, "unmanaged")

    def _add(self, change: Change) -> None:
        self.changes.append(change)
        self.classes[change.action] += 1

    def _keep(self, account: Account, as_what: str) -> None:
        self.kept.append(account)
        self.classes[as_what] += 1

    def _test_of(self, desired: DesiredAccount) -> DeliveryTestSettings:
        return self.options.test.over(desired.test.over(self.policy.test))

    def _need_recipient(self, test: DeliveryTestSettings, desired: DesiredAccount) -> None:
        if test.when not in (None, DeliveryTestWhen.OFF) and not test.to_email:
            self.unaddressed.append(desired)

    def _uncompared(self) -> tuple[Change, ...] | None:
        """What passwords that were not compared may come to, labelled as it would be if it were planned."""
        if not self.options.no_secrets:
            return None
        own = {id(change.before) for change in self.uncompared}
        others = [account for account in self.unchanged if id(account) not in own]
        found = labelled([*self.uncompared, *self.changes], [*others, *self.kept])[: len(self.uncompared)]
        return tuple(sorted(found, key=lambda change: change.key))
