"""What a round found on one server, as a record of it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from reconciler.errors import Kind, Problem
from reconciler.model.desired import Desired
from reconciler.model.outcome import Report, ServerStatus
from reconciler.model.plan import Plan
from reconciler.model.server import Server
from reconciler.watch.records import ChangeRecord, Origin, ServerRecord, ServerState
from reconciler.watch.server_check import ServerCheck

NOW = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("kind", "origin", "state"),
    [
        (Kind.STALE_PLAN, Origin.DRIFT, ServerState.DRIFTED),
        (Kind.STALE_PLAN, Origin.COMMIT, ServerState.PENDING),
        (Kind.SUSPENDED, Origin.DRIFT, ServerState.REFUSED),
    ],
)
def test_a_server_that_changes_during_the_round_is_not_refused(kind: Kind, origin: Origin, state: ServerState) -> None:
    server = Server("b001", "https://b001.example.com")
    report = Report.of_failure(server, ServerStatus.REFUSED, (Problem(kind=kind, message="why"),))
    check = ServerCheck(Desired(()), Plan(server=server), ServerRecord(name="b001", url=server.url), None)
    change = ChangeRecord(address="a@example.com", action="update", origin=origin)
    record = check.record(report, (change,), error="why", commit="c1", now=NOW)
    assert (record.state, record.error, record.failures) == (state, "why", 0)
