"""Files that extend bases: merging, variables, and where errors are reported."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.errors import Kind, ManifestError
from reconciler.manifest.contents import read_contents
from reconciler.manifest.merging import merged_header
from reconciler.manifest.reader import read_fleet, read_manifests
from reconciler.manifest.variables import Substitution, escaped
from reconciler.model.secret import Secret, SecretReference
from tests.support.strategies import BOUNDED

if TYPE_CHECKING:
    from pathlib import Path

    from tests.manifest.conftest import Write

COMMON = """\
version: 1
base: true
server: {url: "https://${name}.fw.example.com", auth: {refresh_token: {file: "/run/secrets/${name}"}}}
policy: {protect: ["certs@*"]}
defaults: {service: other, smtp_server: smtp.example.com, smtp_port: 587}
accounts:
  - {email: "alerts@${domain}", name: Alerts}
  - {email: "fax@${domain}", name: Fax}
"""
BRANCH = """\
version: 1
extends: ../common.yaml
server: {name: b001, labels: {region: south, ring: canary}}
vars: {domain: b001.example.com}
accounts:
  - {email: "till@${domain}", name: Till}
  - {email: "alerts@${domain}", override: true, smtp_port: 2525}
  - {email: "fax@${domain}", remove: true}
"""
BASE = "version: 1\nbase: true\n"
CHILD = "version: 1\nextends: base.yaml\n"


def problems(*paths: str) -> list[str]:
    with pytest.raises(ManifestError) as caught:
        read_fleet(paths)
    return [f"{one.kind} | {one}" + (f" | {one.hint}" if one.hint else "") for one in caught.value.problems]


def accounts(**fields: str) -> str:
    email = fields.pop("email")
    fields = {"email": email, "name": "A", "service": "gmail", **fields}
    listed = ", ".join(f"{key}: {value}" for key, value in fields.items())
    return f"accounts: [{{{listed}}}]\n"


def test_a_branch_is_its_base_with_its_own_changes(write: Write) -> None:
    write(COMMON, "common.yaml")
    desired = read_manifests([write(BRANCH, "branches/b001.yaml")])
    shared = {"service": "other", "smtp_server": "smtp.example.com", "smtp_port": 587}
    assert [dict(entry.account.fields) for entry in desired.accounts] == [
        {"email": "alerts@b001.example.com", "name": "Alerts", **shared, "smtp_port": 2525},
        {"email": "till@b001.example.com", "name": "Till", **shared},
    ]
    assert [str(entry.position) for entry in desired.accounts] == ["branches/b001.yaml:7", "branches/b001.yaml:6"]
    server = desired.server
    assert (server.name, server.url) == ("b001", "https://b001.fw.example.com")
    assert server.labels == {"region": "south", "ring": "canary"}
    assert server.variables == {"name": "b001", "domain": "b001.example.com"}
    assert server.auth is not None
    assert [str(part) for part in (server.auth.token,)] == ["{file: /run/secrets/b001}"]  # type: ignore[union-attr]
    assert desired.policy.protect.patterns == ("certs@*",)


def test_keys_and_variables_may_be_spelled_with_escapes(write: Write) -> None:
    write(BASE + "policy: {prune: false}\ndefaults: {service: gmail}\n", "base.yaml")
    child = (
        r"""{version: 1, "\x65xtends": base.yaml, "\x76ars": {a: b}, accounts: [{email: a@b.com, name: "$\x7ba}"}]}"""
    )
    desired = read_manifests([write(child, "child.yaml")])
    assert not desired.policy.prune
    assert read_contents(["child.yaml"]).bases == ("base.yaml",)
    assert [dict(one.account.fields) for one in desired.accounts] == [
        {"email": "a@b.com", "name": "b", "service": "gmail"}
    ]


def test_a_base_in_a_folder_is_not_a_server(write: Write) -> None:
    write(COMMON, "fleet/common.yaml")
    for name in ("b001", "b002"):
        write(BRANCH.replace("b001", name), f"fleet/branches/{name}.yaml")
    write("version: 1\nfleet: {min_servers: 2}\n", "fleet/fleet.yaml")
    fleet = read_fleet(["fleet"])
    assert [one.server.name for one in fleet.servers] == ["b001", "b002"]
    assert fleet.min_servers == 2
    assert [one.accounts[1].account.email for one in fleet.servers] == [
        "till@b001.example.com",
        "till@b002.example.com",
    ]


def test_an_account_of_a_base_has_one_position_on_all_servers(write: Write) -> None:
    write(COMMON, "common.yaml")
    text = BRANCH[: BRANCH.index("accounts:")]
    names = [write(text.replace("b001", name), f"branches/{name}.yaml") for name in ("b001", "b002")]
    positions = {tuple(str(entry.position) for entry in one.accounts) for one in read_fleet(names).servers}
    assert positions == {("common.yaml:7", "common.yaml:8")}


def test_a_chain_is_merged_from_the_last_base_on(write: Write) -> None:
    write(BASE + "policy: {prune: false, protect: [a@x], test: {when: after}}\nvars: {a: '1', b: '1'}\n", "one.yaml")
    write(
        BASE + "extends: one.yaml\npolicy: {protect: [b@x], test: {to_email: o@x}}\nvars: {b: '2', c: '2'}\n"
        "accounts: [{email: '${a}${b}${c}@x', name: A, service: gmail}]\n",
        "two.yaml",
    )
    desired = read_manifests([write("version: 1\nextends: two.yaml\nvars: {c: '3'}\npolicy: {protect: [a@x]}\n")])
    assert [entry.account.email for entry in desired.accounts] == ["123@x"]
    assert desired.policy.protect.patterns == ("a@x", "b@x")
    assert desired.policy.prune is False
    assert desired.policy.test.described() == {"when": "after", "to_email": "o@x"}


def test_paths_of_a_base_start_at_the_base(write: Write) -> None:
    write(
        BASE + "server: {url: 'https://x', ca_file: ca.pem, auth: {access_token: {file: token}}}\n"
        "accounts: [{email: a@x, name: A, service: gmail, password: {file: ../a}}]\n",
        "base/base.yaml",
    )
    desired = read_manifests([write("version: 1\nextends: base/base.yaml\n")])
    password = desired.accounts[0].account.fields["password"]
    assert isinstance(password, SecretReference)
    assert os.path.normpath(password.path) == os.path.abspath("a")  # noqa: PTH100 - names are strings here
    assert desired.server.ca_file == os.path.abspath("base/ca.pem")  # noqa: PTH100 - as above


def test_an_override_replaces_another_spelling_and_one_of_two_pins(write: Write) -> None:
    entry = "{{email: a@x, id: {0}, name: A{0}, service: gmail, has_auth: false}}"
    write(BASE + f"accounts: [{entry.format(1)}, {entry.format(2)}]\n", "base.yaml")
    text = CHILD + "accounts: [{email: A@X, id: 2, override: true, hash_auth: true}]\n"
    found = read_manifests([write(text)]).accounts
    assert [(one.account.id, one.account.fields["has_auth"]) for one in found] == [(1, False), (2, True)]


@pytest.mark.parametrize(
    ("value", "expected"),
    [("${x}", "v"), ("a${x}b${name}", "avbb1"), ("$${x} ${x}", "${x} v"), ("$x {x} $", "$x {x} $")],
)
def test_variables_are_substituted_without_a_base_too(write: Write, value: str, expected: str) -> None:
    text = f"version: 1\nserver: {{name: b1}}\nvars: {{x: v}}\n{accounts(email='a@x', name=repr(value))}"
    assert read_manifests([write(text)]).accounts[0].account.name == expected


def test_references_are_substituted_and_literal_secrets_are_not(write: Write) -> None:
    text = "version: 1\nserver: {name: b1}\nvars: {x: v}\naccounts:\n" + "".join(
        f"- {{email: {index}@x, name: '{index}', service: gmail, password: {password}}}\n"
        for index, password in enumerate(
            ['{env: "S_${x}"}', '{file: "${name}/${x}"}', '{command: [get, "${x}"]}', "'p${x}'", '{literal: "${x}"}']
        )
    )
    found = [entry.account.fields["password"] for entry in read_manifests([write(text)]).accounts]
    assert list(map(str, found[:3])) == ["{env: S_v}", "{file: b1/v}", "{command: get v}"]
    assert found[3:] == [Secret("p${x}"), Secret("${x}")]


def test_the_value_of_a_variable_is_a_string_whatever_it_looks_like(write: Write) -> None:
    hostile = 'a", default: true, x: "'
    text = f"version: 1\nvars: {{x: '{hostile}', n: '${{y}}', y: z}}\n" + accounts(email="a@x", name="'${x}'")
    assert problems(write(text)) == [
        "undefined_variable | accounts.yaml:2:41: the value of a variable takes no variable but ${name} | write it out"
    ]
    text = text.replace(", n: '${y}', y: z", "")
    assert read_manifests([write(text)]).accounts[0].account.fields == {
        "email": "a@x",
        "name": hostile,
        "service": "gmail",
    }


def test_a_small_file_cannot_use_up_all_memory_with_variables(write: Write) -> None:
    text = f"version: 1\nvars: {{x: {'v' * 200}}}\n" + accounts(email="a@x", name="'" + "${x}" * 5_000 + "'")
    assert problems(write(text)) == [
        "too_large | accounts.yaml:3:31: with its variables replaced, this has more than 16,384 characters"
        " | shorten the values of its variables"
    ]


@pytest.mark.parametrize(
    ("base", "child", "found"),
    [
        (
            accounts(email='"a@${domian}"'),
            "vars: {domain: x}\n",
            [
                "undefined_variable | base.yaml:3:20: ${domian} is not defined (extended at a.yaml:2:10) "
                '| did you mean "domain"? define it under vars; $${ is a literal ${'
            ],
        ),
        (
            accounts(email="a@x", smtp_port="70000"),
            "",
            [
                "wrong_value | base.yaml:3:61: smtp_port: 70000 is out of range; allowed: from 1 to 65535 "
                "(extended at a.yaml:2:10)"
            ],
        ),
        (
            "servr: {}\naccounts: []\n",
            "",
            [
                'unknown_key | base.yaml:3:1: unknown key "servr" (extended at a.yaml:2:10) | did you mean "server"?',
            ],
        ),
        (
            accounts(email="alerts@x"),
            accounts(email="alert@x", override="true"),
            [
                "nothing_to_override | a.yaml:3:12: there is no inherited account alert@x to override "
                '| did you mean "alerts@x"?'
            ],
        ),
        (
            accounts(email="alerts@x"),
            accounts(email="alerts@x"),
            [
                "duplicate_account | a.yaml:3:20: this account is declared twice (the other is at base.yaml:3:20) "
                "| write override: true to change the inherited account, or remove: true to leave it out"
            ],
        ),
        (
            accounts(email="a@x"),
            "accounts: [{email: a@x, remove: true, name: A}]\n",
            ["conflict | a.yaml:3:12: remove: true takes nothing but the address | leave the rest out"],
        ),
        (
            "server: {url: 'https://x', auth: {access_token: {env: T}}}\naccounts: []\n",
            "server: {url: 'https://y'}\n",
            [
                "auth_inherited | a.yaml:3:15: server.url is set here, and server.auth is inherited: credentials "
                "belong to the URL beside them (the other is at base.yaml:3:34) | write server.auth beside the URL"
            ],
        ),
        (
            "server: {url: 'https://${domain}'}\naccounts: []\n",
            "vars: {domain: x}\n",
            [
                "variable_not_allowed | base.yaml:3:15: ${domain} is not allowed in server: it would control where "
                "credentials go (extended at a.yaml:2:10) | only ${name}, the server's name, is allowed there"
            ],
        ),
        (
            "server: {url: 'https://${name}'}\naccounts: []\n",
            "server: {name: 'a.b'}\n",
            [
                "undefined_variable | base.yaml:3:15: ${name} needs a server name that has only letters, digits and "
                "hyphens (extended at a.yaml:2:10) | give the server such a name"
            ],
        ),
        (
            "policy: {protect: [a@x, 3]}\naccounts: []\n",
            "policy: {protect: [b@x, 4]}\n",
            [
                "wrong_type | a.yaml:3:25: protect[3]: expected a string, found 4 | put it in quotes",
                "wrong_type | base.yaml:3:25: protect[1]: expected a string, found 3 (extended at a.yaml:2:10) "
                "| put it in quotes",
            ],
        ),
    ],
)
def test_an_error_names_both_places(write: Write, base: str, child: str, found: list[str]) -> None:
    write(BASE + base, "base.yaml")
    assert problems(write(CHILD + child, "a.yaml")) == found


def test_a_mistake_in_a_base_is_one_error_however_many_files_extend_it(write: Write) -> None:
    write(COMMON.replace("587", "x").replace("name: Fax", "nme: Fax"), "d/common.yaml")
    for number in range(20):
        name = f"b{number:03}"
        write(BRANCH.replace("b001", name)[: BRANCH.index('  - {email: "alerts')], f"d/branches/{name}.yaml")
    found = problems("d")
    assert [problem.split(" | ")[:2] for problem in found] == [
        ["wrong_type", "d/common.yaml:5:70: smtp_port: expected a whole number, found \"x\" "
         "(extended at d/branches/b000.yaml:2:10, and in 19 more files)"],
        ["unknown_key", "d/common.yaml:8:30: unknown key \"nme\" "
         "(extended at d/branches/b000.yaml:2:10, and in 19 more files)"],
    ]  # fmt: skip


@pytest.mark.parametrize("named", [["a.yaml"], ["a.yaml", "base.yaml"], ["base.yaml", "a.yaml"]])
def test_a_base_that_cannot_be_read_is_one_error(write: Write, named: list[str]) -> None:
    write(BASE + "accounts: [\n", "base.yaml")
    write(CHILD, "a.yaml")
    write(CHILD, "b.yaml")
    (problem,) = problems("b.yaml", *named)
    assert problem.startswith("syntax | base.yaml:4:1: this is not YAML")
    assert "(extended at b.yaml:2:10)" in problem
    write(BASE + "accounts: []\naccounts: []\n", "base.yaml")
    (problem,) = problems("b.yaml", *named)
    assert problem.startswith(
        'duplicate_key | base.yaml:4:1: the key "accounts" is given twice (first at base.yaml:3:1)'
    )


def test_a_base_that_no_file_extends_is_checked_too(write: Write) -> None:
    write("version: 1\nserver: {url: 'https://x'}\naccounts: []\n", "d/a.yaml")
    write(
        BASE + "server: {url: 'https://${x}'}\ndefaults: {smtp_port: x}\n"
        "accounts: [{email: a@x, nme: A}, {email: 'a@${x}', remove: true, name: A}]\n",
        "d/base.yaml",
    )
    write(BASE + "extends: base.yaml\nvars: {y: 3}\n", "d/base2.yaml")
    assert problems("d") == [
        "variable_not_allowed | d/base.yaml:3:15: ${x} is not allowed in server: it would control where credentials go "
        "(extended at d/base2.yaml:3:10) | only ${name}, the server's name, is allowed there",
        'wrong_type | d/base.yaml:4:23: smtp_port: expected a whole number, found "x" (extended at d/base2.yaml:3:10)'
        " | write the number without quotes and other characters",
        'unknown_key | d/base.yaml:5:25: unknown key "nme" (extended at d/base2.yaml:3:10) | did you mean "name"?',
        "conflict | d/base.yaml:5:34: remove: true takes nothing but the address (extended at d/base2.yaml:3:10) "
        "| leave the rest out",
        "wrong_type | d/base2.yaml:4:11: y: expected a string, found 3 | put it in quotes",
    ]


def test_a_base_that_no_file_extends_cannot_override_nothing(write: Write) -> None:
    write(BASE + "accounts: [{email: a@x}]\n", "d/base.yaml")
    write(BASE + "extends: base.yaml\naccounts: [{email: b@x, override: true}]\n", "d/base2.yaml")
    write("version: 1\naccounts: []\n", "d/a.yaml")
    assert [one.split(" | ")[0] for one in problems("d")] == ["nothing_to_override"]


def test_a_base_that_no_file_extends_may_lack_what_such_a_file_gives(write: Write) -> None:
    write("version: 1\nserver: {name: a}\naccounts: []\n", "d/a.yaml")
    write(COMMON + "  - {email: new@x}\n", "d/common.yaml")
    server = "server: {url: 'https://y', ca_file: '${name}.pem'}\n"
    accounts = "accounts: [{email: 'fax@${site}', override: true}, {email: 'fax@${domain}', remove: true}]\n"
    write(BASE + "extends: common.yaml\n" + server + accounts, "d/region.yaml")
    assert [one.server.name for one in read_fleet(["d"]).servers] == ["a"]


def test_what_is_extended_has_to_be_a_base(write: Write) -> None:
    write("version: 1\naccounts: []\n", "base.yaml")
    hint = "write base: true in it if it is a base; a base is never a server itself"
    assert problems(write(CHILD, "a.yaml")) == [f"not_a_base | a.yaml:2:10: extends: base.yaml is not a base | {hint}"]
    assert problems(write(CHILD.replace("base", "a"), "a.yaml"))[0].startswith("not_a_base | a.yaml:2:10: ")
    assert problems(write(CHILD.replace("base", "none"), "a.yaml")) == [
        "no_such_file | a.yaml:2:10: extends: there is no such file or folder (none.yaml) | check the path"
    ]


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ('""', "wrong_value | a.yaml:2:10: extends cannot be empty | leave the key out, or write a string"),
        ("~", "wrong_type | a.yaml:2:10: extends cannot be null: expected a string | leave the key out instead"),
        ("3", "wrong_type | a.yaml:2:10: extends: expected a string, found 3 | put it in quotes"),
        ("[base.yaml]", "wrong_type | a.yaml:2:10: extends: expected a string, found a list"),
        ("{file: base.yaml}", "wrong_type | a.yaml:2:10: extends: expected a string, found a mapping"),
        (
            "folder",
            "unreadable | a.yaml:2:10: extends: this is a folder, and a base is a file (folder) | name the file in it",
        ),
        (
            "https://user:secret@x/base.yaml",
            "wrong_value | a.yaml:2:10: extends: expected the path of a file, found a URL "
            "| keep a copy of the base here",
        ),
        (
            "~/base.yaml",
            "no_such_file | a.yaml:2:10: extends: there is no such file or folder (~/base.yaml) "
            "| ~ is not replaced by a home folder: write the path relative to this file",
        ),
        (
            "'${name}.yaml'",
            "no_such_file | a.yaml:2:10: extends: there is no such file or folder (${name}.yaml) "
            "| extends takes no variables: write the path out",
        ),
    ],
)
def test_a_base_is_named_by_a_path(write: Write, value: str, found: str) -> None:
    write(BASE, "folder/base.yaml")
    assert problems(write(f"version: 1\nextends: {value}\naccounts: []\n", "a.yaml")) == [found]


@pytest.mark.parametrize("value", ['""', "~", "3", "[two.yaml]"])
def test_a_base_names_its_own_base_by_a_path_too(write: Write, value: str) -> None:
    write(BASE + f"extends: {value}\naccounts: []\n", "base.yaml")
    expected = "wrong_value | base.yaml:3:10: extends: expected the path of another base (extended at a.yaml:2:10)"
    assert problems(write(CHILD, "a.yaml")) == [f"{expected} | write the path, or leave the key out"]


def test_a_cycle_is_an_error_with_every_position(write: Write) -> None:
    write(BASE + "extends: d/two.yaml\n", "one.yaml")
    write(BASE + "extends: ../one.yaml\n", "d/two.yaml")
    assert problems(write("version: 1\nextends: one.yaml\n", "a.yaml")) == [
        "extends_cycle | d/two.yaml:3:10: these bases extend each other: one.yaml:3:10 -> d/two.yaml:3:10 "
        "| remove one of the extends lines"
    ]
    assert problems(".")[-1].startswith("extends_cycle | ")


def test_a_chain_has_at_most_eight_bases(write: Write) -> None:
    write(BASE + "accounts: []\n", "0.yaml")
    for number in range(1, 9):
        write(BASE + f"extends: {number - 1}.yaml\n", f"{number}.yaml")
    assert read_manifests([write("version: 1\nextends: 7.yaml\n", "a.yaml")]).accounts == ()
    assert (
        "too_deep | 1.yaml:3:10: extends: a chain of more than 8 bases (extended at "
        in problems(write("version: 1\nextends: 8.yaml\n", "a.yaml"))[0]
    )


@pytest.mark.parametrize("target", ["/proc/self/environ", "../outside.yaml", "link.yaml", "/etc/passwd", "/dev/zero"])
def test_a_base_has_to_be_below_the_given_paths(folder: Path, write: Write, target: str) -> None:
    outside = folder.parent / "outside.yaml"
    outside.write_text(BASE + accounts(email="canary@x"))
    (folder / "link.yaml").symlink_to(outside)
    found = problems(write(f"version: 1\nextends: {target}\n", "a.yaml"))
    assert len(found) == 1
    assert found[0].startswith("outside_path | a.yaml:2:10: extends: ")
    assert "canary" not in found[0]


blocks = st.dictionaries(
    st.sampled_from(["server", "policy", "defaults", "vars"]),
    st.fixed_dictionaries(
        {},
        optional={
            "a": st.integers(0, 3),
            "has_auth": st.booleans(),
            "hash_auth": st.booleans(),
            "protect": st.lists(st.sampled_from("xyz"), unique=True),
            "test": st.dictionaries(st.sampled_from("pq"), st.integers(0, 3)),
            "labels": st.dictionaries(st.sampled_from("pq"), st.integers(0, 3)),
        },
    ),
)


@given(blocks, blocks, blocks)
@BOUNDED
def test_merging_along_a_chain_is_associative(one: dict[str, Any], two: dict[str, Any], three: dict[str, Any]) -> None:
    assert merged_header(merged_header(one, two), three) == merged_header(one, merged_header(two, three))


values = st.recursive(
    st.text("a${}x:-[]\"'\n #") | st.integers() | st.none() | st.booleans(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["a", "b", "password", "literal"]), inner),
)


def _shape(value: object) -> object:
    if isinstance(value, dict):
        return {key: _shape(item) for key, item in value.items()}
    return list(map(_shape, value)) if isinstance(value, list) else type(value)


@given(values, st.text(), st.text())
@BOUNDED
def test_substitution_never_changes_the_structure(value: object, x: str, a: str) -> None:
    substitution = Substitution({"x": x, "a": a}, lambda *_: "")
    assert _shape(substitution.value(value, ())) == _shape(value)


@given(st.text())
@BOUNDED
def test_an_escaped_string_stands_for_itself(text: str) -> None:
    assert Substitution({}, lambda *_: "!").text(escaped(text), ()) == text


def test_an_inherited_entry_that_is_no_account_is_reported(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text("version: 1\nbase: true\naccounts: [nobody]\n")
    (tmp_path / "a.yaml").write_text(
        "version: 1\nextends: base.yaml\nserver: {name: a, url: 'https://a.example.com'}\n"
        "accounts:\n  - {email: a@example.com, remove: true}\n"
    )

    with pytest.raises(ManifestError) as raised:
        read_fleet([str(tmp_path)])

    assert {problem.kind for problem in raised.value.problems} >= {Kind.NOTHING_TO_OVERRIDE, Kind.WRONG_TYPE}
