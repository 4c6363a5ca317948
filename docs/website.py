"""Builds the documentation site into ``build/site`` (``make docs``).

The pages link to each other and to files of the repository, such as ``../examples``, as GitHub needs it. The site has
only the pages: in a copy of ``docs/``, links to other files become links to the repository. Zensical builds from that
copy, and reports broken links between pages.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import tomllib
from pathlib import Path

import zensical
from pygments.lexers.shell import BashSessionLexer

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
CONFIG = tomllib.loads((ROOT / "zensical.toml").read_text(encoding="utf-8"))["project"]
REPOSITORY = CONFIG["repo_url"]
COPY = ROOT / CONFIG["docs_dir"]

LINK_UP = re.compile(r"(?<=\]\()(\.\./[^)#\s]*)")


def main() -> None:
    """Builds the site, and fails if a link is broken."""
    shutil.rmtree(COPY, ignore_errors=True)
    shutil.copytree(DOCS, COPY, ignore=shutil.ignore_patterns("*.py", "__pycache__", "partials"))
    for page in DOCS.rglob("*.md"):
        (COPY / page.relative_to(DOCS)).write_text(on_site(page), encoding="utf-8")
    # A session's commands begin with "$ ". Pygments would take output such as "# renamed from ..." for one as well.
    BashSessionLexer._ps1rgx = re.compile(r"^(\$ )(.*\n?)")  # noqa: SLF001 - there is no other way to say it
    try:
        zensical.build(str(ROOT / "zensical.toml"), {"clean": True, "strict": True})
    except RuntimeError as error:  # Zensical has printed what is wrong, and where
        sys.exit(f"error: {error}")
    # Zensical has one language for all pages. Screen readers choose the voice by it.
    for page in (ROOT / CONFIG["site_dir"] / "pt-BR").rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        page.write_text(text.replace('<html lang="en"', '<html lang="pt-BR"', 1), encoding="utf-8")


def on_site(page: Path) -> str:
    """The text of a page, with links out of ``docs/`` as links to the repository."""
    return LINK_UP.sub(lambda link: target_on_site(link[1], page), page.read_text(encoding="utf-8"))


def target_on_site(target: str, page: Path) -> str:
    path = Path(os.path.normpath(page.parent / target))
    if path.is_relative_to(DOCS):
        return target
    if not path.exists():
        sys.exit(f"error: {page.relative_to(ROOT)} links to {target}, which does not exist")
    return f"{REPOSITORY}/{'tree' if path.is_dir() else 'blob'}/main/{path.relative_to(ROOT)}"


if __name__ == "__main__":
    main()
