"""The alerts for Prometheus: valid, tested by promtool, and made of metrics that exist."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from reconciler.watch.metrics import Metrics
from reconciler.watch.records import ServerState
from tests.support.promtool import promtool
from tests.support.workflow_runner import ROOT
from tests.watch.fleets import small

if TYPE_CHECKING:
    from pathlib import Path

ALERTS = ROOT / "examples" / "prometheus" / "alerts.yaml"
UNIT_TESTS = ROOT / "tests" / "ci" / "alerts.test.yaml"
RULES: list[dict[str, Any]] = yaml.safe_load(ALERTS.read_text(encoding="utf-8"))["groups"][0]["rules"]


def complaints(*arguments: str | Path) -> str:
    """What promtool complains about."""
    done = subprocess.run([promtool(), *arguments], capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stdout + done.stderr


def test_promtool_accepts_the_rules() -> None:
    assert complaints("check", "rules", ALERTS) == ""


def test_the_alerts_fire_when_they_should_and_only_then() -> None:
    assert complaints("test", "rules", UNIT_TESTS) == ""


def test_every_alert_is_fired_in_a_unit_test() -> None:
    tests = yaml.safe_load(UNIT_TESTS.read_text(encoding="utf-8"))["tests"]
    fired = {one["alertname"] for test in tests for one in test["alert_rule_test"] if "exp_alerts" in one}
    assert fired == {rule["alert"] for rule in RULES}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_alerts_use_metrics_states_and_causes_that_exist(rule: dict[str, Any]) -> None:
    families = text_string_to_metric_families(Metrics().render(small().overview()).decode())
    samples = [sample for family in families for sample in family.samples]
    assert set(re.findall(r"\b(reconciler_\w+)", rule["expr"])) <= {one.name for one in samples}
    states = {word for found in re.findall(r'state[!=~]+"([\w|]+)"', rule["expr"]) for word in found.split("|")}
    assert states <= set(ServerState)
    causes = {word for found in re.findall(r'about[!=~]+"([\w|]+)"', rule["expr"]) for word in found.split("|")}
    assert causes <= {one.labels["about"] for one in samples if "about" in one.labels}


def test_every_problem_has_an_alert() -> None:
    expressions = " ".join(rule["expr"] for rule in RULES)
    # A server that stays unknown has no success.
    quiet = {ServerState.SYNCED, ServerState.SUSPENDED, ServerState.UNKNOWN}
    assert [state for state in ServerState if state not in quiet and state not in expressions] == []
    families = text_string_to_metric_families(Metrics().render(small().overview()).decode())
    causes = {one.labels["about"] for family in families for one in family.samples if "about" in one.labels}
    assert [cause for cause in causes if cause not in expressions] == []
