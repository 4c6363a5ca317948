"""A watcher under everything that happens at once, for ``SOAK_SECONDS``: nothing it does may be wrong, late or lost."""

from __future__ import annotations

import json
import os
import random
import re
import statistics
import time
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.soak.fleet import deviating
from tests.soak.receivers import notes, violations
from tests.soak.record import FAILED, Record
from tests.soak.world import World

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from tests.soak.driver import Driver
    from tests.soak.fleet import Commit
    from tests.soak.receivers import Receivers
    from tests.soak.watch_process import WatchProcess

SECONDS = float(os.environ.get("SOAK_SECONDS", "600"))
SEED = int(os.environ.get("SOAK_SEED") or random.randrange(10**6))  # noqa: S311 - no secret
SHORT = 300
"""A run of fewer seconds is too short for a measurement of memory within 5 %."""


class Meter:
    """Samples memory and descriptors."""

    def __init__(self, watcher: WatchProcess) -> None:
        self._watcher = watcher
        self.memory: list[float] = []
        self.descriptors: list[int] = []

    def sample(self) -> None:
        self.memory.append(self._watcher.memory())
        self.descriptors.append(self._watcher.descriptors())

    def memory_growth(self) -> tuple[float, float]:
        """The medians of a tenth of the run after its first third, and of its last tenth."""
        return _growth(self.memory, statistics.median)

    def descriptor_growth(self) -> tuple[float, float]:
        """The same for the minimums: more descriptors than those are of connections and children that come and go."""
        return _growth(self.descriptors, min)


def _growth(values: Sequence[float], measure: Callable[[Sequence[float]], float]) -> tuple[float, float]:
    tenth, third = max(1, len(values) // 10), len(values) // 3
    return measure(values[third : third + tenth]), measure(values[-tenth:])


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with World(tmp_path, SEED) as made:
        made.watcher.start()
        made.watcher.wait_for("listening")
        made.watcher.wait_for("round_finished")
        yield made


@pytest.mark.soak
@pytest.mark.timeout(SECONDS * 2 + 240)
def test_soak(world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    driver, receivers = world.driver(), world.receivers
    watcher, canaries = driver.watcher, driver.canaries
    token = canaries.values["page token"]
    meter, pages, end = Meter(watcher), Counter[str](), time.monotonic() + SECONDS
    try:
        while time.monotonic() < end:
            driver.step()
            driver.follow()
            meter.sample()
            path = driver.random.choice(_paths(driver))
            pages.update(watcher.get(path, token).splitlines())
            time.sleep(driver.random.uniform(0.1, 0.6))
        suspended = driver.settle()
        commit = driver.repository.commits[driver.repository.good]
        _wait_until_settled(driver, commit, suspended, token)
        for path in _paths(driver):
            pages.update(watcher.get(path, token).splitlines())
        _check_that_all_agree(driver, commit, token)
        meter.sample()
        _wait_for_notifications(driver, receivers, suspended)
        assert watcher.stop() == 0
        driver.follow()
        record = Record(
            driver.repository.commits, driver.servers.entries, watcher.events, driver.excused, driver.suspended
        )
        found = [*record.violations(), *_notification_violations(driver, receivers, suspended)]
        assert not found, "\n".join(found)
        sent = "\n".join([*receivers.bodies, *receivers.mails])
        for name, text in {"notifications": sent, "pages": "\n".join(pages), **_written(tmp_path, watcher)}.items():
            assert canaries.leaks(text) == [], name
        _check_flat(meter)
    except BaseException:
        _keep(driver, receivers, tmp_path)
        raise
    finally:
        with capsys.disabled():
            print(_summary(driver, receivers, meter))  # noqa: T201 - the result


def _paths(driver: Driver) -> list[str]:
    names = driver.servers.names
    details = [f"/servers/{name}" for name in names] + [f"/api/v1/servers/{name}" for name in names]
    return ["/", "/metrics", "/api/v1/servers", *details]


def _wait_until_settled(driver: Driver, commit: Commit, suspended: str, token: str) -> None:
    """Waits until every server is as declared, except the one that is suspended."""
    end = time.monotonic() + 60
    states: dict[str, str] = {}
    wrong: dict[str, set[str]] = {}
    while time.monotonic() < end:
        driver.follow()
        driver.resume_all()
        found = json.loads(driver.watcher.get("/api/v1/servers", token))
        states = {one["name"]: f"{one['state']} {one['drift']} {one['error']}".strip() for one in found}
        wrong = {name: deviating(driver.servers.accounts(name), commit.accounts[name]) for name in driver.servers.names}
        # Of what is left on the suspended server, the two edits are drift; commits may have changed other accounts.
        left = [f"suspended {count}" for count in range(2, len(wrong[suspended]) + 1)]
        others = [one for one in found if one["name"] != suspended]
        is_in_force = {one["commit"] for one in others} == {driver.repository.good} and states.keys() == wrong.keys()
        if is_in_force and all(states[one["name"]] == "synced 0" for one in others) and states[suspended] in left:
            return
        time.sleep(0.3)
    raise AssertionError(f"not settled: {states}; {wrong}")


def _wait_for_notifications(driver: Driver, receivers: Receivers, suspended: str) -> None:
    """Waits until the last ones have arrived."""
    receivers.failing = 0.0
    end = time.monotonic() + 20
    while _notification_violations(driver, receivers, suspended) and time.monotonic() < end:
        time.sleep(0.3)
        driver.follow()


def _notification_violations(driver: Driver, receivers: Receivers, suspended: str) -> list[str]:
    return [
        f"{name}: {one}"
        for name, texts in {"webhook": receivers.bodies, "mail": receivers.mails}.items()
        for one in violations(notes(texts), driver.watcher.events, {suspended: "suspended"})
    ]


def _check_that_all_agree(driver: Driver, commit: Commit, token: str) -> None:
    """The API, the page, the metrics and ``status`` show what is on the servers."""
    watcher, names = driver.watcher, driver.servers.names
    wrong = {name: len(deviating(driver.servers.accounts(name), commit.accounts[name])) for name in names}
    listed = json.loads(watcher.get("/api/v1/servers", token))
    known = {one["name"]: one["drift"] for one in listed}
    assert {one["name"]: one["state"] == "synced" for one in listed} == {name: not wrong[name] for name in names}
    assert {one["commit"] for one in listed if one["state"] == "synced"} == {driver.repository.good}

    page = watcher.get("/?refresh=0", token)
    rows = {name: state for state, name in re.findall(r'data-state="(\w+)">\s*<th[^>]*><a[^>]*><bdi>(\w+)', page)}
    states = {one["name"]: one["state"] for one in listed}
    assert rows == states
    assert page.count(f"{max(known.values())} accounts</b>") == 1

    families = {one.name: one.samples for one in text_string_to_metric_families(watcher.get("/metrics", token))}
    drift = {one.labels["server"]: one.value for one in families["reconciler_drift_accounts"]}
    assert drift == known
    synced = {one.labels["server"]: one.labels["sync"] == "Synced" for one in families["reconciler_server_info"]}
    assert synced == {name: not wrong[name] for name in names}

    status = driver.user.run("status", "--state-dir", str(watcher.state_dir), "--format", "json")
    shown = json.loads(status.out)
    entries = shown["servers"] if isinstance(shown, dict) else shown
    assert {one["name"]: (one["state"], one["drift"]) for one in entries} == {
        one["name"]: (one["state"], one["drift"]) for one in listed
    }


def _written(folder: Path, watcher: WatchProcess) -> dict[str, str]:
    """What the watcher has written, by file."""
    files = [path for path in watcher.state_dir.rglob("*") if path.is_file() and "repository.git" not in path.parts]
    texts = {str(path.relative_to(folder)): path.read_bytes().decode("utf-8", "replace") for path in files}
    return {"watch.log": watcher.log_text, **texts}


def _check_flat(meter: Meter) -> None:
    before, after = meter.descriptor_growth()
    assert after <= before * 1.05, f"descriptors: {before:.0f}, then {after:.0f}"
    before, after = meter.memory_growth()
    most = 1.5 if SECONDS < SHORT else 1.05
    assert after <= before * most, f"memory: {before:.1f} MiB, then {after:.1f} MiB"


def _keep(driver: Driver, receivers: Receivers, folder: Path) -> None:
    """Writes what helps to understand a failure."""
    driver.follow()
    (folder / "webhook.json").write_text("\n".join(map(json.dumps, receivers.bodies)))
    (folder / "mails.json").write_text("\n".join(map(json.dumps, receivers.mails)))
    (folder / "history.txt").write_text("\n".join(driver.history))
    (folder / "entries.json").write_text("\n".join(map(json.dumps, driver.servers.entries)))
    (folder / "excused.txt").write_text("\n".join(map(str, sorted(driver.excused, key=lambda one: one.start))))


def _summary(driver: Driver, receivers: Receivers, meter: Meter) -> str:
    events = driver.watcher.events
    names = Counter(one["event"] for one in events)
    record = Record(driver.repository.commits, driver.servers.entries, events)
    faults = [one for one in driver.excused if one.why not in {"suspended", "heal limit", FAILED}]
    memory, descriptors = meter.memory_growth(), meter.descriptor_growth()
    writes = sum(one["by"] == "watcher" and one["call"] != "list" for one in driver.servers.entries)
    return (
        f"\nsoak: seed {SEED}, {SECONDS:.0f} s, {names['round_finished']} rounds ({len(record.rounds())} complete),"
        f" {len(driver.history)} events, {len(faults)} faults, {writes} writes, {names['commit_accepted']} commits,"
        f" {names['heal_limit_reached']} stops, {names['server_failed']} failed checks,"
        f" {len(receivers.bodies)} + {len(receivers.mails)} notifications,"
        f" memory {memory[0]:.1f} -> {memory[1]:.1f} MiB, descriptors {descriptors[0]:.0f} -> {descriptors[1]:.0f}"
    )
