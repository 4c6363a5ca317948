from __future__ import annotations

import tracemalloc
from functools import partial
from typing import TYPE_CHECKING

import pytest

from reconciler.model.account import Account
from reconciler.model.plan import Action, Change
from reconciler.planning.ordering import order
from tests.support.call_counter import count_calls
from tests.support.declarations import declare, plan_of, said, writes
from tests.support.fake_server import account

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from reconciler.planning.ordering import Order


def rename(place: int, before: str, after: str, *, emails: tuple[str, str] | None = None) -> Change:
    """An update of a name, and of an address where given."""
    former, email = emails or (f"u{place}@x", f"u{place}@x")
    held = account(former, place + 1, name=before)
    return Change(
        action=Action.UPDATE, address=email, before=held, after=held.with_fields({"name": after, "email": email})
    )


def steps_of(changes: Sequence[Change]) -> list[tuple[int, str, set[int]]]:
    """Steps as index of the change, temporary name, and required steps."""
    ordered = order(changes, [one.before.name or "" for one in changes if one.before])
    assert ordered.errors == ()
    return [
        (index, str(step.fields.get("name", "")), set(step.requires))
        for index, step in zip(indexes(ordered), ordered.steps, strict=True)
    ]


def indexes(ordered: Order) -> list[int]:
    """For each step the index of its change."""
    index_of = {change.key: index for index, change in enumerate(ordered.changes)}
    return [index_of[step.change.key] for step in ordered.steps]


def temporary_names(ordered: Order) -> dict[int, str]:
    """By index of the change, the name it goes through."""
    steps = zip(indexes(ordered), ordered.steps, strict=True)
    return {index: str(step.fields["name"]) for index, step in steps if step.fields}


def test_a_new_default_is_promoted_before_the_old_one_is_demoted() -> None:
    held = (account("a@x", 1, default=True), account("b@x", 2))
    plan = plan_of([declare("a@x", default=False), declare("b@x", default=True)], held)
    assert writes(plan) == ["update b@x", "update a@x"]
    assert plan.steps[1].requires == {0}


def test_a_new_default_is_promoted_before_the_old_one_is_deleted() -> None:
    held = (account("a@x", 1, default=True), account("z@x", 2))
    plan = plan_of([declare("n@x", name="N", default=True), declare("z@x", name="Z", default=False)], held)
    assert writes(plan) == ["create n@x", "update z@x", "delete a@x"]
    assert [(set(step.requires), step.last) for step in plan.steps] == [(set(), False), (set(), False), ({0}, True)]


def test_a_name_is_freed_before_it_is_taken_in_any_case_and_spacing() -> None:
    assert steps_of([rename(0, "A", "b "), rename(1, "B", "C")]) == [(1, "", set()), (0, "", {0})]


def test_a_delete_that_frees_a_name_goes_before_the_create_that_takes_it() -> None:
    plan = plan_of([declare("n@x", name="Alerts")], (account("a@x", 1, name="Alerts"),))
    assert writes(plan) == ["delete a@x", "create n@x"]
    assert [step.last for step in plan.steps] == [False, False]


def test_an_address_is_freed_before_it_is_taken() -> None:
    held = (account("a@x", 1), account("b@x", 2))
    plan = plan_of([declare("b@x", 1), declare("c@x", 2)], held)
    assert writes(plan) == ["update c@x", "update b@x"]


def test_a_delete_that_frees_an_address_goes_before_the_update_that_takes_it() -> None:
    plan = plan_of([declare("b@x", 1)], (account("a@x", 1), account("b@x", 2)))
    assert writes(plan) == ["delete b@x#2", "update b@x#1"]


def test_accounts_without_a_name_free_nothing_and_take_nothing() -> None:
    assert steps_of([rename(0, "", "A"), rename(1, "B", "")]) == [(0, "", set()), (1, "", set())]


def test_an_exchange_of_names_uses_a_temporary_name() -> None:
    assert steps_of([rename(0, "A", "B"), rename(1, "B", "A")]) == [
        (0, "B (moving)", set()),
        (1, "", {0}),
        (0, "", {0, 1}),
    ]


def test_a_cycle_of_three_names_needs_one_temporary_name() -> None:
    assert steps_of([rename(0, "A", "B"), rename(1, "B", "C"), rename(2, "C", "A")]) == [
        (0, "B (moving)", set()),
        (2, "", {0}),
        (1, "", {1}),
        (0, "", {0, 2}),
    ]


def test_a_temporary_name_is_not_in_use() -> None:
    changes = [rename(0, "A", "B"), rename(1, "B", "A")]
    ordered = order(changes, ["A", "B", "b (MOVING)", "B (moving 2)"])
    assert temporary_names(ordered) == {0: "B (moving 3)"}


def test_each_cycle_is_broken_separately() -> None:
    swaps = [rename(0, "A", "B"), rename(1, "C", "D"), rename(2, "B", "A"), rename(3, "D", "C")]
    ordered = order(swaps, [])
    assert temporary_names(ordered) == {0: "B (moving)", 1: "D (moving)"}
    assert indexes(ordered) == [0, 1, 2, 0, 3, 1]


def test_a_cycle_may_wait_for_another_cycle() -> None:
    changes = [
        rename(0, "A", "B", emails=("a@x", "c@x")),
        rename(1, "B", "A"),
        rename(2, "C", "D", emails=("c@x", "d@x")),
        rename(3, "D", "C"),
    ]
    assert steps_of(changes) == [
        (2, "D (moving)", set()),
        (0, "B (moving)", {0}),
        (1, "", {1}),
        (0, "", {1, 2}),
        (3, "", {0}),
        (2, "", {0, 4}),
    ]


def test_a_chain_waits_only_for_what_it_needs() -> None:
    changes = [rename(0, "A", "B"), rename(1, "B", "C"), rename(2, "C", "B2"), rename(3, "D", "A")]
    assert steps_of(changes) == [(2, "", set()), (1, "", {0}), (0, "", {1}), (3, "", {2})]


def test_a_create_that_replaces_the_default_account_takes_its_name_last() -> None:
    plan = plan_of([declare("n@x", name="Mail", default=True)], (account("a@x", 1, name="Mail", default=True),))
    assert writes(plan) == ["create n@x Mail (moving)", "delete a@x", "create n@x"]
    assert [set(step.requires) for step in plan.steps] == [set(), {0}, {0, 1}]
    assert plan.changes[1].notes == (
        "goes through the temporary name 'Mail (moving)', because accounts exchange names",
    )


def test_a_cycle_of_addresses_is_refused() -> None:
    held = (account("a@x", 1), account("b@x", 2))
    plan = plan_of([declare("b@x", 1), declare("a@x", 2)], held)
    assert said(plan.errors) == [
        "order_cycle: these accounts take each other's addresses, so that none can go first: a@x → b@x → a@x"
    ]
    assert plan.steps == ()


def test_taking_the_default_accounts_address_for_its_successor_is_refused() -> None:
    held = (account("a@x", 1, default=True), account("c@x", 2))
    plan = plan_of([declare("b@x", 1, default=False), declare("a@x", 2, default=True)], held)
    assert said(plan.errors) == [
        "order_cycle: an address is taken over from the default account, which may only go once its successor is the"
        " default, so that none can go first: a@x → b@x → a@x"
    ]


def test_a_mixed_cycle_is_broken_at_a_name() -> None:
    changes = [
        rename(0, "A", "B", emails=("a@x", "b@x")),
        rename(1, "B", "A", emails=("b@x", "c@x")),
    ]
    assert steps_of(changes) == [(1, "A (moving)", set()), (0, "", {0}), (1, "", {0, 1})]


def test_on_an_empty_server_the_default_goes_first_but_is_not_required() -> None:
    plan = plan_of([declare("a@x", name="A", default=False), declare("b@x", name="B", default=True)], ())
    assert writes(plan) == ["create b@x", "create a@x"]
    assert [(set(step.requires), set(step.after)) for step in plan.steps] == [(set(), set()), (set(), {0})]


def test_deletes_that_free_nothing_come_last() -> None:
    held = (account("a@x", 1), account("b@x", 2))
    plan = plan_of([declare("b@x", name="B"), declare("n@x", name="N")], held)
    assert writes(plan) == ["update b@x", "create n@x", "delete a@x"]


def chain(length: int) -> list[Change]:
    return [rename(place, f"n{place}", f"n{place + 1}") for place in range(length)]


def swaps(count: int) -> list[Change]:
    pairs = [(place, place ^ 1) for place in range(2 * count)]
    return [rename(place, f"n{place}", f"n{other}") for place, other in pairs]


def test_a_chain_of_ten_thousand_is_ordered_from_its_end() -> None:
    ordered = order(chain(10_000), [])
    assert indexes(ordered) == list(reversed(range(10_000)))


def test_a_cycle_of_ten_thousand_is_broken_once() -> None:
    changes = [*chain(9_999), rename(9_999, "n9999", "n0")]
    ordered = order(changes, [])
    assert temporary_names(ordered) == {0: "n1 (moving)"}
    assert len(ordered.steps) == 10_001


def test_ten_times_as_many_exchanges_are_ten_times_the_work() -> None:
    few, many = (count_calls(partial(order, swaps(count), [])) for count in (50, 500))
    assert many < 12 * few


@pytest.mark.parametrize("length", [2, 3, 5, 40])
def test_every_step_comes_after_what_it_requires(length: int) -> None:
    changes = [*chain(length), rename(length, f"n{length}", "n0"), *swaps_beside(length)]
    ordered = order(changes, [])
    assert all(
        required < place
        for place, step in enumerate(ordered.steps)
        for required in step.requires.union(step.after, *step.shared)
    )
    held = {one.key: one.before.name for one in changes if one.before}
    for step in ordered.steps:
        after = step.change.after
        assert isinstance(after, Account)
        name = step.fields.get("name", after.name)
        assert name not in held.values()
        held[step.change.key] = str(name)


def swaps_beside(place: int) -> list[Change]:
    return [rename(place + 1, "x", "y"), rename(place + 2, "y", "x")]


def handed_on(count: int) -> list[Change]:
    """Half of the accounts share a name and give it up, the other half take it."""
    return [
        rename(place, "x" if place % 2 else f"n{place}", f"n{place}" if place % 2 else "x") for place in range(count)
    ]


def test_a_shared_name_is_taken_after_all_have_freed_it() -> None:
    ordered = order(handed_on(6), [])
    assert indexes(ordered) == [1, 3, 5, 0, 2, 4]
    assert [step.shared for step in ordered.steps] == [()] * 3 + [(frozenset({0, 1, 2}),)] * 3


def test_names_exchanged_between_groups_need_temporary_names() -> None:
    changes = [rename(place, "xy"[place % 2], "yx"[place % 2]) for place in range(6)]
    ordered = order(changes, [])
    assert temporary_names(ordered) == {
        0: "y (moving)",
        1: "x (moving)",
        2: "y (moving 2)",
        3: "x (moving 2)",
        4: "y (moving 3)",
    }
    assert len(ordered.steps) == 11


@pytest.mark.parametrize("make", [handed_on, lambda count: [rename(n, "xy"[n % 2], "yx"[n % 2]) for n in range(count)]])
def test_handing_on_a_shared_name_takes_linear_memory(make: Callable[[int], list[Change]]) -> None:
    def peak(count: int) -> int:
        changes = make(count)
        tracemalloc.start()
        try:
            order(changes, [])
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert peak(800) < 12 * peak(100)


def test_a_shared_address_is_one_requirement_of_all_takers() -> None:
    changes = [rename(n, "a", "a", emails=("x@x", f"n{n}@x") if n % 2 else (f"n{n}@x", "x@x")) for n in range(2_000)]
    ordered = order(changes, [])
    assert len({id(places) for step in ordered.steps for places in step.shared}) == 1
    assert sum(len(step.requires) for step in ordered.steps) == 0


def test_handing_on_a_shared_default_takes_linear_requirements() -> None:
    held = [account(f"a{n}@x", n + 1, default=True) for n in range(1_000)]
    changes = [
        Change(action=Action.UPDATE, address=one.email, before=one, after=one.with_fields({"default": False}))
        for one in held
    ]
    new = account("new@x", 5_000)
    changes.append(Change(action=Action.UPDATE, address="new@x", before=new, after=new.with_fields({"default": True})))
    ordered = order(changes, [])
    assert ordered.steps[0].change == changes[1_000]
    assert sum(len(step.requires) for step in ordered.steps) == 1_000
