"""Short ways to apply a plan to a fake server."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from reconciler.applying.executor import ApplyOptions, execute
from tests.support.declarations import plan_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from reconciler.model.desired import DesiredAccount, Policy
    from reconciler.model.outcome import Outcome, Status, StepResult
    from reconciler.model.plan import Change, Plan, Step
    from tests.support.fake_server import FakeServer

AT_ONCE = (0.0, 0.0)
"""Looks for a lost create without waiting."""


class Listening:
    """A listener that takes notes, and does what it is told."""

    def __init__(
        self, before: Callable[[Change], None] | None = None, after: Callable[[Change], None] | None = None
    ) -> None:
        self.heard: list[str] = []
        self._before = before
        self._after = after

    def step_started(self, change: Change, step: Step) -> None:
        del step
        self.heard.append(f"before {change.action} {change.address}")
        if self._before:
            self._before(change)

    def step_finished(self, change: Change, step: Step, result: StepResult) -> None:
        del step
        self.heard.append(f"after {change.action} {change.address}: {result.status}")
        if self._after:
            self._after(change)

    def outcome_changed(self, change: Change, status: Status) -> None:
        self.heard.append(f"checked {change.action} {change.address}: {status}")

    def rollback_started(self, change: Change) -> None:
        self.heard.append(f"undoing: {change.action} {change.address} {[one.field for one in change.fields]}")

    def rollback_finished(self, change: Change, status: Status) -> None:
        self.heard.append(f"undone: {change.action} {change.address}: {status}")


def carry_out(
    plan: Plan,
    server: FakeServer,
    *,
    stop: threading.Event | None = None,
    listener: Listening | None = None,
    **options: Any,  # noqa: ANN401 - ApplyOptions has their types
) -> tuple[Outcome, ...]:
    """Applies a plan, one step at a time unless said otherwise."""
    options = {"parallelism": 1, "adoption_delays": AT_ONCE, "recheck": False, **options}
    return execute(
        plan,
        server,
        ApplyOptions(**options),
        stop=stop or threading.Event(),
        listener=listener or Listening(),
    )


def reconcile(
    server: FakeServer,
    *desired: DesiredAccount,
    policy: Policy | None = None,
    **options: Any,  # noqa: ANN401 - as above
) -> tuple[Outcome, ...]:
    """Plans and applies; the plan's own call is not among the server's calls."""
    plan = planned(server, *desired, policy=policy)
    return carry_out(plan, server, **options)


def planned(server: FakeServer, *desired: DesiredAccount, **options: Any) -> Plan:  # noqa: ANN401 - as above
    """The plan for what the server shows now."""
    plan = plan_of(desired, server.list_accounts(), **options)
    server.calls.clear()
    return plan


def said(outcomes: Sequence[Outcome]) -> list[str]:
    """Outcomes in short: action, address, status, and the error or note."""
    return [
        f"{one.action} {one.address}: {one.status}{''.join(f' ({text})' for text in (one.error, one.note) if text)}"
        for one in outcomes
    ]
