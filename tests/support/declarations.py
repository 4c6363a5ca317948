"""Short ways to declare accounts, to plan, and to apply a plan to a fake server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reconciler.applying.executor import ApplyOptions, execute
from reconciler.applying.worker_pool import InterruptGate
from reconciler.errors import Position
from reconciler.model.account import Account, Globs
from reconciler.model.desired import (
    NO_DELIVERY_TEST,
    DeleteLimit,
    DeliveryTestSettings,
    Desired,
    DesiredAccount,
    Policy,
)
from reconciler.model.ports import RunObserver
from reconciler.model.server import Server
from reconciler.planning.planner import PlanOptions, make_plan

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Sequence

    from reconciler.errors import Problem
    from reconciler.model.account import Value
    from reconciler.model.outcome import Outcome, Status
    from reconciler.model.plan import Change, Plan
    from tests.support.fake_server import FakeServer

NO_LIMIT = DeleteLimit(100, percent=True)
SERVER = Server("matriz", "https://fw.example.com")
POSITION = Position("accounts.yaml", 7, 5)
NO_DELAYS = (0.0, 0.0)
"""Searches twice for a create whose response was lost, without waiting."""


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
    """The plan for a declared set; deleting everything is allowed by default."""
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


class RecordingObserver(RunObserver):
    """A run observer that records its notifications, and calls functions."""

    def __init__(
        self, before: Callable[[Change], None] | None = None, after: Callable[[Change], None] | None = None
    ) -> None:
        self.heard: list[str] = []
        self._before = before
        self._after = after

    def step_started(self, change: Change) -> None:
        self.heard.append(f"before {change.action} {change.address}")
        if self._before:
            self._before(change)

    def step_finished(self, change: Change, outcome: Outcome) -> None:
        self.heard.append(f"after {change.action} {change.address}: {outcome.status}")
        if self._after:
            self._after(change)

    def outcome_changed(self, change: Change, status: Status) -> None:
        self.heard.append(f"checked {change.action} {change.address}: {status}")

    def rollback_started(self, change: Change) -> None:
        self.heard.append(f"undoing: {change.action} {change.address} {[one.field for one in change.fields]}")

    def rollback_finished(self, change: Change, status: Status) -> None:
        self.heard.append(f"undone: {change.action} {change.address}: {status}")


def apply_plan(
    plan: Plan,
    server: FakeServer,
    *,
    stop: threading.Event | None = None,
    observer: RecordingObserver | None = None,
    **options: Any,  # noqa: ANN401 - ApplyOptions has their types
) -> tuple[Outcome, ...]:
    """Applies a plan, by default one step at a time."""
    options = {"parallelism": 1, "adoption_delays": NO_DELAYS, **options}
    return execute(
        plan,
        server,
        ApplyOptions(**options),
        gate=InterruptGate(stop),
        observer=observer or RecordingObserver(),
    )


def plan_and_apply(
    server: FakeServer,
    *desired: DesiredAccount,
    policy: Policy | None = None,
    **options: Any,  # noqa: ANN401 - as above
) -> tuple[Outcome, ...]:
    """Plans and applies; the plan's own call is not among the server's calls."""
    plan = plan_for(server, *desired, policy=policy)
    return apply_plan(plan, server, **options)


def plan_for(server: FakeServer, *desired: DesiredAccount, **options: Any) -> Plan:  # noqa: ANN401 - as above
    """The plan for what the server shows now."""
    plan = plan_of(desired, server.list_accounts(), **options)
    server.calls.clear()
    return plan


def summaries(outcomes: Sequence[Outcome]) -> list[str]:
    """Outcomes in short: action, address, status, and the error or note."""
    return [
        f"{one.action} {one.address}: {one.status}{''.join(f' ({text})' for text in (one.error, one.note) if text)}"
        for one in outcomes
    ]
