"""Processes are killed, suspended and interrupted, and the broker is restarted, at several stages of a run.

After each case no account exists twice, nothing that was reported is untrue, and the next run converges. A worker is a
single process with threads, so killing its process kills all of it; its group contains no more than secret commands.
"""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING, Any

import pytest

from tests.engine.conftest import statuses, until

if TYPE_CHECKING:
    from tests.engine.conftest import Program, Site

pytestmark = pytest.mark.engine

STAGES = ["planning", "applying", "writing"]
NAMES = ["b001", "b002", "b003", "b004"]
LATENCY = 0.4
LEASE = 30


def begin(site: Site, stage: str, *, workers: int = 2) -> tuple[Program, list[Program]]:
    """A client and workers in the middle of a run."""
    site.add(*NAMES, latency=LATENCY)
    started = [site.worker("--concurrency", "2") for _ in range(workers)]
    client = site.client("--lock-timeout", "90s", "--queue-timeout", "40s")
    reached = {
        "planning": lambda: ":plan:" in site.broker.dump(),
        "applying": lambda: ":apply:" in site.broker.dump(),
        "writing": lambda: any(site.counts),
    }
    until(reached[stage])
    return client, started


def ended(site: Site, client: Program) -> dict[str, Any]:
    """The document of a client that ended by itself; it must be true."""
    client.wait(120)
    document: dict[str, Any] = json.loads(client.out)
    site.check_no_duplicates()
    site.check_truth(document)
    return document


def converges(site: Site) -> None:
    site.worker()
    code, document = site.apply("--lock-timeout", "90s")
    assert (code, site.counts) == (0, [3] * len(NAMES)), document
    site.check_no_duplicates()


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("to_group", [False, True], ids=["process", "group"])
def test_a_worker_is_killed(site: Site, stage: str, to_group: bool) -> None:
    client, workers = begin(site, stage)
    workers[0].send(signal.SIGKILL, to_group=to_group)
    document = ended(site, client)
    found = statuses(document)
    # The other worker may have taken all servers.
    assert (client.wait() == 0) == (set(found.values()) == {"applied"}), found
    converges(site)


@pytest.mark.parametrize("stage", STAGES)
def test_all_workers_are_killed(site: Site, stage: str) -> None:
    client, workers = begin(site, stage)
    for worker in workers:
        worker.send(signal.SIGKILL)
    document = ended(site, client)
    found = set(statuses(document).values())
    assert client.wait() in {1, 3}
    assert stage != "writing" or "unknown" in found
    converges(site)


@pytest.mark.parametrize("stage", ["applying", "writing"])
def test_a_worker_that_was_suspended_past_its_lease_writes_nothing(site: Site, stage: str) -> None:
    client, workers = begin(site, stage, workers=1)
    workers[0].send(signal.SIGSTOP)
    document = ended(site, client)
    assert set(statuses(document).values()) <= {"unknown", "applied", "not_attempted"}
    until(lambda: "reconciler:lease:" not in site.broker.dump(), LEASE + 15)
    before = {name: box.accounts() for name, box in site.boxes.items()}
    workers[0].send(signal.SIGCONT)
    workers[0].send(signal.SIGTERM)
    assert workers[0].wait(60) == 0
    after = {name: box.accounts() for name, box in site.boxes.items()}
    sent = {name: len(after[name]) - len(before[name]) for name in NAMES}
    # What had reached the server before the suspension may have been carried out since; nothing more was sent.
    assert before == after, sent
    converges(site)


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("with_data", [True, False], ids=["with_data", "without_data"])
def test_the_broker_is_restarted(site: Site, stage: str, with_data: bool) -> None:
    client, _workers = begin(site, stage)
    site.broker.restart(with_data=with_data)
    ended(site, client)
    converges(site)


@pytest.mark.parametrize("stage", STAGES)
def test_the_client_is_killed(site: Site, stage: str) -> None:
    client, workers = begin(site, stage)
    client.send(signal.SIGKILL)
    client.wait()
    for worker in workers:
        worker.send(signal.SIGTERM)
        assert worker.wait() == 0
    site.check_no_duplicates()
    site.worker()
    code, _ = site.apply("--lock-timeout", "90s")
    assert code in {0, 4}  # the worker may first carry out what the killed client had approved: the plan is stale then
    converges(site)


@pytest.mark.parametrize("stage", STAGES)
def test_the_client_is_interrupted(site: Site, stage: str) -> None:
    client, _workers = begin(site, stage)
    client.send(signal.SIGINT)
    ended(site, client)
    assert client.wait() == 130
    converges(site)


@pytest.mark.parametrize("stage", STAGES)
def test_two_clients_run_at_once(site: Site, stage: str) -> None:
    client, _workers = begin(site, stage)
    other = site.client("--lock-timeout", "90s")
    ended(site, client)
    ended(site, other)
    assert site.counts == [3] * len(NAMES)
    converges(site)
