"""Documents of several servers, in every format."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal
from xml.etree import ElementTree as ET

import pytest

from reconciler.model.display import display_sentence
from reconciler.model.outcome import Report, ServerStatus
from reconciler.model.plan import Action
from reconciler.report.fleet_text import fleet_plan_text, fleet_report_text
from reconciler.report.fleet_view import fleet_headline, fleet_result_line, fleet_summary_line
from reconciler.report.formats import PLAN_FORMATS, RESULT_FORMATS, Format, PlanInput, ReportInput, Style, renderer
from reconciler.report.markdown import LIMIT
from reconciler.report.plan_file import parse_plan
from reconciler.report.wrapping import columns
from tests.report.fleets import (
    FLEETS,
    branch,
    calm,
    hostile,
    large,
    refused,
    report_of,
    reports,
    server,
    small,
    suspended,
    unreachable,
)
from tests.report.plans import CONTEXT, CURRENT_SECRET, DECLARED_SECRET, HOSTILE, run_of_tests
from tests.report.test_json import validator
from tests.report.test_markdown import OURS, rendered, without_pages
from tests.support.call_counter import count_calls

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconciler.model.plan import Plan

VERBOSE = CONTEXT._replace(verbose=True)
DOCUMENTS = [("plan", one) for one in PLAN_FORMATS] + [("report", one) for one in RESULT_FORMATS]


def document(kind: Literal["plan", "report"], chosen: Format, plans: Sequence[Plan]) -> str:
    subject = (
        PlanInput(plans=tuple(plans), of_fleet=True)
        if kind == "plan"
        else ReportInput(reports=reports(plans), of_fleet=True)
    )
    return renderer(kind, chosen)(subject, VERBOSE)


def read(kind: Literal["plan", "report"], chosen: Format, plans: Sequence[Plan]) -> Any:  # noqa: ANN401
    return json.loads(document(kind, chosen, plans))


@pytest.mark.parametrize(("kind", "chosen"), DOCUMENTS)
@pytest.mark.parametrize("name", FLEETS)
def test_no_document_holds_a_secret_or_a_control_character(
    name: str, kind: Literal["plan", "report"], chosen: Format
) -> None:
    text = document(kind, chosen, FLEETS[name]())
    assert CURRENT_SECRET not in text
    assert DECLARED_SECRET not in text
    assert "Secret(" not in text
    assert text.encode().endswith(b"\n")
    assert not set(text) & set("\x00\x07\x1b\x7f\r\u202e\u2028\u2029\ufeff\U000e0041")


@pytest.mark.parametrize(("kind", "chosen"), DOCUMENTS)
@pytest.mark.parametrize("plan", [branch(1), calm(1), refused(1), unreachable(1), suspended(1)])
def test_a_fleet_of_one_server_is_described_in_the_singular(
    plan: Plan, kind: Literal["plan", "report"], chosen: Format
) -> None:
    subject: Any = (
        PlanInput(plans=(plan,), of_fleet=True)
        if kind == "plan"
        else ReportInput(reports=(report_of(plan),), of_fleet=True)
    )
    text = renderer(kind, chosen)(subject, VERBOSE).partition("<script>")[0]
    assert not re.search(r"\b1 (?:of 1 )?(?:servers|changes|accounts|groups)\b|of 1 servers|these servers\b", text)


def test_summaries_of_one_server_do_not_count_it_twice() -> None:
    assert fleet_summary_line([branch(1)]) == "Plan: 1 to create, 1 to update, 1 to delete on 1 server."
    assert fleet_summary_line([unreachable(1)]) == "Plan: 0 to create, 0 to update, 0 to delete on 0 of 1 server."
    assert fleet_headline([report_of(branch(1))]) == "Done: 1 server applied"
    assert fleet_headline([report_of(unreachable(1))]) == "Done: 0 of 1 server succeeded"
    assert fleet_headline([report_of(branch(1)), report_of(branch(4))]) == "Done: 2 of 2 servers applied"


def test_rendering_does_not_need_the_accounts_that_stay() -> None:
    bare = tuple(replace(plan, unchanged=(), untouched=()) for plan in small())
    for chosen in PLAN_FORMATS:
        if chosen is not Format.TFPLAN:
            first, second = (
                renderer("plan", chosen)(PlanInput(plans=plans, of_fleet=True), CONTEXT) for plans in (small(), bare)
            )
            assert first == second


@pytest.mark.parametrize("chosen", [one for one in PLAN_FORMATS if one not in (Format.JSON, Format.TFPLAN)])
def test_twice_as_many_servers_are_twice_the_work(chosen: Format) -> None:
    few, many = (PlanInput(plans=large(100)[:count], of_fleet=True) for count in (50, 100))
    render = renderer("plan", chosen)
    render(few, CONTEXT)
    assert count_calls(partial(render, many, CONTEXT)) < 2.5 * count_calls(partial(render, few, CONTEXT))


class TestText:
    @pytest.mark.parametrize("width", [60, 100])
    @pytest.mark.parametrize("name", FLEETS)
    def test_no_line_is_wider_than_the_terminal(self, name: str, width: int) -> None:
        plans = FLEETS[name]()
        text = fleet_plan_text(plans, Style(width=width), verbose=True) + fleet_report_text(
            reports(plans), Style(width=width)
        )
        for line in text.splitlines():
            titles = ("  + ", "  ~ ", "  - ", "    ", "Plan: ", "Done: ", f"{len(plans)} servers: ")
            is_title = line.startswith(titles) and not line.startswith(" " * 6)
            # People copy addresses and names: they are not broken.
            assert columns(line) <= width or is_title or " characters)" in line

    def test_the_last_line_is_the_summary(self) -> None:
        last = {name: fleet_plan_text(make(), Style()).splitlines()[-1] for name, make in FLEETS.items()}
        assert last["calm"] == "No changes."
        assert last["small"] == "Plan: 3 to create, 4 to update, 5 to delete on 5 of 6 servers."
        down = fleet_plan_text((unreachable(1), calm(2)), Style()).splitlines()[-1]
        assert down == "Plan: 0 to create, 0 to update, 0 to delete on 0 of 2 servers."

    def test_a_report_ends_with_the_servers_by_status(self) -> None:
        *_, last = fleet_report_text(reports(small()), Style()).splitlines()
        assert last == (
            "Done: 1 of 6 servers applied, 2 failed, 1 unreachable, 1 refused, 1 not attempted;"
            " changes: 6 applied, 1 failed; tests: 1 passed, 1 failed."
        )

    def test_an_interrupted_run_says_so(self) -> None:
        first, *others = reports(small())
        text = fleet_report_text((replace(first, interrupted=True), *others), Style())
        assert text.splitlines()[-1].startswith("Interrupted: 1 of 6 servers applied, ")

    def test_a_run_of_tests_mentions_no_change(self) -> None:
        passed = replace(run_of_tests(), server=server(2), outcomes=run_of_tests().outcomes[:1])
        text = fleet_report_text((replace(run_of_tests(), server=server(1)), passed), Style())
        assert text.splitlines()[-1] == (
            "Done: 1 of 2 servers passed, 1 unknown; tests: 2 passed, 1 failed, 1 unknown, 1 not attempted."
        )
        assert "applied" not in text

    def test_verbose_lists_every_server_and_the_accounts_that_stay(self) -> None:
        plans = tuple(branch(number) for number in range(1, 60, 2))
        brief, verbose = (fleet_plan_text(plans, Style(), verbose=verbose) for verbose in (False, True))
        assert "b023 and 18 more" in brief
        assert "b059" not in brief
        assert "more" not in verbose
        assert "    fax@${domain} is as declared\n      on 30 servers: b001, b003," in verbose
        assert "    root@${domain} is left alone\n      on 30 servers: b001, b003," in verbose

    def test_colour_changes_no_text(self) -> None:
        for make in (small, hostile):
            plain, coloured = (fleet_plan_text(make(), Style(colour=colour, width=80)) for colour in (False, True))
            assert re.sub(r"\x1b\[\d+m", "", coloured) == plain

    def test_no_line_is_a_build_server_command(self) -> None:
        for line in (fleet_plan_text(hostile(), Style()) + fleet_report_text(reports(hostile()), Style())).splitlines():
            assert not line.lstrip().startswith("::")
            assert "##" not in line


class TestMarkdown:
    @pytest.mark.parametrize("kind", ["plan", "report"])
    @pytest.mark.parametrize("name", FLEETS)
    def test_it_has_only_our_own_elements_and_fits(self, name: str, kind: Literal["plan", "report"]) -> None:
        text = document(kind, Format.MARKDOWN, FLEETS[name]())
        html = without_pages(rendered(text))
        assert set(re.findall(r"</?([a-z0-9]+)", html)) <= OURS
        assert html.count("<details") == html.count("</details>")
        assert html.count("<!--") == 1
        assert "href" not in html
        assert len(text.encode("utf-16-le")) // 2 <= LIMIT

    def test_a_cut_is_between_changes_and_counts_those_left_out(self) -> None:
        def different(number: int) -> Plan:
            plan = branch(number)
            return replace(plan, changes=tuple(replace(one, reason=f"reason {number}") for one in plan.changes))

        plans = [different(number) for number in range(1, 100)]
        text = document("plan", Format.MARKDOWN, plans)
        found = re.search(r"\*\*(\d+) more changes are left out here", text)
        assert found
        assert int(found[1]) + len(re.findall(r"<b>[-~+]</b>", text)) == 3 * 99

    def test_names_that_do_not_fit_are_cut(self) -> None:
        def deleting(number: int) -> Plan:
            plan = branch(number)
            deletes = tuple(one for one in plan.changes if one.action is Action.DELETE)
            return replace(plan, server=replace(plan.server, name=f"{number:04}{'x' * 60}"), changes=deletes, steps=())

        text = document("plan", Format.MARKDOWN, [deleting(number) for number in range(1, 2_200, 2)])
        assert len(text) <= LIMIT
        assert "x and 1,088 more</code>" in text
        assert "left out" not in text

    def test_the_marker_identifies_the_set_of_servers(self) -> None:
        fleets = [small(), small()[::-1], small()[1:]]
        first, second, third = (document("plan", Format.MARKDOWN, plans).partition("\n")[0] for plans in fleets)
        assert first == second != third


class TestJson:
    @pytest.mark.parametrize("name", FLEETS)
    def test_every_document_fits_its_schema(self, name: str) -> None:
        # A manifest's names have no control characters.
        plans = hostile(tuple(text for text in HOSTILE if text.isprintable())) if name == "hostile" else FLEETS[name]()
        validator("plan").validate(read("plan", Format.JSON, plans))
        validator("result").validate(read("report", Format.JSON, plans))

    def test_servers_have_their_labels_and_states(self) -> None:
        found = read("plan", Format.JSON, small())
        assert [(one["name"], one["status"]) for one in found["servers"]] == [
            ("b001", "planned"),
            ("b002", "planned"),
            ("b003", "planned"),
            ("b004", "refused"),
            ("b005", "failed"),
            ("b006", "planned"),
        ]
        assert found["servers"][0]["labels"] == {"region": "south", "ring": "canary"}
        assert found["resource_changes"][0]["address"] == 'module.b001.email_account["alerts@b001.example.com"]'
        statuses = [one["status"] for one in read("report", Format.JSON, small())["servers"]]
        assert statuses == ["applied", "failed", "failed", "refused", "unreachable", "not_attempted"]

    def test_an_entry_is_on_one_line(self) -> None:
        lines = document("plan", Format.JSON, small()).splitlines()
        assert sum('"mode": "managed"' in line for line in lines) == len(
            read("plan", Format.JSON, small())["resource_changes"]
        )

    def test_a_saved_plan_has_the_changes_of_each_server(self) -> None:
        saved = parse_plan(document("plan", Format.JSON, small()).encode(), "plan.json")
        planned = [plan for plan in small() if not plan.errors and not plan.refusals]
        assert {url: [one.address for one in plan.changes] for url, plan in saved.servers.items()} == {
            plan.server.url: [one.address for one in plan.changes] for plan in planned
        }


class TestBuildServers:
    def test_a_problem_of_many_servers_is_one_annotation(self) -> None:
        plans = tuple(branch(number) for number in range(1, 40))
        lines = document("plan", Format.GITHUB, plans).splitlines()
        assert lines[0] == (
            "::warning title=reconciler%3A protected::root@${domain} is not declared; protected by 'root@*', it stays"
            "%0Aon 39 servers: b001-b039"
        )
        shared = [line for line in lines if line.startswith("::notice file=common.yaml,line=9,")]
        assert len(shared) == 1

    def test_a_notice_about_files_of_many_servers_is_in_the_first_of_them(self) -> None:
        plans = tuple(branch(number) for number in range(1, 40))
        lines = document("plan", Format.GITHUB, plans).splitlines()
        own = [line.partition("::till@")[0] for line in lines if line.startswith("::notice") and "till@" in line]
        assert own == ["::notice file=branches/b001.yaml,line=6,title=reconciler%3A password_source"]
        assert all(line.endswith("on 39 servers: b001-b039") for line in lines[:-1])

    def test_no_line_is_forged(self) -> None:
        for kind in ("plan", "report"):
            for line in document(kind, Format.GITHUB, hostile()).splitlines():
                assert line.startswith(("::error ", "::warning ", "::notice "))

    def test_a_fingerprint_stays_if_another_server_has_the_problem(self) -> None:
        few, more = (read("plan", Format.GITLAB, [branch(n) for n in range(1, count)]) for count in (3, 9))
        assert few[0]["description"] != more[0]["description"]
        assert few[0]["fingerprint"] == more[0]["fingerprint"]

    def test_each_server_is_a_suite(self) -> None:
        suites = ET.fromstring(document("report", Format.JUNIT, small()))  # noqa: S314 - our own text
        found = [(one.attrib["name"], one.attrib["tests"], one.attrib["errors"]) for one in suites]
        assert found == [
            ("b001", "3", "0"),
            ("b002", "3", "0"),
            ("b003", "1", "0"),
            ("b004", "2", "2"),
            ("b005", "1", "1"),
            ("b006", "1", "0"),
        ]
        assert int(suites.attrib["tests"]) == sum(int(one.attrib["tests"]) for one in suites)

    def test_an_unchanged_server_is_a_case(self) -> None:
        suites = ET.fromstring(document("report", Format.JUNIT, [calm(1), calm(2), calm(3)]))  # noqa: S314 - our own
        assert suites[0][0].attrib == {"classname": "reconciler.b001.run", "name": "unchanged"}

    def test_hostile_names_stay_text(self) -> None:
        suites = ET.fromstring(document("report", Format.JUNIT, hostile()))  # noqa: S314 - our own text
        assert [one.attrib["name"] for one in suites] == [display_sentence(plan.server.name) for plan in hostile()]


class TestTfplan:
    def test_each_server_is_a_module(self) -> None:
        modules = read("plan", Format.TFPLAN, small())["planned_values"]["root_module"]["child_modules"]
        assert [one["address"] for one in modules] == [f"module.b00{number}" for number in range(1, 7)]
        assert [one["address"] for one in modules[0]["resources"]] == [
            'module.b001.email_account["alerts@b001.example.com"]',
            'module.b001.email_account["fax@b001.example.com"]',
            'module.b001.data.email_account["root@b001.example.com"]',
            'module.b001.email_account["till@b001.example.com"]',
        ]

    def test_changes_name_their_module(self) -> None:
        changes = read("plan", Format.TFPLAN, small())["resource_changes"]
        assert {one["module_address"] for one in changes} == {f"module.b00{number}" for number in (1, 2, 3, 4, 6)}


def test_a_suspended_server_is_counted_apart() -> None:
    assert fleet_plan_text((branch(1), suspended(2)), Style()).startswith("2 servers: 1 to change, 1 suspended\n")


def test_a_server_that_was_not_reached_keeps_its_status() -> None:
    (report, *_) = reports((unreachable(1), calm(2)))
    assert isinstance(report, Report)
    assert "1 server unreachable: b001" in fleet_report_text((report, *reports((calm(2), calm(3)))), Style())


def test_a_run_that_reached_no_server_is_not_called_an_apply() -> None:
    failed = tuple(Report.of_failure(server(number), ServerStatus.FAILED, ()) for number in (1, 2))
    assert fleet_result_line(failed) == "Done: 0 of 2 servers succeeded, 2 failed."
