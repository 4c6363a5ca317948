"""Short ways to write declarations and plans."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reconciler.errors import Position
from reconciler.model.account import Account, Globs
from reconciler.model.desired import NO_DELIVERY_TEST, DeliveryTestSettings, Desired, DesiredAccount, Policy
from reconciler.model.server import Server
from reconciler.planning.builder import PlanOptions, make_plan

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconciler.errors import Problem
    from reconciler.model.account import Value
    from reconciler.model.plan import Plan

from reconciler.model.desired import DeleteLimit

NO_LIMIT = DeleteLimit(100, percent=True)
SERVER = Server("matriz", "https://fw.example.com")
POSITION = Position("accounts.yaml", 7, 5)


def declare(
    email: str,
    pin: int | None = None,
    renamed_from: str | None = None,
    test: DeliveryTestSettings = NO_DELIVERY_TEST,
    **fields: Value,
) -> DesiredAccount:
    """A declaration of ``email`` with the given fields alone."""
    return DesiredAccount(Account({"email": email, **fields}, pin), POSITION, renamed_from, test)


def plan_of(
    desired: Sequence[DesiredAccount],
    current: Sequence[Account],
    policy: Policy | None = None,
    **options: Any,  # noqa: ANN401 - PlanOptions has their types
) -> Plan:
    """The plan for a declared set; deleting everything is allowed unless said otherwise."""
    options = {"allow_empty": True, "max_deletes": NO_LIMIT, **options}
    return make_plan(Desired(tuple(desired), policy or Policy()), current, SERVER, PlanOptions(**options))


def globs(*patterns: str) -> Globs:
    return Globs(patterns)


def said(problems: Sequence[Problem]) -> list[str]:
    """Problems in short: kind and message."""
    return [f"{problem.kind}: {problem.message}" for problem in problems]


def actions(plan: Plan) -> list[str]:
    """Changes in short: action, address, and the fields that change in an update."""
    return [" ".join([change.action, change.address, *_changed(change.fields)]) for change in plan.changes]


def writes(plan: Plan) -> list[str]:
    """Steps in short, in their order: action, address, and the temporary name."""
    return [" ".join([step.change.action, step.change.address, *map(str, step.fields.values())]) for step in plan.steps]


def _changed(fields: Sequence[Any]) -> list[str]:
    return [f"{one.field}={one.after!r}" for one in fields if one.before is not None or one.field not in _GIVEN]


_GIVEN = ("email", "name", "default", "has_auth", "service")
