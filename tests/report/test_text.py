from __future__ import annotations

import re
from dataclasses import replace
from functools import partial

import pytest

from reconciler.errors import Problem
from reconciler.model.outcome import Report
from reconciler.model.plan import Plan
from reconciler.report.formats import Format, PlanInput, ReportInput, Style, ValidationInput, renderer
from reconciler.report.server_text import plan_text, report_text
from reconciler.report.text import problems_text
from reconciler.report.wrapping import columns, wrapped
from tests.report.plans import CONTEXT, PLANS, SERVER, mixed, no_change, result, run_of_tests
from tests.support.call_counter import count_calls

COLOUR = re.compile(r"\x1b\[\d+m")


@pytest.mark.parametrize("width", [60, 80, 200])
@pytest.mark.parametrize("name", PLANS)
def test_no_line_is_wider_than_the_terminal(name: str, width: int) -> None:
    style = Style(width=width)
    titles = ("  + ", "  ~ ", "  - ", "    ", "matriz")
    for line in plan_text(PLANS[name](), style, verbose=True).splitlines():
        # A title is the address, which people copy: it is not broken.
        assert columns(line) <= width or (line.startswith(titles) and not line.startswith(" " * 6))


def test_in_a_narrow_terminal_values_are_on_lines_of_their_own() -> None:
    lines = plan_text(mixed(), Style(width=60)).splitlines()
    assert lines[2:7] == [
        "  ~ update  alerts@example.com  (id 2)",
        '      email                "noc@example.com"',
        '                           → "alerts@example.com"',
        '      name                 "NOC" → "Alertas → Plantão"',
        "      password             (changed, from a literal)",
    ]
    place = lines.index("      # goes through the temporary name 'West (moving)',")
    assert lines[place + 1] == "      # because accounts exchange names"
    assert lines[-7:] == [
        "warning: accounts.yaml:12:15: a secret is written in the",
        "  file",
        "  hint: use {env: NAME}",
        "warning: root@example.com (id 6) is not declared; protected",
        "  by 'root@*', it stays",
        "",
        "Plan: 1 to create, 5 to update, 1 to delete.",
    ]


def test_colour_changes_no_text() -> None:
    for make in PLANS.values():
        assert COLOUR.sub("", plan_text(make(), Style(colour=True, width=80))) == plan_text(make(), Style(width=80))
    assert COLOUR.sub("", report_text(result(), Style(colour=True))) == report_text(result(), Style())


def test_actions_have_their_colours() -> None:
    text = plan_text(mixed(), Style(colour=True))
    assert "  \x1b[32m+ create\x1b[0m  \x1b[1mnew@example.com\x1b[0m\n" in text
    assert "  \x1b[33m~ update\x1b[0m  \x1b[1mcerts@example.com\x1b[0m  (id 1)\n" in text
    assert "  \x1b[31m- delete\x1b[0m  \x1b[1mold@example.com\x1b[0m  (id 3)\n" in text


@pytest.mark.parametrize("encoding", ["cp1252", "cp437", "ascii"])
def test_arrows_are_ascii_if_the_code_page_has_none(encoding: str) -> None:
    plan = replace(no_change(), warnings=(Problem(kind="order_cycle", message="a → b → a"),))
    text = plan_text(plan, Style(arrow="->"))
    assert text.encode(encoding).decode(encoding) == text
    assert "warning: a -> b -> a\n" in text
    assert 'email                "noc@example.com" -> "alerts@example.com"' in plan_text(mixed(), Style(arrow="->"))


def test_verbose_shows_unchanged_fields_and_accounts() -> None:
    text = plan_text(mixed(), Style(), verbose=True)
    assert (
        "  ~ update  twin@example.com#9  (id 9)\n"
        "      smtp_port            587 → 2525\n"
        "      password             (unchanged, from a literal)\n"
        '      email                "twin@example.com"\n'
        '      name                 "Twin"\n'
        "      default              false\n"
        '      service              "other"\n'
        "      has_auth             true\n"
        '      smtp_server          "smtp.example.com"\n'
        '      smtp_crypt           "starttls"\n'
        '      smtp_auth_mechanism  "plain"\n'
    ) in text
    assert (
        "  - delete  old@example.com  (id 3)\n"
        '      name                 "Old"\n'
        "      default              false\n"
        '      service              "other"\n'
        "      has_auth             true\n"
        "      password             (deleted)\n"
        '      smtp_server          "smtp.example.com"\n'
        "      smtp_port            587\n"
        '      smtp_crypt           "starttls"\n'
    ) in text
    assert (
        "    ci@example.com  (id 5) is as declared\n"
        "    twin@example.com  (id 10) is as declared\n"
        "    legacy-a@example.com  (id 4) is left alone\n"
        "    root@example.com  (id 6) is left alone\n"
        "    In all: 2 unchanged, 1 ignored, 1 protected.\n"
    ) in text


def test_verbose_adds_nothing_for_an_empty_server() -> None:
    assert plan_text(Plan(server=SERVER), Style(), verbose=True) == "matriz (https://fw.example.com)\n\nNo changes.\n"


def test_the_last_line_is_the_summary_and_only_the_last() -> None:
    for make in PLANS.values():
        *others, last = plan_text(make(), Style(), verbose=True).splitlines()
        assert re.fullmatch(r"No changes\.|Plan: \d+ to create, \d+ to update, \d+ to delete\.", last)
        assert not any(line.lstrip().startswith(("Plan:", "No changes")) for line in others)


def test_no_line_is_a_build_server_command() -> None:
    for text in (plan_text(PLANS["hostile"](), Style(), verbose=True), report_text(result(), Style())):
        for line in text.splitlines():
            assert not line.lstrip().startswith("::")
            assert "##" not in line


def test_a_hint_is_indented_below_its_error() -> None:
    problem = Problem(kind="x", message="something is wrong", hint="do this and that, then look again")
    assert list(problems_text([problem], "error", Style(width=29, colour=True))) == [
        "\x1b[31merror:\x1b[0m something is wrong",
        "  hint: do this and that,",
        "        then look again",
    ]


def test_a_long_outcome_continues_on_indented_lines() -> None:
    assert report_text(result(), Style(width=60)).splitlines()[:5] == [
        "alerts@example.com: updated;",
        "    test mail sent to ops@example.com",
        "certs@example.com (accounts.yaml:10): update failed:",
        "    changed since the plan: smtp_port",
        "ci@example.com (accounts.yaml:40): updated;",
    ]


def test_an_empty_report_explains_why() -> None:
    empty = Report(server=SERVER, started_at=CONTEXT.started_at, finished_at=CONTEXT.finished_at)
    assert report_text(empty, Style()) == "Nothing to do.\n"
    assert report_text(replace(empty, interrupted=True), Style()) == "Interrupted. Nothing was written.\n"


def test_a_run_of_tests_counts_tests() -> None:
    assert report_text(run_of_tests(), Style()) == (
        "alerts@example.com: test passed; test mail sent to ops@example.com\n"
        "ci@example.com (accounts.yaml:40): test failed: 535 no | such `login`\n"
        "slow@example.com (accounts.yaml:50): test outcome unknown: connection reset; "
        "its mail may have been sent\n"
        "stopped@example.com (accounts.yaml:60): test not attempted: not started: the run stopped first\n"
        "Tests: 1 passed, 1 failed, 1 unknown, 1 not attempted.\n"
    )


def test_a_failure_leaves_standard_output_empty() -> None:
    subjects = {
        "plan": PlanInput(),
        "report": ReportInput(),
        "validation": ValidationInput(accounts=None),
    }
    assert [renderer(kind, Format.TEXT)(one, CONTEXT) for kind, one in subjects.items()] == ["", "", ""]  # type: ignore[arg-type]


def test_a_valid_file_is_reported_with_its_accounts() -> None:
    assert renderer("validation", Format.TEXT)(ValidationInput(accounts=1), CONTEXT) == "Valid: 1 account.\n"
    assert renderer("validation", Format.TEXT)(ValidationInput(accounts=2), CONTEXT) == "Valid: 2 accounts.\n"
    fleet = ValidationInput(accounts=5_000, servers=1_000)
    assert renderer("validation", Format.TEXT)(fleet, CONTEXT) == "Valid: 5,000 accounts on 1,000 servers.\n"


def test_ten_times_as_many_changes_are_ten_times_the_work() -> None:
    few, many = (replace(mixed(), changes=mixed().changes[:1] * count, steps=()) for count in (20, 200))
    assert count_calls(partial(plan_text, many, Style())) < 11 * count_calls(partial(plan_text, few, Style()))


@pytest.mark.parametrize(
    ("text", "width", "lines"),
    [
        ("as it is, however long", None, ["as it is, however long"]),
        ("it fits exactly here", 20, ["it fits exactly here"]),
        ("this one is a little too long", 20, ["this one is a little", "too long"]),
        ("a" * 50, 20, ["a" * 20, "a" * 20, "a" * 10]),
        ("begin " + "a" * 30 + " end", 20, ["begin", "a" * 20, "a" * 10 + " end"]),
        ("漢字漢字漢字漢字漢字漢字", 20, ["漢字漢字漢字漢字漢字", "漢字"]),
        ("two  spaces stay where they are", 20, ["two  spaces stay", "where they are"]),
        ("no width is too narrow for a word", 3, ["no width is too", "narrow for a word"]),
    ],
)
def test_lines_break_at_spaces_and_within_words_that_are_too_long(
    text: str, width: int | None, lines: list[str]
) -> None:
    assert wrapped(text, width) == lines


def test_columns_are_those_of_a_terminal() -> None:
    assert [columns(text) for text in ("abc", "é", "e\u0301", "漢字", "😀")] == [3, 1, 1, 4, 2]
