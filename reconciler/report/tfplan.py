"""The plan document with the fields that consumers of Terraform's JSON plan require.

https://developer.hashicorp.com/terraform/internals/json-format describes it. Accounts that the plan leaves alone are in
``planned_values`` as data sources, which Terraform only reads: a policy sees them, and can distinguish
them from the others.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any, Final, Literal

from reconciler.model.account import Account, label
from reconciler.report.json import Document, plan_document, to_json
from reconciler.report.view import public_fields, sensitive_fields

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconciler.model.plan import Plan
    from reconciler.report.formats import PlanInput, RenderContext

FORMAT_VERSION: Final = "1.2"
TERRAFORM_VERSION: Final = "1.9.0"
"""The release whose format this is; consumers check whether they support it."""

_PROVIDER: Final = "reconciler/email"


def render_plan(subject: PlanInput, context: RenderContext) -> str:
    """The plan, or why there is none, as Terraform would write it: on one line; terraform-compliance relies on that."""
    document = plan_document(subject, created_at=context.started_at)
    if subject.of_fleet:
        modules = [_module(plan) for plan in subject.plans]
        root = {"child_modules": modules}
        for change in document["resource_changes"]:
            change["module_address"] = f"module.{change['server']}"
    else:
        root = {"resources": _resources(subject.plan) if subject.plan else []}
    terraform: Document = {
        "format_version": FORMAT_VERSION,
        "terraform_version": TERRAFORM_VERSION,
        "planned_values": {"root_module": root},
        "configuration": {"root_module": {}},
    }
    return to_json(_without_surrogates({**document, **terraform}), indent=None)


def _without_surrogates(document: Document) -> Document:
    """The document with U+FFFD for unpaired surrogates, which strict readers refuse."""
    text = json.dumps(document, ensure_ascii=False)
    whole = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    found: Document = document if whole == text else json.loads(whole)
    return found


def _module(plan: Plan) -> Document:
    """The accounts of one of several servers."""
    address = f"module.{plan.server.name}"
    return {"address": address, "resources": _resources(plan, f"{address}.")}


def _resources(plan: Plan, module: str = "") -> list[Document]:
    """Every account as it will be, sorted by address and id."""
    found = sorted(_accounts(plan), key=lambda one: (one[0].key, one[0].id or 0))
    return [_resource(*one, module) for one in found]


def _accounts(plan: Plan) -> Iterator[tuple[Account, str, Literal["managed", "data"]]]:
    """The accounts with their labels; a change has its label already."""
    for change in plan.changes:
        if change.after:
            yield change.after, change.address, "managed"
    seen = _addresses(plan)
    for account in plan.unchanged:
        yield account, label(account.email, account.id, ambiguous=seen[account.key] > 1), "managed"
    for account in plan.untouched:
        yield account, label(account.email, account.id, ambiguous=seen[account.key] > 1), "data"


def _addresses(plan: Plan) -> Counter[str]:
    seen = Counter(account.key for account in (*plan.unchanged, *plan.untouched))
    for change in plan.changes:
        seen.update({account.key for account in (change.before, change.after) if account})
    return seen


def _resource(account: Account, address: str, mode: Literal["managed", "data"], module: str) -> dict[str, Any]:
    prefix = "data." if mode == "data" else ""
    return {
        "address": f"{module}{prefix}email_account[{json.dumps(address, ensure_ascii=False)}]",
        "mode": mode,
        "type": "email_account",
        "name": address,
        "provider_name": _PROVIDER,
        "schema_version": 0,
        "values": {**({} if account.id is None else {"id": account.id}), **public_fields(account)},
        "sensitive_values": sensitive_fields(account),
    }
