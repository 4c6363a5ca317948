"""Accounts that the manifests are not responsible for are left alone."""

from __future__ import annotations

from reconciler.model.account import Account, Globs
from reconciler.model.desired import Desired, Policy
from reconciler.model.server import Server
from reconciler.planning.planner import PlanOptions, make_plan

SERVER = Server("fw", "https://fw.example.com")


def account(email: str, number: int) -> Account:
    return Account({"email": email, "name": email, "service": "gmail", "default": False, "has_auth": False}, number)


def test_only_accounts_of_ones_own_are_deleted_and_counted() -> None:
    current = [account(email, number) for number, email in enumerate(["a@x", "b@x", "c@y", "d@y"])]
    plan = make_plan(Desired((), Policy(own=Globs(("*@x",)))), current, SERVER, PlanOptions())
    assert [(change.action, change.address) for change in plan.changes] == [("delete", "a@x"), ("delete", "b@x")]
    assert plan.counts.unmanaged == 2
    assert [refusal.message for refusal in plan.refusals] == [
        "the plan deletes every account under management (2 of 2)",
        "the plan deletes 2 of 2 accounts; the limit is 30%",
    ]
