"""``docs/safety.md`` names a test for each promise, and each of these tests exists."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_promise_names_an_existing_test() -> None:
    page = (ROOT / "docs" / "safety.md").read_text(encoding="utf-8")
    promises = re.findall(r"^\| .*[^|] \| `(test_\w+)` \|$", page, re.MULTILINE)
    tests = {
        name
        for path in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"^def (test_\w+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert len(promises) == page.count("\n|", page.index("## The promises"), page.index("## How secrets")) - 2
    assert sorted(set(promises) - tests) == []
