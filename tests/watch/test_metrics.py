"""The metrics, read by prometheus-client's own parser and checked by promtool."""

from __future__ import annotations

import re
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from prometheus_client.parser import text_string_to_metric_families

from reconciler.version import VERSION
from reconciler.watch.metrics import CONTENT_TYPE, Metrics
from reconciler.watch.records import Overview, ServerState
from tests.support import plain_http
from tests.support.promtool import promtool
from tests.watch.fleets import NOW, PORT, ago, hostile, large, overview, server, small

if TYPE_CHECKING:
    from tests.watch.conftest import Serve

WATCH = Path(__file__).parents[2] / "reconciler" / "watch"

Series = dict[tuple[tuple[str, str], ...], float]


def read(metrics: Metrics, shown: Overview) -> dict[str, Series]:
    """The values of each metric by its labels."""
    found: dict[str, Series] = {}
    for family in text_string_to_metric_families(metrics.render(shown).decode()):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sorted(sample.labels.items()))] = sample.value
    return found


def labels(**values: str) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(values.items()))


def test_servers_have_the_words_of_argo_cd() -> None:
    found = read(Metrics(), small().overview())["reconciler_server_info"]
    assert {(dict(one)["server"], dict(one)["sync"], dict(one)["health"]) for one in found} == {
        ("b001", "OutOfSync", "Degraded"),
        ("b002", "Synced", "Healthy"),
        ("b003", "Synced", "Healthy"),
        ("b004", "OutOfSync", "Degraded"),
        ("b005", "Unknown", "Degraded"),
        ("b006", "OutOfSync", "Suspended"),
        ("b007", "OutOfSync", "Degraded"),
        ("b008", "OutOfSync", "Degraded"),
        ("b009", "OutOfSync", "Progressing"),
        ("b010", "Unknown", "Unknown"),
        ("b011", "Synced", "Healthy"),
        ("b012", "Unknown", "Suspended"),
    }
    assert set(found.values()) == {1.0}


def test_drift_and_last_success_are_numbers() -> None:
    found = read(Metrics(), small().overview())
    drift = {dict(one)["server"]: value for one, value in found["reconciler_drift_accounts"].items()}
    assert {name: value for name, value in drift.items() if value} == {"b001": 2.0, "b006": 1.0, "b007": 1.0}
    # b005 cannot be reached, and b010 was never checked.
    assert set(drift) == {f"b{number:03}" for number in range(1, 13)} - {"b004", "b005", "b010"}
    unseen = [replace(one, failures=1, error="connection refused", changes=()) for one in small().shown.servers[5:7]]
    assert "reconciler_drift_accounts" not in read(Metrics(), overview(tuple(unseen)))
    success = {dict(one)["server"]: value for one, value in found["reconciler_last_success_timestamp_seconds"].items()}
    assert "b010" not in success
    assert success["b002"] == ago(minutes=4).timestamp() == NOW.timestamp() - 240


def test_states_and_the_version_are_there() -> None:
    found = read(Metrics(), small().overview())
    states = {dict(one)["state"]: value for one, value in found["reconciler_servers"].items()}
    assert states == {state.value: {"synced": 3.0, "suspended": 2.0}.get(state, 1.0) for state in ServerState}
    assert found["reconciler_build_info"] == {labels(version=VERSION): 1.0}


def test_each_server_has_one_state() -> None:
    shown = small().overview()
    expected = {labels(server=one.name, state=one.state): 1.0 for one in shown.servers}
    assert read(Metrics(), shown)["reconciler_server_state"] == expected


def test_notices_are_counted_by_what_they_are_about() -> None:
    shown = replace(small().overview(), notices=dict.fromkeys(("source_failed", "made up", "made up too"), "why"))
    found = {dict(one)["about"]: count for one, count in read(Metrics(), shown)["reconciler_notices"].items()}
    assert {about: count for about, count in found.items() if count} == {"source_failed": 1.0, "other": 2.0}
    code = "".join(path.read_text(encoding="utf-8") for path in WATCH.glob("*.py"))
    raised = set(re.findall(r'(?:\.notice\(|NOTICE: Final = )"(\w+)"', code))
    assert "source_failed" in raised
    assert raised | {"other"} == set(found)


def test_runs_are_counted_by_result() -> None:
    metrics = Metrics()
    for result, seconds in (("applied", 0.2), ("applied", 7.0), ("failed", 601.0), ("surprise", -1.0)):
        metrics.count_run(result, seconds)
    found = read(metrics, overview(()))
    totals = {dict(one)["result"]: value for one, value in found["reconciler_reconcile_total"].items()}
    results = ("planned", "applied", "unchanged", "failed", "unreachable", "refused", "unknown", "not_attempted")
    assert totals == {**dict.fromkeys(results, 0.0), "applied": 2.0, "failed": 1.0, "other": 1.0}
    buckets = found["reconciler_reconcile_duration_seconds_bucket"]
    assert [buckets[labels(le=le)] for le in ("0.1", "0.25", "10.0", "600.0", "+Inf")] == [1.0, 2.0, 3.0, 3.0, 4.0]
    assert found["reconciler_reconcile_duration_seconds_sum"][()] == pytest.approx(608.2)
    assert not [name for name in found if name.endswith("_created")]


def test_a_server_that_is_gone_disappears() -> None:
    metrics, shown = Metrics(), small().overview()
    assert b'server="b002"' in metrics.render(shown)
    assert b'server="b002"' not in metrics.render(replace(shown, servers=shown.servers[:1]))


def test_labels_have_no_values_from_outside() -> None:
    """Neither accounts nor errors, reasons, commits or labels of servers become series."""
    metrics = Metrics()
    for number in range(1_000):
        metrics.count_run(f"result {number}", 1.0)
    shown = large().overview()
    changed = replace(shown, servers=tuple(replace(one, error=one.name, changes=(PORT,) * 9) for one in shown.servers))
    found = read(metrics, changed)
    assert {name: len(series) for name, series in found.items() if len(series) > 20} == dict.fromkeys(
        (
            "reconciler_server_info",
            "reconciler_server_state",
            "reconciler_drift_accounts",
            "reconciler_last_success_timestamp_seconds",
        ),
        1_000,
    ) | {"reconciler_last_success_timestamp_seconds": len([one for one in shown.servers if one.last_success])}
    names = {name for series in found.values() for one in series for name, _ in one}
    assert names == {"server", "sync", "health", "state", "about", "result", "version", "le"}


def test_hostile_names_stay_label_values() -> None:
    shown = hostile().overview()
    found = read(Metrics(), shown)["reconciler_drift_accounts"]
    expected = {one.name.encode("utf-8", "replace").decode() for one in shown.servers}
    assert {dict(one)["server"] for one in found} == expected


def test_a_suspended_server_is_never_in_sync() -> None:
    found = read(Metrics(), overview((server("b1", ServerState.SUSPENDED),)))["reconciler_server_info"]
    assert list(found) == [labels(server="b1", sync="Unknown", health="Suspended")]


@pytest.mark.parametrize("name", ["small", "large", "none"])
def test_promtool_accepts_the_metrics(serve: Serve, name: str) -> None:
    views = {"small": small, "large": large}
    view = views[name]() if name in views else None
    program = promtool()
    response = plain_http.get(f"{serve(view).url}/metrics")
    assert response.headers["Content-Type"] == CONTENT_TYPE
    checked = subprocess.run([program, "check", "metrics"], input=response.content, capture_output=True, check=False)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")
