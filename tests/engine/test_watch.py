"""Watchers whose rounds are carried out by real workers, over a real broker."""

from __future__ import annotations

import json
import shutil
import signal
import threading
from contextlib import closing
from datetime import UTC, datetime
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from reconciler.sandbox.schemas import ErrorEntry, ErrorResponse
from reconciler.watch.records import SuspendedBy, Suspension
from tests.engine.conftest import KEY, PASSWORD, until
from tests.engine.test_scopes import stranger
from tests.support.git_remote import GitRemote

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.engine.conftest import Site

pytestmark = pytest.mark.engine


def change_fax(site: Site, server: str, name: str = "Changed by hand") -> int:
    """Somebody changes an account in the server's interface. Returns its id."""
    box = site.boxes[server]
    fax: int = next(one["id"] for one in box.accounts() if one["email"].startswith("fax@"))
    box.change_account(fax, name=name)
    return fax


def name_of(site: Site, server: str, number: int) -> Any:  # noqa: ANN401 - of an account
    return next(one["name"] for one in site.boxes[server].accounts() if one["id"] == number)


def edit(site: Site, server: str, old: str, new: str) -> None:
    """A commit changes the file of a server."""
    path = site.folder / "fleet" / f"{server}.yaml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_a_watcher_applies_commits_and_corrects_drift_without_a_secret_in_the_broker(site: Site) -> None:
    site.add("b001", "b002")
    worker = site.worker()
    first = site.once()
    assert (first.wait(), site.counts) == (0, [3, 3]), first.err
    assert set(site.states().values()) == {"synced"}
    fax = change_fax(site, "b001")
    assert site.once("--on-drift", "report").wait() == 0
    assert site.states()["b001"] == "drifted"
    last = site.once("--on-commit", "plan")
    assert last.wait() == 0
    assert site.states()["b001"] == "synced"
    assert name_of(site, "b001", fax) == "Fax"
    stored = b"".join(path.read_bytes() for path in (site.folder / "state").iterdir() if path.is_file())
    for secret in (PASSWORD, KEY):
        assert secret not in "".join([site.broker.dump(), worker.err, first.err, last.err])
        assert secret.encode() not in site.broker.everything_written() + stored


def test_only_the_accounts_that_may_be_written_are_written(site: Site) -> None:
    site.add("b001")
    site.worker()
    assert site.once().wait() == 0
    fax = change_fax(site, "b001")
    edit(site, "b001", "name: Scans", "name: Scanner")
    site.once("--on-drift", "report")
    assert name_of(site, "b001", fax) == "Changed by hand"
    assert "Scanner" in {one["name"] for one in site.boxes["b001"].accounts()}
    assert site.states()["b001"] == "drifted"


def test_the_heal_limit_counts_corrections_that_workers_made(site: Site) -> None:
    site.add("b001")
    site.worker()
    assert site.once().wait() == 0
    for _ in range(2):
        change_fax(site, "b001")
        site.once("--heal-limit", "2/1h")
    assert site.states()["b001"] == "stopped"


def suspend(site: Site, server: str) -> None:
    """What ``reconciler suspend`` does, at this moment."""
    suspension = Suspension(reason="by hand now", by=SuspendedBy.COMMAND, since=datetime.now(UTC))
    with closing(site.state()) as state:
        state.suspend(server, suspension)


def test_a_server_that_is_suspended_during_a_round_is_not_written_any_more(site: Site) -> None:
    site.add("b001", latency=1.0)
    site.worker("--parallelism", "1")
    watcher = site.watcher()
    until(lambda: site.count("b001") == 1, 60)
    suspend(site, "b001")
    watcher.wait_for("event=round_finished", 60)
    assert site.count("b001") == 2  # with the write that was under way
    assert site.states() == {"b001": "suspended"}
    assert "suspended in the meantime (by hand now)" in watcher.err


def test_a_server_that_is_suspended_before_a_worker_has_begun_is_not_touched(site: Site) -> None:
    site.add("b001", latency=1.0)
    site.add("b002")
    site.worker("--concurrency", "1", "--parallelism", "1")
    watcher = site.watcher()
    until(lambda: site.count("b001") == 1, 60)  # so that b002 waits in the queue
    suspend(site, "b002")
    watcher.wait_for("event=round_finished", 60)
    assert site.counts == [3, 0]
    assert site.states() == {"b001": "synced", "b002": "suspended"}


def test_a_write_is_not_repeated_on_a_server_that_was_suspended_meanwhile(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.add("b001")
    site.worker()
    assert site.once().wait() == 0
    change_fax(site, "b001")
    writes: list[object] = []

    def unavailable(*arguments: object) -> None:
        writes.append(arguments)
        suspend(site, "b001")
        until(lambda: ":hold:" in site.broker.dump())
        raise ErrorResponse(HTTPStatus.SERVICE_UNAVAILABLE, ErrorEntry("server", "rule", "restarting"))

    monkeypatch.setattr(site.boxes["b001"]._store, "replace", unavailable)
    watcher = site.watcher()
    watcher.wait_for("event=round_finished", 60)
    assert (len(writes), site.states()) == (1, {"b001": "suspended"})
    assert "not written again: the server was suspended in the meantime (by hand now)" in watcher.err


@pytest.fixture
def messages() -> Iterator[tuple[str, list[str]]]:
    """A receiver of notifications: its URL, and the titles that it has received."""
    titles: list[str] = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            titles.append(json.loads(body)["title"])
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Receiver) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"json://127.0.0.1:{server.server_port}/", titles
        server.shutdown()


@pytest.mark.parametrize("how", ["gone", "full"])
def test_a_watcher_without_its_broker_says_so_and_recovers(
    site: Site, messages: tuple[str, list[str]], how: str
) -> None:
    site.add("b001")
    site.worker()
    url, titles = messages
    (site.folder / "notify").write_text(f"{url}\n")
    watcher = site.watcher("--notify-file", "notify")
    until(lambda: site.states() == {"b001": "synced"}, 60)
    if how == "gone":
        site.broker.kill()
    else:
        with site.broker.client() as client:
            client.config_set("maxmemory", 1)
    watcher.wait_for("event=broker_failed", 60)
    until(lambda: site.states() == {"b001": "unknown"})
    with closing(site.state()) as state:
        assert "broker redis://" in state.notices()["broker_failed"]
    fax = change_fax(site, "b001")
    if how == "gone":
        site.broker.start()
    else:
        with site.broker.client() as client:
            client.config_set("maxmemory", 0)
    watcher.wait_for("event=broker_failed_ended", 60)
    until(lambda: name_of(site, "b001", fax) == "Fax", 60)
    until(lambda: site.states() == {"b001": "synced"})
    watcher.send(signal.SIGTERM)
    assert watcher.wait() == 0
    assert titles == ["reconciler: the watcher failed", "reconciler: b001 drift corrected, the watcher recovered"]


def test_a_server_that_changes_after_the_approval_is_planned_again(site: Site) -> None:
    site.add("b001", latency=1.0)
    site.boxes["b001"].seed([stranger("fax@b001.example.com")])
    site.worker()
    watcher = site.watcher()
    until(lambda: ":apply:b001" in site.broker.dump(), 60)
    change_fax(site, "b001", "Changed after the approval")
    watcher.wait_for("has changed since the plan was made", 60)
    until(lambda: site.states() == {"b001": "pending"})  # stored after it is logged
    assert site.count("b001") == 1
    until(lambda: site.states() == {"b001": "synced"}, 90)
    assert site.count("b001") == 3


@pytest.mark.parametrize(("stage", "with_data"), [(":plan:", False), (":apply:", False), (":apply:", True)])
def test_a_broker_that_is_restarted_in_a_round_loses_nothing(site: Site, stage: str, *, with_data: bool) -> None:
    names = ["b001", "b002", "b003"]
    site.add(*names, latency=0.4)
    site.worker("--concurrency", "2")
    watcher = site.watcher()
    until(lambda: stage in site.broker.dump(), 60)
    site.broker.restart(with_data=with_data)
    until(lambda: set(site.states().values()) == {"synced"}, 150)
    assert site.counts == [3, 3, 3]
    site.check_no_duplicates()
    watcher.send(signal.SIGTERM)
    assert watcher.wait() == 0


@pytest.mark.parametrize("stage", [":plan:", ":apply:"])
def test_a_worker_that_is_killed_in_a_round_is_replaced_by_the_next(site: Site, stage: str) -> None:
    site.add("b001", "b002", latency=0.4)
    worker = site.worker()
    watcher = site.watcher()
    until(lambda: stage in site.broker.dump(), 60)
    worker.send(signal.SIGKILL)
    watcher.wait_for("no longer responds", 60)
    assert "synced" not in set(site.states().values())
    site.worker()
    until(lambda: set(site.states().values()) == {"synced"}, 150)
    assert site.counts == [3, 3]
    site.check_no_duplicates()
    watcher.send(signal.SIGTERM)
    assert watcher.wait() == 0


def test_a_watcher_that_is_killed_in_a_round_leaves_nothing_half_known(site: Site) -> None:
    site.add("b001", "b002", latency=0.4)
    site.worker()
    watcher = site.watcher()
    until(lambda: any(site.counts), 60)
    watcher.send(signal.SIGKILL)
    watcher.wait()
    site.watcher()
    until(lambda: set(site.states().values()) == {"synced"}, 150)
    assert site.counts == [3, 3]
    site.check_no_duplicates()


def test_a_newer_commit_ends_a_round_on_workers_and_follows(site: Site) -> None:
    site.add("b001", "b002", latency=1.0)
    site.worker("--parallelism", "1", "--concurrency", "1")
    watcher = site.watcher("--interval", "5m")
    until(lambda: any(site.counts), 60)
    edit(site, "b002", "name: Scans", "name: Scanner")
    watcher.wait_for("event=superseded", 60)
    until(lambda: set(site.states().values()) == {"synced"}, 90)
    assert site.counts == [3, 3]
    assert "Scanner" in {one["name"] for one in site.boxes["b002"].accounts()}


def test_a_signal_ends_a_watcher_after_the_writes_under_way_on_workers(site: Site) -> None:
    site.add("b001", "b002", latency=1.0)
    site.worker("--parallelism", "1", "--concurrency", "1")
    watcher = site.watcher()
    until(lambda: any(site.counts), 60)
    watcher.send(signal.SIGTERM)
    assert watcher.wait(30) == 0
    assert site.counts[1] == 0
    assert set(site.states().values()) <= {"pending", "synced"}
    assert site.once().wait() == 0
    assert site.counts == [3, 3]


def test_two_watchers_with_one_broker_do_not_write_at_once(site: Site) -> None:
    site.add("b001", "b002", latency=0.2)
    site.worker()
    site.watcher(state="one")
    site.watcher(state="two")
    for state in ("one", "two"):
        until(lambda name=state: set(site.states(name).values()) == {"synced"}, 90)  # type: ignore[misc]
    assert site.counts == [3, 3]
    site.check_no_duplicates()


def test_a_queue_without_workers_is_unreachable_and_holds_up_nobody_else(site: Site) -> None:
    site.add("b001")
    site.add("b002", more=", queue: south")
    site.worker()
    watcher = site.watcher("--queue-timeout", "2s")
    until(lambda: site.states().get("b002") == "unreachable", 60)
    assert "no worker of the queue south" in site.records()["b002"].error
    assert site.counts == [3, 0]
    site.worker("--queue", "south")
    until(lambda: site.states()["b002"] == "synced", 90)
    watcher.send(signal.SIGTERM)
    assert watcher.wait() == 0


def test_a_rollout_does_not_go_past_a_canary_that_no_worker_takes(site: Site) -> None:
    site.add("b001", more=", queue: south, labels: {ring: canary}")
    site.add("b002")
    (site.folder / "fleet" / "fleet.yaml").write_text(
        "version: 1\nfleet: {rollout: {canary: 'ring=canary', max_unreachable: 0}}\n"
    )
    site.worker()
    site.once("--queue-timeout", "1s")
    assert site.counts == [0, 0]
    assert site.states() == {"b001": "unreachable", "b002": "pending"}
    site.worker("--queue", "south")
    assert site.once().wait() == 0
    assert site.counts == [3, 3]


def test_workers_with_other_manifests_are_named_until_they_follow(site: Site) -> None:
    site.add("b001")
    shutil.copytree(site.folder / "fleet", site.folder / "behind")
    site.worker(manifests="behind")
    assert site.once().wait() == 0
    edit(site, "b001", "name: Fax", "name: Fax 2")
    assert site.once().wait() == 5
    assert (site.states(), site.count("b001")) == ({"b001": "refused"}, 3)
    assert "this worker's manifests declare the server otherwise" in site.records()["b001"].error
    shutil.copy(site.folder / "fleet" / "b001.yaml", site.folder / "behind")
    until(lambda: site.once().wait() == 0, 60)  # a worker that has just searched in vain rests before it searches again
    assert site.states()["b001"] == "synced"


def test_a_worker_fetches_the_commit_that_the_watcher_rolls_out(site: Site, tmp_path: Path) -> None:
    site.add("b001")
    manifest = (site.folder / "fleet" / "b001.yaml").read_text()
    (tmp_path / "remote").mkdir()
    remote = GitRemote(tmp_path / "remote")
    remote.commit({"fleet/b001.yaml": manifest})
    source = ["--git", remote.url, "--path", "fleet"]
    environ = {**site.worker_environ, **remote.environ, "PATH": site.worker_environ["PATH"]}
    command = ["worker", "--engine", site.broker.url, *source]
    worker = site._start("worker", command, environ)
    worker.wait_for("event=started")
    options = ["watch", *source, "--engine", site.broker.url, "--state-dir", "state", "--listen", "off"]
    watcher = site._start("watcher", [*options, "--interval", "1s"], {**site.client_environ, **remote.environ})
    until(lambda: site.states() == {"b001": "synced"}, 60)
    commit = remote.commit({"fleet/b001.yaml": manifest.replace("name: Scans", "name: Scanner")})
    until(lambda: site.records()["b001"].commit == commit and site.states() == {"b001": "synced"}, 60)
    assert "Scanner" in {one["name"] for one in site.boxes["b001"].accounts()}
    assert "manifests declare the server otherwise" not in watcher.err
