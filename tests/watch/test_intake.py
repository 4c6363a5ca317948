"""When a version of the manifests that was rejected is read again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.fleet.conftest import FleetOfSandboxes
from tests.watch.watched_fleet import WatchedFleet

if TYPE_CHECKING:
    from pathlib import Path

    from reconciler.watch.intake import Intake, Look
    from tests.conftest import MakeSandbox


@pytest.fixture
def watched(tmp_path: Path, make_sandbox: MakeSandbox) -> WatchedFleet:
    (tmp_path / "fleet").mkdir()
    watched = WatchedFleet(FleetOfSandboxes(tmp_path / "fleet", make_sandbox), tmp_path / "state")
    watched.fleet.add("a", "b")
    return watched


def trust(watched: WatchedFleet, *names: str) -> str:
    """A trust file that lists some servers."""
    servers = "".join(f"  - {{url: '{watched.fleet.boxes[name].url}', env: [KEY]}}\n" for name in names)
    path = watched.state.with_name("trust.yaml")
    path.write_text(f"version: 1\nservers:\n{servers}")
    return str(path)


def settled(intake: Intake) -> Look:
    """The first look that has found something."""
    look = intake.look()
    while not (look.manifests or look.problem):
        look = intake.look()
    return look


def test_a_commit_that_was_not_trusted_is_in_force_once_the_trust_file_lists_it(watched: WatchedFleet) -> None:
    with watched.watcher(watched.options(), trust=trust(watched, "a")) as watcher:
        rejected = settled(watcher._intake)
        assert "b" in rejected.problem
        assert rejected.manifests is None
        trust(watched, "a", "b")
        assert watcher._intake.look().manifests


def test_a_commit_that_was_rejected_is_not_read_again_if_nothing_has_changed(watched: WatchedFleet) -> None:
    path = trust(watched, "a")
    with watched.watcher(watched.options(), trust=path) as watcher:
        settled(watcher._intake)
        rejected = watcher._intake.look()
        assert watcher._intake.look() is rejected
        trust(watched, "b")
        assert watcher._intake.look() != rejected
        rejected = watcher._intake.look()
        assert watcher._intake.look() is rejected
