"""The OpenAPI document, and whether the server conforms to it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from tests.sandbox.conftest import ACCOUNTS, access_token
from tests.support import plain_http
from tests.support.conformance import check_conformance

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import MakeSandbox

CONFIG = """
# The mail server may refuse settings that conform to the schema.
[[operations]]
include-path = "/api/email/accounts/test"
checks.positive_data_acceptance.expected-statuses = [200, 400]
"""

THOROUGH = os.environ.get("PROPERTY_PROFILE") == "thorough"
EVERY_RULE = {
    "auth_field": "has_auth",
    "passwords": "absent",
    "unique_names": True,
    "unique_emails": True,
    "single_default": True,
    "keep_default": True,
    "created_status": 201,
    "deleted_body": "true",
}


# The coverage phase sends 550 requests, for every boundary of every field: `make slow` runs it.
@pytest.mark.hypothesis
@pytest.mark.parametrize(
    ("options", "phases"),
    [({}, "coverage,fuzzing,stateful" if THOROUGH else "fuzzing,stateful"), (EVERY_RULE, "fuzzing")],
    ids=["plain", "with every rule"],
)
def test_schemathesis_finds_no_server_error_and_no_undocumented_response(
    make_sandbox: MakeSandbox, tmp_path: Path, options: dict[str, Any], phases: str
) -> None:
    sandbox = make_sandbox(**options)
    shown = check_conformance(
        sandbox.url,
        access_token(sandbox),
        tmp_path,
        f"--phases={phases}",
        f"--max-examples={6 if THOROUGH else 3}",
        config=CONFIG,
    )
    assert "Tested: 8" in shown


def described(sandbox_url: str) -> dict[tuple[str, str], list[str]]:
    document = plain_http.get(f"{sandbox_url}/openapi.json").json()
    return {
        (method.upper(), path): sorted(operation["responses"])
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    }


def test_the_document_lists_every_call_with_every_status(make_sandbox: MakeSandbox) -> None:
    assert described(make_sandbox().url) == {
        ("GET", ACCOUNTS): ["200", "401"],
        ("POST", ACCOUNTS): ["200", "400", "401", "409"],
        ("POST", f"{ACCOUNTS}/test"): ["200", "400", "401"],
        ("GET", f"{ACCOUNTS}/{{id}}"): ["200", "401", "404"],
        ("PUT", f"{ACCOUNTS}/{{id}}"): ["200", "400", "401", "404", "409"],
        ("DELETE", f"{ACCOUNTS}/{{id}}"): ["200", "401", "404", "409"],
        ("POST", "/api/v1/oauth2/token"): ["200", "400", "401"],
        ("POST", "/api/oauth2/token"): ["200", "400", "401"],
    }


def test_the_document_follows_the_options(make_sandbox: MakeSandbox) -> None:
    sandbox = make_sandbox(created_status=201, deleted_status=204, auth_field="both", passwords="absent")
    statuses = described(sandbox.url)
    assert statuses["POST", ACCOUNTS] == ["201", "400", "401", "409"]
    assert statuses["DELETE", f"{ACCOUNTS}/{{id}}"] == ["204", "401", "404", "409"]
    document = plain_http.get(f"{sandbox.url}/openapi.json").json()
    fields = document["components"]["schemas"]["AccountResponse"]["required"]
    assert {"hash_auth", "has_auth"} <= set(fields)
    assert "password" not in fields
