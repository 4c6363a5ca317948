"""Finds Prometheus' own checker, which Debian's package ``prometheus`` contains."""

from __future__ import annotations

import os
import shutil

import pytest


def promtool() -> str:
    """The program; skips the test without it, except in CI, where that is a failure."""
    found = shutil.which("promtool")
    if found:
        return found
    absent = "no promtool (Debian: apt-get install prometheus)"
    if os.environ.get("CI") == "true":
        pytest.fail(absent)
    pytest.skip(absent)
