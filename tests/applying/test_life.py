"""A server's whole life: declarations, runs, faults and other people's edits in any order, and what always holds."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import count
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from hypothesis import note, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from reconciler.applying.executor import ApplyOptions, execute
from reconciler.applying.final_check import final_check
from reconciler.model.account import Account, Fields, Globs, identity
from reconciler.model.desired import DeleteLimit, Desired
from reconciler.model.outcome import Outcome, Status
from reconciler.model.plan import Action, Plan
from reconciler.planning.builder import PlanOptions, make_plan
from tests.support.backends import Disturbed, Host, InMemory, OverHttp
from tests.support.declarations import NO_DELAYS, NO_LIMIT, SERVER, RecordingObserver
from tests.support.fault_control import Remote
from tests.support.invariants import NOT_KEPT, STRANGER, Run
from tests.support.scenarios import Hurried
from tests.support.strategies import ADDRESSES, BOUNDED, World, declarations, faults, mailbox, spellings, worlds

if TYPE_CHECKING:
    import random
    from collections.abc import Collection, Mapping, Sequence

    from hypothesis.strategies import DataObject

    from tests.support.fake_server import Fault

OPTIONS = PlanOptions(allow_empty=True, max_deletes=NO_LIMIT)
MASKS = [
    "***",
    "••••••••",
    "●●●●",
    "········",
    "ce******",
    "****et",
    "p******4",
    "xxxxxx",
    "XXXXXXXX",
    "<hidden>",
    "[masked]",
]
MASKS += ["(redacted)", "{secret}", "********\n", "  ●●●●●● "]
DIALECTS: Mapping[str, Sequence[object]] = {
    "auth_field": ["hash_auth", "has_auth", "both"],
    "passwords": ["shown", "absent", "null", "empty", "mask"],
    "mask": [None, None, *MASKS],
    "rotates": [False, True],
}


@dataclass(frozen=True, slots=True)
class Edit:
    """What somebody else does to the account at a place in the list; ``call`` is the index of the call it precedes."""

    call: int
    place: int
    removes: bool


class Life(RuleBasedStateMachine):
    """The server and what is declared for it.

    One write after the other, so that the same life can be lived again; several at once are in ``test_convergence``.
    """

    host: Host

    def __init__(self) -> None:
        super().__init__()
        self.ports = count(2_000)
        self.strangers = count(1)

    def start(self, world: World, host: Host) -> None:
        """Takes over a server and what is declared for it."""
        self.world = world
        self.desired = self.completed(world.desired)
        self.host = host

    def teardown(self) -> None:
        if hasattr(self, "host"):
            self.host.close()

    # What may happen, in any order

    @rule(data=st.data())
    def declare(self, data: DataObject) -> None:
        held = tuple(Account(fields, account_id) for account_id, fields in self.host.truth().items())
        self.desired = self.completed(data.draw(declarations(held)))

    @rule(data=st.data())
    def somebody_creates(self, data: DataObject) -> None:
        taken = {mailbox(str(fields["email"])) for fields in self.host.truth().values()}
        if free := [address for address in ADDRESSES if address not in taken]:
            self.create_stranger(data.draw(st.sampled_from(free).flatmap(spellings)))

    @rule(place=st.integers(0, 9), removes=st.booleans())
    def somebody_edits(self, place: int, removes: bool) -> None:
        self.edit(Edit(0, place, removes))

    @rule(order=st.randoms(use_true_random=False))
    def planning_writes_nothing_and_does_not_depend_on_the_order(self, order: random.Random) -> None:
        before = self.host.truth()
        writer = Disturbed(self.host.writer)
        current = list(writer.list_accounts())
        plan = make_plan(self.desired, current, SERVER, OPTIONS)
        declared = list(self.desired.accounts)
        order.shuffle(current)
        order.shuffle(declared)
        assert make_plan(replace(self.desired, accounts=tuple(declared)), current, SERVER, OPTIONS) == plan
        assert writer.calls == [("list", None)]
        assert self.host.truth() == before

    @rule(amount=st.integers(0, 100), percent=st.booleans(), only=st.sampled_from([(), ("a*",), ("[b-e]*",)]))
    def deletes_stay_within_the_guard(self, amount: int, percent: bool, only: tuple[str, ...]) -> None:
        current = self.host.writer.list_accounts()
        limit = DeleteLimit(amount if percent else amount % 5, percent)
        plan = make_plan(self.desired, current, SERVER, PlanOptions(max_deletes=limit, only=Globs(only)))
        deleted = [change.address for change in plan.changes if change.action is Action.DELETE]
        managed = [account for account in current if account.email not in self.desired.policy.ignore]
        if plan.applicable:
            assert limit.allows(len(deleted), len(managed))
            assert len(deleted) < max(1, len(managed))
        assert all(not identity(address).startswith(("p-", "i-")) for address in deleted)
        assert not only or all(address in Globs(only) for address in deleted)

    @rule(
        broken=st.dictionaries(st.integers(0, 8), faults(), min_size=1, max_size=4),
        edits=st.lists(st.builds(Edit, st.integers(0, 8), st.integers(0, 9), st.booleans()), max_size=3),
        newcomer=st.none() | st.integers(0, 5),
    )
    def run_in_trouble(self, broken: dict[int, Fault], edits: list[Edit], newcomer: int | None) -> None:
        plan = self.plan()
        if not plan.applicable:
            return
        before = self.host.truth()
        held = {Account(fields).key for fields in before.values()}
        creates = [
            change.address for change in plan.changes if not change.before and identity(change.address) not in held
        ]
        if newcomer is not None and creates:
            self.create_stranger(creates[newcomer % len(creates)])
        writer = Disturbed(self.host.writer, faults=broken)
        done: list[tuple[Edit, int, int | None]] = []
        for edit in edits:
            writer.strangers[edit.call].append(lambda edit=edit: done.extend(self.edit(edit)))  # type: ignore[misc]
        outcomes = self.apply(plan, writer)
        note(f"calls: {writer.calls}")
        note(f"edits: {done}")
        for outcome in outcomes:
            note(f"{outcome.action} {outcome.address} {outcome.id}: {outcome.status} {outcome.error} {outcome.note}")
        edited = {account_id for _, account_id, _ in done}
        removed = {account_id for _, account_id, port in done if port is None}
        self.run_of(plan, before, edited, removed).check(outcomes)
        self.check_edits_survive(writer, done)

    @rule(call=st.integers(0, 10), data=st.data())
    def two_runs_at_once(self, call: int, data: DataObject) -> None:
        plan = self.plan()
        if not plan.applicable:
            return
        before = self.host.truth()
        held = tuple(Account(fields, account_id) for account_id, fields in before.items())
        desired = self.completed(data.draw(st.just(self.desired) | declarations(held)))
        theirs: list[dict[int, Fields]] = []

        def run_in_between() -> None:
            theirs.append(self.host.truth())
            other = make_plan(desired, self.host.writer.list_accounts(), SERVER, OPTIONS)
            if other.applicable:
                self.apply(other, Disturbed(self.host.writer))
            theirs.append(self.host.truth())

        writer = Disturbed(self.host.writer)
        writer.strangers[call].append(run_in_between)
        outcomes = self.apply(plan, writer)
        note(f"calls: {writer.calls}")
        for outcome in outcomes:
            note(f"{outcome.action} {outcome.address} {outcome.id}: {outcome.status} {outcome.error} {outcome.note}")
        started, ended = theirs or [before, before]
        edited = {one for one in {*started, *ended} if started.get(one) != ended.get(one)}
        run = self.run_of(plan, before, edited, removed=set(started) - set(ended))
        run.check_between_writers(outcomes)
        for account_id in edited:
            if not writer.writes_next(account_id, call):
                assert run.same_but_for_default(run.after.get(account_id), ended.get(account_id))
        self.remove_doubles(run.doubled())

    @rule(hidden=st.dictionaries(st.integers(0, 1), st.integers(0, 9), min_size=1))
    def run_with_lists_that_miss_an_account(self, hidden: dict[int, int]) -> None:
        before = self.host.truth()
        writer = Disturbed(self.host.writer, hidden=hidden)
        plan = make_plan(self.desired, writer.list_accounts(), SERVER, OPTIONS)
        if not plan.applicable:
            return
        outcomes = self.apply(plan, writer)
        note(f"calls: {writer.calls}")
        for outcome in outcomes:
            note(f"{outcome.action} {outcome.address} {outcome.id}: {outcome.status} {outcome.error} {outcome.note}")
        run = self.run_of(plan, before)
        run.check_between_writers(outcomes)
        self.remove_doubles(run.doubled())

    @rule()
    def run_in_peace(self) -> None:
        plan = self.plan()
        if not plan.applicable:
            return
        before = self.host.truth()
        outcomes = self.apply(plan, Disturbed(self.host.writer))
        refused = [one for one in outcomes if one.status is not Status.APPLIED]
        if self.world.rules.keep_default:
            defaults = {change.id for change in plan.changes if change.before and change.before.is_default}
            waiting = "which did not succeed"
            refused = [one for one in refused if one.id not in defaults and waiting not in (one.error or "")]
        if self.world.rules.first_is_default:
            refused = [one for one in refused if f"{NOT_KEPT} default" not in (one.error or "")]
        assert refused == []
        self.run_of(plan, before).check(outcomes)
        if all(one.status is Status.APPLIED for one in outcomes):
            again = self.plan()
            assert (again.changes, again.errors) == ((), ())

    # What is done

    def completed(self, desired: Desired) -> Desired:
        """A declaration that this server takes."""
        return desired

    def plan(self) -> Plan:
        return make_plan(self.desired, self.host.writer.list_accounts(), SERVER, OPTIONS)

    def apply(self, plan: Plan, writer: Disturbed) -> tuple[Outcome, ...]:
        options = ApplyOptions(parallelism=1, adoption_delays=NO_DELAYS)
        outcomes = execute(plan, writer, options, stop=Hurried(1000), listener=RecordingObserver())
        return final_check(plan, outcomes, writer, pauses=NO_DELAYS).outcomes

    def run_of(
        self, plan: Plan, before: dict[int, Fields], edited: Collection[int] = (), removed: Collection[int] = ()
    ) -> Run:
        single_default = self.world.rules.single_default
        return Run(plan, before, self.host.truth(), single_default, edited=edited, removed=removed)

    def remove_doubles(self, keys: Collection[str]) -> None:
        """Somebody tidies up, so that there can be another plan."""
        for key in keys:
            ids = [one for one, fields in self.host.truth().items() if Account(fields).key == key]
            for account_id in sorted(ids)[1:]:
                self.host.remove(account_id)

    def create_stranger(self, email: str) -> None:
        self.host.add({"email": email, "name": f"{STRANGER} {next(self.strangers)}", "smtp_server": "mx9.example.com"})

    def edit(self, edit: Edit) -> list[tuple[Edit, int, int | None]]:
        """Does it; returns what was done to which account: its new port, or ``None`` where it was removed."""
        held = sorted(self.host.truth())
        if not held:
            return []
        account_id = held[edit.place % len(held)]
        if edit.removes:
            self.host.remove(account_id)
            return [(edit, account_id, None)]
        port = next(self.ports)
        self.host.move(account_id, port)
        return [(edit, account_id, port)]

    # What always holds

    def check_edits_survive(self, writer: Disturbed, done: list[tuple[Edit, int, int | None]]) -> None:
        """An edit that came before the last look at the account was seen; the window between look and write is left."""
        after = self.host.truth()
        lasting = {account_id: (edit, port) for edit, account_id, port in done}
        for account_id, (edit, port) in lasting.items():
            if port is None:
                assert account_id not in after
            elif not writer.writes_next(account_id, edit.call) and not any(
                other.call < edit.call and writer.writes_next(account_id, other.call)
                for other, other_id, _ in done
                if other_id == account_id
            ):
                assert after[account_id]["smtp_port"] == port


class InMemoryLife(Life):
    """On a server without a network, with every rule that servers may have."""

    @initialize(world=st.booleans().flatmap(lambda unique: worlds(unique=unique, stubborn=True)))
    def begin(self, world: World) -> None:
        self.start(world, InMemory(world))


class OverHttpLife(Life):
    """On the sandbox, in every dialect."""

    remote: ClassVar[Remote]

    @initialize(
        world=st.booleans().flatmap(lambda unique: worlds(unique=unique, stubborn=True)),
        dialect=st.fixed_dictionaries({name: st.sampled_from(values) for name, values in DIALECTS.items()}),
    )
    def begin(self, world: World, dialect: dict[str, Any]) -> None:
        rules = replace(world.rules, first_is_default=False, lower_case=False)
        self.start(replace(world, rules=rules), OverHttp(self.remote, replace(world, rules=rules), **dialect))

    @rule()
    def tokens_expire(self) -> None:
        self.remote.expire()

    def completed(self, desired: Desired) -> Desired:
        required: Fields = {"service": "other", "has_auth": False, "default": False}
        accounts = [
            one._replace(account=Account({**required, **one.account.fields}, one.account.id))
            for one in desired.accounts
        ]
        return replace(desired, accounts=tuple(accounts))


@pytest.mark.hypothesis
def test_whatever_happens_on_a_server_nothing_is_lost_doubled_or_misreported() -> None:
    run_state_machine_as_test(InMemoryLife, settings=settings(BOUNDED, stateful_step_count=20))


@pytest.mark.hypothesis
def test_whatever_happens_over_http_in_any_dialect_nothing_is_lost_doubled_or_misreported() -> None:
    examples = BOUNDED.max_examples // 2
    with Remote() as OverHttpLife.remote:
        run_state_machine_as_test(
            OverHttpLife, settings=settings(BOUNDED, max_examples=examples, stateful_step_count=15)
        )
