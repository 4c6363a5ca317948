"""The example workflows, run by act one after the other as a team would; ``conftest.py`` says what is replaced."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.ci.conftest import ACCOUNTS, addresses, by_hand, example
from tests.support.accounts_api import account_json
from tests.support.github_api import BOT
from tests.support.workflow_runner import HEAD, ROOT, WorkflowResult, WorkflowRunner, pull_request

if TYPE_CHECKING:
    from pathlib import Path

    from reconciler.sandbox import Sandbox
    from tests.conftest import MakeSandbox

pytestmark = [pytest.mark.act, pytest.mark.timeout(240)]

AFTER_MERGE = ["alerts@example.com", "certs@example.com"]
DOWN = "http://127.0.0.1:1"
SERVER = """\
version: 1
server:
  name: {name}
  labels: {{ring: {ring}}}
  url: "{url}"
  auth: {{refresh_token: {{file: "{secrets}/{name}.key"}}}}
accounts:
  - email: alerts@{name}.example.com
    name: Alerts
    service: other
    smtp_server: smtp.example.com
    password: {{file: "{secrets}/{name}.alerts"}}
"""
FLEET_TRUST = """\
version: 1
servers:
  - url: "http://127.0.0.1:*"
    files: ["{secrets}/${{name}}.*"]
smtp_servers: [smtp.example.com]
"""
PUSH = {"ref": "refs/heads/main", "repository": {"full_name": "example-org/accounts", "default_branch": "main"}}


def drifted(runner: WorkflowRunner, sandbox: Sandbox) -> None:
    sandbox.seed([account_json("alerts@example.com", name="Old"), account_json("gone@example.com")])
    runner.write("accounts/accounts.yaml", ACCOUNTS)


def apply(runner: WorkflowRunner, sandbox: Sandbox, event: str = "push") -> WorkflowResult:
    return runner.run(example("apply.yml", sandbox), event, PUSH, run_id=12)


def test_what_was_reviewed_in_the_pull_request_is_applied_after_the_merge(
    runner: WorkflowRunner, sandbox: Sandbox
) -> None:
    drifted(runner, sandbox)
    planned = runner.run(example("plan.yml", sandbox), "pull_request", pull_request(), run_id=11)
    assert planned.succeeded, planned.log
    assert len(runner.github.comments) == 1
    assert [one.name for one in runner.github.artifacts.glob("*/*")] == ["plan.json"]
    runner.github.merged.append(HEAD)
    applied = apply(runner, sandbox)
    assert applied.succeeded, applied.log
    assert addresses(sandbox) == AFTER_MERGE
    assert (runner.github.artifacts / f"reconciler-plan-{HEAD}.run").read_text() == "11\n"
    assert not (runner.github.artifacts / "reconciler-plan.run").exists()
    assert "canary" not in planned.log + planned.summary + applied.log + applied.summary


def test_a_server_changed_since_the_review_needs_a_new_plan(runner: WorkflowRunner, sandbox: Sandbox) -> None:
    drifted(runner, sandbox)
    assert runner.run(example("plan.yml", sandbox), "pull_request", pull_request(), run_id=11).succeeded
    runner.github.merged.append(HEAD)
    by_hand(sandbox, "PUT", "/1", account_json("alerts@example.com", name="Changed meanwhile"))
    stale = apply(runner, sandbox)
    assert not stale.succeeded
    assert "the plan is not the reviewed one" in stale.log
    assert addresses(sandbox) == ["alerts@example.com", "gone@example.com"]
    by_hand_started = apply(runner, sandbox, "workflow_dispatch")
    assert by_hand_started.succeeded, by_hand_started.log
    assert addresses(sandbox) == AFTER_MERGE


def test_an_artifact_of_a_fork_is_not_a_reviewed_plan(runner: WorkflowRunner, sandbox: Sandbox) -> None:
    drifted(runner, sandbox)
    assert runner.run(example("plan.yml", sandbox), "pull_request", pull_request(), run_id=11).succeeded
    runner.github.merged.append(HEAD)
    runner.github.artifact_repository = 666
    ran = apply(runner, sandbox)
    assert ran.succeeded, ran.log
    assert "No reviewed plan was found" in ran.log
    assert (runner.github.artifacts / "reconciler-plan.run").read_text() == "12\n"


def test_a_merged_pull_request_sends_no_password_to_an_outsider(runner: WorkflowRunner, sandbox: Sandbox) -> None:
    runner.write("accounts/accounts.yaml", ACCOUNTS.replace("smtp.example.com", "smtp.evil.example", 1))
    ran = apply(runner, sandbox, "workflow_dispatch")
    assert not ran.succeeded
    assert "not_trusted" in ran.log
    assert "smtp.evil.example" in ran.log
    assert addresses(sandbox) == []


def test_apply_needs_the_trust_file_of_the_environment(runner: WorkflowRunner, sandbox: Sandbox) -> None:
    drifted(runner, sandbox)
    del runner.secrets["RECONCILER_TRUST_FILE"]
    ran = apply(runner, sandbox, "workflow_dispatch")
    assert not ran.succeeded
    assert "the environment production has no secret RECONCILER_TRUST_FILE" in ran.log
    assert addresses(sandbox) == ["alerts@example.com", "gone@example.com"]


def test_a_fleet_is_planned_once_and_applied_in_shards_after_its_canaries(
    runner: WorkflowRunner, make_sandbox: MakeSandbox, tmp_path: Path
) -> None:
    boxes = {f"b{number:03}": make_sandbox() for number in range(1, 6)}
    secrets = tmp_path / "run-secrets"
    workflow = (ROOT / "examples" / "github" / "fleet.yml").read_text(encoding="utf-8")
    workflow = workflow.replace("/run/secrets", str(secrets)).replace("sudo ", "")
    # Without a trust file, references lead to /run/secrets or this folder only.
    workflow = workflow.replace("permissions: {}\n", f"env: {{CREDENTIALS_DIRECTORY: {secrets}}}\npermissions: {{}}\n")
    workflow = workflow.replace("          paths: fleet\n", "          paths: fleet\n          version: installed\n")
    for name, box in boxes.items():
        ring = "canary" if name == "b001" else "rest"
        runner.write(f"fleet/{name}.yaml", SERVER.format(name=name, ring=ring, url=box.url, secrets=secrets))
    runner.write("fleet/down.yaml", SERVER.format(name="down", ring="rest", url=DOWN, secrets=secrets))
    runner.secrets |= {
        "FLEET_KEYS": json.dumps({f"{name}.key": box.refresh_token for name, box in [*boxes.items(), ("down", box)]}),
        "FLEET_PASSWORDS": json.dumps({f"{name}.alerts": "password-canary" for name in [*boxes, "down"]}),
        "RECONCILER_TRUST_FILE": FLEET_TRUST.format(secrets=secrets),
    }

    planned = runner.run(workflow, "pull_request", pull_request())
    assert not planned.succeeded  # because of the server that is down
    (comment,) = runner.github.comments
    assert "### Plan for 6 servers" in comment["body"]
    assert [box.accounts() for box in boxes.values()] == [[]] * 5

    applied = runner.run(workflow, "push", PUSH)
    assert "password-canary" not in planned.log + planned.summary + applied.log + applied.summary
    assert {name: len(box.accounts()) for name, box in boxes.items()} == dict.fromkeys(boxes, 1), applied.log


def test_drift_opens_one_issue_and_closes_it_once_it_is_gone(runner: WorkflowRunner, sandbox: Sandbox) -> None:
    runner.write("accounts/accounts.yaml", ACCOUNTS)
    drift = example("drift.yml", sandbox)
    issues = runner.github.issues

    assert runner.run(drift, "schedule", {}).succeeded
    assert [(one["number"], one["title"], one["state"]) for one in issues] == [
        (50, "Email accounts have drifted: 2 to create, 0 to update, 0 to delete", "open")
    ]
    marker = issues[0]["body"].splitlines()[0]
    issues.append({"number": 60, "state": "open", "user": {"type": "User"}, "body": marker, "title": "Forged"})
    issues.append({"number": 61, "state": "open", "user": BOT, "body": marker, "pull_request": {}, "title": "A pull"})

    # The password is not compared, so only the name is a change.
    by_hand(sandbox, "POST", body=account_json("certs@example.com", name="Former", hash_auth=True, password="x"))
    assert runner.run(drift, "schedule", {}).succeeded
    assert issues[0]["title"] == "Email accounts have drifted: 1 to create, 1 to update, 0 to delete"

    runner.write("accounts/accounts.yaml", "version: 1\naccounts: 7\n")
    assert not runner.run(drift, "schedule", {}).succeeded
    assert issues[0]["state"] == "open"

    runner.write(
        "accounts/accounts.yaml",
        "version: 1\ndefaults: {service: other, smtp_server: smtp.example.com}\n"
        "accounts: [{email: certs@example.com, name: Former}]\n",
    )
    gone = runner.run(drift, "schedule", {})
    assert gone.succeeded, gone.log
    assert [(one["number"], one["state"]) for one in issues] == [(50, "closed"), (60, "open"), (61, "open")]
    assert "The drift is gone" in runner.github.comments[-1]["body"]
