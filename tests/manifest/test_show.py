"""``show`` writes what a server's manifests come to."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reconciler.manifest.reader import read_groups, read_manifests
from reconciler.manifest.show import show_yaml
from reconciler.manifest.variables import escaped
from reconciler.model.secret import SecretReference
from tests.support.strategies import BOUNDED

if TYPE_CHECKING:
    from pathlib import Path

    from reconciler.model.desired import Desired
    from tests.manifest.conftest import Write

BASE = """\
version: 1
base: true
server:
  url: "https://${name}.example.com"
  ca_file: ca.pem
  auth: {username: {env: "U_${x}"}, password: {command: [get, "x$${literal}"]}}
policy: {protect: ["certs@*"], max_deletes: 3, passwords: hidden, test: {when: after}}
defaults: {service: other, smtp_server: smtp.example.com, test: {to_email: ops@example.com}}
accounts:
  - {email: "a@${x}", name: "$${x} ${x}", password: {file: "s/${x}"}, default: true}
  - {email: b@x, name: "yes", password: "literal hunter2", id: 3, test: {when: off}}
"""
CHILD = """\
version: 1
extends: base/base.yaml
server: {name: b1, labels: {a: "1"}, queue: q, suspended: "moving: ${name}"}
vars: {x: v, unused: "${name} $${y}"}
policy: {protect: [x@*], own: ["*"]}
accounts:
  - {email: b@x, override: true, smtp_port: 25, renamed_from: c@x, smtp_auth_mechanism: null}
  - {email: d@x, name: D, service: gmail, has_auth: false}
"""


def plain(desired: Desired) -> object:
    """What is declared, with files by their paths, and without what only says where it is written."""
    accounts = []
    for entry in desired.accounts:
        password = entry.account.fields.get("password")
        if isinstance(password, SecretReference):
            target = (password.path,) if password.kind == "file" else password.target
            entry = entry._replace(account=entry.account.with_fields({"password": f"{password.kind} {target}"}))  # noqa: PLW2901
        accounts.append((entry.account, entry.renamed_from, entry.test))
    server = replace(desired.server, auth=None)
    return accounts, desired.policy, server


def shown(*paths: str, explain: bool = False) -> str:
    fleet, groups = read_groups(paths)
    return show_yaml(fleet.servers[0], groups[0], explain=explain)


@pytest.mark.parametrize("explain", [False, True])
def test_the_effective_manifest_declares_the_same(folder: Path, write: Write, explain: bool) -> None:
    write(BASE.replace("U_${x}", "U_${name}").replace('"literal hunter2"', "{env: B}"), "base/base.yaml")
    child = write(CHILD, "b1.yaml")
    again = write(shown(child, explain=explain), "shown.yaml")
    assert plain(read_manifests([again])) == plain(read_manifests([child]))
    assert "extends" not in (folder / again).read_text()


def test_a_literal_secret_is_never_shown(write: Write) -> None:
    write(BASE.replace("U_${x}", "U"), "base/base.yaml")
    text = shown(write(CHILD, "b1.yaml"), explain=True)
    assert "hunter2" not in text
    assert "    password: {env: B_X_PASSWORD}  # base/base.yaml:11, in place of a literal secret\n" in text


def test_each_value_is_explained_by_where_it_is_written(write: Write) -> None:
    write(BASE.replace("U_${x}", "U"), "base/base.yaml")
    lines = shown(write(CHILD, "b1.yaml"), explain=True).splitlines()
    for line in (
        "  name: b1  # b1.yaml:3",
        '  url: "https://b1.example.com"  # base/base.yaml:4',
        '    - "certs@*"  # base/base.yaml:7',
        '    - "x@*"  # b1.yaml:5',
        "    smtp_port: 25  # b1.yaml:7",
        "    smtp_server: smtp.example.com  # base/base.yaml:8",
        '  unused: "b1 $${y}"  # b1.yaml:4',
    ):
        assert line in lines


OWN = """\
version: 1
policy: {own: ["*@a", shared@x]}
accounts: [{email: x@a, name: X, service: gmail}]
"""
OTHER_OWN = """\
version: 1
policy:
  own:
    - shared@x
    - "*@b"
accounts: [{email: y@b, name: Y, service: gmail}]
"""
NO_OWN = "version: 1\naccounts: [{email: z@c, name: Z, service: gmail}]\n"


def test_each_pattern_of_own_is_explained_by_the_file_that_has_it(write: Write) -> None:
    lines = shown(write(OWN, "a.yaml"), write(OTHER_OWN, "b.yaml"), explain=True).splitlines()
    assert lines[lines.index("  own:") + 1 :][:3] == [
        '    - "*@a"  # a.yaml:2',
        "    - shared@x  # a.yaml:2",
        '    - "*@b"  # b.yaml:5',
    ]


def test_a_file_without_own_is_named_where_the_own_of_the_others_has_no_effect(write: Write) -> None:
    files = [write(OWN, "a.yaml"), write(NO_OWN, "c.yaml")]
    assert "\n# policy.own has no effect: c.yaml declares accounts without it\n" in shown(*files)
    assert "has no effect" not in shown(files[0])
    again = write(shown(*files), "shown.yaml")
    assert plain(read_manifests([again])) == plain(read_manifests(files))


def test_a_policy_without_content_is_left_out(write: Write) -> None:
    file = write("version: 1\npolicy: {protect: []}\naccounts: []\n")
    assert shown(file) == "version: 1\naccounts: []\n"


@given(value=st.text().filter(str.isprintable))
@settings(BOUNDED, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_variable_is_shown_as_it_is_declared(write: Write, value: str) -> None:
    text = f"version: 1\nvars: {{x: {json.dumps(escaped(value), ensure_ascii=False)}}}\naccounts: []\n"
    assert read_manifests([write(text)]).server.variables == {"x": value}
    assert read_manifests([write(shown("accounts.yaml"), "again.yaml")]).server.variables == {"x": value}
