"""Documents as workflow commands: what GitHub shows beside the lines of a pull request.

https://docs.github.com/actions/reference/workflows-and-actions/workflow-commands describes them; the escapes are those
of GitHub's own toolkit (``@actions/core``, command.ts).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.model.display import display_sentence, escape
from reconciler.report.findings import Finding, of_plan, of_result, of_validation
from reconciler.report.tally import result_line, summary_line

if TYPE_CHECKING:
    from collections.abc import Iterable

    from reconciler.report.subject import PlanInput, ResultSubject, Setting, ValidationInput


def validation(subject: ValidationInput, setting: Setting) -> str:
    """An annotation for everything that is wrong with the YAML."""
    count = subject.accounts
    return _commands(
        of_validation(subject),
        "Not valid." if count is None else f"Valid: {count} account{'' if count == 1 else 's'}.",
        setting,
    )


def plan(subject: PlanInput, setting: Setting) -> str:
    """An annotation for every refusal, error and warning; the summary as a notice."""
    found = subject.plan
    summary = f"{display_sentence(found.server.name)}: {summary_line(found)}" if found else "No plan."
    return _commands(of_plan(subject), summary, setting)


def result(subject: ResultSubject, setting: Setting) -> str:
    """An annotation for everything that did not come out as planned; the summary as a notice."""
    report = subject.report
    summary = f"{display_sentence(report.server.name)}: {result_line(report)}" if report else "Nothing was begun."
    return _commands(of_result(subject), summary, setting)


def _commands(findings: Iterable[Finding], summary: str, setting: Setting) -> str:
    lines = [_command(one, setting) for one in findings]
    return "\n".join((*lines, f"::notice title=reconciler::{_data(summary)}")) + "\n"


def _command(finding: Finding, setting: Setting) -> str:
    properties = {}
    if finding.position:
        properties["file"] = setting.forge.path(finding.position.file)
        if finding.position.line:
            properties["line"] = str(finding.position.line)
    properties["title"] = f"reconciler: {finding.kind}"
    words = f"{finding.message}\nhint: {finding.hint}" if finding.hint else finding.message
    listed = ",".join(f"{name}={_property(escape(value))}" for name, value in properties.items())
    return f"::{finding.level} {listed}::{_data(words)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
