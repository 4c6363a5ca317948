"""``docs/errors.md`` explains every kind of error, and nothing else."""

from __future__ import annotations

import re
from pathlib import Path

from reconciler.errors import Kind

PAGE = (Path(__file__).parents[2] / "docs" / "errors.md").read_text(encoding="utf-8")
# The heading of a kind, whose anchor is the kind: GitHub and the site make it the same way, and keep the underscores.
HEADINGS = re.findall(r"^### `([a-z_]+)`$", PAGE, re.MULTILINE)


def test_the_page_has_one_heading_for_each_kind_in_order() -> None:
    assert sorted(Kind) == HEADINGS
    assert PAGE.count("\n### ") == len(HEADINGS)


def test_each_kind_has_a_cause_and_a_fix_in_whole_sentences() -> None:
    entries = PAGE.split("\n### ")[1:]
    whole = re.compile(r"`\w+`\n\n\*\*(?:Cause|Warning):\*\* .+\.\n\n\*\*Fix:\*\* .+\.\n?", re.DOTALL)
    assert [entry for entry in entries if not whole.fullmatch(entry)] == []
