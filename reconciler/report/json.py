"""The JSON documents, for programs: the only module that knows their keys.

The plan follows Terraform's JSON plan as far as that goes. A saved plan is read back into ``Change`` values.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from reconciler.errors import Kind, Problem, ReconcilerError
from reconciler.model.account import NO_FIELDS, Account
from reconciler.model.desired import NO_DELIVERY_TEST, DeliveryTestSettings, DeliveryTestWhen
from reconciler.model.plan import Action, Change, FieldChange, PlanStatus
from reconciler.model.secret import Secret
from reconciler.report.view import CHANGING, STILL, outcome_counts, public_fields, sensitive_fields
from reconciler.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from reconciler.model.outcome import Outcome
    from reconciler.model.plan import Plan
    from reconciler.model.server import Server
    from reconciler.report.formats import PlanInput, RenderContext, ReportInput, ValidationInput

FORMAT_VERSION: Final = "1.0"

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ReviewedPlan:
    """The part of a saved plan that is about one server.

    Attributes:
        uncompared: Updates of passwords that were not compared; ``None`` if passwords were compared.
    """

    changes: tuple[Change, ...]
    uncompared: tuple[Change, ...] | None = None


@dataclass(frozen=True, slots=True)
class SavedPlan:
    """A plan that was saved and reviewed.

    Attributes:
        servers: What was reviewed for each server, by URL.
    """

    path: str
    servers: Mapping[str, ReviewedPlan]


def render_validation(subject: ValidationInput, _context: RenderContext) -> str:
    """Whether the YAML is valid."""
    return to_json(
        {
            "format_version": FORMAT_VERSION,
            "tool": _tool(),
            "valid": subject.accounts is not None,
            "accounts": subject.accounts,
            "warnings": [_problem(one) for one in subject.warnings],
            "errors": [_problem(one) for one in subject.errors],
        }
    )


def render_plan(subject: PlanInput, context: RenderContext) -> str:
    """The plans of all servers, or why there are none."""
    return to_json(plan_document(subject.plans, created_at=context.started_at, errors=subject.errors))


def render_report(subject: ReportInput, context: RenderContext) -> str:
    """The reports of all servers, or why the run did not start."""
    reports = subject.reports
    moments = subject.report or context
    return to_json(
        {
            "format_version": FORMAT_VERSION,
            "tool": _tool(),
            "started_at": _time(moments.started_at),
            "finished_at": _time(moments.finished_at),
            "summary": outcome_counts(outcome for report in reports for outcome in report.outcomes),
            "verified": bool(reports) and all(report.verified for report in reports),
            "servers": [
                {
                    "name": report.server.name,
                    "status": report.status,
                    "summary": outcome_counts(report.outcomes),
                    "errors": [_problem(one) for one in report.errors],
                }
                for report in reports
            ],
            "results": [_outcome(one, report.server) for report in reports for one in report.outcomes],
            "errors": [_problem(one) for one in subject.problems],
        }
    )


def plan_document(plans: Sequence[Plan], *, created_at: datetime, errors: Sequence[Problem] = ()) -> Document:
    """The plans of all servers, or why there are none.

    Args:
        plans: One for each server.
        created_at: The time, in UTC; the only part that differs between two runs over the same input.
        errors: Why planning failed as a whole.
    """
    in_fleet = len(plans) > 1
    changes = [_change(change, plan.server, in_fleet=in_fleet) for plan in plans for change in plan.changes]
    uncompared = None
    if any(plan.uncompared is not None for plan in plans):
        uncompared = [_change(one, plan.server, in_fleet=in_fleet) for plan in plans for one in plan.uncompared or ()]
    problems = (*errors, *(problem for plan in plans for problem in (*plan.errors, *plan.refusals)))
    return {
        "format_version": FORMAT_VERSION,
        "tool": _tool(),
        "created_at": _time(created_at),
        "servers": [
            {
                "name": plan.server.name,
                "url": plan.server.url,
                "labels": dict(plan.server.labels),
                "status": plan.status,
                "summary": asdict(plan.counts),
                "errors": [_problem(one) for one in (*plan.errors, *plan.refusals)],
            }
            for plan in plans
        ],
        "digest": digest([*changes, *(uncompared or ())]),
        "applyable": any(plan.applicable for plan in plans),
        "errored": not plans or any(plan.errors for plan in plans),
        "summary": {name: sum(getattr(plan.counts, name) for plan in plans) for name in (*CHANGING, *STILL)},
        "resource_changes": changes,
        **({} if uncompared is None else {"not_compared": uncompared}),
        "warnings": [_problem(one) for plan in plans for one in plan.warnings],
        "errors": [_problem(one) for one in problems],
    }


def parse_plan(text: bytes, path: str) -> SavedPlan:
    """Reads a saved plan.

    Args:
        text: The file's content.
        path: The file, for messages.

    Raises:
        ReconcilerError: It is not a plan as ``plan --save`` wrote it.
    """
    try:
        document = json.loads(text)
        entries, others = document["resource_changes"], document.get("not_compared")
        is_applicable = document["format_version"] == FORMAT_VERSION and document["applyable"] is True
        is_intact = document["digest"] == digest([*entries, *(others or ())])
        servers = {
            str(server["url"]): _read_server(server["name"], entries, others)
            for server in (document["servers"] if is_intact else ())
            if server["status"] == PlanStatus.PLANNED
        }
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise unusable_plan(path, "is not a saved plan, or was cut short") from None
    if not is_applicable:
        raise unusable_plan(path, "holds a plan that cannot be applied")
    found = {url: plan for url, plan in servers.items() if plan}
    if not is_intact or len(found) < len(servers):
        raise unusable_plan(path, "was changed after it was saved")
    return SavedPlan(path, found)


def _read_server(name: str, entries: Sequence[Document], others: Sequence[Document] | None) -> ReviewedPlan | None:
    """What a saved plan has for a server; ``None`` if it is not consistent."""
    changes, uncompared = (
        None if listed is None else [_read_change(entry) for entry in listed if entry["server"] == name]
        for listed in (entries, others)
    )
    if None in (changes or ()) or None in (uncompared or ()):
        return None
    first, second = (None if read is None else tuple(filter(None, read)) for read in (changes, uncompared))
    return ReviewedPlan(first or (), second)


def unusable_plan(path: str, what: str) -> ReconcilerError:
    """A file that cannot be used as a saved plan."""
    message, hint = f"{path or repr(path)} {what}", "make a new one with `reconciler plan --save`"
    return ReconcilerError(Problem(kind=Kind.BAD_PLAN_FILE, message=message, hint=hint))


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
    """
    return json.dumps(document, indent=indent).replace("##", r"#\u0023") + "\n"


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
    if change.password_from:
        entry["password_from"] = change.password_from
    if test := change.test.described():
        entry["test"] = test
    return entry


def _read_change(entry: Document) -> Change | None:
    """A change as the planner makes it; ``None`` if it is not consistent: anyone can compute a digest."""
    what, test = entry["change"], entry.get("test", {})
    action = Action(what["actions"][0])
    before, after = (_read_account(what[side]) for side in ("before", "after"))
    address, names, source = entry["name"], entry["fields"], entry.get("password_from")
    texts = (entry["address"], address, *names, source or "", test.get("to_email", ""))
    is_consistent = (
        len(what["actions"]) == 1
        and (before is None) == (action is Action.CREATE)
        and (after is None) == (action is Action.DELETE)
        and all(isinstance(account.fields["email"], str) for account in (before, after) if account)
        and all(isinstance(text, str) for text in texts)
    )
    if not is_consistent:
        return None
    old, new = (account.fields if account else NO_FIELDS for account in (before, after))
    return Change(
        action=action,
        address=address,
        before=before,
        after=after,
        managed={"password": Secret("", source)} if source else NO_FIELDS,
        fields=tuple(FieldChange(name, old.get(name), new.get(name)) for name in names),
        test=DeliveryTestSettings(DeliveryTestWhen(test["when"]), test.get("to_email")) if test else NO_DELIVERY_TEST,
    )


def _read_account(state: Document | None) -> Account | None:
    if state is None:
        return None
    return Account({name: value for name, value in state.items() if name != "id"}, state.get("id"))


def _state(account: Account | None) -> Document | None:
    if account is None:
        return None
    fields = public_fields(account)
    return fields if account.id is None else {"id": account.id, **fields}


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
