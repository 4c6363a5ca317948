"""Runs with real workers and a real broker in which nothing goes wrong, and what the engine refuses."""

from __future__ import annotations

import base64
import json
import re
import shutil
import signal
from typing import TYPE_CHECKING

import pytest
from celery import Celery

from tests.engine.conftest import KEY, PASSWORD, statuses, until

if TYPE_CHECKING:
    from tests.engine.conftest import Site
    from tests.support.cli_runner import CliProcess


def test_a_run_applies_without_a_secret_in_the_broker_and_the_next_changes_nothing(site: Site) -> None:
    site.add("b001", "b002")
    worker = site.worker()
    code, document = site.apply()
    assert (code, statuses(document)) == (0, {"b001": "applied", "b002": "applied"})
    assert site.counts == [3, 3]
    site.check_truth(document)
    code, document = site.apply()
    assert (code, statuses(document)) == (0, {"b001": "unchanged", "b002": "unchanged"})
    worker.send(signal.SIGTERM)
    assert worker.wait() == 0
    assert "event=stopped" in worker.err
    written = site.broker.everything_written()
    bodies = {base64.b64decode(one) for one in re.findall(rb'"body": "([A-Za-z0-9+/=]+)"', written)}
    assert len(bodies) == 6, written[:2000]  # plan, apply, plan: for two servers
    for secret in (PASSWORD, KEY):
        assert secret.encode() not in b"".join([written, *bodies])
        assert secret not in "".join([site.broker.dump(), worker.out, worker.err])


@pytest.mark.engine
def test_a_queue_without_a_worker_leaves_its_server_alone(site: Site) -> None:
    site.add("b001")
    site.add("b002", more=", queue: south")
    site.worker()
    code, document = site.apply("--queue-timeout", "1s")
    assert (code, site.counts) == (3, [3, 0])
    assert statuses(document) == {"b001": "applied", "b002": "not_attempted"}
    assert "no worker of the queue south" in document["errors"][0]["message"]
    site.worker("--queue", "south")
    assert site.apply()[0] == 0
    assert site.counts == [3, 3]


@pytest.mark.engine
def test_a_worker_refuses_what_its_own_manifests_do_not_declare(site: Site) -> None:
    site.add("b001")
    site.worker()
    (site.folder / "other").mkdir()
    manifest = (site.folder / "fleet" / "b001.yaml").read_text()
    (site.folder / "other" / "b001.yaml").write_text(manifest.replace("name: Fax", "name: Changed"))
    client = site.client(command="plan")
    assert client.wait() == 0
    options = ["plan", "other", "--engine", site.broker.url, "-f", "json"]
    client = site._start("client", options, site.client_environ)
    assert client.wait() == 1
    assert json.loads(client.out)["errors"][0]["kind"] == "manifests_differ"
    assert "errors/#manifests_differ" in client.err


@pytest.mark.engine
def test_a_plan_that_no_longer_holds_is_refused_with_4(site: Site) -> None:
    site.add("b001")
    site.worker()
    plan = site.client("--save", "plan.json", command="plan")
    assert plan.wait() == 0, plan.err
    stranger = {
        "email": "fax@b001.example.com",
        "name": "Stranger",
        "service": "other",
        "smtp_server": "mx.example.com",
    }
    site.boxes["b001"].seed([{**stranger, "default": False, "hash_auth": False}])
    code, document = site.apply("--plan", "plan.json")
    assert (code, site.count("b001")) == (4, 1)
    assert statuses(document) == {"b001": "refused"}


@pytest.mark.engine
def test_a_saved_plan_and_a_narrowed_run_do_what_they_name(site: Site) -> None:
    site.add("b001", "b002")
    site.worker()
    plan = site.client("--save", "plan.json", "--only", "fax@*", command="plan")
    assert plan.wait() == 0, plan.err
    code, _document = site.apply("--plan", "plan.json", "--only", "fax@*")
    assert (code, site.counts) == (0, [1, 1])
    code, _document = site.apply("--select", "name=b002", "--no-prune", "--parallelism", "1")
    assert (code, site.counts) == (0, [1, 3])


@pytest.mark.engine
def test_two_sites_with_secrets_of_their_own_are_one_run(site: Site) -> None:
    site.add("b001", more=", queue: north", key="KEY_NORTH", host="127.0.0.2")
    site.add("b002", more=", queue: south", key="KEY_SOUTH", host="127.0.0.3")
    workers = []
    for queue, name in (("north", "b001"), ("south", "b002")):
        (site.folder / f"{queue}.yaml").write_text(
            "version: 1\n"
            f"servers: [{{url: '{site.boxes[name].url}', env: [KEY_{queue.upper()}, MAIL_PASSWORD]}}]\n"
            "smtp_servers: [mx.example.com]\n"
        )
        (site.folder / queue).mkdir()
        shutil.copy(site.folder / "fleet" / f"{name}.yaml", site.folder / queue)
        environ = {**site.client_environ, f"KEY_{queue.upper()}": KEY, "MAIL_PASSWORD": PASSWORD}
        options = ["--queue", queue, "--trust", f"{queue}.yaml"]
        workers.append(site.worker(*options, manifests=queue, environ=environ))
    code, document = site.apply()
    assert (code, site.counts) == (0, [3, 3]), document
    assert statuses(document) == {"b001": "applied", "b002": "applied"}
    assert ["server=b002" in worker.err for worker in workers] == [False, True]


@pytest.mark.engine
def test_what_an_interrupted_client_left_in_a_queue_is_not_carried_out(site: Site) -> None:
    site.add("b001")
    client = site.client()
    until(lambda: site.broker.waiting() > 0)
    client.send(signal.SIGINT)
    assert client.wait() == 130
    worker = site.worker()
    until(lambda: site.broker.waiting() == 0)
    worker.send(signal.SIGTERM)
    assert (worker.wait(), site.count("b001"), "server_done" in worker.err) == (0, 0, False)


def test_forged_messages_do_nothing_and_the_worker_goes_on(site: Site) -> None:
    site.add("b001")
    worker = site.worker()
    forger = Celery("forger", broker=site.broker.url, set_as_current=False)
    forger.conf.task_default_queue = "reconciler"
    apply = {"run": "a" * 32, "server": "b001", "mode": "apply", "commit": "", "manifest_digest": "b" * 64}
    limits = {"only": [], "no_prune": False, "on_failure": "stop", "parallelism": 1, "timeout": 1, "lock_timeout": 1}
    for arguments in ((), (1, 2), ({"mode": "apply"},), ({**apply, "plan_digest": "c" * 64, "options": limits},)):
        forger.send_task("reconciler.process_server", arguments)
    forger.send_task("celery.backend_cleanup")
    forger.send_task("os.system", ("true",))
    forger.send_task("reconciler.process_server", ({"mode": "apply"},), serializer="pickle")
    forger.close()
    until(lambda: site.broker.waiting() == 0)
    assert site.apply()[0] == 0
    assert site.counts == [3]
    assert "message has missing or unknown keys" in worker.err
    assert "mode=apply" not in worker.err.partition("server_done")[0]


@pytest.mark.parametrize("option", ["--allow-empty", "--url=http://127.0.0.1:1", "--insecure-http", "--max-deletes=1"])
def test_an_option_that_could_widen_a_run_is_refused(user: CliProcess, option: str) -> None:
    check_refused(user, option)


@pytest.mark.parametrize(
    ("option", "more"),
    [
        ("--journal=j.jsonl", []),
        ("--test=before", []),
        ("--test=before", ["--dry-run"]),
        ("--to-email=ops@example.com", ["--dry-run"]),
    ],
)
def test_an_option_that_no_worker_takes_is_refused(user: CliProcess, option: str, more: list[str]) -> None:
    check_refused(user, option, *more)
    assert not (user.folder / "j.jsonl").exists()


def check_refused(user: CliProcess, option: str, *more: str) -> None:
    user.write("a.yaml", "version: 1\nserver: {name: a, url: 'https://a.example.com'}\naccounts: []\n")
    done = user.run("apply", "a.yaml", "--engine", "redis://127.0.0.1:1/0", option, *more)
    assert done.code == 64
    assert f"{option.partition('=')[0]} cannot be used with --engine" in done.err


def test_a_password_belongs_in_the_variable_and_is_never_shown(user: CliProcess) -> None:
    user.write("a.yaml", "version: 1\nserver: {name: a, url: 'https://a.example.com'}\naccounts: []\n")
    url = "redis://:canary-broker@127.0.0.1:1/0"
    done = user.run("apply", "a.yaml", "--engine", url)
    assert (done.code, "canary" in done.out + done.err) == (64, False)
    done = user.run("apply", "a.yaml", environ={"RECONCILER_ENGINE": url})
    assert (done.code, "canary" in done.out + done.err) == (1, False)
    assert "redis://127.0.0.1:1/0 does not respond" in done.err
