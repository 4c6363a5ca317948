"""The map of the code in ``CONTRIBUTING.md`` names every package and module at the top level."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_map_names_every_package_and_module() -> None:
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`.+`) \| .+ \|$", page, re.MULTILINE)
    named = [name for row in rows for name in re.findall(r"`([^`]+)`", row)]
    folder = ROOT / "reconciler"
    packages = {f"{path.parent.name}/" for path in folder.glob("*/__init__.py")}
    modules = {path.name for path in folder.glob("*.py") if not path.name.startswith("__")}
    assert sorted(named) == sorted(packages | modules)
