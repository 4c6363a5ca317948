"""Finds the account on the server for each declaration: by pinned ``id``, then address, then ``renamed_from``.

At most one declaration claims each account on the server; an account that none claims is undeclared.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from reconciler.errors import Kind
from reconciler.model.account import identity
from reconciler.planning.checks import problem_at

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from reconciler.errors import Problem
    from reconciler.model.account import Account
    from reconciler.model.desired import DesiredAccount, Policy


class Matching(NamedTuple):
    """The account for each declaration.

    Attributes:
        pairs: Declarations with their accounts; ``None`` if the account must be created. A declaration with an error
            has no pair.
        undeclared: Accounts that no declaration matches.
        ambiguous: Accounts that a declaration with an error may match.
        left_alone: Accounts that the policy does not cover. No declaration matches them.
    """

    pairs: tuple[tuple[DesiredAccount, Account | None], ...]
    undeclared: tuple[Account, ...]
    ambiguous: tuple[Account, ...]
    left_alone: tuple[Account, ...]
    errors: tuple[Problem, ...]
    warnings: tuple[Problem, ...]


def match(desired: Sequence[DesiredAccount], current: Sequence[Account], policy: Policy) -> Matching:
    """Pairs declared accounts with those on the server.

    Args:
        desired: The declarations; an id is a pin.
        current: All accounts on the server; their ids are unique.
        policy: Which accounts the declarations may be about.

    Returns:
        Every declaration as a pair or an error, and every account on the server as claimed, ambiguous, undeclared or
        left alone.
    """
    covered, left_alone = current, []
    if policy.ignore or policy.own:
        covered = [account for account in current if policy.covers(account.email)]
        left_alone = [account for account in current if not policy.covers(account.email)]
    matcher = _Matcher(covered, left_alone, policy)
    rest = desired
    for claim in (matcher.claim_by_id, matcher.claim_by_address, matcher.claim_by_former_address):
        rest = [declaration for declaration in rest if not claim(declaration)]
    matcher.pairs.extend((declaration, None) for declaration in rest)
    unclaimed = [account for account in covered if account.id not in matcher.claimed]
    for declaration in rest if unclaimed else ():
        matcher.warn_of_create(declaration)
    for declaration in desired:
        if declaration.renamed_from:
            matcher.warn_of_former(declaration, declaration.renamed_from)
    return Matching(
        tuple(matcher.pairs),
        tuple(account for account in unclaimed if account.id not in matcher.ambiguous),
        tuple(account for account in unclaimed if account.id in matcher.ambiguous),
        tuple(left_alone),
        tuple(matcher.errors),
        tuple(matcher.warnings),
    )


class _Matcher:
    """The state of one matching. Each ``claim_by_…`` returns whether the declaration is settled."""

    def __init__(self, current: Sequence[Account], left_alone: Sequence[Account], policy: Policy) -> None:
        self.pairs: list[tuple[DesiredAccount, Account | None]] = []
        self.errors: list[Problem] = []
        self.warnings: list[Problem] = []
        self.claimed: set[int | None] = set()
        self.ambiguous: set[int | None] = set()
        self._renamed: dict[int, Account] = {}  # by id() of the declaration, if it has a former address
        self._renamed_ids: set[int | None] = set()
        self._left_alone = left_alone
        self._policy = policy
        self._by_id = {account.id: account for account in current}
        self._by_address: defaultdict[str, list[Account]] = defaultdict(list)
        for account in current:
            self._by_address[account.key].append(account)

    def claim_by_id(self, declaration: DesiredAccount) -> bool:
        pin = declaration.account.id
        if pin is None:
            return False
        account = self._by_id.get(pin)
        if account is None:
            self._report_pin(declaration, pin)
        else:
            self._claim(declaration, account)
        return True

    def claim_by_address(self, declaration: DesiredAccount) -> bool:
        found = self._free(declaration.account.key)
        if len(found) > 1:
            self._report_ambiguous(declaration, declaration.account.email, found)
        elif found:
            self._claim(declaration, found[0])
        return bool(found)

    def claim_by_former_address(self, declaration: DesiredAccount) -> bool:
        if not declaration.renamed_from:
            return False
        key = identity(declaration.renamed_from)
        found = self._free(key)
        if len(found) > 1:
            self._report_ambiguous(declaration, declaration.renamed_from, found)
            return True
        if found:
            self._claim(declaration, found[0])
            return True
        if holders := self._by_address.get(key):
            self._error(
                declaration,
                Kind.RENAME_SOURCE_TAKEN,
                f"{declaration.account.email} is renamed from {declaration.renamed_from}, but that account"
                f" (id {_ids(holders)}) is claimed by another declaration",
                "pin both accounts with `id`, or rename in two applies",
            )
            return True
        return False

    def warn_of_former(self, declaration: DesiredAccount, address: str) -> None:
        """Warns if another account has the former address. Requires that all claims are settled."""
        holders = [holder for holder in self._by_address.get(identity(address), ()) if holder.id not in self.ambiguous]
        both = f"{declaration.account.email} is renamed from {address}, but the server has both"
        if undeclared := [account for account in holders if account.id not in self.claimed]:
            message = f"{both}; {address} (id {_ids(undeclared)}) counts as undeclared"
            self._warn(declaration, Kind.RENAMED_BOTH_EXIST, message, "remove `renamed_from` if the rename is done")
        elif self._exchanged(declaration, holders):
            message = f"{both}, and {address} has `renamed_from` too: nothing is renamed"
            hint = "to exchange addresses, move one of them to a free address in an apply of its own"
            self._warn(declaration, Kind.RENAMED_BOTH_EXIST, message, hint)

    def _exchanged(self, declaration: DesiredAccount, holders: Sequence[Account]) -> bool:
        """Whether the accounts at the former address belong to declarations with a former address of their own."""
        mine = self._renamed.get(id(declaration))
        return mine is not None and any(account.id in self._renamed_ids for account in holders if account.id != mine.id)

    def warn_of_create(self, declaration: DesiredAccount) -> None:
        """Warns if an account with a former address is created because the server has neither address."""
        if declaration.renamed_from and not self._by_address.get(identity(declaration.renamed_from)):
            email, former = declaration.account.email, declaration.renamed_from
            message = f"{email} is renamed from {former}, but the server has neither: it is created"
            self._warn(declaration, Kind.RENAME_SOURCE_MISSING, message, "check the spelling of `renamed_from`")

    def _free(self, key: str) -> list[Account]:
        return [account for account in self._by_address.get(key, ()) if account.id not in self.claimed]

    def _claim(self, declaration: DesiredAccount, account: Account) -> None:
        self.claimed.add(account.id)
        self.pairs.append((declaration, account.unmasked(declaration.account.fields)))
        if declaration.renamed_from:
            self._renamed[id(declaration)] = account
            self._renamed_ids.add(account.id)

    def _report_pin(self, declaration: DesiredAccount, pin: int) -> None:
        why = "which the server does not have"
        for account in self._left_alone:
            if account.id == pin:
                is_ignored = account.email in self._policy.ignore
                why = f"but {account.email} is {'in `policy.ignore`' if is_ignored else 'outside `policy.own`'}"
        message = f"{declaration.account.email} is pinned to id {pin}, {why}"
        self._error(
            declaration, Kind.PIN_NOT_FOUND, message, "remove `id` to match by address, or to create the account"
        )

    def _report_ambiguous(self, declaration: DesiredAccount, address: str, found: Iterable[Account]) -> None:
        found = list(found)
        self.ambiguous.update(account.id for account in found)
        self._error(
            declaration,
            Kind.AMBIGUOUS_ADDRESS,
            f"the server has {address} {len(found)} times ({_list_ids(found)})",
            f"pin the one that you mean in the YAML, for example `id: {found[0].id}`; every other one is then"
            " undeclared, and is deleted if pruning is on",
        )

    def _warn(self, declaration: DesiredAccount, kind: str, message: str, hint: str) -> None:
        self.warnings.append(problem_at(declaration, kind, message, hint))

    def _error(self, declaration: DesiredAccount, kind: str, message: str, hint: str) -> None:
        self.errors.append(problem_at(declaration, kind, message, hint))


def _list_ids(accounts: Sequence[Account]) -> str:
    """The ids of accounts with one address; with their spellings if these differ."""
    if len({account.email for account in accounts}) == 1:
        return f"ids {_ids(accounts)}"
    return ", ".join(f"id {account.id}: {account.email}" for account in accounts)


def _ids(accounts: Iterable[Account]) -> str:
    return ", ".join(str(account.id) for account in accounts)
