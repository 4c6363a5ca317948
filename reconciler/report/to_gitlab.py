"""Documents as a Code Quality report: what GitLab shows beside the lines of a merge request.

https://docs.gitlab.com/ci/testing/code_quality/#code-quality-report-format describes it.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from typing import TYPE_CHECKING, Final

from reconciler.report.findings import Finding, of_plan, of_result, of_validation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconciler.report.subject import PlanInput, ResultSubject, Setting, ValidationInput

_SEVERITIES: Final = {"error": "critical", "warning": "minor", "notice": "info"}


def validation(subject: ValidationInput, setting: Setting) -> str:
    """An issue for everything that is wrong with the YAML."""
    return _report(of_validation(subject), setting)


def plan(subject: PlanInput, setting: Setting) -> str:
    """An issue for every refusal, error and warning."""
    return _report(of_plan(subject), setting)


def result(subject: ResultSubject, setting: Setting) -> str:
    """An issue for everything that did not come out as planned."""
    return _report(of_result(subject), setting)


def _report(findings: Sequence[Finding], setting: Setting) -> str:
    # A place is mandatory; what is in no file, such as an account that is deleted, is shown at the first file named.
    elsewhere = next((one.position.file for one in findings if one.position), ".")
    seen: Counter[str] = Counter()
    issues = []
    for one in findings:
        path = setting.forge.path(one.position.file if one.position else elsewhere)
        # Without the line, so that an issue is the same one after an edit further up in the file.
        identity = json.dumps([one.kind, one.message, path])
        seen[identity] += 1
        issues.append(
            {
                "description": f"{one.message} ({one.hint})" if one.hint else one.message,
                "check_name": f"reconciler:{one.kind}",
                "fingerprint": hashlib.sha256(f"{identity}{seen[identity]}".encode()).hexdigest(),
                "severity": _SEVERITIES[one.level],
                "location": {"path": path, "lines": {"begin": (one.position and one.position.line) or 1}},
            }
        )
    return json.dumps(issues, indent=2) + "\n"
