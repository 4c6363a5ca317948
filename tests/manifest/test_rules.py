# ruff: noqa: E501 - cases are tables, and messages are compared in the one line that they are printed in
from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from reconciler.manifest.reader import read_manifests

if TYPE_CHECKING:
    from tests.manifest.conftest import Complain, Write


@pytest.mark.parametrize(
    ("entries", "problems"),
    [
        (
            ["{email: a@example.com}"],
            [
                'missing_key | a.yaml:3:3: "name" is missing | every account has one, of its own or from the defaults',
                'missing_key | a.yaml:3:3: "service" is missing | every account has one, of its own or from the defaults',
            ],
        ),
        (
            ["{email: a@example.com, name: A, service: other, smtp_server: null}"],
            ["missing_smtp_server | a.yaml:3:3: service: other needs smtp_server | declare smtp_server"],
        ),
        (
            ["{email: a@example.com, name: A, service: gmail, has_auth: true, password: null}"],
            [
                "password_needed | a.yaml:3:77: has_auth: true needs a password, and password: null clears it "
                "| declare the password, leave the key out to keep the server's, or write has_auth: false"
            ],
        ),
        (
            ["{email: a@example.com, name: A, service: gmail, renamed_from: A@Example.com}"],
            [
                "renamed_to_itself | a.yaml:3:65: renamed_from is the account's own address "
                "| write the former address, or remove renamed_from"
            ],
        ),
        (
            ["{email: a@example.com, name: A, service: gmail, id: 1}", "{email: A@example.com, name: B, service: gmail}"],
            [
                "duplicate_account | a.yaml:4:11: this account is declared twice, also as a@example.com (the other is at a.yaml:3:11) "
                "| keep one of the two; if the server holds the address twice, pin each with its id"
            ],
        ),
        (
            ["{email: a@example.com, name: A, service: gmail, id: 1}", "{email: b@example.com, name: B, service: gmail, id: 1}"],
            ["duplicate_id | a.yaml:4:55: the id 1 is pinned twice (the other is at a.yaml:3:55) | an id belongs to one account"],
        ),
        (
            [
                "{email: a@example.com, name: A, service: gmail, default: true}",
                "{email: b@example.com, name: B, service: gmail, default: true}",
            ],
            [
                "several_defaults | a.yaml:4:60: there can be one default account (the other is at a.yaml:3:60) "
                "| set default: true on one account only"
            ],
        ),
        (
            [
                "{email: a@example.com, name: A, service: gmail, renamed_from: c@example.com}",
                "{email: b@example.com, name: B, service: gmail, renamed_from: C@example.com}",
            ],
            [
                "duplicate_renamed_from | a.yaml:4:65: two accounts cannot have the same renamed_from "
                "(the other is at a.yaml:3:65) | only one of them can be the renamed account"
            ],
        ),
    ],
)  # fmt: skip
def test_a_broken_rule_is_explained(complain: Complain, entries: list[str], problems: list[str]) -> None:
    assert complain("version: 1\naccounts:\n" + "".join(f"- {entry}\n" for entry in entries)) == problems


def test_one_address_may_have_several_pins(write: Write) -> None:
    text = """\
    version: 1
    accounts:
      - {email: a@example.com, name: A, service: gmail, id: 1}
      - {email: a@example.com, name: B, service: gmail, id: 2}
    """
    assert [entry.account.id for entry in read_manifests([write(text)]).accounts] == [1, 2]


def test_authentication_needs_no_password_in_the_file(write: Write) -> None:
    text = "version: 1\naccounts: [{email: a@example.com, name: A, service: gmail, has_auth: true}]\n"
    assert read_manifests([write(text)]).accounts[0].account.fields["has_auth"] is True


def test_a_default_by_defaults_makes_several_default_accounts(complain: Complain) -> None:
    text = """\
    version: 1
    defaults: {default: true, service: gmail}
    accounts:
      - {email: a@example.com, name: A}
      - {email: b@example.com, name: B}
    """
    assert complain(text) == [
        "several_defaults | a.yaml:2:21: this makes 2 accounts the default account, and only one can be "
        "| set default: true on one account only"
    ]


def test_an_account_cannot_be_declared_and_ignored(complain: Complain) -> None:
    text = """\
    version: 1
    policy: {ignore: ["*@OLD.example.com"]}
    accounts:
      - {email: a@old.example.com, name: A, service: gmail}
      - {email: b@example.com, name: B, service: gmail, renamed_from: b@old.example.com}
    """
    assert complain(text) == [
        'ignored_account | a.yaml:4:13: a@old.example.com matches "*@OLD.example.com" of policy.ignore: it is not ours '
        "| remove the account, or narrow the pattern",
        'ignored_account | a.yaml:5:67: b@old.example.com matches "*@OLD.example.com" of policy.ignore: it is not ours '
        "| remove the account, or narrow the pattern",
    ]


def test_wrong_defaults_cause_no_second_error_in_the_accounts(complain: Complain) -> None:
    text = """\
    version: 1
    defaults: {service: gmial}
    accounts: [{email: a@example.com, name: A}]
    """
    assert complain(text) == [
        'wrong_value | a.yaml:2:21: service: "gmial" is not allowed; allowed: gmail, outlook, other '
        '| did you mean "gmail"?'
    ]
    assert complain("version: 1\ndefaults: gmail\naccounts: [{email: a@example.com, name: A}]\n") == [
        "wrong_type | a.yaml:2:11: defaults: expected a mapping, found a string"
    ]
