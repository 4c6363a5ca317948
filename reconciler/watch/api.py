"""The JSON documents of the watcher's API, which ``status`` prints too; ``api_models`` describes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reconciler.report.json import Document, json_time

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from reconciler.watch.records import ChangeRecord, RunRecord, ServerRecord, Suspension


def server_document(record: ServerRecord) -> Document:
    """A server as the list of servers has it."""
    return {
        "name": record.name,
        "url": record.url,
        "labels": dict(record.labels),
        "state": record.state.value,
        "drift": record.drift,
        "drift_known": record.is_drift_known,
        "changed_since": _moment(record.changed_since),
        "last_success": _moment(record.last_success),
        "next_run": _moment(record.next_run),
        "commit": record.commit,
        "suspended": _suspension(record.suspended),
        "error": record.error,
        "held": list(record.held),
    }


def server_details(record: ServerRecord, runs: Iterable[RunRecord]) -> Document:
    """A server with its changes and its runs, newest first."""
    return {
        **server_document(record),
        "last_run": _moment(record.last_run),
        "failures": record.failures,
        "changes": [_change(change) for change in record.changes],
        "runs": [_run(run) for run in runs],
    }


def notice_documents(notices: Mapping[str, str]) -> list[Document]:
    """What is wrong with the watcher or its source."""
    return [{"about": about, "message": message} for about, message in notices.items()]


def _suspension(suspension: Suspension | None) -> Document | None:
    if suspension is None:
        return None
    return {
        "reason": suspension.reason,
        "by": suspension.by.value,
        "user": suspension.user,
        "since": _moment(suspension.since),
        "until": _moment(suspension.until),
    }


def _change(change: ChangeRecord) -> Document:
    return {
        "address": change.address,
        "action": change.action,
        "origin": change.origin.value,
        "fields": [_without_empty(row._asdict()) for row in change.rows],
        "notes": list(change.notes),
        "held": change.held,
        "status": change.status,
        "error": change.error,
    }


def _without_empty(row: dict[str, Any]) -> Document:
    return {name: value for name, value in row.items() if value != ""}


def _run(run: RunRecord) -> Document:
    return {
        "run": run.run,
        "trigger": run.trigger,
        "commit": run.commit,
        "result": run.result,
        "started_at": json_time(run.started_at),
        "finished_at": json_time(run.finished_at),
        "count": run.count,
        "changes": [_change(change) for change in run.changes],
        "error": run.error,
    }


def _moment(moment: datetime | None) -> str | None:
    return None if moment is None else json_time(moment)
