"""What alerts are made of: the state of each server, and what the watcher's notices are about."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from prometheus_client.parser import text_string_to_metric_families

from reconciler.watch.metrics import Metrics
from tests.watch.fleets import small

if TYPE_CHECKING:
    from reconciler.watch.records import Overview

WATCH = Path(__file__).parents[2] / "reconciler" / "watch"


def samples(name: str, overview: Overview) -> dict[str, float]:
    """The samples of a metric by their last label."""
    families = text_string_to_metric_families(Metrics().render(overview).decode())
    found = [sample for family in families for sample in family.samples if sample.name == name]
    return {"/".join(one.labels.values()): one.value for one in found}


def test_each_server_has_one_state() -> None:
    overview = small().overview()
    expected = {f"{one.name}/{one.state}": 1.0 for one in overview.servers}
    assert samples("reconciler_server_state", overview) == expected


def test_notices_are_counted_by_what_they_are_about() -> None:
    overview = replace(small().overview(), causes=("source_failed", "made_up", "made_up_too"))
    found = samples("reconciler_notices", overview)
    assert {about: count for about, count in found.items() if count} == {"source_failed": 1.0, "other": 2.0}


def test_every_notice_of_the_watcher_has_a_series_of_its_own() -> None:
    raised = {
        about
        for path in WATCH.glob("*.py")
        for about in re.findall(r'\.notice\("(\w+)"', path.read_text(encoding="utf-8"))
    }
    assert "source_failed" in raised
    assert raised | {"other"} == set(samples("reconciler_notices", small().overview()))
