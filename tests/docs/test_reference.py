"""The pages of the reference that are made from the code are current, and complete."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from typing import Any

import pytest

from reconciler.model.outcome import ServerStatus
from reconciler.watch.metrics import RESULTS

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def program() -> dict[str, Any]:
    """The names in ``docs/reference.py``."""
    return runpy.run_path(str(ROOT / "docs" / "reference.py"))


def test_the_pages_are_what_make_reference_writes(program: dict[str, Any]) -> None:
    pages: dict[str, str] = program["pages"]()
    assert pages.keys() == {"commands.md", "exit-codes.md", "fields.md", "json.md", "metrics.md"}
    for name, text in pages.items():
        assert (ROOT / "docs" / name).read_text(encoding="utf-8") == text, "run `make reference`"


def test_every_environment_variable_is_listed(program: dict[str, Any]) -> None:
    files = ROOT.glob("reconciler/**/*.py")
    read = {name for file in files for name in re.findall(r"RECONCILER_[A-Z_]*[A-Z]\b", file.read_text())}
    assert read == program["VARIABLES"].keys()


def test_every_result_of_a_run_is_explained() -> None:
    assert RESULTS.keys() == {"planned", *(status.value for status in ServerStatus)}
