"""``docs/errors.md`` explains every kind of error, and nothing else."""

from __future__ import annotations

import re
from pathlib import Path

from reconciler.errors import Kind

PAGE = (Path(__file__).parents[2] / "docs" / "errors.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| `(\w+)` \| (.+) \| (.+) \|$", PAGE, re.MULTILINE)


def test_the_page_has_one_row_for_each_kind_in_order() -> None:
    assert [kind for kind, _cause, _fix in ROWS] == sorted(Kind)


def test_causes_and_fixes_are_whole_sentences() -> None:
    assert [kind for kind, cause, fix in ROWS if not (cause.endswith(".") and fix.endswith("."))] == []
