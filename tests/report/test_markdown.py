from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

import cmarkgfm  # type: ignore[import-untyped]
import pytest
from cmarkgfm.cmark import Options  # type: ignore[import-untyped]

from reconciler.errors import Kind, Problem
from reconciler.model.display import display_value
from reconciler.model.server import Server
from reconciler.report.formats import CIEnvironment, Format, PlanInput, ReportInput, renderer
from reconciler.report.markdown import LIMIT
from reconciler.report.markdown_escapes import code_span, escape_text
from tests.report.plans import CONTEXT, HOSTILE, PLANS, SERVER, hostile, many, mixed, no_change, result
from tests.support.run_result import DOCUMENTATION

if TYPE_CHECKING:
    from reconciler.model.plan import Plan

ON_GITHUB = CONTEXT._replace(ci=CIEnvironment(run_url="https://github.com/o/r/actions/runs/1"))
OURS = {"h3", "table", "thead", "tbody", "tr", "th", "td", "blockquote", "p", "ul", "li", "br", "strong", "details"}
OURS |= {"summary", "b", "code", "wbr"}


def rendered(markdown: str) -> str:
    """As GitHub renders it, by its own library."""
    html: str = cmarkgfm.github_flavored_markdown_to_html(markdown, Options.CMARK_OPT_UNSAFE)
    return html


def without_pages(html: str) -> str:
    """A page without the links to the pages about kinds."""
    return re.sub(rf'<a href="{re.escape(DOCUMENTATION)}errors/#([a-z_]+)"><code>\1</code></a>', "", html)


def of_plan(plan: Plan | None, *errors: Problem) -> str:
    return renderer("plan", Format.MARKDOWN)(PlanInput(plans=(plan,) if plan else (), errors=errors), CONTEXT)


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_stays_text_on_github(text: str) -> None:
    value = display_value(text)
    escaped = escape_text(text)
    cells = f"| a | b |\n| --- | --- |\n| {code_span(value)} | {escaped} |\n\n- {escaped}\n\n> - {escaped}\n"
    html = rendered(cells)
    assert set(re.findall(r"</?([a-z0-9]+)", html)) <= OURS
    assert html.count("<td") == 2
    assert html.count("<li>") == 2
    assert "href" not in html
    assert "src=x" not in re.sub(r"<code>.*?</code>", "", html, flags=re.DOTALL)
    first = re.search(r"<td><code>(.*?)</code></td>", html, flags=re.DOTALL)
    assert first
    shown_to_people = first[1].replace("<wbr>", "")
    for entity, char in (("&lt;", "<"), ("&gt;", ">"), ("&quot;", '"'), ("&amp;", "&")):
        shown_to_people = shown_to_people.replace(entity, char)
    assert shown_to_people == value


def test_text_that_a_forge_may_link_is_code() -> None:
    html = rendered(
        escape_text("see @everyone, #123 GH-1 o/r#1 deadbeef1234567 a@example.com www.example.com (x.yaml:1)")
    )
    assert re.sub(r"<code>.*?</code>", "_", html) == "<p>see _, _ _ _ _ _ _ (_)</p>\n"


@pytest.mark.parametrize("text", ["1. x", "- x", "+ x", "# x", "> x", "1) x", "=== x", "--- x", "    x"])
def test_a_sentence_cannot_begin_a_block(text: str) -> None:
    assert rendered(f"- {escape_text(text)}\n").count("<li>") == 1
    assert not re.search(r"<(h\d|ol|blockquote|pre|hr)", rendered(f"- {escape_text(text)}\n"))


def test_quoted_options_are_code() -> None:
    assert escape_text("use `--max-deletes 5` or so") == "use <code>--max-deletes 5</code> or so"


@pytest.mark.parametrize("name", PLANS)
def test_the_output_has_only_our_own_elements(name: str) -> None:
    html = without_pages(rendered(of_plan(PLANS[name]())))
    assert set(re.findall(r"</?([a-z0-9]+)", html)) <= OURS
    assert html.count("<details") == html.count("</details>")
    assert html.count("<!--") == 1


@pytest.mark.parametrize("name", PLANS)
def test_it_never_exceeds_the_limit_of_a_comment(name: str) -> None:
    assert len(of_plan(PLANS[name]())) <= LIMIT


def test_a_cut_is_between_changes_and_counts_those_left_out() -> None:
    text = renderer("plan", Format.MARKDOWN)(PlanInput(plans=(many(),)), ON_GITHUB)
    whole = text.count("<b>-</b>") + text.count("<b>~</b>") + text.count("<b>+</b>")
    assert whole == text.count("- on the server, but") + text.count("- differs from") + text.count("- declared (")
    assert text.endswith(
        f"</details>\n\n**{300 - whole} more changes are left out here.** `reconciler plan` shows them all; with"
        " `--format html` as a page with search and filters. Made by"
        ' <a href="https://github.com/o/r/actions/runs/1">this run</a>.\n'
    )


def test_it_fits_even_with_long_values_everywhere() -> None:
    plan = hostile()
    problems = (Problem(kind="x", message="|" * 5_000, hint="|" * 5_000),) * 500
    long = "|" * 50_000
    stuffed = replace(plan, server=Server(long, long), warnings=problems, errors=problems, changes=plan.changes * 20)
    text = of_plan(replace(stuffed, steps=()))
    assert len(text) <= LIMIT
    assert rendered(text).count("<details") == rendered(text).count("</details>")
    assert re.search(r"> - and \d{3} more\n", text)
    assert re.search(r"\*\*1,\d{3} more changes are left out here", text)


def test_deletes_come_first_and_later_groups_are_left_out() -> None:
    plan = many()
    text = of_plan(replace(plan, changes=plan.changes[:100] * 10 + plan.changes[100:], steps=()))
    assert "1,000 to delete" in text
    assert "to update" not in text.partition("###")[2].partition("</summary>")[2]


def test_it_begins_with_a_marker_for_the_server() -> None:
    elsewhere = replace(no_change(), server=Server(SERVER.name, "https://other.example.com"))
    marks = [of_plan(plan).partition("\n")[0] for plan in (no_change(), mixed(), elsewhere)]
    assert marks == ["<!-- reconciler: 7c0b801136f5 -->"] * 2 + ["<!-- reconciler: c18eed13d551 -->"]


def test_a_report_has_another_marker_than_the_plan() -> None:
    text = renderer("report", Format.MARKDOWN)(ReportInput(reports=(result(),)), CONTEXT)
    assert text.startswith("<!-- reconciler-result: 7c0b801136f5 -->\n")


def test_a_failed_plan_shows_its_errors() -> None:
    assert of_plan(None, Problem(kind="x", message="nobody answers", hint="is `--url` right")) == (
        "<!-- reconciler: e3b0c44298fc -->\n### There is no plan\n\n> [!CAUTION]\n> **Planning failed.**\n>\n"
        "> - nobody answers<br>hint: is <code>--url</code> right\n\n"
    )


def test_the_first_error_of_a_kind_links_to_its_page() -> None:
    text = of_plan(None, *(Problem(kind=kind, message="m", hint="h") for kind in (Kind.DNS, Kind.DNS, "of-the-server")))
    link = f"([`dns`]({DOCUMENTATION}errors/#dns))"
    assert text.endswith(f"> - m {link}<br>hint: h\n> - m<br>hint: h\n> - m<br>hint: h\n\n")


def test_a_run_that_did_not_start_shows_its_errors() -> None:
    subject = ReportInput(errors=(Problem(kind="x", message="nobody answers"),))
    assert renderer("report", Format.MARKDOWN)(subject, CONTEXT) == (
        "<!-- reconciler-result: e3b0c44298fc -->\n### The run did not start\n\n> [!CAUTION]\n> - nobody answers\n\n"
    )


@pytest.mark.parametrize("place", [0, 1])
def test_a_long_report_is_cut_between_outcomes(place: int) -> None:
    # The first of these outcomes is as planned, the second is not.
    report = replace(result(), outcomes=(result().outcomes[place],) * 2_000 + result().outcomes[:1])
    text = renderer("report", Format.MARKDOWN)(ReportInput(reports=(report,)), CONTEXT)
    rows = text.count("| update |")
    assert len(text) <= LIMIT
    assert text.endswith(f"**{2_001 - rows:,} more outcomes are left out here.** `--format json` has them all.\n")


def test_one_change_left_out_is_counted_in_the_singular() -> None:
    plan = many()
    found = re.search(
        r"(\d+) more changes are left out here", of_plan(replace(plan, changes=plan.changes[:230], steps=()))
    )
    assert found
    fitting = 230 - int(found[1])
    # The sentence itself is a little shorter for one change.
    assert any(
        "**1 more change is left out here.**" in of_plan(replace(plan, changes=plan.changes[:count], steps=()))
        for count in range(fitting, fitting + 4)
    )
