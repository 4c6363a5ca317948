"""Documents as workflow commands: what GitHub shows beside the lines of a pull request.

https://docs.github.com/actions/reference/workflows-and-actions/workflow-commands describes them; the escapes are those
of GitHub's own toolkit (``@actions/core``, command.ts).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.model.display import display_sentence, escape
from reconciler.report.annotations import Annotation, annotate_plan, annotate_report, annotate_validation
from reconciler.report.fleet_view import fleet_result_line, fleet_summary_line
from reconciler.report.view import result_line, summary_line

if TYPE_CHECKING:
    from collections.abc import Iterable

    from reconciler.report.formats import PlanInput, RenderContext, ReportInput, ValidationInput


def render_validation(subject: ValidationInput, context: RenderContext) -> str:
    """An annotation for each problem of the YAML."""
    return _commands(annotate_validation(subject), subject.line, context)


def render_plan(subject: PlanInput, context: RenderContext) -> str:
    """An annotation for each refusal, error and warning; the summary as a notice."""
    found = subject.plan
    if subject.of_fleet:
        summary = fleet_summary_line(subject.plans)
    else:
        summary = f"{display_sentence(found.server.name)}: {summary_line(found)}" if found else "No plan."
    return _commands(annotate_plan(subject), summary, context)


def render_report(subject: ReportInput, context: RenderContext) -> str:
    """An annotation for each outcome that needs attention; the summary as a notice."""
    report = subject.report
    if subject.of_fleet:
        summary = fleet_result_line(subject.reports)
    else:
        summary = (
            f"{display_sentence(report.server.name)}: {result_line(report)}" if report else "The run did not start."
        )
    return _commands(annotate_report(subject), summary, context)


def _commands(annotations: Iterable[Annotation], summary: str, context: RenderContext) -> str:
    lines = [_command(one, context) for one in annotations]
    return "\n".join((*lines, f"::notice title=reconciler::{_data(summary)}")) + "\n"


def _command(annotation: Annotation, context: RenderContext) -> str:
    properties = {}
    if annotation.position:
        properties["file"] = context.ci.path(annotation.position.file)
        if annotation.position.line:
            properties["line"] = str(annotation.position.line)
    properties["title"] = f"reconciler: {annotation.kind}"
    parts = (annotation.message, annotation.servers, annotation.hint and f"hint: {annotation.hint}")
    words = "\n".join(part for part in parts if part)
    listed = ",".join(f"{name}={_property(escape(value))}" for name, value in properties.items())
    return f"::{annotation.level} {listed}::{_data(words)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
