"""The commands that read the manifests of a fleet: ``validate``, ``show`` and ``trust``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.support.cli_runner import CliProcess
from tests.support.run_result import help_for

if TYPE_CHECKING:
    from pathlib import Path

COMMON = """\
version: 1
base: true
server: {url: "https://${name}.example.com", auth: {refresh_token: {file: "../secrets/${name}"}}}
accounts:
  - {email: "a@${name}.example.com", name: A, service: gmail, password: {env: SMTP}}
"""
SECRET = "canary-literal"


@pytest.fixture
def user(tmp_path: Path) -> CliProcess:
    """A user with a fleet of three servers."""
    user = CliProcess(tmp_path)
    user.write("fleet/common.yaml", COMMON)
    for name in ("b001", "b002", "b003"):
        user.write(f"fleet/{name}.yaml", f"version: 1\nextends: common.yaml\nserver: {{name: {name}}}\n")
    return user


def test_validate_counts_servers_and_accounts(user: CliProcess) -> None:
    assert user.run("validate", "fleet").out == "Valid: 3 accounts on 3 servers.\n"
    assert "Valid: 3 accounts on 3 servers." in user.run("validate", "fleet", "-f", "github").out
    assert user.run("validate", "fleet", "-f", "gitlab").out == "[\n]\n"
    document = json.loads(user.run("validate", "fleet", "-f", "json").out)
    assert (document["valid"], document["servers"], document["accounts"]) == (True, 3, 3)


def test_a_warning_about_a_base_is_printed_once(user: CliProcess) -> None:
    user.write("fleet/common.yaml", COMMON.replace("{env: SMTP}", f'"{SECRET}"'))
    done = user.run("validate", "fleet")
    assert done.code == 0
    assert done.err.count("warning: ") == 1
    assert done.err.startswith("warning: fleet/common.yaml:5:5: the password of this entry is written into the file")


def test_show_prints_the_manifest_of_one_server(user: CliProcess) -> None:
    shown = user.run("show", "b002", "fleet", "-o", "b002.yaml")
    assert (shown.code, shown.out, shown.err) == (0, "", "wrote b002.yaml\n")
    assert user.run("validate", "b002.yaml").out == "Valid: 1 account.\n"
    assert (
        user.run("show", "b002", "fleet", "--explain").out
        == f"""\
version: 1
server:
  name: b002  # fleet/b002.yaml:3
  url: "https://b002.example.com"  # fleet/common.yaml:3
  auth:  # fleet/common.yaml:3
    refresh_token: {{file: "{user.folder}/secrets/b002"}}  # fleet/common.yaml:3
accounts:
  - email: a@b002.example.com  # fleet/common.yaml:5
    name: A  # fleet/common.yaml:5
    service: gmail  # fleet/common.yaml:5
    has_auth: true  # fleet/common.yaml:5
    password: {{env: SMTP}}  # fleet/common.yaml:5
"""
    )


def test_show_suggests_a_server_and_prints_no_literal_secret(user: CliProcess) -> None:
    done = user.run("show", "b02", "fleet")
    assert (done.code, done.err) == (
        1,
        "error: no server is called b02; the files declare 3 servers\n"
        f'  hint: did you mean "b002"?\n{help_for("unknown_server")}',
    )
    user.write("fleet/common.yaml", COMMON.replace("{env: SMTP}", f'"{SECRET}"'))
    for more in ((), ("--explain",)):
        done = user.run("show", "b002", "fleet", *more)
        assert done.code == 0
        assert SECRET not in done.out + done.err


def test_show_explains_how_to_name_a_server_without_a_name(user: CliProcess) -> None:
    user.write("one.yaml", "version: 1\naccounts: []\n")
    done = user.run("show", "x", "one.yaml")
    hint = 'its server has neither `server.name` nor `server.url`; set one of them, or write "" as its name'
    message = f"error: no server is called x; the files declare 1 server\n  hint: {hint}\n"
    assert (done.code, done.err) == (1, message + help_for("unknown_server"))
    assert user.run("show", "", "one.yaml").out == "version: 1\naccounts: []\n"


def test_show_says_that_the_name_comes_first(user: CliProcess) -> None:
    done = user.run("show", "fleet", "fleet.yaml", "b002")
    hint = "the server's name comes before the files; if b002 is its name: `reconciler show b002 fleet fleet.yaml`"
    expected = f"error: b002: there is no such file or folder\n  hint: {hint}\n{help_for('no_such_file')}"
    assert (done.code, done.err) == (1, expected)


def test_trust_pairs_the_servers_of_a_fleet_with_their_secrets(user: CliProcess) -> None:
    trust = user.run("trust", "fleet", "-o", "trust.yaml")
    assert trust.code == 0
    text = (user.folder / "trust.yaml").read_text()
    assert [f'files: ["{user.folder}/secrets/b00{number}"]' in text for number in (1, 2, 3)] == [True] * 3
    assert user.run("validate", "fleet", "--trust", "trust.yaml").code == 0
    other = COMMON.replace('${name}"}}', 'b002"}}')
    assert other != COMMON
    user.write("fleet/b001.yaml", other.replace("base: true\n", "").replace("server: {", "server: {name: b001, "))
    done = user.run("validate", "fleet", "--trust", "trust.yaml")
    assert done.code == 1
    assert "{file: ../secrets/b002}: trust.yaml does not list the file for this server" in done.err
    assert done.err.count("error: ") == 1
