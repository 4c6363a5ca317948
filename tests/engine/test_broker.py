"""What the broker, its queues and the environment may contain without moving or ending anything."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

import pytest
from celery.worker.consumer import Consumer

from reconciler.errors import ReconcilerError
from reconciler.fleet.broker import BrokerAddress
from reconciler.fleet.engine import CeleryWorker
from tests.engine.conftest import statuses, until
from tests.support.broker import Broker

if TYPE_CHECKING:
    from pathlib import Path

    from tests.engine.conftest import Site


def test_variables_of_celery_do_not_move_messages_to_another_broker(site: Site, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    with Broker(tmp_path / "other") as other, other.client() as connection:
        own = connection.info("stats")["total_connections_received"]
        variables = dict.fromkeys(("BROKER_URL", "BROKER_READ_URL", "BROKER_WRITE_URL", "RESULT_BACKEND"), other.url)
        variables |= {"LOADER": "there.is.no:Loader", "CONFIG_MODULE": "there_is_none"}
        environ = {f"CELERY_{name}": value for name, value in variables.items()}
        site.add("b001")
        site.worker(environ={**site.worker_environ, **environ})
        client = site.client(environ=environ)
        assert (client.wait(), site.counts) == (0, [3]), client.err
        assert connection.info("stats")["total_connections_received"] == own


@pytest.mark.engine
def test_a_worker_drops_what_is_no_message_and_goes_on(site: Site) -> None:
    site.add("b001")
    worker = site.worker()
    with site.broker.client() as client:
        for garbage in ("garbage", "{}", "7", "[" * 100_000, '{"properties": {}}', "\0"):
            client.lpush("reconciler", garbage)
            until(lambda: not site.broker.waiting())
    code, document = site.apply()
    assert (code, statuses(document)) == (0, {"b001": "applied"}), worker.err
    assert "event=engine" in worker.err
    worker.send(signal.SIGTERM)
    assert worker.wait() == 0


@pytest.mark.engine
def test_a_worker_outlives_a_broker_that_is_a_replica_for_a_while(site: Site) -> None:
    site.add("b001")
    worker = site.worker()
    with site.broker.client() as client:
        client.replicaof("127.0.0.1", 9)
        worker.wait_for("event=engine")
        client.replicaof("NO", "ONE")
    code, document = site.apply()
    assert (code, statuses(document)) == (0, {"b001": "applied"}), worker.err
    worker.send(signal.SIGTERM)
    assert worker.wait() == 0


def test_an_error_that_ends_celery_is_an_error_of_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_consumer: Consumer) -> None:
        raise MemoryError

    monkeypatch.setattr(Consumer, "start", fail)

    def process(_message: object) -> dict[str, Any]:
        return {}

    address = BrokerAddress.parse("redis://127.0.0.1:9/0")
    worker = CeleryWorker(address, ["reconciler"], 1, process, lambda _text, _level: None)
    with pytest.raises(ReconcilerError, match="the engine has ended"):
        worker.run()
