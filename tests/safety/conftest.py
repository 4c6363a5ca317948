"""A desk with secrets in every place where one can enter."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.safety.canaries import Canaries
from tests.safety.runs import Desk

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def canaries() -> Canaries:
    return Canaries()


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    inputs, outputs = tmp_path / "inputs", tmp_path / "outputs"
    inputs.mkdir()
    outputs.mkdir()
    return Desk(inputs, outputs)
