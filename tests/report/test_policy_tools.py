"""``--format tfplan`` and the example policies, with tools that were not written with this program in mind."""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from reconciler.model.account import Globs
from reconciler.model.desired import Policy
from reconciler.model.plan import Plan
from reconciler.report.formats import Format, PlanInput, renderer
from tests.report.fleets import small
from tests.report.plans import CONTEXT, PLANS, SERVER, account, declared, mixed, plan_of

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.policy

POLICY = Path(__file__).parents[2] / "examples" / "policy"
COMPLIANCE = Path(sys.executable).with_name("terraform-compliance")
ABSENT = "the extra `compliance` is not installed"


def tfplan(*plans: Plan) -> str:
    return renderer("plan", Format.TFPLAN)(PlanInput(plans=plans, of_fleet=len(plans) > 1), CONTEXT)


def needs(installed: bool) -> None:
    if not installed:
        if os.environ.get("CI") == "true":
            pytest.fail(ABSENT)
        pytest.skip(ABSENT)


def unencrypted() -> Plan:
    wanted = [declared(4, "open@example.com", smtp_crypt="none"), declared(9, "fine@example.com")]
    return plan_of(wanted, [], Policy())


def already_unencrypted() -> Plan:
    """The account that breaks the rule is not changed by the plan."""
    one = account("open@example.com", 1, smtp_crypt="none")
    wanted = declared(4, "open@example.com")._replace(account=one._replace(id=None))
    return plan_of([wanted, declared(9, "new@example.com")], [one], Policy())


def only_ignored() -> Plan:
    """The account that breaks the rule is not ours."""
    one = account("open@example.com", 1, smtp_crypt="none")
    return plan_of([declared(9, "new@example.com")], [one], Policy(ignore=Globs(("open@*",))))


CASES: dict[str, tuple[Callable[[], tuple[Plan, ...]], list[str]]] = {
    "mixed": (lambda: (mixed(),), []),
    "many": (lambda: (PLANS["many"](),), []),
    "no_change": (lambda: (PLANS["no_change"](),), []),
    "unencrypted": (lambda: (unencrypted(),), ["open@example.com"]),
    "already_unencrypted": (lambda: (already_unencrypted(),), ["open@example.com"]),
    "only_ignored": (lambda: (only_ignored(),), []),
    "fleet": (small, []),
    "unencrypted_fleet": (lambda: (*small(), unencrypted()), ["open@example.com"]),
    "already_unencrypted_fleet": (lambda: (*small(), already_unencrypted()), ["open@example.com"]),
}


@pytest.mark.parametrize("name", CASES)
def test_terraform_compliance_holds_the_example_policy(name: str, tmp_path: Path) -> None:
    needs(COMPLIANCE.exists())
    make, offenders = CASES[name]
    (tmp_path / "plan.json").write_text(tfplan(*make()), encoding="utf-8")
    done = subprocess.run(
        [COMPLIANCE, "--features", POLICY, "--planfile", tmp_path / "plan.json", "--no-ansi"],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONUTF8": "1"},
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    found = [one for one in ("open@example.com",) if f'email_account["{one}"]' in done.stdout]
    assert (done.returncode, found) == (1 if offenders else 0, offenders), done.stdout + done.stderr
    assert "1 features" in done.stdout


@pytest.mark.parametrize("name", [*CASES, "hostile"])
def test_a_rego_engine_holds_the_example_policy(name: str) -> None:
    needs(importlib.util.find_spec("regopy") is not None)
    make, offenders = CASES.get(name, (lambda: (PLANS["hostile"](),), []))
    engine = importlib.import_module("regopy").Interpreter()
    engine.add_module("encryption", (POLICY / "encryption.rego").read_text(encoding="utf-8"))
    engine.set_input(json.loads(tfplan(*make())))
    (answer,) = engine.query("data.main.deny").results
    assert sorted(answer.expressions[0]) == [f"{one} would send mail without encryption" for one in offenders]


def resources(plan: Plan) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(tfplan(plan))["planned_values"]["root_module"]["resources"]
    return found


def test_planned_values_has_every_account_as_it_will_be() -> None:
    assert [(one["address"], one["values"].get("id")) for one in resources(mixed())] == [
        ('email_account["alerts@example.com"]', 2),
        ('email_account["certs@example.com"]', 1),
        ('email_account["ci@example.com"]', 5),
        ('email_account["left@example.com"]', 7),
        ('data.email_account["legacy-a@example.com"]', 4),
        ('email_account["new@example.com"]', None),
        ('email_account["right@example.com"]', 8),
        ('data.email_account["root@example.com"]', 6),
        ('email_account["twin@example.com#9"]', 9),
        ('email_account["twin@example.com#10"]', 10),
    ]
    assert resources(mixed())[1]["values"]["smtp_port"] == 587


def test_the_rest_is_the_plan_document() -> None:
    subject = PlanInput(plans=(mixed(),))
    document, terraform = (json.loads(renderer("plan", one)(subject, CONTEXT)) for one in (Format.JSON, Format.TFPLAN))
    ours = {name: value for name, value in terraform.items() if name in document}
    assert ours == {**document, "format_version": "1.2"}
    assert sorted(terraform.keys() - document.keys()) == ["configuration", "planned_values", "terraform_version"]


def test_it_is_one_line_of_valid_unicode() -> None:
    text = tfplan(PLANS["hostile"]())
    assert text.count("\n") == 1
    assert "half \\ufffd a character" in text
    json.loads(text)["resource_changes"][0]["name"].encode()


def test_without_a_plan_there_are_no_accounts() -> None:
    assert json.loads(tfplan())["planned_values"] == {"root_module": {"resources": []}}


def test_an_empty_server_has_an_empty_plan() -> None:
    assert resources(Plan(server=SERVER)) == []
