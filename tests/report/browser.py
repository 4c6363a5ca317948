"""A headless Chromium for the tests of pages."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.support.expected_conditions import staleness_of
from selenium.webdriver.support.wait import WebDriverWait

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1200,900",
)


def executables() -> tuple[str, str]:
    """The browser and its driver; skips the test without them, except in CI, where that is a failure."""
    browser = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chromium-browser")
    driver = shutil.which("chromedriver")
    if browser and driver:
        return browser, driver
    absent = "no Chromium with its driver (Debian: apt-get install chromium chromium-driver)"
    if os.environ.get("CI") == "true":
        pytest.fail(absent)
    pytest.skip(absent)


@contextmanager
def chromium(profile: Path) -> Iterator[webdriver.Chrome]:
    """A browser with a profile of its own."""
    browser, driver = executables()
    options = Options()
    options.binary_location = browser
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    found = webdriver.Chrome(options=options, service=Service(driver))
    try:
        yield found
    finally:
        found.quit()


class Tab:
    """The page that is open in a browser."""

    def __init__(self, browser: webdriver.Chrome) -> None:
        self.browser = browser

    def run(self, script: str, *arguments: object) -> Any:  # noqa: ANN401 - whatever the script returns
        return self.browser.execute_script(script, *arguments)

    def click(self, selector: str) -> None:
        self.browser.find_element("css selector", selector).click()

    def follow(self, selector: str) -> None:
        """Click what leads to another page, and wait for that page: the driver does not wait for every form."""
        left = self.browser.find_element("css selector", "html")
        self.click(selector)
        WebDriverWait(self.browser, 10).until(staleness_of(left))

    def text(self, selector: str) -> str:
        return self.browser.find_element("css selector", selector).text

    def media(self, width: int, scheme: str = "light", medium: str = "") -> None:
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        self.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": medium, "features": [feature]})

    def complaints(self) -> list[str]:
        return [entry["message"] for entry in self.browser.get_log("browser")]  # type: ignore[no-untyped-call]

    def violations(self, *ignored: str) -> list[tuple[str, str, str]]:
        """What axe finds wrong with the page, apart from these rules."""
        self.run(files("axe_core_python").joinpath("axe.min.js").read_text(encoding="utf-8"))
        rules = {rule: {"enabled": False} for rule in ignored}
        script = "axe.run(document, {rules: arguments[0]}).then(arguments[arguments.length - 1])"
        found = self.browser.execute_async_script(script, rules)
        assert len(found["passes"]) > 10, "axe did not run"
        return [(one["id"], one["nodes"][0]["html"], one["nodes"][0]["failureSummary"]) for one in found["violations"]]
