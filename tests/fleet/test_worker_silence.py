"""Work that a worker was too silent about is given up, as if the worker had died."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.fleet import worker
from reconciler.fleet.leases import LEASE_SECONDS, now
from tests.fleet.test_dispatch import message

if TYPE_CHECKING:
    import pytest


def test_work_is_given_up_after_a_silence_as_long_as_a_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    work = worker._Work(message("b001"))
    assert not work.is_abandoned
    woken_at = now() + LEASE_SECONDS
    monkeypatch.setattr(worker, "now", lambda: woken_at)
    assert work.is_abandoned
    work.beat_at = woken_at
    assert not work.is_abandoned
