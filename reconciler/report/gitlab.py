"""Documents as a Code Quality report: what GitLab shows beside the lines of a merge request.

https://docs.gitlab.com/ci/testing/code_quality/#code-quality-report-format describes it.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from typing import TYPE_CHECKING, Final

from reconciler.report.annotations import Annotation, annotate_plan, annotate_report, annotate_validation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconciler.report.formats import PlanInput, RenderContext, ReportInput, ValidationInput

_NO_ISSUES: Final = "[\n]\n"
"""On two lines, so that it can be told from the empty list of another program in a folder of manifests."""

_SEVERITIES: Final = {"error": "critical", "warning": "minor", "notice": "info"}


def render_validation(subject: ValidationInput, context: RenderContext) -> str:
    """An issue for each problem of the YAML."""
    return _issues(annotate_validation(subject), context)


def render_plan(subject: PlanInput, context: RenderContext) -> str:
    """An issue for each refusal, error and warning."""
    return _issues(annotate_plan(subject), context)


def render_report(subject: ReportInput, context: RenderContext) -> str:
    """An issue for each outcome that needs attention."""
    return _issues(annotate_report(subject), context)


def _issues(annotations: Sequence[Annotation], context: RenderContext) -> str:
    # A position is mandatory; what is in no file, such as an account that is deleted, is shown at the first file.
    default_file = next((one.position.file for one in annotations if one.position), ".")
    seen: Counter[str] = Counter()
    issues = []
    for one in annotations:
        path = context.ci.path(one.position.file if one.position else default_file)
        # Without the line and the servers, so that an issue is the same one after an edit further up in the file, and
        # if it is found on one more server.
        identity = json.dumps([one.kind, one.message, path])
        seen[identity] += 1
        issues.append(
            {
                "description": " ".join((one.message, *(f"({part})" for part in (one.servers, one.hint) if part))),
                "check_name": f"reconciler:{one.kind}",
                "fingerprint": hashlib.sha256(f"{identity}{seen[identity]}".encode()).hexdigest(),
                "severity": _SEVERITIES[one.level],
                "location": {"path": path, "lines": {"begin": (one.position and one.position.line) or 1}},
            }
        )
    return json.dumps(issues, indent=2) + "\n" if issues else _NO_ISSUES
