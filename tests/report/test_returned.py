"""Documents that a worker returned, read back as values."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from reconciler.errors import Kind, Position, Problem
from reconciler.model.account import Account
from reconciler.model.outcome import Outcome, Report, ServerStatus, Status
from reconciler.model.plan import Action, Change, Counts, FieldChange, Plan
from reconciler.model.secret import Secret
from reconciler.model.server import Server
from reconciler.report.formats import PlanInput, ReportInput
from reconciler.report.json import plan_document, report_document
from reconciler.report.kind_pages import explained
from reconciler.report.returned import UnreadableDocumentError, returned_plan, returned_report
from reconciler.report.view import password_words

SERVER = Server("b001", "https://b001.example.com")
NOW = datetime(2026, 1, 1, tzinfo=UTC)
AFTER = Account({"email": "a@example.com", "name": "A", "has_auth": True, "password": Secret("canary", "env PW")})
CHANGE = Change(
    action=Action.CREATE,
    address="a@example.com",
    before=None,
    after=AFTER,
    managed=AFTER.fields,
    fields=(FieldChange("name", None, "A"), FieldChange("password", None, AFTER.fields["password"])),
    reason="declared",
)
PROBLEM = Problem(kind="timeout", message="no response", hint="wait", position=Position("a.yaml", 3, 1))


def stored(document: dict[str, Any]) -> dict[str, Any]:
    text = json.dumps(document)
    assert "canary" not in text
    found: dict[str, Any] = json.loads(text)
    return found


def plan_document_of(plan: Plan) -> dict[str, Any]:
    return stored(plan_document(PlanInput(plans=(plan,), of_fleet=True), created_at=NOW))


def returned(report: Report) -> Report:
    document = report_document(ReportInput(reports=(report,), of_fleet=True), started_at=NOW, finished_at=NOW)
    return returned_report(stored(document), SERVER, {})


def test_a_plan_keeps_its_digest_and_its_words() -> None:
    document = plan_document_of(Plan(server=SERVER, changes=(CHANGE,), counts=Counts(create=1), warnings=(PROBLEM,)))
    plan = returned_plan(document, SERVER)
    assert plan_document_of(plan)["digest"] == document["digest"]
    assert (plan.counts, plan.warnings, plan.changes[0].reason) == (Counts(create=1), (PROBLEM,), "declared")
    assert password_words(plan.changes[0]) == "(set, from env PW)"


def test_a_problem_keeps_its_help_and_a_servers_own_kind_has_none() -> None:
    problems = tuple(Problem(kind=kind, message="no") for kind in (Kind.CONNECTION_REFUSED, "invalid_host"))
    plan = returned_plan(plan_document_of(Plan(server=SERVER, errors=problems)), SERVER)
    assert plan.errors == problems
    assert explained(one.kind for one in plan.errors) == (Kind.CONNECTION_REFUSED,)


def test_a_plan_that_was_refused_stays_so() -> None:
    document = plan_document_of(Plan(server=SERVER, refusals=(PROBLEM,)))
    assert returned_plan(document, SERVER).refusals == (PROBLEM,)


OUTCOME = Outcome.of(CHANGE, Status.APPLIED, id=7, note="adopted")


@pytest.mark.parametrize(
    "report",
    [
        Report(server=SERVER, started_at=NOW, finished_at=NOW, outcomes=(OUTCOME,)),
        Report(server=SERVER, started_at=NOW, finished_at=NOW, outcomes=(OUTCOME,), verified=False),
        Report(server=SERVER, started_at=NOW, finished_at=NOW, outcomes=(Outcome.of(CHANGE, Status.UNKNOWN, "lost"),)),
        Report(server=SERVER, started_at=NOW, finished_at=NOW),
        *(
            Report.of_failure(SERVER, status, (PROBLEM,))
            for status in ServerStatus
            if status not in {"applied", "unchanged"}
        ),
    ],
)
def test_a_report_keeps_its_status_and_whether_it_began(report: Report) -> None:
    found = returned(report)
    assert (found.status, found.complete, found.verified) == (report.status, report.complete, report.verified)
    assert (found.not_started, found.errors) == (report.not_started, report.errors)
    assert [(one.status, one.id, one.error, one.note) for one in found.outcomes] == [
        (one.status, one.id, one.error, one.note) for one in report.outcomes
    ]


@pytest.mark.parametrize("key", ["servers", "results", "verified", "started_at"])
def test_a_document_that_lacks_something_is_not_read(key: str) -> None:
    report = Report(server=SERVER, started_at=NOW, finished_at=NOW, outcomes=(OUTCOME,))
    document = report_document(ReportInput(reports=(report,), of_fleet=True), started_at=NOW, finished_at=NOW)
    del document[key]
    with pytest.raises(UnreadableDocumentError):
        returned_report(document, SERVER, {})


def test_a_document_about_another_server_is_not_read() -> None:
    document = plan_document_of(Plan(server=Server("b002", "https://b002.example.com")))
    with pytest.raises(UnreadableDocumentError):
        returned_plan(document, SERVER)
