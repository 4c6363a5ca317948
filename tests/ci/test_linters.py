"""What linters that nobody here wrote say of the action, the workflows and the examples."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import click
import pytest
import yaml

from reconciler.cli import cli
from reconciler.fleet.selection import Shard
from tests.support.linters import lint, lint_kubernetes, lint_schema
from tests.support.workflow_runner import RELEASE, ROOT, tool

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WORKFLOWS = sorted([*ROOT.glob(".github/workflows/*.yml"), *ROOT.glob("examples/github/*.yml")])
ACTION = ROOT / "action.yml"
GITLAB = ROOT / "examples" / "gitlab" / ".gitlab-ci.yml"
GITLAB_FLEET = ROOT / "examples" / "gitlab" / "fleet.gitlab-ci.yml"
ISSUES = ROOT / ".github" / "ISSUE_TEMPLATE"
KUBERNETES = ROOT / "examples" / "kubernetes" / "fleet-job.yaml"


def test_there_is_something_to_lint() -> None:
    examples = [one.name for one in WORKFLOWS if one.parent.name == "github"]
    assert examples == ["apply.yml", "drift.yml", "fleet.yml", "plan.yml"]
    assert ACTION.exists()
    assert GITLAB.exists()


def test_actionlint_finds_nothing() -> None:
    assert lint(tool("actionlint"), "-no-color", *WORKFLOWS) == ""


def test_zizmor_finds_nothing() -> None:
    config = str(ROOT / ".github" / "zizmor.yml")
    command = [tool("zizmor"), "--offline", "--no-progress", "--strict-collection", "--config", config]
    assert lint(*command, ACTION, *WORKFLOWS) == ""


@pytest.mark.parametrize(
    ("schema", "files"),
    [
        ("vendor.github-workflows", WORKFLOWS),
        ("vendor.github-actions", [ACTION]),
        ("vendor.gitlab-ci", [GITLAB, GITLAB_FLEET]),
        ("vendor.dependabot", [ROOT / ".github" / "dependabot.yml"]),
        ("vendor.github-issue-config", [ISSUES / "config.yml"]),
        ("vendor.github-issue-forms", [ISSUES / "bug.yml", ISSUES / "idea.yml"]),
    ],
)
def test_workflows_action_and_pipeline_match_their_schemas(schema: str, files: list[Path]) -> None:
    assert lint_schema(schema, *files) == ""


def test_the_projects_own_hooks_are_valid() -> None:
    assert lint(tool("pre-commit"), "validate-config", ROOT / ".pre-commit-config.yaml") == ""


def test_the_kubernetes_job_matches_the_schema_of_its_version() -> None:
    assert lint_kubernetes(KUBERNETES) == ""


def test_the_schema_of_kubernetes_rejects_a_misspelled_field(tmp_path: Path) -> None:
    misspelled = tmp_path / "job.yaml"
    misspelled.write_text(KUBERNETES.read_text().replace("podReplacementPolicy", "podReplacementPolicies"))
    assert "podReplacementPolicies" in lint_kubernetes(misspelled)


@pytest.mark.parametrize("file", [*WORKFLOWS, ACTION], ids=lambda file: str(file.relative_to(ROOT)))
def test_every_action_of_others_is_pinned_to_a_commit(file: Path) -> None:
    used = re.findall(r"uses: *(\S+)", file.read_text(encoding="utf-8"))
    assert [one for one in used if one != RELEASE and not re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", one)] == []


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: str(file.relative_to(ROOT)))
def test_every_workflow_starts_without_permissions(file: Path) -> None:
    assert "\npermissions: {}\n" in file.read_text(encoding="utf-8")


@pytest.mark.parametrize("file", [ACTION, *WORKFLOWS], ids=lambda file: str(file.relative_to(ROOT)))
def test_no_expression_reaches_a_shell(file: Path) -> None:
    assert [script for script in scripts(yaml.safe_load(file.read_text(encoding="utf-8"))) if "${{" in script] == []


def uses(name: str) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Each use of reconciler in an example workflow, with its job."""
    workflow = yaml.safe_load((ROOT / "examples" / "github" / name).read_text(encoding="utf-8"))
    return [
        (job, step)
        for job in workflow["jobs"].values()
        for step in job["steps"]
        if str(step.get("uses")).startswith("email-account-reconciler/reconciler@")
    ]


@pytest.mark.parametrize("name", ["apply.yml", "drift.yml", "plan.yml"])
def test_example_workflows_give_passwords_to_the_environment_only(name: str) -> None:
    for job, step in uses(name):
        given = step["with"]
        # With a URL from here, no URL in the YAML gets the key.
        assert given["url"] == "https://fw.example.com"
        if given["command"] == "apply":
            assert job["environment"] == "production"
            assert given["trust"] == "${{ runner.temp }}/trust.yaml"
            assert given["plan-file"].startswith("${{ runner.temp }}/")
        else:
            assert "environment" not in job
            assert (given["command"], given["no-secrets"]) == ("plan", "true")
            assert list(step["env"]) == ["RECONCILER_REFRESH_TOKEN"]


def test_the_fleet_workflow_gives_passwords_to_the_environment_only() -> None:
    (plan_job, plan), *applies = uses("fleet.yml")
    assert "environment" not in plan_job
    assert (plan["with"]["command"], plan["with"]["no-secrets"]) == ("plan", "true")
    assert "FLEET_PASSWORDS" not in str(plan_job)
    assert [step["with"]["args"] for _, step in applies] == [
        "--select ring=canary",
        "--select ring!=canary --shard ${{ matrix.shard }}",
    ]
    for job, step in applies:
        assert job["environment"] == "production"
        assert step["with"]["trust"] == "${{ runner.temp }}/trust.yaml"
        assert step["with"]["plan-file"].startswith("${{ runner.temp }}/")


def test_the_shards_of_every_example_are_the_whole_fleet() -> None:
    github = yaml.safe_load((ROOT / "examples" / "github" / "fleet.yml").read_text(encoding="utf-8"))
    shards = [Shard.parse(one, {}) for one in github["jobs"]["shards"]["strategy"]["matrix"]["shard"]]
    assert shards == [Shard(index, len(shards)) for index in range(1, len(shards) + 1)]
    gitlab = yaml.safe_load(GITLAB_FLEET.read_text(encoding="utf-8"))["shards"]
    assert gitlab["parallel"] > 1
    assert gitlab["variables"]["SERVERS"].endswith("--shard auto")
    spec = yaml.safe_load(KUBERNETES.read_text(encoding="utf-8"))["spec"]
    (container,) = spec["template"]["spec"]["containers"]
    assert (spec["completionMode"], spec["backoffLimitPerIndex"]) == ("Indexed", 0)
    assert spec["podReplacementPolicy"] == "Failed"
    assert {"name": "JOB_COMPLETIONS", "value": str(spec["completions"])} in container["env"]


def test_the_kubernetes_job_runs_a_valid_command_and_takes_secrets_as_files(monkeypatch: pytest.MonkeyPatch) -> None:
    pod = yaml.safe_load(KUBERNETES.read_text(encoding="utf-8"))["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    program, command, *arguments = container["command"]
    assert program == "reconciler"
    parsed = cli.get_command(click.Context(cli), command)
    assert parsed
    monkeypatch.setenv("JOB_COMPLETION_INDEX", "0")
    monkeypatch.setenv("JOB_COMPLETIONS", "16")
    parsed.make_context(command, list(arguments))
    assert [one for one in container["env"] if "valueFrom" in one] == []
    assert "envFrom" not in container
    mounted = {one["name"]: one["mountPath"] for one in container["volumeMounts"]}
    assert mounted["secrets"] == "/run/secrets"
    assert arguments[arguments.index("--trust") + 1].startswith(f"{mounted['trust']}/")


def test_the_gitlab_fleet_plans_without_passwords_and_applies_with_a_trust_file() -> None:
    jobs = yaml.safe_load(GITLAB_FLEET.read_text(encoding="utf-8"))
    assert [line for line in jobs["plan"]["script"] if "reconciler" in line and "--no-secrets" not in line] == []
    assert jobs[".apply"]["environment"] == "production"
    assert jobs[".apply"]["script"][0].startswith('test -s "$RECONCILER_TRUST" || ')
    assert (jobs["canaries"]["extends"], jobs["shards"]["extends"]) == (".apply", ".apply")
    assert "canaries" in jobs["shards"]["needs"]


def test_the_gitlab_example_plans_without_passwords_and_applies_with_a_trust_file() -> None:
    jobs = yaml.safe_load(GITLAB.read_text(encoding="utf-8"))
    plans = [line for job in ("plan", "drift") for line in jobs[job]["script"]]
    assert plans
    assert [line for line in plans if "--no-secrets" not in line] == []
    assert jobs["apply"]["environment"] == "production"
    assert jobs["apply"]["script"][0].startswith('test -s "$RECONCILER_TRUST" || ')
    foreign = "$CI_MERGE_REQUEST_SOURCE_PROJECT_ID && $CI_MERGE_REQUEST_SOURCE_PROJECT_ID != $CI_PROJECT_ID"
    assert {"if": foreign, "when": "never"} in jobs["plan"]["rules"]


def scripts(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("run"), str):
            yield value["run"]
        for one in value.values():
            yield from scripts(one)
    elif isinstance(value, list):
        for one in value:
            yield from scripts(one)
