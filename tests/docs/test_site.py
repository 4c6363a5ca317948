"""The documentation site in a real browser: search, light and dark, on a phone, and no request to another host."""

from __future__ import annotations

import html
import re
import subprocess
import sys
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

import cmarkgfm  # type: ignore[import-untyped]
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from selenium.webdriver import Chrome

    from tests.report.browser import Tab

pytestmark = pytest.mark.browser

ROOT = Path(__file__).parents[2]
SITE = ROOT / "build" / "site"
PAGES = sorted(
    str(page.relative_to(ROOT / "docs").with_suffix("")).removesuffix("index") for page in ROOT.glob("docs/**/*.md")
)
KINDS = ["", "tutorial", "exit-codes"]
"""A page of each kind, for axe, which takes seconds for each."""

OF_THE_THEME = ["landmark-unique", "scrollable-region-focusable"]
"""Rules that the theme's buttons for copying break; and one that it follows only if there is a pointer that hovers."""

LOADED = "return performance.getEntriesByType('resource').map(entry => entry.name)"
OVERFLOW = "const page = document.documentElement; return Math.max(0, page.scrollWidth - page.clientWidth)"
RESULTS = """
const dialog = Array.from(document.querySelectorAll('div')).find(one => one.shadowRoot).shadowRoot;
return Array.from(dialog.querySelectorAll('[role=option]')).map(one => new URL(one.href).pathname);
"""
ENTER = """
const input = document.activeElement.shadowRoot.activeElement;
input.value = arguments[0];
input.dispatchEvent(new Event('input', {bubbles: true}));
"""

COPIED = """
return Array.from(document.querySelectorAll('code'), code => {
  if (!code.querySelector('.gp')) return '';
  code.setAttribute('data-md-copying', '');  // as the theme does
  return code.innerText;
});
"""


class Quiet(SimpleHTTPRequestHandler):
    """A handler without a log."""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name in the base class
        """Prints nothing."""


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    """The address of the site, built now."""
    done = subprocess.run([sys.executable, ROOT / "docs" / "website.py"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=SITE)) as server:
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    pytest.importorskip("selenium")
    from tests.report.browser import Tab, chromium

    with chromium(tmp_path_factory.mktemp("profile")) as found:
        yield Tab(found)


def test_every_page_fits_a_phone_and_loads_nothing_from_elsewhere(site: str, tab: Tab) -> None:
    tab.media(420)
    for page in PAGES:
        tab.browser.get(f"{site}{page}{'/' if page else ''}")
        elsewhere = [name for name in tab.run(LOADED) if not name.startswith(site)]
        assert (page, tab.run(OVERFLOW), elsewhere) == (page, 0, [])
    assert tab.complaints() == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_fit_a_desktop_and_axe_finds_nothing_in_light_and_in_dark(site: str, tab: Tab, scheme: str) -> None:
    tab.media(1280, scheme)
    for page in KINDS:
        tab.browser.get(f"{site}{page}{'/' if page else ''}")
        background = tab.run("return getComputedStyle(document.body).backgroundColor")
        assert (background == "rgb(255, 255, 255)") == (scheme == "light")
        assert (page, tab.run(OVERFLOW), tab.violations(*OF_THE_THEME)) == (page, 0, [])


@pytest.mark.parametrize(("word", "expected"), [("rotate", "errors/"), ("senha", "pt-BR/errors/")])
def test_search_finds_pages_in_both_languages(site: str, tab: Tab, word: str, expected: str) -> None:
    tab.media(1280)
    tab.browser.get(site)
    assert f"/{expected}" in search(tab.browser, word)
    assert [name for name in tab.run(LOADED) if not name.startswith(site)] == []


@pytest.mark.usefixtures("site")
def test_the_site_shows_what_github_shows() -> None:
    for page in PAGES:
        source = (ROOT / "docs" / f"{page or 'index'}.md").read_text(encoding="utf-8")
        on_github = cmarkgfm.github_flavored_markdown_to_html(source)
        built = re.sub(r'<a class="headerlink".*?</a>', "", (SITE / page / "index.html").read_text(encoding="utf-8"))
        on_site = built.partition("<article")[2].partition(">")[2].partition("</article>")[0]
        assert (page, content(on_site)) == (page, content(on_github))


def content(text: str) -> list[str]:
    """The elements and the words of a page. Paragraphs in lists may differ, and only the site colours lines of code."""
    text = re.sub(r"<!--.*?-->|(?<=<pre).*?(?=</pre>)", "", text, flags=re.DOTALL)
    elements = re.findall(r"<(?:[uo]l|li|table|t[rhd]|pre|blockquote|strong|em|h[1-6]|img)\b|(?<=>)[^<]+", text)
    joined = "".join(html.unescape(one) if one[0] != "<" else f" {one} " for one in elements)
    return joined.split()


def test_the_button_copies_the_commands_of_a_session_alone(site: str, tab: Tab) -> None:
    tab.browser.get(f"{site}tutorial/")
    commands = re.findall(r"^\$ (.*)", (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8"), re.MULTILINE)
    copied = "\n".join(tab.run(COPIED)).splitlines()
    assert [line for line in copied if line] == commands


def test_portuguese_pages_say_their_language(site: str, tab: Tab) -> None:
    for page, language in (("errors/", "en"), ("pt-BR/errors/", "pt-BR")):
        tab.browser.get(f"{site}{page}")
        assert tab.run("return document.documentElement.lang") == language


def search(browser: Chrome, word: str) -> list[str]:
    """The addresses of the pages that a search finds. The word is entered as a whole: its first letters find others."""
    from selenium.webdriver.support.wait import WebDriverWait

    browser.find_element("css selector", ".md-search__button").click()
    WebDriverWait(browser, 10).until(lambda _: browser.switch_to.active_element.shadow_root)
    browser.execute_script(ENTER, word)
    return WebDriverWait(browser, 10).until(lambda _: browser.execute_script(RESULTS))
