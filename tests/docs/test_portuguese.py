"""The Portuguese pages say what the English ones say: the same sections, commands, codes and links."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

import cmarkgfm  # type: ignore[import-untyped]
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
PAIRS = {
    "README.md": "README.pt-BR.md",
    "docs/errors.md": "docs/pt-BR/errors.md",
    "docs/tutorial.md": "docs/pt-BR/tutorial.md",
}
COMMENT = re.compile(r"(?:^|\s+)# .*$", re.MULTILINE)


@dataclass
class Section:
    """What a heading and the text below it have in common in all languages.

    Attributes:
        blocks: The tags of its paragraphs, list items, rows of tables and so on, in order.
        listings: Blocks of code, without comments if the language has them.
        codes: Code within sentences.
    """

    level: str = ""
    title: str = ""
    blocks: list[str] = field(default_factory=list)
    listings: list[str] = field(default_factory=list)
    codes: set[str] = field(default_factory=set)
    links: list[str] = field(default_factory=list)


class Page(HTMLParser):
    """The sections of a page."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__()
        self.folder = os.path.dirname(name)  # noqa: PTH120 - not the path of a file that has to exist
        self.sections = [Section()]
        self._open: list[str] = []
        self._code = ""
        self._language = ""
        self.feed(cmarkgfm.github_flavored_markdown_to_html(text))
        slugs = [re.sub(r"[^\w\- ]", "", one.title.lower()).replace(" ", "-") for one in self.sections]
        for section in self.sections:
            section.links = [self._target(link, slugs) for link in section.links]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self._open.append(tag)
        if re.fullmatch(r"h[1-6]", tag):
            self.sections.append(Section(tag))
        elif tag in ("p", "li", "tr", "pre", "blockquote"):
            self.sections[-1].blocks.append(tag)
        if tag == "pre":
            self._language = given.get("lang") or ""
        if tag == "code":
            self._code = ""
        self.sections[-1].links.extend(link for name in ("href", "src") if (link := given.get(name)))

    def handle_data(self, data: str) -> None:
        self._code += data
        if self._open and self._open[0] == self.sections[-1].level:
            self.sections[-1].title += data

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop() != tag:  # tags such as <img> have no end
            pass
        if tag == "code" and "pre" in self._open:
            code = COMMENT.sub("", self._code) if self._language in ("sh", "yaml") else self._code
            self.sections[-1].listings.append(f"{self._language}\n{code}")
        elif tag == "code":
            self.sections[-1].codes.add(" ".join(self._code.split()))

    def _target(self, link: str, slugs: list[str]) -> str:
        """The target of a link as the English page would name it; a heading of the same page by its number."""
        if link.startswith("#"):
            slug = unquote(link[1:])
            return f"heading {slugs.index(slug)}" if slug in slugs else link
        if ":" not in link:
            link = os.path.normpath(f"{self.folder}/{link}")
        return link.replace("pt-BR/", "").replace(".pt-BR.md", ".md")


def differences(english: Page, portuguese: Page) -> Iterator[str]:
    """What differs, with the section, as a translator has to know it."""
    here, there = ([one.level for one in page.sections] for page in (english, portuguese))
    if here != there:
        place = next((i for i, pair in enumerate(zip(here, there, strict=False)) if pair[0] != pair[1]), -1)
        sections = [page.sections[place].title if place < len(page.sections) else "" for page in (english, portuguese)]
        yield (
            f"{len(here) - 1} headings in English, {len(there) - 1} in Portuguese; "
            f"they part at {sections[0]!r} / {sections[1]!r}"
        )
        return
    for one, other in zip(english.sections, portuguese.sections, strict=True):
        for what, ours, theirs in _compared(one, other):
            missing = [part for part in ours if part not in theirs]
            extra = [part for part in theirs if part not in ours]
            found = f"{what}: only in English {missing}, only in Portuguese {extra}"
            order = f"{what}: {ours} in English, {theirs} in Portuguese"
            yield f"section {one.title!r} / {other.title!r}: {found if missing or extra else order}"


def _compared(one: Section, other: Section) -> Iterator[tuple[str, list[str], list[str]]]:
    # English output may be quoted to explain it.
    quoted = {code for code in other.codes if any(code in listing for listing in other.listings)}
    codes = sorted(one.codes), sorted(other.codes - (quoted - one.codes))
    for what, ours, theirs in (
        ("blocks", one.blocks, other.blocks),
        ("lines of code", _lines(one), _lines(other)),
        ("codes", *codes),
        ("links", sorted(one.links), sorted(other.links)),
    ):
        if ours != theirs:
            yield what, ours, theirs


def _lines(section: Section) -> list[str]:
    return [line for listing in section.listings for line in listing.splitlines()]


def read(name: str) -> Page:
    return Page(name, (ROOT / name).read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", PAIRS)
def test_the_portuguese_page_is_in_step_with_the_english_one(name: str) -> None:
    found = list(differences(read(name), read(PAIRS[name])))
    assert not found, "\n".join([f"{name} and {PAIRS[name]} differ:", *found])


def test_every_portuguese_page_has_an_english_one() -> None:
    pages = {str(path.relative_to(ROOT)) for path in [*ROOT.glob("*.pt-BR.md"), *ROOT.glob("docs/pt-BR/**/*.md")]}
    assert pages == set(PAIRS.values())


ENGLISH = """\
# Title

## Install

Run `plan` and [read](errors.md#dns), then [go on](#go-on).

```sh
plan --wait 3 # waits
```

## Go on

- Step `one`.
"""
PORTUGUESE = """\
# Título

## Instale

Execute `plan`, [leia](errors.md#dns) e [continue](#siga-adiante).

```sh
plan --wait 3 # espera
```

## Siga adiante

- Passo `one`.
"""


def compared(english: str, portuguese: str = PORTUGUESE) -> list[str]:
    return list(differences(Page("docs/a.md", english), Page("docs/pt-BR/a.md", portuguese)))


def test_a_faithful_translation_has_no_differences() -> None:
    assert compared(ENGLISH) == []


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("## Go on", "## Undo\n\n## Go on", "4 headings in English, "),
        ("--wait 3", "--wait 4", "section 'Install' / 'Instale': lines of code: only in English ['plan --wait 4']"),
        ("`plan`", "`plan --save`", "section 'Install' / 'Instale': codes: only in English ['plan --save']"),
        ("#dns", "#tls", "section 'Install' / 'Instale': links: only in English ['docs/errors.md#tls']"),
        ("#go-on", "#install", "section 'Install' / 'Instale': links: only in English ['heading 2']"),
        ("- Step", "- First\n- Step", "section 'Go on' / 'Siga adiante': blocks: ['li', 'li'] in English, ['li'] in"),
    ],
)
def test_a_change_in_english_alone_is_reported_with_its_section(before: str, after: str, said: str) -> None:
    (found,) = compared(ENGLISH.replace(before, after))
    assert found.startswith(said), found
