from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from reconciler.errors import Position, Problem
from reconciler.report.formats import CIEnvironment, Format, PlanInput, ReportInput, ValidationInput, renderer
from tests.report.plans import CONTEXT, mixed

if TYPE_CHECKING:
    from pathlib import Path

ODD = Problem(
    kind="unknown_key", message="100% wrong:\r\n::error::x, y", hint="50%", position=Position("a,b:c.yaml", 3)
)


def test_values_are_escaped_as_github_does_it() -> None:
    subject = ValidationInput(accounts=None, errors=(ODD,))
    assert renderer("validation", Format.GITHUB)(subject, CONTEXT) == (
        "::error file=a%2Cb%3Ac.yaml,line=3,title=reconciler%3A unknown_key"
        "::100%25 wrong:\\u000d\\u000a::error::x, y%0Ahint: 50%25\n"
        "::notice title=reconciler::Not valid.\n"
    )


def test_a_valid_file_with_a_warning() -> None:
    warning = Problem(kind="literal_secret", message="a secret is in the file", position=Position("a.yaml"))
    subject = ValidationInput(accounts=1, warnings=(warning,))
    assert renderer("validation", Format.GITHUB)(subject, CONTEXT) == (
        "::warning file=a.yaml,title=reconciler%3A literal_secret::a secret is in the file\n"
        "::notice title=reconciler::Valid: 1 account.\n"
    )


def test_a_problem_of_an_account_is_shown_at_its_entry() -> None:
    problem = Problem(kind="password_missing", message="no password", address="certs@example.com")
    plan = replace(mixed(), errors=(problem,), warnings=(), changes=mixed().changes[1:2])
    assert renderer("plan", Format.GITHUB)(PlanInput(plans=(plan,)), CONTEXT) == (
        "::error file=accounts.yaml,line=10,title=reconciler%3A password_missing::no password\n"
        "::notice file=accounts.yaml,line=10,title=reconciler%3A password_source::"
        "certs@example.com: password  (sent along, from a literal)\n"
        "::notice title=reconciler::matriz: Plan: 1 to create, 5 to update, 1 to delete.\n"
    )


def test_a_failure_is_an_error() -> None:
    problem = Problem(kind="unreachable", message="nobody answers")
    assert renderer("plan", Format.GITHUB)(PlanInput(errors=(problem,)), CONTEXT) == (
        "::error title=reconciler%3A unreachable::nobody answers\n::notice title=reconciler::No plan.\n"
    )
    assert renderer("report", Format.GITHUB)(ReportInput(errors=(problem,)), CONTEXT) == (
        "::error title=reconciler%3A unreachable::nobody answers\n::notice title=reconciler::The run did not start.\n"
    )


def test_files_are_relative_to_the_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mail").mkdir()
    monkeypatch.chdir(tmp_path / "mail")
    forge = CIEnvironment(root=str(tmp_path))
    assert forge.path("a.yaml") == "mail/a.yaml"
    assert forge.path("../b.yaml") == "b.yaml"
    assert forge.path(str(tmp_path / "mail" / "c.yaml")) == "mail/c.yaml"
    assert forge.path("/elsewhere/d.yaml") == "/elsewhere/d.yaml"
    assert CIEnvironment().path("./e.yaml") == "e.yaml"


@pytest.mark.parametrize(
    ("environ", "forge"),
    [
        ({}, CIEnvironment()),
        (
            {
                "GITHUB_SERVER_URL": "https://github.com",
                "GITHUB_REPOSITORY": "o/r",
                "GITHUB_RUN_ID": "7",
                "GITHUB_WORKSPACE": "/w",
                "GITHUB_STEP_SUMMARY": "/s",
            },
            CIEnvironment(root="/w", run_url="https://github.com/o/r/actions/runs/7", summary_file="/s"),
        ),
        (
            {"CI_PROJECT_DIR": "/p", "CI_JOB_URL": "https://gitlab.example/j/1"},
            CIEnvironment(root="/p", run_url="https://gitlab.example/j/1"),
        ),
    ],
)
def test_the_ci_environment_is_read_from_its_variables(environ: dict[str, str], forge: CIEnvironment) -> None:
    assert CIEnvironment.from_environ(environ) == forge
