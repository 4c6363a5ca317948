"""Reads back the documents about one server that a worker returned: as values that can be shown and counted.

Documents contain no secrets, so neither do these values. What they are used for is to show what was done: a plan that
was read back is never applied.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from reconciler.errors import Position, Problem, kind_of
from reconciler.model.desired import DeliveryTestWhen
from reconciler.model.fields import SECRET_FIELDS
from reconciler.model.outcome import DeliveryTestResult, Outcome, Report, ServerStatus, Status
from reconciler.model.plan import Counts, Plan, PlanStatus
from reconciler.model.secret import Secret
from reconciler.report.json import FORMAT_VERSION, MALFORMED, digest
from reconciler.report.plan_file import read_change

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from reconciler.model.plan import Change
    from reconciler.model.server import Server
    from reconciler.report.json import Document

STAND_IN: Final = "a password that is not known here"
_NOT_STARTED = (ServerStatus.UNREACHABLE, ServerStatus.REFUSED, ServerStatus.NOT_ATTEMPTED)


class UnreadableDocumentError(ValueError):
    """The document is not one that this version writes."""


@contextmanager
def reading_back() -> Iterator[None]:
    """While this is active, an error because of what was returned is an ``UnreadableDocumentError``."""
    try:
        yield
    except MALFORMED as error:
        raise UnreadableDocumentError(type(error).__name__) from None


def returned_plan(document: Document, server: Server) -> Plan:
    """The plan of a server, from the plan document that a worker returned.

    Raises:
        UnreadableDocumentError: It cannot be read, or is about another server.
    """
    with reading_back():
        return _plan(document, server)


def returned_report(document: Document, server: Server, positions: Mapping[str, Position]) -> Report:
    """The report of a server, from the result document that a worker returned.

    Args:
        document: The document.
        server: The server, as the client's manifests declare it.
        positions: Where the client's manifests declare accounts, by address.

    Raises:
        UnreadableDocumentError: It cannot be read, or is about another server.
    """
    with reading_back():
        return _report(document, server, positions)


def _plan(document: Document, server: Server) -> Plan:
    entry = _only_server(document, server)
    status = PlanStatus(entry["status"])
    entries = document["resource_changes"]
    if document["digest"] != digest(entries):
        raise ValueError
    changes = tuple(_with_passwords(replace(read_change(one), reason=_text(one["reason"]))) for one in entries)
    problems = tuple(map(returned_problem, entry["errors"]))
    return Plan(
        server=server,
        changes=changes,
        counts=Counts(**{name: _number(value) for name, value in entry["summary"].items()}),
        warnings=tuple(map(returned_problem, document["warnings"])),
        errors=problems if status is PlanStatus.FAILED else (),
        refusals=problems if status is PlanStatus.REFUSED else (),
    )


def _with_passwords(change: Change) -> Change:
    """The change with a placeholder for each password: documents have null, whether one is set or not.

    A password that is declared is set; without a declared one, it is removed, and what was there was set.
    """
    source = change.password_from
    was_set = change.before is not None and change.before.fields.get("has_auth") is True
    before = Secret(STAND_IN) if was_set else None
    after = Secret(STAND_IN, source) if source else None
    fields = [one._replace(before=before, after=after) if one.field in SECRET_FIELDS else one for one in change.fields]
    return replace(change, fields=tuple(fields))


def _report(document: Document, server: Server, positions: Mapping[str, Position]) -> Report:
    entry = _only_server(document, server)
    status = ServerStatus(entry["status"])
    report = Report(
        server=server,
        started_at=datetime.fromisoformat(document["started_at"]),
        finished_at=datetime.fromisoformat(document["finished_at"]),
        outcomes=tuple(_outcome(one, positions) for one in document["results"]),
        errors=tuple(map(returned_problem, entry["errors"])),
        verified=document["verified"] is True,
    )
    if status in _NOT_STARTED or (report.errors and not _has_begun(report)) or not (report.complete or report.outcomes):
        return replace(report, not_started=status)
    if report.status is status:
        return report
    # A document has the status alone, not all that it follows from: here, that another writer changed an account.
    outcomes = tuple(replace(one, changed_since=one.note is not None) for one in report.outcomes)
    report = replace(report, outcomes=outcomes)
    return report if report.status is status else replace(report, not_started=status)


def _has_begun(report: Report) -> bool:
    return any(one.status is not Status.NOT_ATTEMPTED for one in report.outcomes)


def _only_server(document: Document, server: Server) -> dict[str, Any]:
    (entry,) = document["servers"]
    if document["format_version"] != FORMAT_VERSION or entry["name"] != server.name:
        raise ValueError
    found: dict[str, Any] = entry
    return found


def _outcome(entry: Document, positions: Mapping[str, Position]) -> Outcome:
    test = entry.get("test")
    return Outcome(
        address=_text(entry["address"]),
        action=_text(entry["action"]),
        status=Status(entry["status"]),
        id=None if entry["id"] is None else _number(entry["id"]),
        error=_optional(entry.get("error")),
        note=_optional(entry.get("note")),
        test=None if test is None else _delivery_test(test),
        position=positions.get(entry["address"]) if entry["action"] != "delete" else None,
    )


def _delivery_test(entry: Document) -> DeliveryTestResult:
    when, error = DeliveryTestWhen(entry["when"]), _optional(entry.get("error"))
    return DeliveryTestResult(when, _text(entry["to_email"]), entry["passed"] is True, error)


def returned_problem(entry: Document) -> Problem:
    """A problem, as ``problem_document`` wrote it.

    Raises:
        LookupError, TypeError: It is not one.
    """
    position = None
    if "file" in entry:
        line, column = entry.get("line"), entry.get("column")
        position = Position(
            _text(entry["file"]), None if line is None else _number(line), None if column is None else _number(column)
        )
    return Problem(
        kind=kind_of(_text(entry["kind"])),
        message=_text(entry["message"]),
        hint=_text(entry.get("hint", "")),
        address=_optional(entry.get("address")),
        position=position,
    )


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _optional(value: object) -> str | None:
    return None if value is None else _text(value)


def _number(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError
    return value
