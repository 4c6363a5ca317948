"""The action, run by act; ``conftest.py`` says what is not as on GitHub."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.ci.conftest import ACCOUNTS, addresses, by_hand
from tests.support.accounts_api import account_json
from tests.support.github_api import BOT
from tests.support.workflow_runner import WorkflowResult, WorkflowRunner, pull_request

if TYPE_CHECKING:
    from reconciler.sandbox import Sandbox

pytestmark = pytest.mark.act

WORKFLOW = """\
on: [pull_request, pull_request_target]
jobs:
  job:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@08c6903cd8c0fde910a37f88322edcfb5dd907a8 # v5.0.0
      - uses: email-account-reconciler/reconciler@v0.1.0
        id: used
        with:
WITH
        env:
          RECONCILER_REFRESH_TOKEN: ${{ secrets.RECONCILER_REFRESH_TOKEN }}
          CERTS_PASSWORD: ${{ secrets.CERTS_PASSWORD }}
"""


def use(
    runner: WorkflowRunner, sandbox: Sandbox, *, event: str = "pull_request", fork: bool = False, **inputs: str
) -> WorkflowResult:
    given = {"paths": "accounts", "url": sandbox.url, "version": "installed", "comment": "true"}
    given |= {name.replace("_", "-"): value for name, value in inputs.items()}
    text = WORKFLOW.replace(
        "WITH", "\n".join(f"          {name}: {json.dumps(value)}" for name, value in given.items())
    )
    payload = pull_request(repository="stranger/accounts") if fork else pull_request()
    ran = runner.run(text, event, payload)
    assert "canary" not in ran.log + ran.summary
    assert sandbox.refresh_token not in ran.log + ran.summary
    return ran


def outputs(ran: WorkflowResult) -> dict[str, str]:
    # act shows outputs of the inner steps too.
    found = ran.outputs.get("used", {})
    return {name: found.get(name, "") for name in ("changes", "create", "update", "delete")}


def drifted(runner: WorkflowRunner, sandbox: Sandbox) -> None:
    """One account to create, one to update, one to delete."""
    sandbox.seed([account_json("alerts@example.com", name="Old"), account_json("gone@example.com")])
    runner.write("accounts/accounts.yaml", ACCOUNTS)


def test_plan_sets_outputs_adds_a_summary_and_comments_once(runner: WorkflowRunner, sandbox: Sandbox) -> None:
    drifted(runner, sandbox)
    first = use(runner, sandbox, command="plan")
    assert first.succeeded
    assert outputs(first) == {"changes": "true", "create": "1", "update": "1", "delete": "1"}
    assert first.outputs["used"]["plan-file"].endswith("plan.json")
    (comment,) = runner.github.comments
    lines = comment["body"].splitlines()
    assert first.summary.splitlines()[2:5] == lines[3:6]
    by_hand(sandbox, "POST", body=account_json("more@example.com"))
    assert outputs(use(runner, sandbox, command="plan", args="--max-deletes 2"))["delete"] == "2"
    assert [one["id"] for one in runner.github.comments] == [comment["id"]]
    assert "more&#64;" in comment["body"]
    assert comment["body"].splitlines()[0] == lines[0]


def test_a_comment_by_somebody_else_is_left_alone(runner: WorkflowRunner, sandbox: Sandbox) -> None:
    drifted(runner, sandbox)
    use(runner, sandbox, command="plan")
    (ours,) = runner.github.comments
    forged = {"id": 1, "user": {"login": "mallory", "type": "User"}, "body": ours["body"]}
    padding = [{"id": 2, "user": BOT, "body": f"Unrelated {number}"} for number in range(150)]
    runner.github.comments[:] = [forged, *padding, ours]
    use(runner, sandbox, command="plan")
    assert runner.github.written[1:] == [f"PATCH /repos/example-org/accounts/issues/comments/{ours['id']}"]


def test_a_failure_replaces_the_comment_and_the_next_plan_replaces_it(runner: WorkflowRunner, sandbox: Sandbox) -> None:
    drifted(runner, sandbox)
    use(runner, sandbox, command="plan")
    runner.write("accounts/accounts.yaml", "version: 1\naccounts: 7\n")
    failed = use(runner, sandbox, command="plan")
    assert not failed.succeeded
    assert "There is no plan" in failed.summary
    (comment,) = runner.github.comments
    assert "There is no plan" in comment["body"]
    assert set(outputs(failed).values()) == {""}
    runner.write("accounts/accounts.yaml", ACCOUNTS)
    use(runner, sandbox, command="plan")
    assert runner.github.comments == [comment]
    assert "Plan for" in comment["body"]


def test_without_permission_to_comment_the_plan_is_still_made(runner: WorkflowRunner, sandbox: Sandbox) -> None:
    drifted(runner, sandbox)
    runner.github.refuse = True
    ran = use(runner, sandbox, command="plan")
    assert ran.succeeded
    assert "pull-requests: write" in ran.log


@pytest.mark.parametrize("event", ["pull_request", "pull_request_target"])
@pytest.mark.parametrize("command", ["plan", "apply"])
def test_a_fork_gets_its_yaml_validated_and_the_summary_says_so(
    runner: WorkflowRunner, sandbox: Sandbox, command: str, event: str
) -> None:
    drifted(runner, sandbox)
    ran = use(runner, sandbox, command=command, event=event, fork=True, args="--allow-commands")
    assert ran.succeeded
    assert ran.summary.splitlines()[0] == f"### reconciler: {command} skipped"
    assert "comes from a fork" in ran.summary
    assert "it is valid." in ran.summary
    assert (runner.github.server.lines, len(addresses(sandbox))) == ([], 2)


def test_a_fork_with_bad_yaml_fails(runner: WorkflowRunner, sandbox: Sandbox) -> None:
    runner.write("accounts/accounts.yaml", "version: 1\naccounts: 7\n")
    ran = use(runner, sandbox, command="plan", fork=True)
    assert not ran.succeeded
    assert "it is not valid" in ran.summary


def test_apply_counts_the_applied_changes(runner: WorkflowRunner, sandbox: Sandbox) -> None:
    drifted(runner, sandbox)
    ran = use(runner, sandbox, command="apply", comment="false")
    assert ran.succeeded
    assert outputs(ran) == {"changes": "true", "create": "1", "update": "1", "delete": "1"}
    assert addresses(sandbox) == ["alerts@example.com", "certs@example.com"]
    again = use(runner, sandbox, command="apply", comment="false")
    assert outputs(again) == {"changes": "false", "create": "0", "update": "0", "delete": "0"}
    assert runner.github.server.lines == []


def test_apply_refuses_a_plan_that_is_not_the_reviewed_one(runner: WorkflowRunner, sandbox: Sandbox) -> None:
    drifted(runner, sandbox)
    planned = use(runner, sandbox, command="plan", plan_file="/dev/null/nowhere", comment="false")
    assert not planned.succeeded
    reviewed = str(runner.folder / "reviewed.json")
    assert use(runner, sandbox, command="plan", plan_file=reviewed, comment="false").succeeded
    by_hand(sandbox, "POST", body=account_json("new@example.com"))
    ran = use(runner, sandbox, command="apply", plan_file=reviewed, comment="false", args="--max-deletes 9")
    assert not ran.succeeded
    assert "the plan is not the reviewed one" in ran.log
    assert len(addresses(sandbox)) == 3


def test_validate_and_test_work(runner: WorkflowRunner, sandbox: Sandbox) -> None:
    drifted(runner, sandbox)
    assert use(runner, sandbox, command="validate").succeeded
    tried = use(runner, sandbox, command="test", args="--to-email ops@example.com --only 'alerts@*'")
    assert tried.succeeded, tried.log
    assert "Tests: 1 passed, 0 failed" in tried.summary
    assert [mail.recipients for mail in sandbox.mails()] == [("ops@example.com",)]


def test_hostile_inputs_are_only_arguments(runner: WorkflowRunner, sandbox: Sandbox) -> None:
    drifted(runner, sandbox)
    ran = use(runner, sandbox, command="plan", paths='"$(touch pwned)" `id` ; --help', comment="false")
    assert not ran.succeeded
    assert "Usage:" not in ran.log
    ran = use(runner, sandbox, command="destroy")
    assert "`command: destroy` is unknown" in ran.log


@pytest.mark.parametrize(("version", "complaint"), [("1.2.3", "pip cannot install"), ("--pre x", "pip cannot install")])
def test_a_version_that_pip_cannot_install_is_refused(
    runner: WorkflowRunner, sandbox: Sandbox, version: str, complaint: str
) -> None:
    ran = use(runner, sandbox, command="plan", version=version)
    assert not ran.succeeded
    assert complaint in ran.log


@pytest.mark.timeout(300)
def test_the_action_installs_itself_and_hides_the_secrets_from_the_installation(
    runner: WorkflowRunner, sandbox: Sandbox
) -> None:
    drifted(runner, sandbox)
    # In the repository of a pull request anybody can put a module where Python looks first.
    for name in ("pip", "venv", "json", "workflow", "reconciler"):
        runner.write(f"{name}.py", "raise SystemExit('imported from the repository')")
    ran = use(runner, sandbox, command="plan", version="")
    assert ran.succeeded, ran.log
    assert outputs(ran) == {"changes": "true", "create": "1", "update": "1", "delete": "1"}
