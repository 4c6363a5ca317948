"""Plans and results as JSON documents, for programs. The plan follows Terraform's JSON plan as far as that goes."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from reconciler.model.desired import DeliveryTestWhen
from reconciler.report.tally import CHANGING, STILL, outcome_counts
from reconciler.report.view import public_fields, sensitive_fields
from reconciler.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from reconciler.errors import Problem
    from reconciler.model.account import Account
    from reconciler.model.desired import DeliveryTestSettings
    from reconciler.model.outcome import Outcome
    from reconciler.model.plan import Change, Plan
    from reconciler.model.server import Server
    from reconciler.report.subject import PlanInput, ResultSubject, Setting, ValidationInput

FORMAT_VERSION = "1.0"

Document = dict[str, Any]


def validation(subject: ValidationInput, _setting: Setting) -> str:
    """Whether the YAML is valid."""
    return to_json(validation_document(subject.accounts, subject.warnings, subject.errors))


def plan(subject: PlanInput, setting: Setting) -> str:
    """The plan, or why there is none."""
    return to_json(plan_document(subject.plan, created_at=setting.started_at, errors=subject.errors))


def result(subject: ResultSubject, setting: Setting) -> str:
    """What became of the plan, or why nothing did."""
    report = subject.report
    started_at, finished_at = setting.started_at, setting.finished_at
    if report:
        started_at, finished_at = report.started_at, report.finished_at
    return to_json(result_document(subject, started_at=started_at, finished_at=finished_at))


def validation_document(
    accounts: int | None, warnings: Sequence[Problem] = (), errors: Sequence[Problem] = ()
) -> Document:
    """Whether the YAML is valid; ``accounts`` is how many it declares, ``None`` where it is not valid."""
    return {
        "format_version": FORMAT_VERSION,
        "tool": _tool(),
        "valid": accounts is not None,
        "accounts": accounts,
        "warnings": [_problem(one) for one in warnings],
        "errors": [_problem(one) for one in errors],
    }


def plan_document(plan: Plan | None, *, created_at: datetime, errors: Sequence[Problem] = ()) -> Document:
    """The plan, or why there is none.

    Args:
        plan: What was planned; ``None`` where planning failed as a whole.
        created_at: When, in UTC; the only part that differs between two runs over the same input.
        errors: Why planning failed, where ``plan`` is ``None``.
    """
    changes = [_change(change, plan.server) for change in plan.changes] if plan else []
    uncompared = None
    if plan and plan.uncompared is not None:
        uncompared = [_change(change, plan.server) for change in plan.uncompared]
    problems = (*plan.errors, *plan.refusals) if plan else errors
    return {
        "format_version": FORMAT_VERSION,
        "tool": _tool(),
        "created_at": _time(created_at),
        "servers": [{"name": plan.server.name, "url": plan.server.url}] if plan else [],
        "digest": digest([*changes, *(uncompared or ())]),
        "applyable": plan is not None and plan.applicable,
        "errored": plan is None or bool(plan.errors),
        "summary": asdict(plan.counts) if plan else dict.fromkeys((*CHANGING, *STILL), 0),
        "resource_changes": changes,
        **({} if uncompared is None else {"not_compared": uncompared}),
        "warnings": [_problem(one) for one in plan.warnings] if plan else [],
        "errors": [_problem(one) for one in problems],
    }


def result_document(subject: ResultSubject, *, started_at: datetime, finished_at: datetime) -> Document:
    """What became of an ``apply`` or a ``test``, or why there was none."""
    report = subject.report
    outcomes = report.outcomes if report else ()
    summary = outcome_counts(outcomes)
    errors = [_problem(one) for one in (*subject.errors, *(report.errors if report else ()))]
    server = report.server if report else subject.server
    status = report.status if report else subject.status
    return {
        "format_version": FORMAT_VERSION,
        "tool": _tool(),
        "started_at": _time(started_at),
        "finished_at": _time(finished_at),
        "summary": summary,
        "verified": report is not None and report.verified,
        "servers": [{"name": server.name, "status": status, "summary": summary, "errors": errors}] if server else [],
        "results": [_outcome(one, report.server) for one in outcomes] if report else [],
        "errors": errors,
    }


def digest(changes: Sequence[Document]) -> str:
    """The SHA-256 of what changes; reasons and line numbers do not count."""
    core = [
        [
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
    """The document as text: ASCII alone, so that it is the same bytes in every code page.

    Build servers take ``##[...]`` for a command wherever it stands in a line of the log, so it is written otherwise;
    ``#`` occurs in strings alone.
    """
    return json.dumps(document, indent=indent).replace("##", r"#\u0023") + "\n"


def _change(change: Change, server: Server) -> Document:
    found: Document = {
        "address": f"email_account[{json.dumps(change.address, ensure_ascii=False)}]",
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
    if change.password_from:
        found["password_from"] = change.password_from
    if test := said_test(change.test):
        found["test"] = test
    return found


def said_test(test: DeliveryTestSettings) -> dict[str, str]:
    """When a delivery test is sent, and to whom; empty if nothing is said about it."""
    when = test.when or DeliveryTestWhen.OFF
    found = {"when": str(when), "to_email": test.to_email} if test.to_email else {"when": str(when)}
    return found if test.to_email or when is not DeliveryTestWhen.OFF else {}


def _state(account: Account | None) -> Document | None:
    if account is None:
        return None
    fields = public_fields(account)
    return fields if account.id is None else {"id": account.id, **fields}


def _outcome(outcome: Outcome, server: Server) -> Document:
    found: Document = {
        "address": outcome.address,
        "server": server.name,
        "action": str(outcome.action),
        "status": outcome.status.value,
        "id": outcome.id,
    }
    if outcome.error:
        found["error"] = outcome.error
    if outcome.note:
        found["note"] = outcome.note
    if outcome.test:
        test = outcome.test
        found["test"] = {"when": str(test.when), "to_email": test.to_email, "passed": test.passed}
        if test.error:
            found["test"]["error"] = test.error
    return found


def _problem(problem: Problem) -> Document:
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


def _time(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
