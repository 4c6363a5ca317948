"""A saved plan when the server, the YAML or the options are not what they were at the review."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.support.accounts_api import AccountsApi
from tests.support.scripted_server import ScriptedServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.cli_runner import CliProcess

A = "  - {email: a@example.com, name: A, service: other, smtp_server: mx.example.com, password: {env: PW}}\n"
B = "  - {email: b@example.com, name: B, service: other, smtp_server: mx.example.com}\n"
FILE = "version: 1\naccounts:\n"
WRITES = ("POST", "PUT", "DELETE")


@pytest.fixture
def api() -> AccountsApi:
    """A server that hides passwords, with one account that has one, and one that has none."""
    api = AccountsApi(hides_passwords=True)
    api.add(email="a@example.com", name="A", hash_auth=True, password="leaked")
    api.add(email="b@example.com", name="B")
    return api


@pytest.fixture
def admin(user: CliProcess, api: AccountsApi) -> Iterator[CliProcess]:
    with ScriptedServer(respond=api) as server:
        user.environ |= {"RECONCILER_URL": server.url, "RECONCILER_TOKEN": "token", "PW": "declared-one"}
        yield user


def review(admin: CliProcess, text: str, *options: str) -> None:
    admin.write("a.yaml", FILE + text)
    done = admin.run("plan", "a.yaml", "--save", "plan.json", *options)
    assert done.code == 0, done.err


def writes(api: AccountsApi) -> list[str]:
    return [request for request in api.requests if request.startswith(WRITES)]


def compared(admin: CliProcess) -> str:
    """The sentence about the account that differs, after its address."""
    done = admin.run("apply", "a.yaml", "--plan", "plan.json", "-f", "json", "-q")
    assert done.code == 4, done.out
    _summary, problem = json.loads(done.out)["errors"]
    address, _, sentence = problem["message"].partition(": ")
    assert address == problem["address"]
    return str(sentence)


def test_passwords_to_rotate_are_not_in_place_if_the_option_is_forgotten(admin: CliProcess, api: AccountsApi) -> None:
    review(admin, A + B, "--rotate-passwords")
    assert compared(admin) == "reviewed: update (id 1), password changes, password_from env PW; now: (nothing)"
    assert writes(api) == []
    assert admin.run("apply", "a.yaml", "--plan", "plan.json", "--rotate-passwords").code == 0
    assert api.accounts[1]["password"] == "declared-one"


def test_a_password_is_not_rotated_twice_by_one_plan(admin: CliProcess, api: AccountsApi) -> None:
    review(admin, A + B, "--rotate-passwords")
    apply = ("apply", "a.yaml", "--plan", "plan.json", "--rotate-passwords")
    assert admin.run(*apply).code == 0
    again = admin.run(*apply)
    assert again.code == 4
    assert "updated_at" in again.err
    assert writes(api) == ["PUT 1"]


def test_a_plan_that_created_an_account_with_a_password_can_be_applied_again(
    admin: CliProcess, api: AccountsApi
) -> None:
    del api.accounts[1]
    review(admin, A + B)
    for note in ("", "in place already"):
        done = admin.run("apply", "a.yaml", "--plan", "plan.json")
        assert (done.code, note in done.out) == (0, True)
    assert "the server hides 1 declared password: counted as unchanged" in done.out
    assert len(writes(api)) == 1


def test_a_value_that_the_yaml_takes_back_is_a_difference(admin: CliProcess, api: AccountsApi) -> None:
    review(admin, A + B.replace("}", ", smtp_port: 2525}"))
    admin.write("a.yaml", FILE + A + B)
    assert compared(admin) == "reviewed: update (id 2), smtp_port 25 → 2525; now: (nothing)"
    assert writes(api) == []


def test_a_field_that_is_not_declared_is_shown_if_it_differs(admin: CliProcess, api: AccountsApi) -> None:
    review(admin, A + B.replace("name: B", "name: New"))
    api.edit(2, smtp_port=2525)
    assert admin.run("apply", "a.yaml", "--plan", "plan.json").err.startswith(
        "  b@example.com\n"
        "                           reviewed       now\n"
        "      action               update (id 2)  update (id 2)\n"
        '      name                 "B" → "New"    "B" → "New"\n'
        "    ! smtp_port            25             2525\n"
        "error: the plan is not the reviewed one: 1 account differs; nothing was written\n"
    )
    assert compared(admin) == (
        'reviewed: update (id 2), name "B" → "New", smtp_port 25; now: update (id 2), name "B" → "New", smtp_port 2525'
    )


def renamed(api: AccountsApi) -> None:
    api.edit(2, name="Important now")


def created_again(api: AccountsApi) -> None:
    api.add(account_id=2, email="b@example.com", name="B")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (renamed, 'reviewed: delete (id 2), name "B"; now: delete (id 2), name "Important now"'),
        (
            created_again,
            'reviewed: delete (id 2), created_at "2026-01-01T00:00:02Z"; now: delete (id 2), created_at'
            ' "2026-01-01T00:00:03Z"',
        ),
    ],
)
def test_an_account_that_is_not_the_reviewed_one_is_not_deleted(
    admin: CliProcess, api: AccountsApi, change: Callable[[AccountsApi], None], expected: str
) -> None:
    review(admin, A)
    change(api)
    assert compared(admin) == expected
    assert writes(api) == []


def test_a_hidden_password_that_somebody_changed_is_not_overwritten(admin: CliProcess, api: AccountsApi) -> None:
    review(admin, A.replace("name: A", "name: New") + B)
    api.edit(1, password="of the administrator")
    assert "updated_at" in compared(admin)
    assert api.accounts[1]["password"] == "of the administrator"


def test_the_time_of_a_change_alone_is_no_difference(admin: CliProcess, api: AccountsApi) -> None:
    review(admin, A + B.replace("name: B", "name: New"))
    api.edit(2)
    assert admin.run("apply", "a.yaml", "--plan", "plan.json").code == 0
    assert writes(api) == ["PUT 2"]


def test_a_saved_plan_is_found_if_the_single_server_is_selected(admin: CliProcess, api: AccountsApi) -> None:
    review(admin, A + B.replace("name: B", "name: New"))
    done = admin.run("apply", "a.yaml", "--plan", "plan.json", "--shard", "1/1", "-f", "json", "-q")
    assert (done.code, writes(api)) == (0, ["PUT 2"])
    assert [one["name"] for one in json.loads(done.out)["servers"]] == ["127.0.0.1"]


@pytest.mark.parametrize("option", ["--save", "--output"])
def test_an_empty_name_of_a_file_to_write_is_an_error(admin: CliProcess, api: AccountsApi, option: str) -> None:
    admin.write("a.yaml", FILE + A)
    done = admin.run("plan", "a.yaml", option, "")
    assert (done.code, done.out, api.requests) == (64, "", [])
    assert done.err.endswith("the name is empty. Check the variable that it comes from.\n")


def test_a_plan_without_times_is_applied(admin: CliProcess, api: AccountsApi) -> None:
    review(admin, A + B.replace("name: B", "name: New"))
    path = admin.folder / "plan.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    assert document["resource_changes"][0].pop("times") == {"created_at": "2026-01-01T00:00:02Z"}
    path.write_text(json.dumps(document), encoding="utf-8")
    assert admin.run("apply", "a.yaml", "--plan", "plan.json").code == 0
    assert writes(api) == ["PUT 2"]
