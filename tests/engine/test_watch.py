"""Watchers whose rounds are carried out by real workers, over a real broker."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.engine.conftest import Site


def test_a_watcher_applies_commits_and_corrects_drift_through_workers(site: Site) -> None:
    site.add("b001", "b002")
    site.worker()
    first = site.once()
    assert (first.wait(), site.counts) == (0, [3, 3]), first.err
    assert {one["state"] for one in site.states().values()} == {"synced"}
    box = site.boxes["b001"]
    fax = next(one for one in box.accounts() if one["email"].startswith("fax@"))
    box.change_account(fax["id"], name="Changed by hand")
    second = site.once("--on-drift", "report")
    assert second.wait() == 0, second.err
    assert site.states()["b001"]["state"] == "drifted"
    third = site.once("--on-commit", "plan")
    assert third.wait() == 0, third.err
    assert site.states()["b001"]["state"] == "synced"
    assert [one["name"] for one in box.accounts() if one["id"] == fax["id"]] == ["Fax"]
