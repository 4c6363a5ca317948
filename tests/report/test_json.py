from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from reconciler.errors import Position, Problem
from reconciler.model.outcome import Report, ServerStatus
from reconciler.report.formats import RESULT_FORMATS, Format, PlanInput, ReportInput, ValidationInput, renderer
from reconciler.report.json import schema_text
from tests.report.plans import CONTEXT, PLANS, SERVER, mixed, result, run_of_tests

if TYPE_CHECKING:
    from collections.abc import Iterator

FAILURE = Problem(kind="unreachable", message="nobody answers", hint="look", position=Position("a.yaml", 1, 2))


Document = dict[str, Any]


def validator(document: Literal["plan", "result"]) -> Draft202012Validator:
    schema = json.loads(schema_text(document))
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def plan_json(subject: PlanInput) -> Document:
    document: Document = json.loads(renderer("plan", Format.JSON)(subject, CONTEXT))
    return document


def result_json(subject: ReportInput) -> Document:
    document: Document = json.loads(renderer("report", Format.JSON)(subject, CONTEXT))
    return document


@pytest.mark.parametrize("name", PLANS)
def test_every_plan_fits_its_schema(name: str) -> None:
    validator("plan").validate(plan_json(PlanInput(plans=(PLANS[name](),))))


def test_a_plan_that_failed_fits_its_schema() -> None:
    document = plan_json(PlanInput(errors=(FAILURE,)))
    validator("plan").validate(document)
    assert document["errors"] == [
        {"kind": "unreachable", "message": "nobody answers", "hint": "look", "file": "a.yaml", "line": 1, "column": 2}
    ]
    assert (document["applyable"], document["errored"], document["servers"]) == (False, True, [])


def test_every_result_fits_its_schema() -> None:
    validator("result").validate(result_json(ReportInput(reports=(result(),))))
    validator("result").validate(result_json(ReportInput(errors=(FAILURE,))))


def places(node: object, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every object within a document, with the way to it."""
    if isinstance(node, dict):
        yield path
        for name, value in node.items():
            yield from places(value, (*path, name))
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from places(value, (*path, index))


@pytest.mark.parametrize("document", ["plan", "result"])
def test_the_schemas_refuse_unknown_members_at_any_depth(document: Literal["plan", "result"]) -> None:
    def fresh() -> Document:
        return (
            plan_json(PlanInput(plans=(mixed(),)))
            if document == "plan"
            else result_json(ReportInput(reports=(result(),)))
        )

    check = validator(document)
    for path in places(fresh()):
        changed = fresh()
        node: Any = changed
        for step in path:
            node = node[step]
        node["unheard_of"] = 1
        assert not check.is_valid(changed), path


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("format_version",), "2.0"),
        (("created_at",), "yesterday"),
        (("digest",), "abc"),
        (("summary", "create"), -1),
        (("resource_changes", 0, "change", "actions"), ["read"]),
        (("resource_changes", 0, "change", "before"), None),
        (("resource_changes", 0, "change", "before", "password"), "secret"),
        (("resource_changes", 0, "fields"), ["colour"]),
        (("resource_changes", 0, "address"), "mail.x"),
        (("warnings", 0, "kind"), "Not Snake"),
    ],
)
def test_the_plan_schema_refuses_inconsistent_documents(path: tuple[Any, ...], value: Any) -> None:  # noqa: ANN401
    document = plan_json(PlanInput(plans=(mixed(),)))
    node: Any = document
    for step in path[:-1]:
        node = node[step]
    node[path[-1]] = value
    assert not validator("plan").is_valid(document)


def test_the_same_input_gives_the_same_bytes() -> None:
    first, second = (renderer("plan", Format.JSON)(PlanInput(plans=(mixed(),)), CONTEXT) for _ in range(2))
    assert first == second


def test_no_document_contains_a_build_server_command() -> None:
    text = renderer("plan", Format.JSON)(PlanInput(plans=(PLANS["hostile"](),)), CONTEXT)
    assert "##" not in text
    assert "##[error]forged" in json.loads(text)["resource_changes"][2]["name"]


def test_a_validation_document_lists_the_problems() -> None:
    document = json.loads(
        renderer("validation", Format.JSON)(ValidationInput(accounts=None, errors=(FAILURE,)), CONTEXT)
    )
    assert (document["valid"], document["accounts"], len(document["errors"])) == (False, None, 1)


def test_a_report_of_tests_counts_nothing_as_applied() -> None:
    document = result_json(ReportInput(reports=(run_of_tests(),)))
    validator("result").validate(document)
    assert document["summary"] == {
        "applied": 0,
        "failed": 1,
        "skipped": 0,
        "unknown": 1,
        "not_attempted": 1,
        "tests_passed": 1,
        "tests_failed": 1,
    }
    assert [one["status"] for one in document["results"]] == ["passed", "failed", "unknown", "not_attempted"]
    document["results"][0]["status"] = "applied"
    assert not validator("result").is_valid(document)


@pytest.mark.parametrize("chosen", [one for one in RESULT_FORMATS if one is not Format.JSON])
def test_no_report_of_tests_mentions_applied(chosen: Format) -> None:
    assert "applied" not in renderer("report", chosen)(ReportInput(reports=(run_of_tests(),)), CONTEXT).lower()


def test_a_report_names_its_server_and_status() -> None:
    document = result_json(ReportInput(reports=(result(),)))
    assert document["servers"] == [
        {"name": "matriz", "status": "unknown", "summary": document["summary"], "errors": document["errors"]}
    ]
    stopped = ReportInput(reports=(Report.of_failure(SERVER, ServerStatus.UNREACHABLE, (FAILURE,)),))
    document = result_json(stopped)
    validator("result").validate(document)
    assert [one["status"] for one in document["servers"]] == ["unreachable"]
