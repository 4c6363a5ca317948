"""What a client narrows, and what a manifest owns, holds on workers too; and delivery tests run there."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.engine.conftest import statuses, until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.engine.conftest import Site
    from tests.support.cli_runner import CliProcess

pytestmark = pytest.mark.engine


def stranger(email: str) -> dict[str, Any]:
    """An account that somebody created on the server."""
    settings = {"service": "other", "smtp_server": "mx.example.com", "default": False, "hash_auth": False}
    return {"email": email, "name": email.partition("@")[0], **settings}


def emails(site: Site, server: str) -> set[str]:
    return {one["email"].partition("@")[0] for one in site.boxes[server].accounts()}


def add_policy(site: Site, server: str, policy: str) -> None:
    path = site.folder / "fleet" / f"{server}.yaml"
    path.write_text(f"{path.read_text()}policy: {policy}\n")


def test_only_and_no_prune_limit_what_workers_write(site: Site) -> None:
    site.add("b001")
    add_policy(site, "b001", "{max_deletes: 100%}")
    site.boxes["b001"].seed([stranger("old@b001.example.com"), stranger("older@b001.example.com")])
    site.worker()
    assert site.apply("--only", "fax@*", "--only", "old@*")[0] == 0
    assert emails(site, "b001") == {"fax", "older"}
    assert site.apply("--no-prune")[0] == 0
    assert emails(site, "b001") == {"alerts", "fax", "older", "scans"}
    assert site.apply()[0] == 0
    assert emails(site, "b001") == {"alerts", "fax", "scans"}


def test_own_protect_and_ignore_of_the_manifests_hold_on_workers(site: Site) -> None:
    site.add("b001")
    add_policy(site, "b001", "{own: ['*@b001.example.com'], protect: ['certs@*'], ignore: ['legacy@*']}")
    others = ["certs@b001.example.com", "legacy@b001.example.com", "theirs@other.example.com", "old@b001.example.com"]
    site.boxes["b001"].seed([stranger(email) for email in others])
    site.worker()
    code, document = site.apply()
    assert code == 0, document
    assert emails(site, "b001") == {"alerts", "certs", "fax", "legacy", "scans", "theirs"}


def test_a_guard_refuses_on_the_worker_as_it_does_locally(site: Site) -> None:
    site.add("b001")
    site.boxes["b001"].seed([stranger(f"old{number}@b001.example.com") for number in range(5)])
    site.worker()
    plan = site.client(command="plan")
    assert plan.wait() == 5, plan.err
    code, document = site.apply()
    assert (code, statuses(document), site.count("b001")) == (5, {"b001": "refused"}, 5)


def test_selected_sharded_and_failed_servers_alone_are_sent(site: Site) -> None:
    site.add("b001", "b002", "b003", more=", labels: {ring: main}")
    site.worker()
    assert site.apply("--select", "name=b001")[0] == 0
    assert site.counts == [3, 0, 0]
    shards = [site.apply("--shard", f"{number}/2")[1] for number in (1, 2)]
    assert sorted(name for one in shards for name in statuses(one)) == ["b001", "b002", "b003"]
    assert site.counts == [3, 3, 3]
    result = {**shards[0], "servers": [{**shards[0]["servers"][0], "name": "b003", "status": "failed"}]}
    (site.folder / "result.json").write_text(json.dumps(result))
    assert statuses(site.apply("--only-failed", "result.json")[1]) == {"b003": "unchanged"}


def test_a_single_server_without_a_name_is_the_same_for_client_and_worker(site: Site) -> None:
    site.add("b001")
    path = site.folder / "fleet" / "b001.yaml"
    path.write_text(path.read_text().replace("name: b001, ", ""))
    site.worker()
    code, document = site.apply()
    assert (code, site.count("b001")) == (0, 3), document


def test_delivery_tests_run_on_workers_and_write_nothing(site: Site) -> None:
    site.add("b001", "b002")
    add_policy(site, "b001", "{test: {to_email: ops@example.com}}")
    site.worker()
    tests = site.client(command="test")
    tests.wait()
    document = json.loads(tests.out)
    assert site.counts == [0, 0]
    found = {(one["server"], one["action"], one["status"]) for one in document["results"]}
    assert {one[:2] for one in found} == {("b001", "test")}
    assert "unknown" not in {status for *_, status in found}
    (failed,) = (one for one in document["servers"] if one["name"] == "b002")
    assert failed["status"] == "failed"  # its manifest names no recipient


def test_a_delivery_test_that_a_worker_did_not_finish_is_unknown(site: Site) -> None:
    site.add("b001", latency=2.0)
    add_policy(site, "b001", "{test: {to_email: ops@example.com}}")
    worker = site.worker()
    tests = site.client(command="test")
    until(lambda: ":test:b001" in site.broker.dump())
    worker.end()
    assert tests.wait() == 3
    assert statuses(json.loads(tests.out)) == {"b001": "unknown"}


@pytest.mark.parametrize("option", ["--to-email=a@example.com", "--insecure-http"])
def test_a_recipient_cannot_be_sent_to_workers(user: CliProcess, option: str) -> None:
    user.write("a.yaml", "version: 1\nserver: {name: a, url: 'https://a.example.com'}\naccounts: []\n")
    done = user.run("test", "a.yaml", "--engine", "redis://127.0.0.1:1/0", option)
    assert (done.code, f"{option.partition('=')[0]} cannot be used with --engine" in done.err) == (64, True)


@pytest.mark.parametrize("journal", ["fleet/b001.yaml", "trust.yaml", "key"])
def test_a_worker_does_not_write_its_journal_over_what_it_reads(site: Site, journal: str, tmp_path: Path) -> None:
    site.add("b001")
    manifest = tmp_path / "fleet" / "b001.yaml"
    manifest.write_text(manifest.read_text().replace("{env: KEY}", "{file: ../key}"))
    (tmp_path / "key").write_text("a-key")
    trust = tmp_path / "trust.yaml"
    trust.write_text(
        f"version: 1\nservers: [{{url: '{site.boxes['b001'].url}', env: ['*'], files: ['{tmp_path}/*']}}]\n"
        "smtp_servers: ['*']\n"
    )
    before = (tmp_path / journal).read_text()
    command = ["worker", "--engine", site.broker.url, "fleet", "--trust", "trust.yaml", "--journal", journal]
    worker = site._start("worker", command, site.worker_environ)
    assert worker.wait() == 64
    assert f"--journal names a file that is read: {journal}" in worker.err
    assert (tmp_path / journal).read_text() == before
