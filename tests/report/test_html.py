from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser

import pytest

from reconciler.errors import Kind, Problem
from reconciler.report.formats import Format, PlanInput, renderer
from tests.report.plans import CONTEXT, PLANS, mixed
from tests.support.run_result import DOCUMENTATION


class Reader(HTMLParser):
    """Collects what matters: elements, their attributes, and the text of style and script."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.texts: dict[str, str] = {}
        self._inside = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        self.attributes += attrs
        self._inside = tag

    def handle_data(self, data: str) -> None:
        if self._inside in ("style", "script"):
            self.texts[self._inside] = self.texts.get(self._inside, "") + data

    def handle_endtag(self, tag: str) -> None:  # noqa: ARG002 - the parser's interface
        self._inside = ""


def page(name: str) -> str:
    return renderer("plan", Format.HTML)(PlanInput(plans=(PLANS[name](),)), CONTEXT)


def test_the_content_policy_allows_only_its_own_style_and_script() -> None:
    reader = Reader(page("mixed"))

    def digest(tag: str) -> str:
        return base64.b64encode(hashlib.sha256(reader.texts[tag].encode()).digest()).decode()

    assert dict(reader.attributes)["content"] is not None
    policy = next(value for name, value in reader.attributes if name == "content" and value and "default-src" in value)
    assert policy == (
        f"default-src 'none'; style-src 'sha256-{digest('style')}'; script-src 'sha256-{digest('script')}';"
        " img-src data:; base-uri 'none'; form-action 'none'"
    )


@pytest.mark.parametrize("name", PLANS)
def test_it_has_one_script_no_handler_and_no_external_resource(name: str) -> None:
    reader = Reader(page(name))
    assert reader.elements.count("script") == (name != "no_change")
    assert not {"img", "iframe", "object", "form", "base"} & set(reader.elements)
    names = {attribute for attribute, _ in reader.attributes}
    assert not any(attribute.startswith("on") for attribute in names)
    assert not {"src", "style", "action", "srcset"} & names
    icon, skip, *links = [value for attribute, value in reader.attributes if attribute == "href"]
    assert (icon, skip) == ("data:,", "#changes")
    assert [link for link in links if not str(link).startswith(f"{DOCUMENTATION}errors/#")] == []
    assert [value for attribute, value in reader.attributes if attribute == "rel"] == ["icon"] + ["noreferrer"] * len(
        links
    )


def test_hostile_text_adds_no_element() -> None:
    ordinary, hostile = (set(Reader(page(name)).elements) for name in ("mixed", "hostile"))
    assert hostile <= ordinary


def test_a_failed_plan_shows_its_errors() -> None:
    subject = PlanInput(errors=(Problem(kind="x", message="nobody <answers>", hint="look"),))
    text = renderer("plan", Format.HTML)(subject, CONTEXT)
    assert '<li>nobody &lt;answers&gt;<span class="hint">look</span></li>' in text
    assert "<title>There is no plan</title>" in text


def test_the_first_error_of_a_kind_links_to_its_page() -> None:
    errors = [Problem(kind=kind, message="m") for kind in (Kind.DNS, Kind.DNS, Kind.TLS, "tls-of-the-server")]
    text = renderer("plan", Format.HTML)(PlanInput(errors=tuple(errors)), CONTEXT)
    links = [
        f' <a class="kind" href="{DOCUMENTATION}errors/#{kind}" rel="noreferrer">{kind}</a>' for kind in ("dns", "tls")
    ]
    assert f"<ul><li>m{links[0]}</li><li>m</li><li>m{links[1]}</li><li>m</li></ul>" in text


def test_only_the_difference_in_a_value_is_marked() -> None:
    text = page("mixed")
    assert "<code>&#34;<mark>noc</mark>@example.com&#34;</code>" in text
    assert "<code>&#34;<mark>alerts</mark>@example.com&#34;</code>" in text
    assert "<code>&#34;NOC&#34;</code>" in text


def test_verbose_lists_unchanged_accounts() -> None:
    text = renderer("plan", Format.HTML)(PlanInput(plans=(mixed(),)), CONTEXT._replace(verbose=True))
    assert re.findall(r"<li>(\S+@\S+ \(id \d+\))</li>", text) == [
        "ci@example.com (id 5)",
        "twin@example.com (id 10)",
        "legacy-a@example.com (id 4)",
        "root@example.com (id 6)",
    ]
