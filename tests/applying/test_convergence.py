"""Whatever the server is like and whatever goes wrong: nothing is lost, nothing is doubled, and it converges."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from hypothesis import assume, given
from hypothesis import strategies as st

from reconciler.applying.executor import ApplyOptions, execute
from reconciler.model.outcome import Outcome, Status
from reconciler.model.plan import Action, Plan
from reconciler.planning.builder import PlanOptions, make_plan
from tests.support.declarations import NO_DELAYS, NO_LIMIT, SERVER, RecordingObserver
from tests.support.invariants import Run
from tests.support.strategies import BOUNDED, World, faults, worlds

if TYPE_CHECKING:
    from tests.support.fake_server import FakeServer, Fault

OPTIONS = PlanOptions(allow_empty=True, max_deletes=NO_LIMIT)


def plan_for(world: World, server: FakeServer) -> Plan:
    plan = make_plan(world.desired, server.list_accounts(), SERVER, OPTIONS)
    server.calls.clear()
    return plan


def apply(plan: Plan, server: FakeServer, parallelism: int = 1) -> tuple[Outcome, ...]:
    options = ApplyOptions(parallelism=parallelism, adoption_delays=NO_DELAYS)
    return execute(plan, server, options, stop=threading.Event(), listener=RecordingObserver())


def run_of(world: World, plan: Plan, server: FakeServer) -> Run:
    before = {account.id: account.fields for account in world.held if account.id is not None}
    after = {account_id: account.fields for account_id, account in server.accounts.items()}
    return Run(plan, before, after, world.rules.single_default)


def check_one_run(world: World, parallelism: int) -> None:
    server = world.server()
    plan = plan_for(world, server)
    assume(plan.applicable)
    outcomes = apply(plan, server, parallelism)
    if not world.rules.fills_gmail:
        assert [one for one in outcomes if one.status is not Status.APPLIED] == []
    if all(one.status is Status.APPLIED for one in outcomes):
        again = plan_for(world, server)
        assert (again.changes, again.errors) == ((), ())


@given(worlds(), st.sampled_from([1, 4]))
@BOUNDED
def test_one_run_converges(world: World, parallelism: int) -> None:
    check_one_run(world, parallelism)


@given(worlds(unique=True), st.sampled_from([1, 4]))
@BOUNDED
def test_no_uniqueness_rule_is_broken_on_the_way(world: World, parallelism: int) -> None:
    check_one_run(world, parallelism)


@given(worlds())
@BOUNDED
def test_what_is_not_ours_or_not_declared_keeps_its_values_and_every_account_its_id(world: World) -> None:
    server = world.server()
    plan = plan_for(world, server)
    assume(plan.applicable)
    outcomes = apply(plan, server)
    state = server.accounts
    promotes = any(change.after and change.after.is_default for change in plan.changes)
    for account in plan.kept:
        assert account.id is not None
        # A server with a single default clears the former one by itself, once the promotion has come through.
        cleared = {"default": state[account.id].fields["default"]} if promotes and world.rules.single_default else {}
        assert state[account.id].fields == {**world.held[account.id - 1].fields, **cleared}
    for change, outcome in zip(plan.changes, outcomes, strict=True):
        if change.action is Action.UPDATE and outcome.status is Status.APPLIED:
            assert change.id is not None
            held, now = world.held[change.id - 1], state[change.id]
            free = [name for name in held.fields if name not in change.managed and name != "default"]
            filled = [name for name in free if world.rules.fills_gmail and held.fields[name] is None]
            hidden = ["password"] if change.managed.get("has_auth") is False else []
            for name in set(free) - set(filled) - set(hidden):
                assert now.fields[name] == held.fields[name]


def check_faults(world: World, broken: dict[int, Fault], parallelism: int) -> None:
    assume(not world.rules.fills_gmail)
    server = world.server()
    plan = plan_for(world, server)
    assume(plan.applicable and plan.changes)
    server.faults = broken
    outcomes = apply(plan, server, parallelism)
    run_of(world, plan, server).check(outcomes)
    server.faults = {}
    second = plan_for(world, server)
    assert second.errors == ()
    assert [one for one in apply(second, server) if one.status is not Status.APPLIED] == []
    in_the_end = run_of(world, plan, server)
    in_the_end.check_nothing_is_lost()
    assert in_the_end.doubled() == []
    third = plan_for(world, server)
    assert (third.changes, third.errors) == ((), ())


@given(worlds(unique=True), st.integers(0, 25), faults(), st.sampled_from([1, 4]))
@BOUNDED
def test_a_fault_loses_nothing_doubles_nothing_and_is_reported_as_it_is(
    world: World, place: int, fault: Fault, parallelism: int
) -> None:
    check_faults(world, {place: fault}, parallelism)


@given(worlds(), st.dictionaries(st.integers(0, 25), faults(), min_size=2, max_size=2), st.sampled_from([1, 4]))
@BOUNDED
def test_two_faults_lose_nothing_double_nothing_and_are_reported_as_they_are(
    world: World, broken: dict[int, Fault], parallelism: int
) -> None:
    check_faults(world, broken, parallelism)
