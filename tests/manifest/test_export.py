from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reconciler.manifest.export import export_manifest, quoted
from reconciler.manifest.reader import read_manifests
from reconciler.manifest.scalars import resolve
from reconciler.model.account import Account, Value
from reconciler.model.secret import UNKNOWN, Secret, SecretReference
from reconciler.model.server import Server
from reconciler.planning.fields import normalized
from tests.support.strategies import BOUNDED

if TYPE_CHECKING:
    from pathlib import Path

    from reconciler.model.desired import Desired

HEAD = """\
# yaml-language-server: $schema=manifest.schema.json
# `reconciler schema manifest` prints the schema that the line above refers to.
# Passwords are not exported. Without the line for its password, an account keeps the one on the server. Or set
# the variable that the line names, or name another source: {file: path} or {command: [program, argument]}.
version: 1
"""
SERVER = Server("fw: one", "https://fw.example.com")


def _account(email: str, account_id: int | None = None, **fields: Value) -> Account:
    return Account({"email": email, "name": email.split("@", maxsplit=1)[0], "service": "gmail", **fields}, account_id)


def test_an_export_declares_exactly_what_is_there() -> None:
    accounts = [
        Account(
            {
                "email": "certs@example.com",
                "name": "Contas envio de certificados",
                "default": True,
                "service": "other",
                "has_auth": True,
                "password": Secret("sesame"),
                "smtp_server": "smtp.example.com",
                "smtp_port": 587,
                "smtp_crypt": "starttls",
                "smtp_auth_mechanism": "plain",
            },
            7,
        ),
        _account("1st@example.com", 8, default=False, has_auth=True, password=UNKNOWN, smtp_port=None, smtp_server=""),
        _account("certs@example.com", 9, default=False, has_auth=False, password=None, smtp_crypt="rot13", name="yes"),
    ]
    assert export_manifest(accounts, server=SERVER).text == (
        HEAD
        + """
server:
  name: "fw: one"
  url: https://fw.example.com

accounts:
  - email: "certs@example.com"
    id: 7
    name: Contas envio de certificados
    default: true
    service: other
    has_auth: true
    smtp_server: smtp.example.com
    smtp_port: 587
    smtp_crypt: starttls
    smtp_auth_mechanism: plain
    password: {env: CERTS_EXAMPLE_COM_PASSWORD}
  - email: "1st@example.com"
    name: "1st"
    service: gmail
    has_auth: true
    password: {env: _1ST_EXAMPLE_COM_PASSWORD}
  - email: "certs@example.com"
    id: 9
    name: "yes"
    service: gmail
    has_auth: false
    # smtp_crypt is left out: the server's value is not one that this format has
"""
    ).replace('"certs@example.com"', "certs@example.com")


def test_an_empty_server_exports_an_empty_set() -> None:
    assert export_manifest([], server=Server("", "not a url")).text == (
        HEAD + "\n# server is left out: not a url is not a URL that this format has\n\naccounts: []\n"
    )


@pytest.mark.parametrize(
    ("flags", "remark"),
    [
        ([True, True], "# default is left out: the server has more than one default account\n"),
        ([True, None], "# default is left out: the server does not say it of every account\n"),
        ([False, False], ""),
    ],
)
def test_default_is_written_only_if_it_is_unambiguous(flags: list[bool | None], remark: str) -> None:
    accounts = [_account(f"a{index}@example.com", default=flag) for index, flag in enumerate(flags)]
    text = export_manifest(accounts, server=SERVER).text
    assert ("default:" in text, remark in text) == (False, True)


def test_an_account_that_cannot_be_written_is_ignored_not_deleted() -> None:
    accounts = [
        _account("ok@example.com"),
        _account("[a*]@example.com\n# x"),
        _account("no@example.com", service="aol"),
    ]
    assert (
        export_manifest(accounts, server=SERVER).text.split("\n\n")[2]
        == """\
policy:
  # These accounts cannot be written here, and are left alone:
  ignore:
    # its email is not one that this format has
    - "[[]a[*]]@example.com\\n# x"
    # its service is not one that this format has
    - "no@example.com"
""".rstrip().replace('"no@example.com"', "no@example.com")
    )


def test_nothing_is_pruned_if_ignoring_would_hit_a_written_account() -> None:
    accounts = [_account("a@example.com", 1), _account("A@example.com", 2, name="")]
    assert (
        export_manifest(accounts, server=SERVER).text.split("\n\n")[2]
        == """\
policy:
  # These accounts cannot be written here, and are left alone:
  # A@example.com: its name is not one that this format has
  prune: false"""
    )


def test_variables_are_unique() -> None:
    accounts = [
        _account(address, has_auth=True, password=UNKNOWN) for address in ("a.b@x.com", "a-b@x.com", "a_b@x.com")
    ]
    lines = [line.strip() for line in export_manifest(accounts, server=SERVER).text.splitlines() if "password:" in line]
    assert lines == [
        "password: {env: A_B_X_COM_PASSWORD}",
        "password: {env: A_B_X_COM_PASSWORD_2}",
        "password: {env: A_B_X_COM_PASSWORD_3}",
    ]


_TEXTS = ["yes", "0x1f", "null", "~", "", " lead", "trail ", "a: b", "a #b", "- x", "x\ny"]
_CONTROLS = ["\x00", "\x1b[31m", "\u202e", "🎉", "\ud800"]
_HOSTILE = st.sampled_from([*_TEXTS, *_CONTROLS]) | st.text(max_size=8)
_ADDRESSES = (
    st.sampled_from(["a@example.com", "A@example.com", "b.c@example.com", "b-c@example.com", "ü@example.com"])
    | _HOSTILE
)
_PASSWORDS = st.sampled_from([None, UNKNOWN, Secret("sesame"), Secret("")])
_VALUES: dict[str, st.SearchStrategy[Value]] = {
    "name": _HOSTILE,
    "default": st.booleans() | st.none(),
    "service": st.sampled_from(["gmail", "other", "aol"]),
    "has_auth": st.booleans() | st.none(),
    "password": _PASSWORDS,
    "smtp_server": st.sampled_from([None, "", "smtp.example.com", "a b", "192.0.2.1", "::1"]),
    "smtp_port": st.sampled_from([None, 0, 25, 65536, True]),
    "smtp_crypt": st.sampled_from([None, "none", "tls"]),
    "smtp_auth_mechanism": st.sampled_from([None, "plain", "xoauth2"]),
}
_ACCOUNTS = st.builds(
    lambda fields, email, account_id: Account(MappingProxyType({"email": email, **fields}), account_id),
    st.fixed_dictionaries({}, optional=_VALUES),
    _ADDRESSES,
    st.none() | st.integers(0, 5),
)


def _changes(desired: Desired, accounts: list[Account]) -> list[str]:
    """What a plan of the export against its own server would do."""
    found = []
    declared: set[int] = set()
    for entry in desired.accounts:
        matches = [
            index
            for index, account in enumerate(accounts)
            if account.key == entry.account.key and (entry.account.id is None or entry.account.id == account.id)
        ]
        doubled = sum(account.key == entry.account.key for account in accounts) > 1
        assert matches
        assert entry.account.id is not None or not doubled
        declared.add(matches[0])
        current = accounts[matches[0]].fields
        for field, value in entry.account.fields.items():
            if isinstance(value, SecretReference):
                hidden = current["password"] is UNKNOWN and current["has_auth"] is True
                assert hidden or isinstance(current["password"], Secret)
            elif field not in current or normalized(field, value) != normalized(field, current[field]):
                found.append(f"~ {field}")
    if desired.policy.prune:
        rest = (account for index, account in enumerate(accounts) if index not in declared)
        found += [f"- {account.email}" for account in rest if account.email not in desired.policy.ignore]
    return found


@given(st.lists(_ACCOUNTS, max_size=5, unique_by=lambda account: account.id), _HOSTILE)
@settings(BOUNDED, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_an_export_always_loads_and_planning_it_changes_nothing(
    tmp_path: Path, accounts: list[Account], name: str
) -> None:
    path = tmp_path / "export.yaml"
    text = export_manifest(accounts, server=Server(name, "http://127.0.0.1:8025")).text
    path.write_text(text, encoding="utf-8")
    desired = read_manifests([str(path)])
    assert _changes(desired, accounts) == []
    assert "sesame" not in text


@given(st.text(st.characters(exclude_categories=["Cs"])) | _HOSTILE.filter(lambda text: "\ud800" not in text))
@BOUNDED
def test_a_plain_scalar_is_never_anything_but_itself(text: str) -> None:
    written = quoted(text)
    assert written.startswith('"') or (written == text and resolve(written) == text)
