"""``docs/architecture.md`` describes every package, and names only modules and types that exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "reconciler"
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
PACKAGES = {f"{path.parent.name}/" for path in PACKAGE.glob("*/__init__.py")}
TYPES = re.findall(r"^\| `(\w+)` \| `([\w/]+\.py)` \| .+ \|$", PAGE, re.MULTILINE)


def names_defined_in(path: Path) -> set[str]:
    """The classes and type aliases at the top level of a module."""
    body = ast.parse(path.read_text(encoding="utf-8")).body
    aliases = {node.target.id for node in body if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)}
    return aliases | {node.name for node in body if isinstance(node, ast.ClassDef)}


def test_the_layers_name_every_package_and_module() -> None:
    table = PAGE.partition("\n| layer |")[2].partition("\n\n")[0]
    named = [name for row in re.findall(r"^\| (`.+?) \|", table, re.MULTILINE) for name in re.findall("`(.+?)`", row)]
    modules = {path.name for path in PACKAGE.glob("*.py") if not path.name.startswith("__")}
    assert sorted(named) == sorted(PACKAGES | modules)


def test_every_package_has_a_section() -> None:
    assert sorted(re.findall(r"^### `(\w+/)`$", PAGE, re.MULTILINE)) == sorted(PACKAGES)


def test_every_module_named_exists() -> None:
    named = set(re.findall(r"`((?:\w+/)*\w+\.py)`", PAGE))
    assert len(named) > 30
    assert [name for name in sorted(named) if not (PACKAGE / name).is_file()] == []


def test_every_type_is_in_the_file_named_beside_it() -> None:
    assert len(TYPES) > 15
    assert [(name, file) for name, file in TYPES if name not in names_defined_in(PACKAGE / file)] == []


def test_the_picture_names_the_packages_and_describes_itself() -> None:
    picture = (ROOT / "docs" / "architecture.svg").read_text(encoding="utf-8")
    assert "<title " in picture
    assert "<desc " in picture
    for name in ("commands", "watch", "fleet", "manifest", "client", "planning", "applying", "report", "model"):
        assert re.search(rf">(\w+, )?{name}<", picture), name
