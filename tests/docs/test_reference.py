"""The pages of the reference that are made from the code are current, and complete."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

from reconciler.model.outcome import ServerStatus
from reconciler.watch.metrics import RESULTS

ROOT = Path(__file__).parents[2]
PROGRAM = runpy.run_path(str(ROOT / "docs" / "reference.py"))
PAGES: dict[str, str] = PROGRAM["pages"]()


@pytest.mark.parametrize("name", PAGES)
def test_the_page_is_what_make_reference_writes(name: str) -> None:
    assert (ROOT / "docs" / name).read_text(encoding="utf-8") == PAGES[name], "run `make reference`"


def test_every_environment_variable_is_listed() -> None:
    files = ROOT.glob("reconciler/**/*.py")
    read = {name for file in files for name in re.findall(r"RECONCILER_[A-Z_]*[A-Z]\b", file.read_text())}
    assert read == PROGRAM["VARIABLES"].keys()


def test_every_result_of_a_run_is_explained() -> None:
    assert RESULTS.keys() == {"planned", *(status.value for status in ServerStatus)}
