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
from reconciler.model.plan import Action, Change, FieldChange
from reconciler.model.secret import Secret
from reconciler.report.view import CHANGING, STILL, outcome_counts, public_fields, sensitive_fields
from reconciler.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from reconciler.model.outcome import Outcome
    from reconciler.model.plan import Plan
    from reconciler.model.server import Server
    from reconciler.report.formats import PlanInput, RenderContext, ReportInput, ValidationInput

FORMAT_VERSION: Final = "1.0"

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class SavedPlan:
    """A plan that was saved and reviewed.

    Attributes:
        url: The server that it was made for.
        uncompared: Updates of passwords that were not compared; ``None`` if passwords were compared.
    """

    path: str
    url: str
    changes: tuple[Change, ...]
    uncompared: tuple[Change, ...] | None = None


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
    """The plan, or why there is none."""
    return to_json(plan_document(subject.plan, created_at=context.started_at, errors=subject.errors))


def render_report(subject: ReportInput, context: RenderContext) -> str:
    """The report of a run, or why it did not start."""
    report = subject.report
    moments = report or context
    summary = outcome_counts(report.outcomes if report else ())
    errors = [_problem(one) for one in (*subject.errors, *(report.errors if report else ()))]
    server = report.server if report else subject.server
    status = report.status if report else subject.status
    return to_json(
        {
            "format_version": FORMAT_VERSION,
            "tool": _tool(),
            "started_at": _time(moments.started_at),
            "finished_at": _time(moments.finished_at),
            "summary": summary,
            "verified": report is not None and report.verified,
            "servers": [{"name": server.name, "status": status, "summary": summary, "errors": errors}]
            if server
            else [],
            "results": [_outcome(one, report.server) for one in report.outcomes] if report else [],
            "errors": errors,
        }
    )


def plan_document(plan: Plan | None, *, created_at: datetime, errors: Sequence[Problem] = ()) -> Document:
    """The plan, or why there is none.

    Args:
        plan: The plan; ``None`` if planning failed as a whole.
        created_at: The time, in UTC; the only part that differs between two runs over the same input.
        errors: Why planning failed, if ``plan`` is ``None``.
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
        (server,) = document["servers"]
        entries, others = document["resource_changes"], document.get("not_compared")
        is_applicable = document["format_version"] == FORMAT_VERSION and document["applyable"] is True
        changes: list[Change | None] = [None]
        if document["digest"] == digest([*entries, *(others or ())]):
            changes = [_read_change(entry) for entry in (*entries, *(others or ()))]
        url = str(server["url"])
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise unusable_plan(path, "is not a saved plan, or was cut short") from None
    if not is_applicable:
        raise unusable_plan(path, "holds a plan that cannot be applied")
    intact = tuple(change for change in changes if change)
    if len(intact) < len(changes):
        raise unusable_plan(path, "was changed after it was saved")
    return SavedPlan(path, url, intact[: len(entries)], None if others is None else intact[len(entries) :])


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


def _change(change: Change, server: Server) -> Document:
    entry: Document = {
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
