"""How the final check changes a report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from reconciler.applying.final_check import FinalCheckResult, final_check
from reconciler.applying.worker_pool import InterruptGate
from reconciler.errors import Kind, Problem, UnreachableError
from reconciler.model.account import Account
from reconciler.model.desired import Policy
from reconciler.model.outcome import Status
from reconciler.model.secret import Secret
from tests.support.declarations import apply_plan, declare, plan_for, summaries
from tests.support.fake_server import BLANK, FakeServer, Fault, Rules, account

if TYPE_CHECKING:
    from collections.abc import Callable

    from reconciler.model.account import Fields
    from reconciler.model.plan import Plan
    from tests.support.fake_server import Call

DOWN = UnreachableError.of("connection refused", kind=Kind.CONNECTION_FAILED)
TIMES = Rules(times=True)
NO_DELAYS = (0.0, 0.0)


def checked(
    plan: Plan,
    server: FakeServer,
    meanwhile: Callable[[], object] = lambda: None,
    **options: Any,  # noqa: ANN401 - ApplyOptions has their types
) -> FinalCheckResult:
    """Carries out a plan, lets another writer act, and runs the final check."""
    outcomes = apply_plan(plan, server, **options)
    meanwhile()
    server.calls.clear()
    return final_check(plan, outcomes, server, gate=InterruptGate(), pauses=NO_DELAYS)


def test_a_confirmed_run_costs_one_list() -> None:
    held: list[Fields] = [
        {"email": "a@x", "name": "A", "default": True},
        {"email": "b@x", "name": "B"},
        {"email": "c@x"},
    ]
    server = FakeServer.holding(*held, rules=Rules(times=True, single_default=True, unique_names=True))
    desired = [
        declare("a@x", name="B", default=False),
        declare("b@x", name="A", default=True),
        declare("n@x", name="N"),
    ]
    outcomes, problem = checked(plan_for(server, *desired), server)
    assert [one.status for one in outcomes] == ["applied"] * 4
    assert ([one.note for one in outcomes], problem, server.methods()) == ([None] * 4, None, ["list"])


def test_nothing_is_listed_if_nothing_was_applied() -> None:
    server = FakeServer.holding({"email": "a@x"})
    plan = plan_for(server)
    server.script("delete", Fault(DOWN))
    checked(plan, server)
    assert server.calls == []


def test_a_write_reported_but_not_stored_has_failed() -> None:
    server = FakeServer.holding({"email": "a@x", "name": "A"}, {"email": "c@x"})
    plan = plan_for(server, declare("a@x", name="B", password=Secret("p")), declare("n@x", name="N"))
    before = dict(server.accounts)

    def forget() -> None:
        server.accounts = before

    outcomes, _ = checked(plan, server, forget)
    assert summaries(outcomes) == [
        'update a@x: failed (at the end of the run the server has other values: name (it has "A"), password)',
        "delete c@x: failed (the account is still on the server at the end of the run)",
        "create n@x: failed (the account is not on the server at the end of the run)",
    ]
    assert server.methods() == ["list"] * 3


def test_a_write_that_shows_a_moment_later_is_applied() -> None:
    server = FakeServer.holding({"email": "c@x"})
    plan = plan_for(server)
    kept = server.accounts[1]

    def appear(_call: Call) -> None:
        server.accounts = {} if len(server.calls) else {1: kept}

    def lag() -> None:
        server.hooks["list"] = appear

    outcomes, problem = checked(plan, server, lag)
    assert (summaries(outcomes), problem, server.methods()) == (["delete c@x: applied"], None, ["list", "list"])


def test_two_accounts_of_one_address_are_named_with_a_hint() -> None:
    server = FakeServer.holding()
    plan = plan_for(server, declare("a@x", name="A"))
    (outcome,) = checked(plan, server, lambda: server.accounts.update({9: account("A@X", 9)})).outcomes
    assert (outcome.status, outcome.error) == (
        Status.FAILED,
        "the server has this address more than once at the end of the run (ids 1, 9): choose one with `id: 1` in the"
        " YAML; the other is then undeclared, and is deleted if pruning is on",
    )


def test_two_accounts_at_one_address_that_the_plan_knew_are_fine() -> None:
    server = FakeServer.holding({"email": "a@x", "name": "A"}, {"email": "a@x", "name": "B"})
    plan = plan_for(server, declare("a@x", 1, name="C"), policy=Policy(prune=False))
    assert summaries(checked(plan, server).outcomes) == ["update a@x#1: applied"]


@pytest.mark.parametrize("new_id", [1, 7])
@pytest.mark.parametrize("gone_already", [False, True])
def test_an_account_that_is_there_again_after_its_delete_is_told(*, gone_already: bool, new_id: int) -> None:
    server = FakeServer.holding({"email": "a@x"}, rules=TIMES)
    plan = plan_for(server)
    if gone_already:
        server.accounts.clear()
    outcomes, _ = checked(plan, server, lambda: server.reuse(new_id, "a@x"))
    assert summaries(outcomes) == [
        f"delete a@x: failed (an account with this address exists again at the end of the run (id {new_id}))"
        + (" (was gone already; nothing written)" if gone_already else "")
    ]


def test_an_id_reused_elsewhere_after_the_delete_is_ignored() -> None:
    server = FakeServer.holding({"email": "a@x"}, rules=TIMES)
    assert summaries(checked(plan_for(server), server, lambda: server.reuse(1, "new@x")).outcomes) == [
        "delete a@x: applied"
    ]


def test_an_account_that_was_only_renamed_is_not_deleted() -> None:
    server = FakeServer.holding({"email": "a@x"}, rules=TIMES)
    plan = plan_for(server)
    kept = server.accounts[1]

    def rename() -> None:
        server.accounts[1] = kept
        server.edit(1, email="b@x")

    assert summaries(checked(plan, server, rename).outcomes) == [
        "delete a@x: failed (the account is still on the server at the end of the run, as b@x)"
    ]


def test_what_a_rename_puts_at_a_deleted_address_is_planned() -> None:
    server = FakeServer.holding({"email": "a@x", "name": "A"}, {"email": "b@x", "name": "B"})
    plan = plan_for(server, declare("a@x", 2, name="B"))
    assert [one.status for one in checked(plan, server).outcomes] == ["applied", "applied"]


@pytest.mark.parametrize(("field", "value"), [("smtp_port", 99), ("password", Secret("theirs"))])
def test_an_undeclared_change_after_the_write_is_noted(field: str, value: Any) -> None:  # noqa: ANN401
    fields = {**BLANK, "email": "a@x", "name": "A", "has_auth": True, "password": Secret("p")}
    server = FakeServer.holding(fields, rules=Rules(times=True, hidden_password_warning=True))
    plan = plan_for(server, declare("a@x", name="B", password=Secret("p")))
    (outcome,) = checked(plan, server, lambda: server.edit(1, **{field: value})).outcomes
    names = "smtp_port, updated_at" if field == "smtp_port" else "updated_at"
    note = f"somebody changed it after this run's write: {names}"
    assert (outcome.status, outcome.note, outcome.changed_since) == (Status.APPLIED, note, True)


def test_a_declared_value_changed_after_the_write_is_a_failure() -> None:
    server = FakeServer.holding({"email": "a@x", "name": "A"}, rules=TIMES)
    outcomes, _ = checked(plan_for(server, declare("a@x", name="B")), server, lambda: server.edit(1, name="C"))
    assert summaries(outcomes) == [
        'update a@x: failed (at the end of the run the server has other values: name (it has "C"))'
    ]


def test_a_failed_list_changes_no_outcome_and_is_reported() -> None:
    server = FakeServer.holding({"email": "a@x"})
    outcomes, problem = checked(plan_for(server), server, lambda: server.script("list", Fault(DOWN)))
    message = "the writes were not verified: the list at the end of the run could not be read: connection refused"
    assert (summaries(outcomes), problem) == (
        ["delete a@x: applied"],
        Problem(kind="not_verified", message=message, hint="`reconciler plan` shows what is on the server now"),
    )


def test_a_time_in_another_format_is_the_same_time() -> None:
    server = FakeServer.holding({"email": "a@x", "name": "A"}, rules=TIMES)
    server.answers["update"] = lambda response: Account(
        response.fields, 1, updated_at=str(response.updated_at).replace("+00:00", ".000Z")
    )
    assert summaries(checked(plan_for(server, declare("a@x", name="B")), server).outcomes) == ["update a@x: applied"]


def test_a_response_with_an_old_time_is_no_conflict() -> None:
    server = FakeServer.holding({"email": "a@x", "name": "A"}, rules=TIMES)
    before = server.accounts[1].updated_at
    server.answers["update"] = lambda response: response._replace(updated_at=before)
    assert summaries(checked(plan_for(server, declare("a@x", name="B")), server).outcomes) == ["update a@x: applied"]


def test_what_was_in_place_and_changed_later_was_not_written() -> None:
    server = FakeServer.holding({"email": "a@x", "name": "A"}, rules=TIMES)
    plan = plan_for(server, declare("a@x", name="B"))
    server.edit(1, name="B")
    assert summaries(checked(plan, server, lambda: server.edit(1, smtp_port=9)).outcomes) == [
        "update a@x: applied (was in place already; nothing written; somebody changed it after this run looked at it:"
        " smtp_port, updated_at)"
    ]
