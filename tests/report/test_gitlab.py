from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from reconciler.errors import Position, Problem
from reconciler.report.formats import Format, PlanInput, ReportInput, ValidationInput, renderer
from tests.report.plans import CONTEXT, result


def issues(*errors: Problem) -> list[dict[str, Any]]:
    subject = ValidationInput(accounts=None, errors=errors)
    found: list[dict[str, Any]] = json.loads(renderer("validation", Format.GITLAB)(subject, CONTEXT))
    return found


def test_an_issue_has_the_fields_that_gitlab_requires() -> None:
    (issue,) = issues(
        Problem(kind="unknown_key", message="no such key", hint="drop it", position=Position("./a.yaml", 3))
    )
    assert issue.pop("fingerprint").isalnum()
    assert issue == {
        "description": "no such key (drop it)",
        "check_name": "reconciler:unknown_key",
        "severity": "critical",
        "location": {"path": "a.yaml", "lines": {"begin": 3}},
    }


def test_a_fingerprint_is_unique_and_ignores_the_line() -> None:
    one = Problem(kind="x", message="m", position=Position("a.yaml", 3))
    first, second = issues(one, replace(one, position=Position("a.yaml", 9)))
    (moved,) = issues(replace(one, position=Position("a.yaml", 4)))
    assert first["fingerprint"] != second["fingerprint"]
    assert first["fingerprint"] == moved["fingerprint"]


def test_an_issue_without_a_position_is_shown_at_the_first_file() -> None:
    nowhere = Problem(kind="x", message="m")
    assert issues(nowhere)[0]["location"] == {"path": ".", "lines": {"begin": 1}}
    assert (
        issues(nowhere, Problem(kind="y", message="n", position=Position("a.yaml")))[0]["location"]["path"] == "a.yaml"
    )


def test_a_success_is_no_issue() -> None:
    fine = replace(result(), outcomes=result().outcomes[:1], errors=())
    assert renderer("report", Format.GITLAB)(ReportInput(reports=(fine,)), CONTEXT) == "[\n]\n"


def test_a_plan_that_failed_is_an_issue() -> None:
    subject = PlanInput(errors=(Problem(kind="x", message="nobody answers"),))
    assert [one["description"] for one in json.loads(renderer("plan", Format.GITLAB)(subject, CONTEXT))] == [
        "nobody answers"
    ]
