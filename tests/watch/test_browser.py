"""The watcher's page in a real browser, with scripts allowed: there are none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.watch.fleets import SampleView, hostile, large, overview, small
from tests.watch.page_client import SECRET, TOKEN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from selenium.webdriver import Chrome

    from tests.report.browser import Tab
    from tests.watch.conftest import Serve

pytestmark = pytest.mark.browser

VIEWS: dict[str, Callable[[], SampleView]] = {
    "small": small,
    "large": large,
    "hostile": hostile,
    "empty": lambda: SampleView(overview(())),
}
PAGES = [
    ("small", "/"),
    ("small", "/?state=drifted&label=region%3Dsouth"),
    ("small", "/servers/b001"),
    ("small", "/servers/b004"),
    ("small", "/servers/b006"),
    ("small", "/servers/nowhere"),
    ("large", "/?page=2"),
    ("hostile", "/"),
    ("empty", "/"),
]
ROWS = "return Array.from(document.querySelectorAll('tbody th > a')).map(one => one.textContent)"
UNFOLD = "document.querySelectorAll('details').forEach(one => { one.open = true; })"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    pytest.importorskip("selenium")
    from tests.report.browser import chromium

    with chromium(tmp_path_factory.mktemp("profile")) as found:
        yield found


@pytest.fixture
def tab(browser: Chrome) -> Iterator[Tab]:
    from tests.report.browser import Tab

    opened = Tab(browser)
    opened.media(1280)
    opened.complaints()
    yield opened
    assert [one for one in opened.complaints() if "/servers/nowhere" not in one] == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 420])
@pytest.mark.parametrize(("name", "path"), PAGES)
def test_axe_finds_no_violation(serve: Serve, tab: Tab, name: str, path: str, width: int, scheme: str) -> None:
    tab.media(width, scheme)
    tab.browser.get(f"{serve(VIEWS[name]()).url}{path}{'&' if '?' in path else '?'}refresh=0")
    tab.run(UNFOLD)
    assert tab.violations() == []


def test_axe_only_minds_that_the_page_reloads_itself(serve: Serve, tab: Tab) -> None:
    tab.browser.get(serve().url)
    assert [rule for rule, _, _ in tab.violations()] == ["meta-refresh"]
    assert tab.violations("meta-refresh") == []


@pytest.mark.parametrize(("name", "path"), PAGES)
@pytest.mark.parametrize("width", [420, 820, 1280])
def test_no_screen_needs_horizontal_scrolling(serve: Serve, tab: Tab, name: str, path: str, width: int) -> None:
    tab.media(width)
    tab.browser.get(serve(VIEWS[name]()).url + path)
    tab.run(UNFOLD)
    assert tab.run("return document.documentElement.scrollWidth <= window.innerWidth")


def test_a_commit_stays_on_one_line(serve: Serve, tab: Tab) -> None:
    tab.media(1200)
    tab.browser.get(serve().url)
    assert tab.run("return [...document.querySelectorAll('td code')].every(code => code.getClientRects().length === 1)")


def test_filters_are_links_and_a_form(serve: Serve, tab: Tab) -> None:
    tab.browser.get(f"{serve().url}/?refresh=0")
    tab.follow(".state-tile.create")
    assert tab.run(ROWS) == ["b002", "b003", "b011"]
    tab.follow("tbody .label")
    assert tab.run(ROWS) == ["b002"]
    assert tab.text(".active").startswith("Only: region=south")
    tab.run("document.querySelector('select[name=label]').value = 'region=north'")
    tab.browser.find_element("css selector", "input[type=search]").send_keys("b01*")
    tab.follow("form button")
    assert tab.run(ROWS) == ["b011"]
    assert "refresh=0" in tab.browser.current_url
    tab.follow("tbody th a")
    assert tab.text("h1") == "b011 synced"
    tab.follow(".kicker a")
    assert tab.run(ROWS) == ["b011"]


def test_the_keyboard_opens_a_run(serve: Serve, tab: Tab) -> None:
    tab.browser.get(f"{serve().url}/servers/b004?refresh=0")
    summary = tab.browser.find_element("css selector", ".run summary")
    tab.run("arguments[0].focus()", summary)
    summary.send_keys("\ue007")
    assert tab.text(".run .problem") == "1 of 2 changes failed"
    assert tab.run("return document.querySelector('.run .change').checkVisibility()")


def test_hostile_strings_stay_text(serve: Serve, tab: Tab) -> None:
    url = serve(hostile()).url
    # An alert would make every further command fail.
    tab.browser.get(url)
    assert tab.run("return document.querySelectorAll('script, img, svg, iframe, marquee').length") == 0
    names = tab.run(ROWS)
    assert "<script>alert(1)</script>" in names
    assert "מחסן-צפון" in names
    tab.browser.get(f"{url}/servers/%3Cimg%20src=x%20onerror=alert(1)%3E")
    tab.run(UNFOLD)
    assert tab.text("h1 bdi") == "<img src=x onerror=alert(1)>"
    assert tab.run("return document.querySelectorAll('script, img, svg, iframe, marquee').length") == 0


def test_the_policy_lets_no_script_run(serve: Serve, tab: Tab) -> None:
    tab.browser.get(serve().url)
    add = "const one = document.createElement(arguments[0]); {} document.body.append(one)"
    tab.run(add.format("one.textContent = 'window.ran = 1';"), "script")
    tab.run(add.format("one.setAttribute('onerror', 'window.ran = 1'); one.src = 'data:,';"), "img")
    assert tab.run("return window.ran === undefined")
    assert len([one for one in tab.complaints() if "Content Security Policy" in one]) == 2


def test_a_browser_asks_for_the_token_and_keeps_it(serve: Serve, tab: Tab) -> None:
    url = serve(RECONCILER_PAGE_TOKEN=TOKEN, RECONCILER_HOOK_SECRET=SECRET).url
    tab.browser.get(url.replace("//", f"//me:{TOKEN}@"))
    assert tab.text("h1") == "12 servers"
    tab.browser.get(url)
    tab.follow("tbody th a")
    assert tab.text("h1") == "b004 failed"
    assert TOKEN not in tab.browser.current_url


def test_a_thousand_servers_open_quickly(serve: Serve, tab: Tab) -> None:
    tab.browser.get(serve(large()).url)
    # Generous, for a busy machine; an idle one needs about a tenth of it.
    assert tab.run("return performance.getEntriesByType('navigation')[0].domComplete") < 5_000
