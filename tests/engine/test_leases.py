"""Claims, leases and heartbeats against a real Valkey."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from reconciler.errors import LockedError, RejectedError, UnreachableError
from reconciler.fleet import leases
from reconciler.fleet.broker import BrokerAddress
from reconciler.fleet.leases import ClaimState, Coordination, Lease
from tests.support.broker import Broker

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

URL = "https://b001.example.com"
KEY = "run:apply:b001"


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    with Broker(tmp_path_factory.mktemp("valkey")) as started:
        yield started


@pytest.fixture
def coordination(broker: Broker) -> Iterator[Coordination]:
    with broker.client() as client:
        client.flushall()
    found = Coordination(BrokerAddress.parse(broker.url))
    yield found
    found.close()


def lease_of(coordination: Coordination, lost: threading.Event | None = None) -> Lease:
    return Lease(coordination, URL, (lost or threading.Event()).set)


def test_one_of_many_gets_a_claim(coordination: Coordination) -> None:
    taken = [coordination.claim(KEY, f"worker{number}", works=True) for number in range(3)]
    assert taken == [True, False, False]
    assert coordination.claims([KEY, "run:apply:b002"]) == [ClaimState("worker0", True), ClaimState("", False)]


def test_a_client_that_takes_a_claim_does_not_look_alive(coordination: Coordination) -> None:
    assert coordination.claim(KEY, "client", works=False)
    assert coordination.claims([KEY]) == [ClaimState("client", False)]


def test_a_second_run_waits_for_the_lease_and_then_fails(coordination: Coordination) -> None:
    first, second = lease_of(coordination), lease_of(coordination)
    first.acquire(0, threading.Event())
    with pytest.raises(LockedError, match="another run holds the lease"):
        second.acquire(0.2, threading.Event())
    first.release()
    second.acquire(0, threading.Event())
    second.check()
    second.release()


def test_a_lease_that_somebody_else_has_allows_nothing(coordination: Coordination, broker: Broker) -> None:
    lost = threading.Event()
    lease = lease_of(coordination, lost)
    lease.acquire(0, threading.Event())
    with broker.client() as client:
        client.flushall()
    other = lease_of(coordination)
    other.acquire(0, threading.Event())
    with pytest.raises(RejectedError, match="lease of the server was lost"):
        lease.check()
    assert lost.is_set()
    lease.release()
    other.check()  # the first one did not give back what was not its own
    other.release()


def test_the_clock_alone_ends_a_lease(coordination: Coordination, monkeypatch: pytest.MonkeyPatch) -> None:
    lease = lease_of(coordination)
    lease.acquire(0, threading.Event())
    lease.check_clock()
    started = leases.now()
    monkeypatch.setattr(leases, "now", lambda: started + leases.LEASE_SECONDS)
    with pytest.raises(RejectedError):
        lease.check_clock()
    monkeypatch.undo()
    with pytest.raises(RejectedError):  # it stays lost
        lease.check_clock()
    lease.release()


def test_a_heartbeat_that_was_gone_is_noticed(coordination: Coordination, broker: Broker) -> None:
    coordination.begin("r")
    assert coordination.run_state("r") == (True, False)
    assert coordination.beat("r", stop=True)
    assert coordination.run_state("r") == (True, True)
    with broker.client() as client:
        client.flushall()
    assert not coordination.beat("r", stop=False)
    coordination.end("r")
    assert coordination.run_state("r") == (False, False)


def test_a_broker_that_is_down_is_named_without_its_password(tmp_path: Path) -> None:
    broker = Broker(tmp_path)
    coordination = Coordination(BrokerAddress.parse(f"redis://:canary@127.0.0.1:{broker.port}/0"))
    with pytest.raises(UnreachableError, match=f"127.0.0.1:{broker.port}/0 does not respond") as caught:
        coordination.check()
    assert "canary" not in str(caught.value)
