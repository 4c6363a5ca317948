from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.errors import ManifestError, Position, Problem, file_order
from reconciler.manifest.files import Source
from reconciler.manifest.parsed_file import ParsedFile, parse_file
from reconciler.manifest.positions import locate
from reconciler.manifest.reader import read_manifests
from reconciler.model.account import Account, Globs
from reconciler.model.desired import (
    DeleteLimit,
    DeliveryTestSettings,
    DeliveryTestWhen,
    Desired,
    DesiredAccount,
    Policy,
)
from reconciler.model.secret import Secret, SecretReference
from reconciler.model.server import AccessToken, Login, RefreshToken, ServerConfig
from tests.support.strategies import BOUNDED

if TYPE_CHECKING:
    from pathlib import Path

    from tests.manifest.conftest import Write

FULL = """\
version: 1
server:
  name: matriz
  url: HTTPS://FW.example.com:443/
  auth: {refresh_token: {env: FW_KEY}}
  ca_file: certs/private-ca.pem
policy:
  prune: false
  max_deletes: 30%
  protect: ["certs@*"]
  ignore: ["legacy-*@example.com"]
  test: {when: before, to_email: ops@example.com}
defaults:
  service: other
  smtp_crypt: starttls
  smtp_port: 587
  test: {when: off, to_email: lead@example.com}
accounts:
  - email: " certs@example.com "
    name: Contas
    default: true
    has_auth: true
    password: {command: [sops, -d, secrets.yaml]}
    smtp_server: smtp.example.com
    smtp_auth_mechanism: plain
  - email: alerts@example.com
    renamed_from: noc@example.com
    id: 12
    name: Alertas
    password: {file: secrets/alerts}
    smtp_server: 2001:db8::25
    smtp_port: null
    test: {when: after}
  - {email: plain@example.com, name: Plain, service: gmail, hash_auth: false, password: null}
"""


def test_everything_that_the_format_has_is_read(write: Write, folder: Path) -> None:
    name = write(FULL, "team/accounts.yaml")
    desired = read_manifests([name])
    assert [(e.position_of("service"), e.position_of("smtp_server")) for e in desired.accounts] == [
        (Position(name, 14, 12), Position(name, 24, 18)),
        (Position(name, 14, 12), Position(name, 31, 18)),
        (Position(name, 34, 54), Position(name, 34, 5)),
    ]
    accounts = tuple(entry._replace(positions={}) for entry in desired.accounts)
    assert replace(desired, accounts=accounts) == Desired(
        (
            DesiredAccount(
                Account(
                    {
                        "email": "certs@example.com",
                        "name": "Contas",
                        "default": True,
                        "service": "other",
                        "has_auth": True,
                        "password": SecretReference("command", ("sops", "-d", "secrets.yaml"), Position(name, 23, 15)),
                        "smtp_server": "smtp.example.com",
                        "smtp_port": 587,
                        "smtp_crypt": "starttls",
                        "smtp_auth_mechanism": "plain",
                    }
                ),
                Position(name, 19, 5),
                None,
                DeliveryTestSettings(DeliveryTestWhen.OFF, "lead@example.com"),
            ),
            DesiredAccount(
                Account(
                    {
                        "email": "alerts@example.com",
                        "name": "Alertas",
                        "default": False,
                        "service": "other",
                        "has_auth": True,
                        "password": SecretReference("file", ("secrets/alerts",), Position(name, 30, 15)),
                        "smtp_server": "2001:db8::25",
                        "smtp_port": None,
                        "smtp_crypt": "starttls",
                    },
                    12,
                ),
                Position(name, 26, 5),
                "noc@example.com",
                DeliveryTestSettings(DeliveryTestWhen.AFTER, "lead@example.com"),
            ),
            DesiredAccount(
                Account(
                    {
                        "email": "plain@example.com",
                        "name": "Plain",
                        "default": False,
                        "service": "gmail",
                        "has_auth": False,
                        "password": None,
                        "smtp_port": 587,
                        "smtp_crypt": "starttls",
                    }
                ),
                Position(name, 34, 5),
                None,
                DeliveryTestSettings(DeliveryTestWhen.OFF, "lead@example.com"),
            ),
        ),
        Policy(
            prune=False,
            max_deletes=DeleteLimit(30, percent=True),
            protect=Globs(("certs@*",)),
            ignore=Globs(("legacy-*@example.com",)),
            test=DeliveryTestSettings(DeliveryTestWhen.BEFORE, "ops@example.com"),
        ),
        ServerConfig(
            url="https://fw.example.com",
            name="matriz",
            auth=RefreshToken(SecretReference("env", ("FW_KEY",), Position(name, 5, 25))),
            ca_file=str(folder / "team/certs/private-ca.pem"),
        ),
    )


def test_fields_have_the_order_of_the_table(write: Write) -> None:
    name = write("version: 1\naccounts:\n- {smtp_port: 25, service: gmail, name: A, email: a@example.com}\n")
    assert list(read_manifests([name]).accounts[0].account.fields) == ["email", "name", "service", "smtp_port"]


def test_a_set_may_be_empty(write: Write) -> None:
    assert read_manifests([write("version: 1\naccounts: []\n")]) == Desired(())


def test_without_a_default_account_the_flag_is_not_managed(write: Write) -> None:
    text = """\
    version: 1
    accounts:
      - {email: a@example.com, name: A, service: gmail}
      - {email: b@example.com, name: B, service: gmail, default: false}
    """
    assert [dict(entry.account.fields) for entry in read_manifests([write(text)]).accounts] == [
        {"email": "a@example.com", "name": "A", "service": "gmail"},
        {"email": "b@example.com", "name": "B", "default": False, "service": "gmail"},
    ]


def test_a_default_account_in_one_file_settles_the_flag_in_all(write: Write) -> None:
    one = write("version: 1\naccounts: [{email: a@example.com, name: A, service: gmail, default: true}]\n", "a.yaml")
    two = write("version: 1\naccounts: [{email: b@example.com, name: B, service: gmail}]\n", "b.yaml")
    assert [entry.account.fields["default"] for entry in read_manifests([one, two]).accounts] == [True, False]


def test_a_single_account_may_be_the_default_by_defaults(write: Write) -> None:
    text = "version: 1\ndefaults: {default: true}\naccounts: [{email: a@example.com, name: A, service: gmail}]\n"
    assert read_manifests([write(text)]).accounts[0].account.is_default


def test_defaults_hold_for_their_own_file(write: Write) -> None:
    one = write("version: 1\ndefaults: {service: gmail}\naccounts: [{email: a@example.com, name: A}]\n", "a.yaml")
    two = write("version: 1\ndefaults: {service: outlook}\naccounts: [{email: b@example.com, name: B}]\n", "b.yaml")
    assert [entry.account.fields["service"] for entry in read_manifests([one, two]).accounts] == ["gmail", "outlook"]


def test_null_overrides_a_default(write: Write) -> None:
    text = """\
    version: 1
    defaults: {smtp_port: 587, password: {env: X}, hash_auth: true, service: gmail}
    accounts:
      - {email: a@example.com, name: A, smtp_port: null, password: null, has_auth: false}
      - {email: b@example.com, name: B}
    """
    name = write(text)
    reference = SecretReference("env", ("X",), Position(name, 2, 38))
    assert [dict(entry.account.fields) for entry in read_manifests([name]).accounts] == [
        {
            "email": "a@example.com",
            "name": "A",
            "service": "gmail",
            "has_auth": False,
            "password": None,
            "smtp_port": None,
        },
        {
            "email": "b@example.com",
            "name": "B",
            "service": "gmail",
            "has_auth": True,
            "password": reference,
            "smtp_port": 587,
        },
    ]


@pytest.mark.parametrize(
    ("auth", "expected"),
    [
        ("{access_token: sesame}", AccessToken(Secret("sesame"))),
        ("{refresh_token: sesame, access_token: null}", RefreshToken(Secret("sesame"))),
        ("{username: admin, password: sesame}", Login(Secret("admin"), Secret("sesame"))),
    ],
)
def test_literal_credentials_are_secrets_and_earn_a_warning(write: Write, auth: str, expected: object) -> None:
    name = write(f"version: 1\nserver:\n  url: http://127.0.0.1:8025\n  auth: {auth}\naccounts: []\n")
    desired = read_manifests([name])
    assert desired.server.auth == expected
    assert [(warning.kind, file_order(warning)[1]) for warning in desired.warnings] == [("literal_secret", 4)]
    assert "sesame" not in repr(desired)


def test_literal_passwords_are_secrets_and_earn_warnings(write: Write) -> None:
    text = """\
    version: 1
    defaults:
      password: sesame1
    accounts:
      - {email: a@example.com, name: A, service: gmail}
      - {email: b@example.com, name: B, service: gmail, password: sesame2}
    """
    name = write(text)
    desired = read_manifests([name])
    passwords = [entry.account.fields["password"] for entry in desired.accounts]
    assert passwords == [Secret("sesame1"), Secret("sesame2")]
    assert desired.warnings == (
        Problem(
            kind="literal_secret",
            message="the password of this entry is written into the file itself",
            hint="refer to it with {env: NAME}, {file: path} or {command: [program, argument]}",
            position=Position(name, 3, 3),
        ),
        Problem(
            kind="literal_secret",
            message="the password of this entry is written into the file itself",
            hint="refer to it with {env: NAME}, {file: path} or {command: [program, argument]}",
            address="b@example.com",
            position=Position(name, 6, 5),
        ),
    )


def test_accounts_of_one_name_earn_a_warning(write: Write) -> None:
    text = """\
    version: 1
    accounts:
      - {email: a@example.com, name: Same, service: gmail}
      - {email: b@example.com, name: Same, service: gmail}
    """
    assert [f"{warning.kind} {warning}" for warning in read_manifests([write(text)]).warnings] == [
        'duplicate_name accounts.yaml:4:34: the name "Same" is used by another account, too '
        "(the other is at accounts.yaml:3:34)"
    ]


def test_credentials_without_a_url_beside_them_are_not_used(write: Write) -> None:
    one = write("version: 1\nserver: {url: https://fw.example.com}\naccounts: []\n", "a.yaml")
    two = write("version: 1\nserver: {auth: {access_token: {env: X}}}\naccounts: []\n", "b.yaml")
    desired = read_manifests([one, two])
    assert desired.server == ServerConfig(url="https://fw.example.com")
    assert [(warning.kind, str(warning)) for warning in desired.warnings] == [
        (
            "auth_without_url",
            "b.yaml:2:10: server.auth is not used: credentials travel only to the server.url beside them",
        )
    ]


def test_accounts_may_be_an_alias(write: Write) -> None:
    text = """\
    version: 1
    defaults: &base {service: gmail}
    accounts:
      - &a {<<: *base, email: a@example.com, name: A}
      - {<<: *a, email: b@example.com, name: yes}
    """
    found = read_manifests([write(text)]).accounts
    assert [(entry.account.email, entry.account.name, entry.position.line) for entry in found] == [
        ("a@example.com", "A", 4),
        ("b@example.com", "yes", 5),
    ]


def test_an_empty_list_of_paths_is_an_error() -> None:
    with pytest.raises(ManifestError, match="no YAML file is named"):
        read_manifests([])


_WORDS = st.sampled_from(
    [
        "version",
        "accounts",
        "email",
        "name",
        "service",
        "password",
        "policy",
        "test",
        "a@example.com",
        "gmail",
        "&a",
        "*a",
    ]
)
_LINES = st.lists(
    st.tuples(st.integers(0, 3), st.sampled_from(["", "- ", "? ", "<<: "]), _WORDS, st.sampled_from([":", ": 1", ""])),
    max_size=12,
)


@given(_LINES)
@BOUNDED
def test_parsing_any_text_raises_nothing(lines: list[tuple[int, str, str, str]]) -> None:
    text = "\n".join("  " * indent + mark + word + end for indent, mark, word, end in lines)
    sheet = parse_file(Source("x.yaml", text.encode()))
    if isinstance(sheet, ParsedFile):
        problems = locate(sheet.issues, [sheet.source])
        assert all(1 <= file_order(problem)[1] <= text.count("\n") + 2 for problem in problems)
    elif sheet is not None:
        assert sheet.position is not None
        assert sheet.position.file == "x.yaml"


def test_file_names_stay_as_the_user_wrote_them(write: Write) -> None:
    write("version: 1\naccounts: [{email: a@example.com, name: A, service: gmail}]\n", "sub/a.yaml")
    found = read_manifests([os.path.join(".", "sub")]).accounts  # noqa: PTH118 - pathlib would drop the dot
    assert [entry.position.file for entry in found] == ["./sub/a.yaml"]
