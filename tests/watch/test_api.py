"""The JSON documents of a watcher."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from reconciler.report.view import FieldRow
from reconciler.watch.api import server_details, server_document
from reconciler.watch.records import (
    ChangeRecord,
    Origin,
    RunRecord,
    ServerRecord,
    ServerState,
    SuspendedBy,
    Suspension,
)

_NINE = datetime(2026, 3, 1, 9, tzinfo=UTC)
_TEN = datetime(2026, 3, 1, 10, 0, 0, 123456, tzinfo=UTC)
_CHANGE = ChangeRecord(
    address="a@example.com",
    action="update",
    origin=Origin.DRIFT,
    rows=(FieldRow("smtp_port", "25", "587"), FieldRow("password", words="changed")),
    notes=("differs from the YAML",),
    held="the server is suspended",
)


def test_a_server_that_was_never_checked_has_nulls() -> None:
    assert server_document(ServerRecord(name="b001", url="https://b001.example.com")) == {
        "name": "b001",
        "url": "https://b001.example.com",
        "labels": {},
        "state": "unknown",
        "drift": 0,
        "drift_known": False,
        "changed_since": None,
        "last_success": None,
        "next_run": None,
        "commit": "",
        "suspended": None,
        "error": "",
        "held": [],
    }


def test_a_drifted_server_says_why_it_is_not_corrected() -> None:
    record = ServerRecord(name="b001", url="u", state=ServerState.PENDING, changes=(_CHANGE, _CHANGE))
    assert server_document(record)["held"] == ["the server is suspended"]
    assert server_document(replace(record, state=ServerState.UNKNOWN))["held"] == []


def test_a_suspended_server_says_who_suspended_it_and_why() -> None:
    suspension = Suspension(reason="move", by=SuspendedBy.COMMAND, user="ana", since=_NINE, until=_TEN)
    record = ServerRecord(name="b001", url="u", state=ServerState.SUSPENDED, suspended=suspension, changes=(_CHANGE,))
    document = server_document(record)
    assert document["drift"] == 1
    assert document["suspended"] == {
        "reason": "move",
        "by": "command",
        "user": "ana",
        "since": "2026-03-01T09:00:00.000Z",
        "until": "2026-03-01T10:00:00.123Z",
    }


def test_the_details_of_a_server_have_its_changes_and_runs() -> None:
    run = RunRecord(
        run="r1",
        trigger="interval",
        commit="abc",
        result="planned",
        started_at=_NINE,
        finished_at=_TEN,
        count=3,
        changes=(_CHANGE,),
    )
    record = ServerRecord(name="b001", url="u", changes=(_CHANGE,), failures=2)
    document = server_details(record, [run])
    change = {
        "address": "a@example.com",
        "action": "update",
        "origin": "drift",
        "fields": [
            {"field": "smtp_port", "before": "25", "after": "587", "changed": True},
            {"field": "password", "words": "changed", "changed": True},
        ],
        "notes": ["differs from the YAML"],
        "held": "the server is suspended",
        "status": "",
        "error": "",
    }
    assert document["changes"] == [change]
    assert document["failures"] == 2
    assert document["runs"] == [
        {
            "run": "r1",
            "trigger": "interval",
            "commit": "abc",
            "result": "planned",
            "started_at": "2026-03-01T09:00:00.000Z",
            "finished_at": "2026-03-01T10:00:00.123Z",
            "count": 3,
            "changes": [change],
            "error": "",
        }
    ]
