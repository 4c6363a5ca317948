# ruff: noqa: E501 - cases are tables, and messages are compared in the one line that they are printed in
from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from reconciler.errors import ManifestError
from reconciler.manifest.reader import read_manifests

if TYPE_CHECKING:
    from tests.manifest.conftest import Complain, Write


def test_one_run_reports_every_problem_of_all_files(complain: Complain) -> None:
    first = """\
    version: 1
    version: 1
    serverr: {url: x}
    policy: {prune: yes, max_deletes: 130%, protect: x, test: {when: befor, to_email: x}}
    defaults: {email: a@example.com, smtp_port: 99999}
    accounts:
      - password:hunter2
      - email: x@example.com
        name: 123
        service: gmial
        smtp_port: true
        smtp_server: smtp://x
        pasword: hunter2
        test: {when: false}
      - {email: X@example.com, name: X, service: other}
    """
    assert complain(first, "a: [", "version: 2\naccounts: {}\n") == [
        'duplicate_key | a.yaml:2:1: the key "version" is given twice (first at a.yaml:1:1) | keep one of the two',
        'unknown_key | a.yaml:3:1: unknown key "serverr" | did you mean "server"?',
        'wrong_type | a.yaml:4:17: prune: expected true or false, found "yes" | write true or false',
        "wrong_value | a.yaml:4:35: max_deletes: expected a number from 0, or a percentage from 0% to 100%, "
        'found "130%" | write it as 5 or as 30%',
        'wrong_type | a.yaml:4:50: protect: expected a list, found a string | write it as a list: protect: ["certs@*"]',
        'wrong_value | a.yaml:4:66: when: "befor" is not allowed; allowed: off, before, after | did you mean "before"?',
        "wrong_value | a.yaml:4:83: to_email: this is not an email address: an email address must have an @-sign, "
        'found "x" | write it as name@example.com',
        'unknown_key | a.yaml:5:12: "email" has no default: it belongs to a single account | move it into the account',
        "wrong_value | a.yaml:5:45: smtp_port: 99999 is out of range; allowed: from 1 to 65535",
        "wrong_type | a.yaml:7:5: accounts[0]: expected a mapping, found a string",
        "wrong_type | a.yaml:9:11: name: expected a string, found 123 | put it in quotes",
        'wrong_value | a.yaml:10:14: service: "gmial" is not allowed; allowed: gmail, outlook, other '
        '| did you mean "gmail"?',
        "wrong_type | a.yaml:11:16: smtp_port: expected a whole number, found true",
        'wrong_value | a.yaml:12:18: smtp_server: a host name has no scheme, found "smtp://x" '
        "| leave out the scheme, such as smtp://",
        'unknown_key | a.yaml:13:5: unknown key "pasword" | did you mean "password"?',
        "wrong_value | a.yaml:14:18: when: false is not allowed; allowed: off, before, after | write off",
        "missing_smtp_server | a.yaml:15:5: service: other needs smtp_server | declare smtp_server",
        "duplicate_account | a.yaml:15:13: this account is declared twice, also as x@example.com (the other is at a.yaml:8:12) "
        "| keep one of the two; if the server holds the address twice, pin each with its id",
        "syntax | b.yaml:2:1: this is not YAML: did not find expected node content, while parsing a flow node",
        "wrong_value | c.yaml:1:10: version: this version of the format is not known, found 2 | write version: 1",
        "wrong_type | c.yaml:2:11: accounts: expected a list, found a mapping",
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("accounts: []", 'missing_key | a.yaml:1:1: "version" is missing | write version: 1'),
        ("version: 1", 'missing_key | a.yaml:1:1: "accounts" is missing | write accounts: [] for a set without accounts'),
        ("version: true\naccounts: []", "wrong_value | a.yaml:1:10: version: this version of the format is not known, "
         "found true | write version: 1"),
        ("- a", "wrong_type | a.yaml:1:1: the document: expected a mapping, found a list "
         "| write version: 1 and accounts: above the list; the list belongs to accounts"),
        ("version: 1\naccounts:", "empty_value | a.yaml:2:1: accounts has no value "
         "| write accounts: [] for a set without accounts; a value that begins with # or & needs quotes"),
        ("version: 1\naccounts: null", "wrong_type | a.yaml:2:11: accounts cannot be null: expected a list "
         "| write [] for an empty list"),
        ("version: 1\naccounts: [null]", "wrong_type | a.yaml:2:12: accounts[0] cannot be null: expected a mapping "
         "| remove the dash, or write the account after it"),
        ("version: 1\naccounts: []\npolicy: {protect: [1]}", "wrong_type | a.yaml:3:20: protect[0]: expected a string, found 1 "
         "| put it in quotes"),
        ("version: 1\naccounts: []\npolicy: {protect: ['']}", "wrong_value | a.yaml:3:20: protect[0] cannot be empty "
         "| leave the key out, or write a string"),
        ("version: 1\naccounts: []\nserver: {nam: x}", 'unknown_key | a.yaml:3:10: unknown key "nam" | did you mean "name"?'),
        ("version: 1\naccounts: []\nserver: {zzz: x}", 'unknown_key | a.yaml:3:10: unknown key "zzz" '
         "| known here: name, url, auth, ca_file, client_cert, labels, suspended, queue"),
        ("version: 1\naccounts: []\nserver: 3", "wrong_type | a.yaml:3:9: server: expected a mapping, found a number"),
        ("version: 1\naccounts: []\ntoken: !x hunter2", "tag | a.yaml:3:8: a YAML tag (!…) is not allowed here "
         "| remove it, or put the string in quotes"),
    ],
)  # fmt: skip
def test_a_wrong_document_is_explained(complain: Complain, text: str, problem: str) -> None:
    assert problem in complain(text)


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ("name: null", "wrong_type | a.yaml:3:10: name cannot be null: expected a string | every account has a name: write one"),
        ("name: ''", "wrong_value | a.yaml:3:10: name cannot be empty | every account has a name: write one"),
        ("name: A, default: null", "wrong_type | a.yaml:3:22: default cannot be null: expected true or false "
         "| leave the key out instead"),
        ("name: A, smtp_port: '587'", 'wrong_type | a.yaml:3:24: smtp_port: expected a whole number, found "587" '
         "| write the number without quotes and other characters"),
        ("name: A, smtp_port: 5.5", "wrong_type | a.yaml:3:24: smtp_port: expected a whole number, found 5.5"),
        ("name: A, smtp_crypt: 1", "wrong_value | a.yaml:3:25: smtp_crypt: 1 is not allowed; "
         "allowed: none, ssl-tls, starttls | put it in quotes"),
        ("name: A, smtp_server: 'smtp.example.com:587'", "wrong_value | a.yaml:3:26: smtp_server: a host name has no port, "
         'found "smtp.example.com:587" | put the port into smtp_port'),
        ("name: A, smtp_server: 'a b'", "wrong_value | a.yaml:3:26: smtp_server: this is neither a host name nor an IP "
         'address, found "a b" | write it as smtp.example.com'),
        ("name: A, id: -1", "wrong_value | a.yaml:3:17: id: -1 is out of range; allowed: from 0"),
        ("name: A, test: {wen: off}", 'unknown_key | a.yaml:3:20: unknown key "wen" | did you mean "when"?'),
        ("name: A, has_auth: true, hash_auth: false", "conflict | a.yaml:3:29: has_auth and hash_auth are two spellings of "
         "one field, and have different values (the other is at a.yaml:3:13) | keep has_auth alone"),
        ('name: A, smtp_crypt: "tls\\u202e\\u05d0\\n"', "wrong_value | a.yaml:3:25: smtp_crypt: "
         '"tls\\u202e\u05d0\\u000a" is not allowed; allowed: none, ssl-tls, starttls'),
        (f"name: A, smtp_crypt: {'x' * 100}", f'wrong_value | a.yaml:3:25: smtp_crypt: "{"x" * 59}…" is not allowed; '
         "allowed: none, ssl-tls, starttls"),
    ],
)  # fmt: skip
def test_a_wrong_field_is_explained(complain: Complain, fields: str, problem: str) -> None:
    text = f"version: 1\naccounts:\n- {{{fields}, service: gmail, email: a@example.com}}\n"
    assert problem in complain(text)


@pytest.mark.parametrize(
    ("password", "message"),
    [
        ("12345678", "password: expected a string or a reference, found a number | put it in quotes"),
        ("true", "password: expected a string or a reference, found true or false | put it in quotes"),
        ("[hunter2]", "password: expected a reference, found a list "
         "| write {env: NAME}, {file: path} or {command: [program, argument]}"),
        ("''", "password: a secret cannot be empty | write null to clear it, or leave the key out"),
        ("{hunter2}", "password: a secret's reference has exactly one key: env, file or command "
         "| write {env: NAME}, {file: path} or {command: [program, argument]}"),
        ("{evn: hunter2}", "password: a secret's reference has exactly one key: env, file or command "
         "| did you mean env? write {env: NAME}, {file: path} or {command: [program, argument]}"),
        ("{env: hunter2, file: hunter2}", "password: a secret's reference has exactly one key: env, file or command "
         "| write {env: NAME}, {file: path} or {command: [program, argument]}"),
        ("{env: $hunter2}", "password: env takes the name of a variable | letters, digits and _ only, without a $"),
        ("{env: 12}", "password: env takes a string, found a number "
         "| write {env: NAME}, {file: path} or {command: [program, argument]}"),
        ("{file: ''}", "password: file takes a string, found an empty one "
         "| write {env: NAME}, {file: path} or {command: [program, argument]}"),
        ('{file: "hunter2\\0"}', "password: a NUL character or an unpaired surrogate is not allowed here"),
        ("{command: hunter2}", "password: command takes a list of a program and its arguments, found a string "
         "| write {command: [program, argument]}; there is no shell"),
        ("{command: []}", "password: command takes a list of a program and its arguments, found a list "
         "| write {command: [program, argument]}; there is no shell"),
        ("{command: [hunter2, 5]}", "password: part 2 of the command is a number, not a string | put it in quotes"),
    ],
)  # fmt: skip
def test_a_wrong_password_is_explained_without_showing_it(complain: Complain, password: str, message: str) -> None:
    text = f"version: 1\naccounts:\n- email: a@example.com\n  name: A\n  service: gmail\n  password: {password}\n"
    assert complain(text) == [f"wrong_value | a.yaml:6:13: {message}"]


@pytest.mark.parametrize(
    "text",
    [
        "password: *hunter2",
        "password: !hunter2 x",
        "password: %hunter2",
        'password: "\\hunter2',
        "password: x: hunter2",
        "password: {env: a, env: hunter2}",
        "password: {hunter2: a, hunter2: b}",
        "password: [{hunter2: {hunter2: hunter2}}]",
        "hunter2password: hunter3",
        "name: x\n    password:hunter2\n  smtp_crypt: tls\n    password:hunter2",
        "service: other\n    password:hunter2",
        "smtp_port: 587\n    password:hunter2",
        "smtp_server: x\n    password:hunter2",
        "default: 'password: hunter2'",
        "test: password:hunter2",
        "id: 'token hunter2'",
    ],
)
def test_no_error_shows_part_of_a_secret(complain: Complain, text: str) -> None:
    problems = complain(f"version: 1\naccounts:\n- email: a@example.com\n  {text}\n")
    shown = [problem for problem in problems if "hunter2" in problem.replace('unknown key "hunter2password"', "")]
    assert shown == []


@pytest.mark.parametrize(
    ("server", "problems"),
    [
        ("{url: ftp://x}", ['wrong_value | a.yaml:3:15: url: the URL must begin with https:// or http://, found "ftp://x" '
         "| write it as https://fw.example.com"]),
        ("{url: 'https://u:hunter2@x'}", ["wrong_value | a.yaml:3:15: url: a server's URL contains no user name or password "
         "| give them under server.auth"]),
        ("{url: https://x/api}", ['wrong_value | a.yaml:3:15: url: the URL contains a path, found "https://x/api" '
         "| end it after host and port: https://x"]),
        ("{url: 'https://x:99999'}", ['wrong_value | a.yaml:3:15: url: this is not a URL, found "https://x:99999" '
         "| write it as https://fw.example.com"]),
        ('{url: "https://x\\ny"}', ['wrong_value | a.yaml:3:15: url: this is not the URL of a host, found '
         '"https://x\\u000ay" | write it as https://fw.example.com']),
        ("{url: https://x, auth: {}}", ["wrong_auth | a.yaml:3:26: server.auth takes exactly one of access_token, "
         "refresh_token, or username with password | keep one of them"]),
        ("{url: https://x, auth: {username: x}}", ["wrong_auth | a.yaml:3:26: server.auth takes exactly one of "
         "access_token, refresh_token, or username with password | keep one of them"]),
        ("{url: https://x, auth: {hunter2: x}}", ["unknown_key | a.yaml:3:33: unknown key "
         "(it may be a secret, and is not shown) | known here: access_token, refresh_token, username, password"]),
        ("{auth: hunter2}", ["wrong_type | a.yaml:3:16: auth: expected a mapping, found a string"]),
    ],
)  # fmt: skip
def test_a_wrong_server_is_explained(complain: Complain, server: str, problems: list[str]) -> None:
    assert complain(f"version: 1\naccounts: []\nserver: {server}\n") == problems


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("? [&x y, {a: *x, b: *y}]\n: z", ["bad_key | a.yaml:3:3: a key must be a string | write it as key: value",
         "unknown_alias | a.yaml:3:21: this alias (*…) refers to no anchor (&…) above it "
         "| define it above with &, or put a string that begins with * in quotes"]),
        ("12: x", ["bad_key | a.yaml:3:1: a key must be a string; this one is not | put it in quotes"]),
        ("policy: &p {protect: [*p ]}", ["alias_loop | a.yaml:3:23: this alias (*…) lies inside the value that it refers to "
         "| a value cannot contain itself"]),
        ("policy: {<<: x}", ["bad_merge | a.yaml:3:14: << merges a mapping, or a list of mappings | write <<: *anchor"]),
        ("policy: {<<: [{prune: true}, x]}", ["bad_merge | a.yaml:3:30: << merges a mapping, or a list of mappings "
         "| write <<: *anchor"]),
        ("policy: {protect: &p [a], <<: *p }", ["bad_merge | a.yaml:3:31: << merges a mapping, or a list of mappings "
         "| write <<: *anchor"]),
        ("policy: {<<: [&p {prune: true}, *p ]}\n--- x", ["several_documents | a.yaml:4:1: a second document begins here; "
         "a file holds one | keep the first one here, and move the others to files of their own"]),
        ("server: {auth: {access_token: x, access_token: y}}", ["duplicate_key | a.yaml:3:34: a key is given twice "
         "(first at a.yaml:3:17) | keep one of the two"]),
    ],
)  # fmt: skip
def test_irregular_yaml_is_explained(complain: Complain, text: str, problems: list[str]) -> None:
    kinds = {problem.split(" | ")[0] for problem in problems}
    found = complain(f"version: 1\naccounts: []\n{text}\n")
    assert [problem for problem in found if problem.split(" | ")[0] in kinds] == problems


@pytest.mark.parametrize(
    "value", ['"\\ud800"', '{"\\ud800": 1}', '{env: "\\ud800"}', '{file: "\\ud800"}', '["\\ud800"]']
)
@pytest.mark.parametrize("key", ["name", "email", "password", "smtp_server", "renamed_from", '"\\ud800"', "smtp_crypt"])
def test_without_libyaml_unpaired_surrogates_are_errors(
    write: Write, monkeypatch: pytest.MonkeyPatch, key: str, value: str
) -> None:
    text = f"version: 1\naccounts: [{{email: a@example.com, {key}: {value}}}]\n"
    monkeypatch.setattr("reconciler.manifest.events.PURE", True)
    with pytest.raises(ManifestError) as caught:
        read_manifests([write(text)])
    "".join(map(str, caught.value.problems)).encode()
