"""Renders documents in the format that was asked for."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from reconciler.report.formats import Format

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconciler.commands.invocation import Invocation
    from reconciler.errors import Problem
    from reconciler.model.change import Plan
    from reconciler.model.desired import Desired
    from reconciler.model.outcome import Report


def show_plan(invocation: Invocation, plan: Plan) -> None:
    """Emits the plan."""
    if invocation.format is Format.JSON:
        from reconciler.report.to_json import plan_document, to_json

        invocation.emit(to_json(plan_document(plan, created_at=invocation.started_at)))
        return
    from reconciler.report.to_text import plan_text

    invocation.emit(plan_text(plan, invocation.document_style(), verbose=invocation.verbose))


def show_report(invocation: Invocation, report: Report) -> None:
    """Emits what became of an ``apply`` or a ``test``."""
    if invocation.format is Format.JSON:
        from reconciler.report.to_json import result_document, to_json

        invocation.emit(to_json(result_document(report, started_at=report.started_at, finished_at=report.finished_at)))
        return
    from reconciler.report.to_text import report_text

    invocation.emit(report_text(report, invocation.document_style()))


def show_validation(invocation: Invocation, desired: Desired) -> None:
    """Emits that the YAML is valid, with its warnings."""
    count = len(desired.accounts)
    if invocation.format is Format.JSON:
        from reconciler.report.to_json import to_json, validation_document

        invocation.emit(to_json(validation_document(count, desired.warnings)))
        return
    if not invocation.quiet:
        invocation.problems(desired.warnings, "warning")
    invocation.emit(f"Valid: {count} account{'' if count == 1 else 's'}.\n")


def show_failure(invocation: Invocation, problems: Sequence[Problem]) -> None:
    """Emits the command's document with nothing but errors, for a reader that expects one."""
    if invocation.format is not Format.JSON or invocation.document is None:
        return
    from reconciler.report.to_json import plan_document, result_document, to_json, validation_document

    if invocation.document == "plan":
        document = plan_document(None, created_at=invocation.started_at, errors=problems)
    elif invocation.document == "validation":
        document = validation_document(None, errors=problems)
    else:
        finished_at = datetime.now(UTC)
        document = result_document(None, started_at=invocation.started_at, finished_at=finished_at, errors=problems)
    invocation.emit(to_json(document))
