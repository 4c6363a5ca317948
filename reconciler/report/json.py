"""The JSON documents, for programs: the only module that writes their keys.

The plan follows Terraform's JSON plan as far as that goes. ``plan_file`` reads a saved one, and ``returned`` what a
worker sends back.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from reconciler.model.secret import UNKNOWN
from reconciler.report.view import outcome_counts, public_fields, sensitive_fields, total_counts
from reconciler.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from reconciler.errors import Problem
    from reconciler.model.account import Account
    from reconciler.model.outcome import Outcome
    from reconciler.model.plan import Change
    from reconciler.model.server import Server
    from reconciler.report.formats import PlanInput, RenderContext, ReportInput, StatusInput, ValidationInput

FORMAT_VERSION: Final = "1.0"

Document = dict[str, Any]

MALFORMED: Final = (ValueError, LookupError, TypeError, AttributeError, RecursionError)
"""What reading raises if a document is not JSON, or lacks something, or has something of another type."""


def render_validation(subject: ValidationInput, _context: RenderContext) -> str:
    """Whether the YAML is valid."""
    return to_json(
        {
            "format_version": FORMAT_VERSION,
            "tool": _tool(),
            "valid": subject.accounts is not None,
            "servers": subject.servers,
            "accounts": subject.accounts,
            "warnings": [problem_document(one) for one in subject.warnings],
            "errors": [problem_document(one) for one in subject.errors],
        }
    )


def render_plan(subject: PlanInput, context: RenderContext) -> str:
    """The plans of all servers, or why there are none."""
    return to_json(plan_document(subject, created_at=context.started_at))


def render_report(subject: ReportInput, context: RenderContext) -> str:
    """The reports of all servers, or why the run did not start."""
    moments = subject.report or context
    return to_json(report_document(subject, started_at=moments.started_at, finished_at=moments.finished_at))


def render_status(subject: StatusInput, _context: RenderContext) -> str:
    """The state of a watched fleet."""
    return to_json(
        {
            "format_version": FORMAT_VERSION,
            "tool": _tool(),
            "watcher": {
                "running": subject.is_running,
                "last_check": None if subject.last_check is None else json_time(subject.last_check),
            },
            "notices": [dict(notice) for notice in subject.notices],
            "servers": [dict(server) for server in subject.servers],
            "errors": [problem_document(one) for one in subject.errors],
        }
    )


def plan_document(subject: PlanInput, *, created_at: datetime) -> Document:
    """The plans of all servers, or why there are none.

    Args:
        subject: One plan for each server.
        created_at: The time, in UTC; the only part that differs between two runs over the same input.
    """
    plans, in_fleet = subject.plans, subject.of_fleet
    changes = [_change(change, plan.server, in_fleet=in_fleet) for plan in plans for change in plan.changes]
    uncompared = None
    if any(plan.uncompared is not None for plan in plans):
        uncompared = [_change(one, plan.server, in_fleet=in_fleet) for plan in plans for one in plan.uncompared or ()]
    problems = (*subject.errors, *(problem for plan in plans for problem in (*plan.errors, *plan.refusals)))
    return {
        "format_version": FORMAT_VERSION,
        "tool": _tool(),
        "created_at": json_time(created_at),
        "servers": [
            {
                "name": plan.server.name,
                "url": plan.server.url,
                "labels": dict(plan.server.labels),
                "status": plan.status,
                "summary": plan.counts._asdict(),
                "errors": [problem_document(one) for one in (*plan.errors, *plan.refusals)],
            }
            for plan in plans
        ],
        "digest": digest([*changes, *(uncompared or ())]),
        "applyable": any(plan.applicable for plan in plans),
        "errored": not (plans or in_fleet) or any(plan.errors for plan in plans),
        "summary": total_counts(plans),
        "resource_changes": changes,
        **({} if uncompared is None else {"not_compared": uncompared}),
        "warnings": [problem_document(one) for plan in plans for one in plan.warnings],
        "errors": [problem_document(one) for one in problems],
    }


def report_document(subject: ReportInput, *, started_at: datetime, finished_at: datetime) -> Document:
    """The reports of all servers, or why the run did not start."""
    reports = subject.reports
    return {
        "format_version": FORMAT_VERSION,
        "tool": _tool(),
        "started_at": json_time(started_at),
        "finished_at": json_time(finished_at),
        "summary": outcome_counts(outcome for report in reports for outcome in report.outcomes),
        "verified": bool(reports or subject.of_fleet) and all(report.verified for report in reports),
        "servers": [
            {
                "name": report.server.name,
                "status": report.status,
                "summary": outcome_counts(report.outcomes),
                "errors": [problem_document(one) for one in report.errors],
            }
            for report in reports
        ],
        "results": [_outcome(one, report.server) for report in reports for one in report.outcomes],
        "warnings": [problem_document(one) for one in subject.warnings],
        "errors": [problem_document(one) for one in subject.problems],
    }


def schema_text(document: Literal["plan", "result"]) -> str:
    """The schema of ``plan --format json``, or of ``apply`` and ``test --format json`` (draft 2020-12)."""
    return Path(__file__).with_name(f"{document}.schema.json").read_text(encoding="utf-8")


def digest(changes: Sequence[Document]) -> str:
    """The SHA-256 of what changes; reasons and line numbers do not count."""
    core = [
        [
            one["server"],
            one["address"],
            one["id"],
            one["change"]["actions"],
            one["change"]["before"],
            one["change"]["after"],
            one["fields"],
            one.get("password_from"),
            one.get("test"),
        ]
        for one in changes
    ]
    return hashlib.sha256(json.dumps(core, sort_keys=True).encode()).hexdigest()


def to_json(document: Document, *, indent: int | None = 2) -> str:
    """The document as an ASCII string: the same bytes in every code page.

    Build servers read ``##[...]`` as a command anywhere in a log line, so it is escaped; ``#`` occurs only in strings.
    The document of a fleet has an entry of a list on each line: such documents are large.
    """
    servers = document.get("servers")
    is_fleet = indent and isinstance(servers, list) and len(servers) > 1
    text = _in_lines(document) if is_fleet else json.dumps(document, indent=indent)
    return text.replace("##", r"#\u0023") + "\n"


def _in_lines(document: Document) -> str:
    members = []
    for name, value in document.items():
        text = json.dumps(value)
        if value and isinstance(value, list):
            text = "[\n    {}\n  ]".format(",\n    ".join(map(json.dumps, value)))
        members.append(f"  {json.dumps(name)}: {text}")
    return "{{\n{}\n}}".format(",\n".join(members))


def resource_address(label: str, server: Server, *, in_fleet: bool) -> str:
    """An account as Terraform names a resource; in a fleet, each server is a module."""
    resource = f"email_account[{json.dumps(label, ensure_ascii=False)}]"
    return f"module.{server.name}.{resource}" if in_fleet else resource


def _change(change: Change, server: Server, *, in_fleet: bool) -> Document:
    entry: Document = {
        "address": resource_address(change.address, server, in_fleet=in_fleet),
        "mode": "managed",
        "type": "email_account",
        "name": change.address,
        "change": {
            "actions": [change.action.value],
            "before": _state(change.before),
            "after": _state(change.after),
            "after_unknown": {"id": True} if change.before is None else {},
            "before_sensitive": sensitive_fields(change.before) if change.before else False,
            "after_sensitive": sensitive_fields(change.after) if change.after else False,
        },
        "id": change.id,
        "server": server.name,
        "fields": [one.field for one in change.fields],
        "reason": "; ".join((change.reason, *change.notes)),
    }
    if change.before and (times := _times(change.before)):
        entry["times"] = times
    if change.password_from:
        entry["password_from"] = change.password_from
    if test := change.test.described():
        entry["test"] = test
    return entry


def _state(account: Account | None) -> Document | None:
    if account is None:
        return None
    fields = public_fields(account)
    return fields if account.id is None else {"id": account.id, **fields}


def _times(account: Account) -> dict[str, str]:
    """What shows whether it is still this account, and this password, if the server hides that.

    Not in the digest: it is not what a plan does.
    """
    is_hidden = account.fields.get("password") is UNKNOWN
    times = {"created_at": account.created_at, "updated_at": account.updated_at if is_hidden else None}
    return {name: time for name, time in times.items() if time is not None}


def _outcome(outcome: Outcome, server: Server) -> Document:
    entry: Document = {
        "address": outcome.address,
        "server": server.name,
        "action": str(outcome.action),
        "status": outcome.status.value,
        "id": outcome.id,
    }
    if outcome.error:
        entry["error"] = outcome.error
    if outcome.note:
        entry["note"] = outcome.note
    if outcome.test:
        test = outcome.test
        entry["test"] = {"when": str(test.when), "to_email": test.to_email, "passed": test.passed}
        if test.error:
            entry["test"]["error"] = test.error
    return entry


def problem_document(problem: Problem) -> Document:
    """An error or a warning; ``returned.returned_problem`` reads it back."""
    file, line, column = problem.position or (None, None, None)
    parts = {
        "kind": problem.kind,
        "message": problem.message,
        "hint": problem.hint,
        "address": problem.address,
        "file": file,
        "line": line,
        "column": column,
    }
    return {name: value for name, value in parts.items() if value not in (None, "")}


def _tool() -> dict[str, str]:
    return {"name": "reconciler", "version": VERSION}


def json_time(moment: datetime) -> str:
    """A time in UTC, as all documents write it."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
