"""Links between pages, and to files of the repository, lead somewhere. Links to other sites are not followed."""

from __future__ import annotations

import re
import tomllib
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import cmarkgfm  # type: ignore[import-untyped]
import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
URLS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]
SITE = URLS["Documentation"]
REPOSITORY = URLS["Repository"]
RAW = REPOSITORY.replace("github.com", "raw.githubusercontent.com")
IN_REPOSITORY = re.compile(f"(?:{re.escape(REPOSITORY)}/(?:blob|tree)|{re.escape(RAW)})/main/")


class Page(HTMLParser):
    """The links and the anchors of a page, as GitHub shows it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self._heading: list[str] | None = None
        self.feed(cmarkgfm.github_flavored_markdown_to_html(text, options=cmarkgfm.cmark.Options.CMARK_OPT_UNSAFE))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.links.extend(link for name in ("href", "src") if (link := given.get(name)))
        if anchor := given.get("id") or given.get("name"):
            self.anchors.add(anchor)
        if re.fullmatch(r"h[1-6]", tag):
            self._heading = []

    def handle_data(self, data: str) -> None:
        if self._heading is not None:
            self._heading.append(data)

    def handle_endtag(self, tag: str) -> None:
        if self._heading is not None and re.fullmatch(r"h[1-6]", tag):
            slug = re.sub(r"[^\w\- ]", "", "".join(self._heading).strip().lower()).replace(" ", "-")
            self._heading = None
            # GitHub and the site number repeated headings differently, so no link may lead to the second one.
            self.anchors.add(slug)


@cache
def page(path: Path) -> Page:
    return Page(path.read_text(encoding="utf-8"))


def problem(link: str, source: Path) -> str | None:
    """What is wrong with a link."""
    address, _, anchor = link.partition("#")
    if address.startswith(SITE):
        target = ROOT / "docs" / f"{address.removeprefix(SITE).rstrip('/') or 'index'}.md"
    elif IN_REPOSITORY.match(address):
        target = ROOT / IN_REPOSITORY.sub("", address)
    elif re.match(r"[a-z]+:", address):
        return None
    else:
        target = source.parent / unquote(address) if address else source
    if not target.exists():
        return f"{link} leads nowhere"
    if anchor and target.suffix == ".md" and unquote(anchor) not in page(target.resolve()).anchors:
        return f"{link} has an anchor that the page does not have"
    return None


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_somewhere(path: Path) -> None:
    assert [found for link in page(path).links if (found := problem(link, path))] == []


def test_broken_links_are_found() -> None:
    readme, ci = ROOT / "README.md", ROOT / "docs" / "ci.md"
    assert problem("docs/nowhere.md", readme)
    assert problem("docs/ci.md#nowhere", readme)
    assert problem("#nowhere", ci)
    assert problem("../examples/nowhere", ci)
    assert problem(f"{SITE}nowhere/", readme)
    assert problem(f"{SITE}ci/#nowhere", readme)
    assert problem(f"{RAW}/main/docs/nowhere.svg", readme)
    assert problem(f"{REPOSITORY}/blob/main/docs/ci.md#nowhere", readme)


def test_every_page_is_in_the_navigation_once() -> None:
    nav = tomllib.loads((ROOT / "zensical.toml").read_text(encoding="utf-8"))["project"]["nav"]
    listed = re.findall(r"'([^']+\.md)'", str(nav))
    pages = [str(path.relative_to(ROOT / "docs")) for path in PAGES if path.is_relative_to(ROOT / "docs")]
    assert sorted(one for one in listed if "://" not in one) == sorted(pages)
