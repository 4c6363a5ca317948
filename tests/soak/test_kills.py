"""A watcher that is killed at random moments: the next one goes on where it was, and repeats nothing."""

from __future__ import annotations

import os
import random
import re
import time
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from reconciler.watch.state import WatchState
from tests.soak.fleet import deviating
from tests.soak.world import World
from tests.support.administrator import NEW

if TYPE_CHECKING:
    from pathlib import Path

SEED = int(os.environ.get("SOAK_SEED") or random.randrange(10**6))  # noqa: S311 - no secret
TIMES = 20 if float(os.environ.get("SOAK_SECONDS", "600")) >= 300 else 4
LONGEST = 2.5
"""Seconds until a watcher is killed."""


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_a_killed_watcher_goes_on_where_it_was(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with World(tmp_path, SEED) as world:
        killer = Killer(world)
        try:
            killer.kill()
        finally:
            with capsys.disabled():
                print(f"\nkills: seed {SEED}, {killer.summary()}")  # noqa: T201 - the result


class Killer:
    """Kills a watcher while servers and commits change, and checks the next one."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._random = random.Random(SEED)  # noqa: S311 - no secret
        self._servers = world.servers
        self._suspended = world.servers.names[-1]
        self._strays = 0
        self._waited: list[float] = []

    def kill(self) -> None:
        """Kills it ``TIMES`` times."""
        world, watcher = self._world, self._world.watcher
        world.receivers.failing = 0.3
        watcher.start()
        watcher.wait_for("round_finished")
        done = world.user.run("suspend", self._suspended, "--reason", "by hand", "--state-dir", str(watcher.state_dir))
        assert done.code == 0, done.err
        account = self._servers.accounts(self._suspended)[0]
        self._servers.change(self._suspended, account, smtp_port=4444)
        for number in range(TIMES):
            self._change(number)
            time.sleep(self._random.uniform(0, LONGEST))
            watcher.kill()
            state = WatchState(watcher.state_dir, create=False)
            assert state.lost == ""
            state.close()
            self._change(number + TIMES)
            watcher.start()
            self._wait_until_settled()
            assert self._servers.accounts(self._suspended)[0]["smtp_port"] == 4444
        watcher.wait_for("round_finished")
        assert watcher.stop() == 0
        self._check_notifications()
        assert "state_lost" not in {event["event"] for event in watcher.events}

    def summary(self) -> str:
        """What has happened, in words."""
        waited = sorted(self._waited)
        notified = len(self._world.receivers.bodies), len(self._world.receivers.mails)
        return (
            f"{len(waited)} kills, settled after {waited[len(waited) // 2]:.1f} s, at most {waited[-1]:.1f} s;"
            f" {notified[0]} + {notified[1]} notifications"
        )

    def _change(self, number: int) -> None:
        """An account that nothing declares on each server, and one that a commit adds."""
        for server in self._servers.names[:-1]:
            self._strays += 1
            fields = {**NEW, "email": f"stray{self._strays}@{server}.example.com"}
            self._servers.create(server, fields)
        repository, server = self._world.repository, self._random.choice(self._servers.names[:-1])
        repository.add_account(server, f"added{number}@{server}.example.com")
        repository.commit()

    def _wait_until_settled(self) -> None:
        """Waits until the servers are as declared, each account once, except the one that is suspended."""
        start, wrong = time.monotonic(), {"": {""}}
        commit = self._world.repository.commits[self._world.repository.good]
        while any(wrong.values()):
            assert time.monotonic() - start < 60, f"{wrong}\n{self._world.watcher.log_text[-3000:]}"
            assert self._world.watcher.is_running()
            time.sleep(0.02)
            self._world.watcher.read()
            wrong = {name: self._deviating(name, commit.accounts[name]) for name in self._servers.names[:-1]}
        self._waited.append(time.monotonic() - start)

    def _deviating(self, server: str, declared: object) -> set[str]:
        assert isinstance(declared, dict)
        rows = self._servers.accounts(server)
        addresses = [row["email"] for row in rows]
        assert len({*addresses}) == len(addresses), addresses
        return deviating(rows, declared)

    def _check_notifications(self) -> None:
        """No account's drift, and no suspension, is in two notifications to the same receiver."""
        for bodies in (self._world.receivers.bodies, self._world.receivers.mails):
            assert bodies
            mentioned = Counter(re.findall(r"stray\d+@", "\n".join(bodies)))
            assert {address for address, count in mentioned.items() if count > 1} == set()
            assert sum(body.count("by hand") for body in bodies) <= 1
