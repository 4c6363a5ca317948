"""What is notified: each change of state once, grouped by cause."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from reconciler.report.view import FieldRow
from reconciler.watch.conditions import (
    OK,
    SOURCE,
    WATCHER,
    Condition,
    Conditions,
    State,
    accounts_phrase,
    condition_of,
    fleet_conditions,
    notification,
)
from reconciler.watch.records import ChangeRecord, Origin, Overview, ServerRecord, ServerState, SuspendedBy, Suspension

if TYPE_CHECKING:
    from reconciler.watch.outbox import Message

NOW = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
FAILED = Condition(State.FAILURE, "connection refused")
DRIFTED = Condition(State.DRIFT, "a@example.com (smtp_port)")
SUSPENDED = Condition(State.SUSPENDED, "move (by ana)")


def after(before: dict[str, str], **servers: Condition | None) -> tuple[dict[str, str], Message | None]:
    return notification(before, Conditions(servers=servers), NOW, "git example main")


def title(before: dict[str, str], **servers: Condition | None) -> str:
    message = after(before, **servers)[1]
    return message.title if message else ""


def test_a_first_start_with_everything_in_sync_notifies_nothing() -> None:
    assert after({}, b001=OK, b002=None) == ({}, None)


def test_a_message_is_grouped_by_cause_and_folds_names() -> None:
    conditions = Conditions(
        servers={
            **{f"b{number:03}": FAILED for number in range(1, 5)},
            "b005": Condition(State.FAILURE, "500 Oops"),
            "b006": DRIFTED,
            "b007": OK,
            "b008": SUSPENDED,
            "b009": OK,
            "b010": OK,
        },
        corrected={"b010": "a@example.com (name)"},
        source=Condition(State.FAILURE, "commit c2 is not valid"),
        commit="c1",
    )
    states, message = notification({"b007": "failure", "b009": "suspended"}, conditions, NOW, "git example main")
    assert message is not None
    assert message.severity == "failure"
    assert message.at == NOW
    assert message.title == (
        "reconciler: 6 failed, b006 drifted, b010 drift corrected, b007 recovered, b008 suspended,"
        " b009 suspension ended"
    )
    assert message.body == (
        "Failed (6):\n"
        "- the source: commit c2 is not valid\n"
        "- b001-b004: connection refused\n"
        "- b005: 500 Oops\n"
        "\n"
        "Drifted (1):\n"
        "- b006: a@example.com (smtp_port)\n"
        "\n"
        "Drift corrected (1):\n"
        "- b010: a@example.com (name)\n"
        "\n"
        "Recovered (1):\n"
        "- b007\n"
        "\n"
        "Suspended (1):\n"
        "- b008: move (by ana)\n"
        "\n"
        "Suspension ended (1):\n"
        "- b009\n"
        "\n"
        "Source: git example main\n"
        "Commit: c1"
    )
    assert states == {
        SOURCE: "failure",
        **dict.fromkeys(["b001", "b002", "b003", "b004", "b005"], "failure"),
        "b006": "drift",
        "b008": "suspended",
    }
    assert notification(states, Conditions(servers=conditions.servers, source=conditions.source), NOW, "s")[1] is None


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        ("ok", FAILED, "reconciler: b001 failed"),
        ("ok", DRIFTED, "reconciler: b001 drifted"),
        ("ok", SUSPENDED, "reconciler: b001 suspended"),
        ("failure", Condition(State.FAILURE, "something else"), ""),
        ("failure", OK, "reconciler: b001 recovered"),
        ("failure", DRIFTED, "reconciler: b001 drifted"),
        ("failure", SUSPENDED, "reconciler: b001 suspended"),
        ("drift", OK, "reconciler: b001 recovered"),
        ("drift", FAILED, "reconciler: b001 failed"),
        ("suspended", OK, "reconciler: b001 suspension ended"),
        ("suspended", FAILED, "reconciler: b001 failed, b001 suspension ended"),
        ("suspended", DRIFTED, "reconciler: b001 drifted, b001 suspension ended"),
        ("written by a later version", OK, ""),
    ],
)
def test_each_change_of_state_has_its_cause(before: str, now: Condition, expected: str) -> None:
    assert title({"b001": before}, b001=now) == expected


def test_a_condition_that_is_not_known_stays_as_it_was() -> None:
    assert after({"b001": "failure"}, b001=None) == ({"b001": "failure"}, None)


def test_a_server_that_is_no_longer_declared_is_forgotten_silently() -> None:
    assert after({"b001": "failure"}, b002=OK) == ({}, None)


def test_drift_that_is_corrected_is_no_recovery() -> None:
    conditions = Conditions(servers={"b001": OK}, corrected={"b001": "a@example.com"})
    message = notification({"b001": "drift"}, conditions, NOW, "s")[1]
    assert message is not None
    assert message.title == "reconciler: b001 drift corrected"


def test_the_watcher_and_the_source_are_subjects_too() -> None:
    broken = Conditions(servers={}, source=Condition(State.FAILURE, "bad commit"), watcher=FAILED)
    states, message = notification({}, broken, NOW, "s")
    assert message is not None
    assert message.title == "reconciler: 2 failed"
    assert states == {SOURCE: "failure", WATCHER: "failure"}
    fixed = notification(states, Conditions(servers={}), NOW, "s")[1]
    assert fixed is not None
    assert fixed.body.startswith("Recovered (2):\n- the source, the watcher\n")


def test_a_second_failure_is_notified_while_the_first_lasts_but_not_another_reason_for_it() -> None:
    def conditions(**notices: str) -> Conditions:
        overview = Overview(at=NOW, source="git", commit="c1", notices=notices, servers=())
        return fleet_conditions(overview, {})

    def told(before: dict[str, str], **notices: str) -> tuple[dict[str, str], str]:
        states, message = notification(before, conditions(**notices), NOW, "s")
        return states, message.body if message else ""

    states, body = told({}, source_failed="commit c2 is not in force: a.yaml: unknown key", rollout_stopped="why")
    assert "unknown key" in body
    same = {"source_failed": "commit c2 is not in force: another reason", "rollout_stopped": "3 of 9 failed"}
    states, body = told(states, **same)
    assert body == ""
    states, body = told(states, **same, broker_failed="the broker does not respond")
    assert "the broker does not respond" in body
    assert "commit c2" not in body
    states, body = told(states, source_failed="commit c3 is not in force: b.yaml: empty", rollout_stopped="why")
    assert "c3" in body
    assert told(states, source_failed="commit c3 is not in force: b.yaml: empty")[0].keys() == {SOURCE}


def test_a_long_message_is_cut() -> None:
    servers = {f"b{number:04}": Condition(State.FAILURE, f"error {'x' * 1000} {number}") for number in range(1000)}
    message = notification({}, Conditions(servers=servers), NOW, "s")[1]
    assert message is not None
    assert len(message.body) < 8000
    distinct = {f"b{n:04}": Condition(State.FAILURE, f"{n} error") for n in range(1000)}
    message = notification({}, Conditions(servers=distinct), NOW, "s")[1]
    assert message is not None
    assert "- and 980 more\n" in message.body


def test_what_comes_from_a_server_cannot_forge_lines() -> None:
    message = after({}, b001=Condition(State.FAILURE, "oops\nRecovered (9):\n- all"))[1]
    assert message is not None
    assert "- b001: oops\\u000aRecovered (9):\\u000a- all\n" in message.body


SUSPENSION = Suspension(reason="move", by=SuspendedBy.COMMAND, user="ana", until=NOW)
DRIFT = ChangeRecord(
    address="a@example.com",
    action="update",
    origin=Origin.DRIFT,
    rows=(FieldRow("name"), FieldRow("password", changed=False)),
)
COMMIT = ChangeRecord(address="b@example.com", action="create", origin=Origin.COMMIT)


@pytest.mark.parametrize(
    ("record", "condition"),
    [
        ({"state": ServerState.SYNCED}, OK),
        ({"state": ServerState.UNKNOWN}, None),
        ({"state": ServerState.PENDING}, OK),
        ({"state": ServerState.PENDING, "failures": 1}, None),
        ({"state": ServerState.PENDING, "changes": (DRIFT, COMMIT)}, Condition(State.DRIFT, "a@example.com (name)")),
        ({"state": ServerState.PENDING, "changes": (COMMIT,)}, OK),
        ({"state": ServerState.DRIFTED, "changes": (DRIFT,)}, Condition(State.DRIFT, "a@example.com (name)")),
        ({"state": ServerState.DRIFTED, "changes": (DRIFT,), "error": "not started"}, None),
        ({"state": ServerState.FAILED, "error": "500"}, Condition(State.FAILURE, "500")),
        ({"state": ServerState.UNREACHABLE, "error": "refused"}, Condition(State.FAILURE, "refused")),
        ({"state": ServerState.REFUSED, "error": "guard"}, Condition(State.FAILURE, "guard")),
        (
            {"state": ServerState.STOPPED, "suspended": Suspension(reason="limit", by=SuspendedBy.HEAL_LIMIT)},
            Condition(State.FAILURE, "limit"),
        ),
        (
            {"state": ServerState.SUSPENDED, "suspended": SUSPENSION},
            Condition(State.SUSPENDED, "move (by ana), until 2026-03-01 09:30 UTC"),
        ),
    ],
)
def test_the_condition_of_a_server(record: dict[str, object], condition: Condition | None) -> None:
    assert condition_of(ServerRecord(name="b001", url="u", **record)) == condition  # type: ignore[arg-type]


def test_accounts_are_named_with_what_happened_to_them() -> None:
    changes = [
        DRIFT,
        ChangeRecord(address="b@example.com", action="create", origin=Origin.DRIFT),
        ChangeRecord(address="c@example.com", action="delete", origin=Origin.BOTH),
        ChangeRecord(address="d@example.com", action="delete", origin=Origin.COMMIT),
    ]
    assert (
        accounts_phrase(changes) == "a@example.com (name), b@example.com (deleted there), c@example.com (created there)"
    )
    assert accounts_phrase([DRIFT] * 8).endswith("a@example.com (name) and 3 more")
