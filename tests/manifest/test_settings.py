# ruff: noqa: E501 - cases are tables, and messages are compared in the one line that they are printed in
from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from reconciler.manifest.reader import read_manifests
from reconciler.model.account import Globs
from reconciler.model.desired import DeleteLimit, DeliveryTestSettings, DeliveryTestWhen, Policy
from reconciler.model.server import Passwords, RefreshToken, ServerConfig

if TYPE_CHECKING:
    from tests.manifest.conftest import Complain, Write

HEAD = "version: 1\naccounts: []\n"


def test_files_that_do_not_disagree_are_merged(write: Write) -> None:
    one = "server: {url: https://x, auth: {access_token: {env: A}}}\npolicy: {protect: [a, b], test: {when: before}}\n"
    two = "server: {url: https://X:443/, name: fw, auth: {access_token: {env: A}}}\npolicy: {protect: [b, a], prune: false, passwords: hidden}\n"
    three = "policy: {max_deletes: 3, test: {to_email: ops@example.com}}\n"
    names = [write(HEAD + text, f"{index}.yaml") for index, text in enumerate((one, two, three))]
    desired = read_manifests(names)
    assert desired.policy == Policy(
        prune=False,
        max_deletes=DeleteLimit(3, percent=False),
        protect=Globs(("a", "b")),
        test=DeliveryTestSettings(DeliveryTestWhen.BEFORE, "ops@example.com"),
    )
    assert desired.server == ServerConfig(
        url="https://x", name="fw", auth=desired.server.auth, passwords=Passwords.HIDDEN
    )


@pytest.mark.parametrize(
    ("one", "two", "problems"),
    [
        ("policy: {prune: true}", "policy: {prune: false}", ["b.yaml:3:17: policy.prune differs between files "
         "(the other is at a.yaml:3:17)"]),
        ("policy: {passwords: shown}", "policy: {passwords: hidden}", ["b.yaml:3:21: policy.passwords differs between files "
         "(the other is at a.yaml:3:21)"]),
        ("policy: {test: {when: off}}", "policy: {test: {when: after}}", ["b.yaml:3:23: policy.test.when differs between "
         "files (the other is at a.yaml:3:23)"]),
        ("server: {url: https://x, name: a}", "server: {url: https://x, name: b}", ["b.yaml:3:32: server.name differs between files "
         "(the other is at a.yaml:3:32)"]),
        ("server: {ca_file: a}", "server: {ca_file: b}", ["b.yaml:3:19: server.ca_file differs between files "
         "(the other is at a.yaml:3:19)"]),
        ("server: {url: https://x, auth: {access_token: {env: A}}}", "server: {url: https://x, auth: {refresh_token: {env: A}}}",
         ["b.yaml:3:32: server.auth differs between files (the other is at a.yaml:3:32)"]),
        ("server: {url: https://x, auth: {username: u, password: hunter2}}",
         "server: {url: https://x, auth: {username: u, password: hunter3}}",
         ["b.yaml:3:32: server.auth differs between files (the other is at a.yaml:3:32)"]),
        ("server: {url: https://x}\npolicy: {prune: true}", "server: {url: https://y}\npolicy: {prune: false}",
         ["b.yaml:3:15: these files declare 2 servers, and this takes one (the other is at a.yaml:3:15)"]),
    ],
)  # fmt: skip
def test_a_disagreement_names_both_files(complain: Complain, one: str, two: str, problems: list[str]) -> None:
    found = [problem.split(" | ")[1] for problem in complain(HEAD + one, HEAD + two)]
    assert found == problems


def test_one_file_that_is_named_in_two_folders_is_one_secret(write: Write) -> None:
    text = 'version: 1\nserver: {url: "https://x", auth: {refresh_token: {file: /run/secrets/key}}}\naccounts: []\n'
    auth = read_manifests([write(text, "a/accounts.yaml"), write(text, "b/accounts.yaml")]).server.auth
    assert isinstance(auth, RefreshToken)


def test_several_servers_have_a_kind_and_a_hint_of_their_own(complain: Complain) -> None:
    one = "version: 1\nserver: {url: https://x}\naccounts: [{email: a@example.com, name: A, service: gmail}]\n"
    assert complain(one, one.replace("//x", "//y")) == [
        "several_servers | b.yaml:2:15: these files declare 2 servers, and this takes one "
        "(the other is at a.yaml:2:15) | name the files of one server"
    ]


def test_an_account_in_two_files_is_named_in_both(complain: Complain) -> None:
    text = "version: 1\naccounts: [{email: a@example.com, name: A, service: gmail}]\n"
    assert complain(text, text) == [
        "duplicate_account | b.yaml:2:20: this account is declared twice (the other is at a.yaml:2:20) "
        "| keep one of the two; if the server holds the address twice, pin each with its id"
    ]
