"""Masks are never written back, whatever they look like; ``policy.passwords`` overrides what is detected."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.support.accounts_api import AccountsApi, Row, account_json
from tests.support.scripted_server import Reply, Request, ScriptedServer, json_reply

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.cli_runner import CliProcess
    from tests.support.scripted_server import Step

MASKS = ["********", "●●●●", "····", "xxxxxxxx", "<hidden>", "[REDACTED]", "ce******", "********\n", " XXXXXX\r\n"]
ACCOUNT = account_json(
    "certs@example.com", hash_auth=True, smtp_port=587, smtp_crypt="starttls", api_key="●●●●", zone=1
)
DECLARED = """version: 1
policy: {{passwords: {policy}}}
accounts:
  - {{email: certs@example.com, name: New name, service: other, smtp_server: smtp.example.com{more}}}
"""


class MaskingServer(ScriptedServer):
    """Holds one account, and shows its password as ``mask``; ``held`` is what it really has."""

    def __init__(self, mask: object) -> None:
        self.mask = mask
        self.held: dict[str, object] = {**ACCOUNT, "id": 1, "password": "the real one", "api_key": "real, too"}
        super().__init__(respond=self._answer)

    @property
    def puts(self) -> list[dict[str, object]]:
        return [json.loads(request.body) for request in self.requests if request.method == "PUT"]

    def _answer(self, request: Request) -> Reply:
        if request.method == "PUT":
            self.held = {**self.held, **json.loads(request.body)}
        if request.path.endswith("/test"):
            return Reply(200)
        shown = {**self.held, "password": self.mask, "api_key": "●●●●"}
        return json_reply([shown] if request.path.endswith("accounts") else shown)


@pytest.fixture(params=MASKS)
def masking(request: pytest.FixtureRequest, user: CliProcess) -> Iterator[MaskingServer]:
    with MaskingServer(request.param) as server:
        user.environ |= {"RECONCILER_URL": server.url, "RECONCILER_TOKEN": "token", "P": "the declared one"}
        yield server


def applied(user: CliProcess, *, policy: str = "auto", more: str = "") -> tuple[int, str]:
    user.write("accounts.yaml", DECLARED.format(policy=policy, more=more))
    done = user.run("apply", "accounts.yaml", "--auto-approve")
    return done.code, done.out + done.err


def test_a_mask_is_not_written_back(user: CliProcess, masking: MaskingServer) -> None:
    code, text = applied(user)
    assert (code, masking.puts, masking.held["password"]) == (1, [], "the real one")
    assert "the server hides its password and none is declared" in text


def test_the_declared_password_is_written_in_place_of_a_mask(user: CliProcess, masking: MaskingServer) -> None:
    code, _ = applied(user, more=", password: {env: P}")
    (put,) = masking.puts
    assert (code, put["name"], put["password"]) == (0, "New name", "the declared one")
    assert ("api_key" in put, put["zone"]) == (False, 1)


def test_a_declared_password_that_looks_like_a_mask_is_compared(user: CliProcess) -> None:
    with MaskingServer("********") as server:
        user.environ |= {"RECONCILER_URL": server.url, "RECONCILER_TOKEN": "token", "P": "********"}
        assert applied(user, more=", password: {env: P}")[0] == 0
        done = user.run("plan", "accounts.yaml", "--detailed-exitcode")
    assert (done.code, "hides" in done.err + done.out) == (0, False)
    assert [put["password"] for put in server.puts] == ["********"]


def test_policy_shown_trusts_every_password_from_the_server(user: CliProcess, masking: MaskingServer) -> None:
    assert applied(user, policy="shown")[0] == 0
    assert [put["password"] for put in masking.puts] == [masking.mask]


def test_policy_hidden_ignores_every_password_from_the_server(user: CliProcess) -> None:
    with MaskingServer("looks real") as server:
        user.environ |= {"RECONCILER_URL": server.url, "RECONCILER_TOKEN": "token", "P": "the declared one"}
        assert (applied(user, policy="hidden")[0], server.puts) == (1, [])
        assert applied(user, policy="hidden", more=", password: {env: P}")[0] == 0
        done = user.run("plan", "accounts.yaml", "--detailed-exitcode")
    assert [put["password"] for put in server.puts] == ["the declared one"]
    assert (done.code, "the server hides 1 declared password" in done.err + done.out) == (0, True)


def test_a_delivery_test_needs_the_declared_password(user: CliProcess, masking: MaskingServer) -> None:
    user.write("accounts.yaml", DECLARED.format(policy="auto", more=""))
    done = user.run("test", "accounts.yaml", "--to-email", "ops@example.com")
    assert done.code != 0
    assert [request.line for request in masking.requests if request.method == "POST"] == []


def test_an_export_refers_to_a_masked_password(user: CliProcess, masking: MaskingServer) -> None:
    done = user.run("export")
    assert (done.code, "CERTS_EXAMPLE_COM_PASSWORD" in done.out) == (0, True)
    assert str(masking.mask).strip() not in done.out


def test_an_unknown_password_policy_is_an_error(user: CliProcess) -> None:
    user.write("accounts.yaml", DECLARED.format(policy="visible", more=""))
    done = user.run("validate", "accounts.yaml")
    assert done.code == 1
    assert "accounts.yaml:2:21" in done.err


def test_an_account_created_meanwhile_is_in_place(user: CliProcess) -> None:
    api = AccountsApi()
    held: Row = {**ACCOUNT, "password": "********"}

    def appears(_request: Request, count: int) -> Step | None:
        if count == 2:
            api.add(**held)
        return None

    api.overrides["GET list"] = appears
    code, text = applied_at(api, user, "Certs")
    assert (code, "POST" in api.requests, "was in place already" in text) == (0, False, True), text


def test_an_unanswered_write_of_such_a_password_is_found_in_place(user: CliProcess) -> None:
    api = AccountsApi({**ACCOUNT, "password": "former"})

    def loses(request: Request, _count: int) -> Step:
        api.serve(request)
        return Reply(500)

    api.overrides["PUT 1"] = loses
    code, text = applied_at(api, user, "Certs")
    assert (code, "read again and found in place" in text) == (0, True), text


def applied_at(api: AccountsApi, user: CliProcess, name: str) -> tuple[int, str]:
    """Applies a declaration whose password looks like a mask."""
    with ScriptedServer(respond=api) as server:
        user.environ |= {"RECONCILER_URL": server.url, "RECONCILER_TOKEN": "token", "P": "********"}
        user.write(
            "accounts.yaml", DECLARED.format(policy="auto", more=", password: {env: P}").replace("New name", name)
        )
        done = user.run("apply", "accounts.yaml", "--auto-approve")
    return done.code, done.out + done.err
