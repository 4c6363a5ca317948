"""``docs/page.md`` lists every metric, and the words of every state."""

from __future__ import annotations

import re
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from reconciler.watch.metrics import Metrics, health_of, sync_of
from reconciler.watch.records import ServerState
from tests.watch.fleets import NEW, server, small

PAGE = (Path(__file__).parents[2] / "docs" / "page.md").read_text(encoding="utf-8")


def test_every_metric_is_listed_with_its_labels() -> None:
    listed = {name: set(filter(None, labels.split(","))) for name, labels in METRIC.findall(PAGE)}
    text = Metrics().render(small().overview()).decode()
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            name = re.sub(r"_(bucket|sum|count)$", "", sample.name)
            found.setdefault(name, set()).update(set(sample.labels) - {"le"})
    assert listed == found


def test_every_result_and_every_cause_is_explained() -> None:
    families = [*text_string_to_metric_families(Metrics().render(small().overview()).decode())]
    for label in ("result", "about"):
        values = {one.labels[label] for family in families for one in family.samples if label in one.labels}
        table = PAGE.partition(f"| `{label}` | ")[2].partition("\n\n")[0]
        cells = re.findall(r"^\| (`[^|]+`) \|", table, re.MULTILINE)
        assert {name for cell in cells for name in re.findall(r"`(\w+)`", cell)} == values | {"other"}


METRIC = re.compile(r"^\| `(reconciler_\w+)(?:\{([\w,]+)\})?` \|", re.MULTILINE)


def test_every_state_has_its_words() -> None:
    rows = re.findall(r"^\| (`[a-z`, ]+`) \| (.+) \| `(\w+)` \|$", PAGE, re.MULTILINE)
    health = {state: words for states, _, words in rows for state in re.findall(r"\w+", states)}
    assert health == {state.value: health_of(server("b1", state)) for state in ServerState}
    sync = {state: words for states, words, _ in rows for state in re.findall(r"\w+", states)}
    for state in ServerState:
        words = {sync_of(server("b1", state)), sync_of(server("b1", state, changes=(NEW,)))}
        expected = sync["failed"] if sync[state].startswith("the same") else sync[state]
        assert words == set(re.findall(r"`(\w+)`", expected))
