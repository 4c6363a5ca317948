"""Canaries, and a runner that collects all output."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.canaries import Canaries
from tests.support.cli_runner import CliRunner

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def canaries() -> Canaries:
    return Canaries()


@pytest.fixture
def desk(tmp_path: Path) -> CliRunner:
    inputs, outputs = tmp_path / "inputs", tmp_path / "outputs"
    inputs.mkdir()
    outputs.mkdir()
    return CliRunner(inputs, outputs)
