"""Whatever happens to a server in whatever order: nothing is lost, doubled or misreported, and runs converge.

The invariants are in ``tests.support.invariants``; ``tests/faults`` uses them too.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import count
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from hypothesis import assume, example, given, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from reconciler.applying.executor import ApplyOptions, execute
from reconciler.applying.final_check import FinalCheckResult, final_check
from reconciler.applying.worker_pool import InterruptGate
from reconciler.errors import Kind, OutcomeUnknownError, RejectedError
from reconciler.model.account import Account, Fields, Globs, identity
from reconciler.model.desired import DeleteLimit, Desired
from reconciler.model.outcome import Outcome, Status
from reconciler.planning.planner import PlanOptions, make_plan
from tests.support.backends import Backend, FaultyWriter, InMemory, OverHttp
from tests.support.declarations import NO_DELAYS, NO_LIMIT, SERVER, RecordingObserver, declare
from tests.support.fake_server import Fault, Rules
from tests.support.fault_control import FaultServerControl
from tests.support.invariants import (
    NO_OTHER_WRITERS,
    STRANGER,
    OtherWriters,
    Run,
    not_applied,
    overwritten,
    remaining,
    unguarded,
)
from tests.support.scenarios import ShortPauses
from tests.support.strategies import (
    ADDRESSES,
    BOUNDED,
    KEPT,
    ServerCase,
    declarations,
    faults,
    mailbox,
    server_cases,
    spellings,
)

if TYPE_CHECKING:
    import random
    from collections.abc import Collection, Mapping, Sequence

    from hypothesis.strategies import DataObject

    from reconciler.model.plan import Plan
    from tests.support.fake_server import FakeServer

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
    "(redacted)",
    "{secret}",
    "********\n",
    "  ●●●●●● ",
]
DIALECTS: Mapping[str, Sequence[object]] = {
    "auth_field": ["hash_auth", "has_auth", "both"],
    "passwords": ["shown", "absent", "null", "empty", "mask"],
    "mask": [None, None, *MASKS],
    "rotates": [False, True],
}
PARALLELISM = st.sampled_from([1, 4])


def fresh_plan(case: ServerCase, server: FakeServer) -> Plan:
    plan = make_plan(case.desired, server.list_accounts(), SERVER, OPTIONS)
    server.calls.clear()
    return plan


def apply(plan: Plan, server: FakeServer, parallelism: int = 1) -> tuple[Outcome, ...]:
    options = ApplyOptions(parallelism=parallelism, adoption_delays=NO_DELAYS)
    return execute(plan, server, options, gate=InterruptGate(), observer=RecordingObserver())


def run_of(case: ServerCase, plan: Plan, server: FakeServer) -> Run:
    before = {account.id: account.fields for account in case.held if account.id is not None}
    return run_at(case, plan, before, server.state())


def run_at(
    case: ServerCase,
    plan: Plan,
    before: Mapping[int, Fields],
    after: Mapping[int, Fields],
    others: OtherWriters = NO_OTHER_WRITERS,
) -> Run:
    """A run on a server that does by itself what the case's rules are."""
    rules = case.rules
    return Run(
        plan,
        before,
        after,
        others,
        single_default=rules.single_default,
        fills_empty=rules.fills_gmail,
        first_is_default=rules.first_is_default,
    )


# Several writes at the same time


def check_peace(case: ServerCase, parallelism: int) -> None:
    server = case.server()
    plan = fresh_plan(case, server)
    assume(plan.applicable)
    outcomes = apply(plan, server, parallelism)
    assert run_of(case, plan, server).violations(outcomes) == []
    if not case.rules.fills_gmail:
        assert not_applied(outcomes, plan, case.rules) == []
    if all(one.status is Status.APPLIED for one in outcomes):
        assert remaining(fresh_plan(case, server)) == []


@given(server_cases(), PARALLELISM)
@BOUNDED
def test_one_run_in_peace_converges(case: ServerCase, parallelism: int) -> None:
    check_peace(case, parallelism)


@given(server_cases(unique=True), PARALLELISM)
@BOUNDED
def test_no_uniqueness_rule_is_broken_on_the_way(case: ServerCase, parallelism: int) -> None:
    check_peace(case, parallelism)


def check_faults(case: ServerCase, broken: dict[int, Fault], parallelism: int) -> None:
    assume(not case.rules.fills_gmail)
    server = case.server()
    plan = fresh_plan(case, server)
    assume(plan.applicable and plan.changes)
    server.faults = broken
    outcomes = apply(plan, server, parallelism)
    assert run_of(case, plan, server).violations(outcomes) == []
    server.faults = {}
    second = fresh_plan(case, server)
    assert not_applied(apply(second, server), second, case.rules) == []
    ended = run_of(case, plan, server)
    assert [*ended.losses(), *ended.doubled(), *ended.touched(), *ended.unfinished()] == []
    assert remaining(fresh_plan(case, server)) == []


@given(server_cases(unique=True), st.integers(0, 25), faults(), PARALLELISM)
@BOUNDED
def test_a_fault_loses_and_doubles_nothing_and_is_reported(
    case: ServerCase, place: int, fault: Fault, parallelism: int
) -> None:
    check_faults(case, {place: fault}, parallelism)


REFUSED = RejectedError.of("no", kind=Kind.SERVER_ERROR)
LOST = OutcomeUnknownError.of("lost", kind=Kind.SERVER_ERROR)
ONE_DEFAULT = (declare("a@example.com", name="A", default=True), declare("b@example.com", name="B", default=False))
FIRST_IS_DEFAULT = ServerCase((), Rules(first_is_default=True), Desired(ONE_DEFAULT, KEPT))


@given(server_cases(), st.dictionaries(st.integers(0, 25), faults(), min_size=2, max_size=2), PARALLELISM)
@example(FIRST_IS_DEFAULT, {0: Fault(REFUSED), 2: Fault(LOST, "after")}, 1)
@BOUNDED
def test_two_faults_lose_and_double_nothing_and_are_reported(
    case: ServerCase, broken: dict[int, Fault], parallelism: int
) -> None:
    check_faults(case, broken, parallelism)


# One write after the other, so that hypothesis can repeat what it has found


@dataclass(frozen=True, slots=True)
class Edit:
    """An edit by another writer: ``place`` is the index in the list, ``call`` that of the call it precedes."""

    call: int
    place: int
    removes: bool


class ReconcilerMachine(RuleBasedStateMachine):
    """A server, a declaration for it, and everything that may happen, in any order."""

    backend: Backend

    def __init__(self) -> None:
        super().__init__()
        self.ports = count(2_000)
        self.strangers = count(1)

    def start(self, case: ServerCase, backend: Backend) -> None:
        self.case = case
        self.desired = self.completed(case.desired)
        self.backend = backend

    def teardown(self) -> None:
        if hasattr(self, "backend"):
            self.backend.close()

    @rule(data=st.data())
    def declare(self, data: DataObject) -> None:
        held = tuple(Account(fields, account_id) for account_id, fields in self.backend.state().items())
        self.desired = self.completed(data.draw(declarations(held)))

    @rule(data=st.data())
    def somebody_creates(self, data: DataObject) -> None:
        taken = {mailbox(str(fields["email"])) for fields in self.backend.state().values()}
        if free := [address for address in ADDRESSES if address not in taken]:
            self.create_stranger(data.draw(st.sampled_from(free).flatmap(spellings)))

    @rule(place=st.integers(0, 9), removes=st.booleans())
    def somebody_edits(self, place: int, removes: bool) -> None:
        self.edit(Edit(0, place, removes))

    @rule(order=st.randoms(use_true_random=False))
    def plan_in_another_order(self, order: random.Random) -> None:
        before = self.backend.state()
        writer = FaultyWriter(self.backend.writer)
        current = list(writer.list_accounts())
        plan = make_plan(self.desired, current, SERVER, OPTIONS)
        declared = list(self.desired.accounts)
        order.shuffle(current)
        order.shuffle(declared)
        assert make_plan(replace(self.desired, accounts=tuple(declared)), current, SERVER, OPTIONS) == plan
        assert writer.calls == [("list", None)]
        assert self.backend.state() == before

    @rule(amount=st.integers(0, 100), percent=st.booleans(), only=st.sampled_from([(), ("a*",), ("[b-e]*",)]))
    def plan_with_a_delete_limit(self, amount: int, percent: bool, only: tuple[str, ...]) -> None:
        limit = DeleteLimit(amount if percent else amount % 5, percent)
        options = PlanOptions(max_deletes=limit, only=Globs(only))
        plan = make_plan(self.desired, self.backend.writer.list_accounts(), SERVER, options)
        assert unguarded(plan, self.desired.policy, limit, Globs(only)) == []

    @rule(
        broken=st.dictionaries(st.integers(0, 8), faults(), min_size=1, max_size=4),
        edits=st.lists(st.builds(Edit, st.integers(0, 8), st.integers(0, 9), st.booleans()), max_size=3),
        newcomer=st.none() | st.integers(0, 5),
    )
    def run_with_faults_and_edits(self, broken: dict[int, Fault], edits: list[Edit], newcomer: int | None) -> None:
        plan = self.plan()
        if not plan.applicable:
            return
        before = self.backend.state()
        held = {Account(fields).key for fields in before.values()}
        creates = [
            change.address for change in plan.changes if not change.before and identity(change.address) not in held
        ]
        if newcomer is not None and creates:
            self.create_stranger(creates[newcomer % len(creates)])
        writer = FaultyWriter(self.backend.writer, faults=broken)
        done: list[tuple[Edit, int, int | None]] = []
        for edit in edits:
            writer.interventions[edit.call].append(lambda edit=edit: done.extend(self.edit(edit)))  # type: ignore[misc]
        outcomes, problem = self.observed(plan, writer)
        note(f"edits: {done}")
        edited = {account_id for _, account_id, _ in done}
        removed = {account_id for _, account_id, port in done if port is None}
        # The first list after all writes confirms them. Later ones are only about what it lacked.
        last = max((index for index, (method, _) in enumerate(writer.calls) if method != "list"), default=-1)
        late = {account_id for edit, account_id, _ in done if edit.call > last + 1}
        run = self.run_of(plan, before, OtherWriters(edited, removed=removed, after_check=late))
        assert run.violations(outcomes, is_confirmed=problem is None) == []
        assert overwritten(left_by_edits(writer, done), run.after) == []

    @rule(call=st.integers(0, 10), data=st.data())
    def two_runs_at_once(self, call: int, data: DataObject) -> None:
        plan = self.plan()
        if not plan.applicable:
            return
        before = self.backend.state()
        held = tuple(Account(fields, account_id) for account_id, fields in before.items())
        desired = self.completed(data.draw(st.just(self.desired) | declarations(held)))
        theirs: list[dict[int, Fields]] = []

        def run_in_between() -> None:
            theirs.append(self.backend.state())
            other = make_plan(desired, self.backend.writer.list_accounts(), SERVER, OPTIONS)
            if other.applicable:
                self.apply(other, FaultyWriter(self.backend.writer))
            theirs.append(self.backend.state())

        writer = FaultyWriter(self.backend.writer)
        writer.interventions[call].append(run_in_between)
        outcomes, _ = self.observed(plan, writer)
        started, ended = theirs or [before, before]
        edited = {one for one in {*started, *ended} if started.get(one) != ended.get(one)}
        run = self.run_of(plan, before, OtherWriters(edited, removed=set(started) - set(ended)))
        assert run.violations(outcomes, lists_are_true=False) == []
        left = {one: ended.get(one) for one in edited if not writer.is_between_read_and_write(one, call)}
        assert overwritten(left, run.after, ignored={"default"} if run.single_default else ()) == []
        self.remove_doubles(run.doubled())

    @rule(hidden=st.dictionaries(st.integers(0, 1), st.integers(0, 9), min_size=1))
    def run_with_lists_that_miss_an_account(self, hidden: dict[int, int]) -> None:
        before = self.backend.state()
        writer = FaultyWriter(self.backend.writer, hidden=hidden)
        plan = make_plan(self.desired, writer.list_accounts(), SERVER, OPTIONS)
        if not plan.applicable:
            return
        outcomes, _ = self.observed(plan, writer)
        run = self.run_of(plan, before)
        assert run.violations(outcomes, lists_are_true=False) == []
        self.remove_doubles(run.doubled())

    @rule()
    def run_in_peace(self) -> None:
        plan = self.plan()
        if not plan.applicable:
            return
        before = self.backend.state()
        outcomes, _ = self.observed(plan, FaultyWriter(self.backend.writer))
        assert not_applied(outcomes, plan, self.case.rules) == []
        assert self.run_of(plan, before).violations(outcomes) == []
        if all(one.status is Status.APPLIED for one in outcomes):
            assert remaining(self.plan()) == []

    def completed(self, desired: Desired) -> Desired:
        """A declaration that this server accepts."""
        return desired

    def plan(self) -> Plan:
        return make_plan(self.desired, self.backend.writer.list_accounts(), SERVER, OPTIONS)

    def apply(self, plan: Plan, writer: FaultyWriter) -> FinalCheckResult:
        options = ApplyOptions(parallelism=1, adoption_delays=NO_DELAYS)
        gate = InterruptGate(ShortPauses(1000))
        written = execute(plan, writer, options, gate=gate, observer=RecordingObserver())
        return final_check(plan, written, writer, gate=gate, pauses=NO_DELAYS)

    def observed(self, plan: Plan, writer: FaultyWriter) -> FinalCheckResult:
        """Applies, and notes what happened for hypothesis to print."""
        checked = self.apply(plan, writer)
        note(f"calls: {writer.calls}")
        for outcome in checked.outcomes:
            note(f"{outcome.action} {outcome.address} {outcome.id}: {outcome.status} {outcome.error} {outcome.note}")
        return checked

    def run_of(self, plan: Plan, before: dict[int, Fields], others: OtherWriters = NO_OTHER_WRITERS) -> Run:
        return run_at(self.case, plan, before, self.backend.state(), others)

    def remove_doubles(self, keys: Collection[str]) -> None:
        """Cleans up, so that another plan is possible."""
        for key in keys:
            ids = [one for one, fields in self.backend.state().items() if Account(fields).key == key]
            for account_id in sorted(ids)[1:]:
                self.backend.remove(account_id)

    def create_stranger(self, email: str) -> None:
        name = f"{STRANGER} {next(self.strangers)}"
        self.backend.add({"email": email, "name": name, "smtp_server": "mx9.example.com"})

    def edit(self, edit: Edit) -> list[tuple[Edit, int, int | None]]:
        """Edits an account; returns the edit, the account's id, and its new port (``None`` if it was removed)."""
        held = sorted(self.backend.state())
        if not held:
            return []
        account_id = held[edit.place % len(held)]
        if edit.removes:
            self.backend.remove(account_id)
            return [(edit, account_id, None)]
        port = next(self.ports)
        self.backend.set_port(account_id, port)
        return [(edit, account_id, port)]


def left_by_edits(
    writer: FaultyWriter, done: Sequence[tuple[Edit, int, int | None]]
) -> dict[int, Mapping[str, Any] | None]:
    """How the edits left accounts, except those between a read and a write, which nothing can detect."""
    unseen = {account_id for edit, account_id, _ in done if writer.is_between_read_and_write(account_id, edit.call)}
    last = {account_id: port for _, account_id, port in done}
    return {
        account_id: None if port is None else {"smtp_port": port}
        for account_id, port in last.items()
        if port is None or account_id not in unseen
    }


class InMemoryMachine(ReconcilerMachine):
    """On a server without a network, with every rule that servers may have."""

    @initialize(case=st.booleans().flatmap(lambda unique: server_cases(unique=unique, stubborn=True)))
    def begin(self, case: ServerCase) -> None:
        self.start(case, InMemory(case))


class OverHttpMachine(ReconcilerMachine):
    """On the sandbox, in every dialect."""

    control: ClassVar[FaultServerControl]

    @initialize(
        case=st.booleans().flatmap(lambda unique: server_cases(unique=unique, stubborn=True)),
        dialect=st.fixed_dictionaries({name: st.sampled_from(values) for name, values in DIALECTS.items()}),
    )
    def begin(self, case: ServerCase, dialect: dict[str, Any]) -> None:
        case = replace(case, rules=replace(case.rules, first_is_default=False, lower_case=False))
        self.start(case, OverHttp(self.control, case, **dialect))

    @rule()
    def tokens_expire(self) -> None:
        self.control.expire()

    def completed(self, desired: Desired) -> Desired:
        required: Fields = {"service": "other", "has_auth": False, "default": False}
        accounts = [
            one._replace(account=Account({**required, **one.account.fields}, one.account.id))
            for one in desired.accounts
        ]
        return replace(desired, accounts=tuple(accounts))


@pytest.mark.hypothesis
def test_invariants_hold_in_memory() -> None:
    run_state_machine_as_test(InMemoryMachine, settings=settings(BOUNDED, stateful_step_count=20))


@pytest.mark.hypothesis
def test_invariants_hold_over_http_in_every_dialect() -> None:
    examples = BOUNDED.max_examples // 2
    with FaultServerControl() as OverHttpMachine.control:
        run_state_machine_as_test(
            OverHttpMachine, settings=settings(BOUNDED, max_examples=examples, stateful_step_count=15)
        )
