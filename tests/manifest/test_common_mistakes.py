"""What people bring from other tools, and what YAML makes of it: each gets an error that names the cause."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from reconciler.errors import ManifestError, file_order
from reconciler.manifest.reader import read_manifests
from reconciler.model.secret import Secret

if TYPE_CHECKING:
    from tests.manifest.conftest import Complain, Write

_ENTRY = "version: 1\naccounts:\n- email: a@example.com\n  name: A\n  service: gmail\n"
_HEADER = "version: 1\naccounts: []\n"


def _told(complain: Complain, text: str) -> str:
    (problem,) = complain(text)
    return problem


@pytest.mark.parametrize("value", ["", " #hunter2", " &hunter2", " &hunter2 # hunter2", "   # hunter2"])
@pytest.mark.parametrize("end", ["\n", "\r\n", ""])
def test_a_value_lost_to_yaml_syntax_is_an_error_at_its_key(complain: Complain, value: str, end: str) -> None:
    text = (_ENTRY + f"  password:{value}\n").replace("\n", end or "\n")
    text = ("\ufeff" + text).removesuffix("\n") if not end else text
    hint = "give it one, or null to clear it; a value that begins with # or & needs quotes"
    told = f"empty_value | a.yaml:6:3: password has no value | {hint}"
    assert _told(complain, text) == told


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("server:", "3:1: server"),
        ("server: {url: }", "3:10: url"),
        ("server: {url: https://x, auth: }", "3:26: auth"),
        ("server: {url: https://x, auth: {access_token: }}", "3:33: access_token"),
        ("server:\n  name:\n", "4:3: name"),
        ("policy:\n", "3:1: policy"),
        ("policy: {prune: }", "3:10: prune"),
        ("policy: {protect: }", "3:10: protect"),
        ("policy: {max_deletes: }", "3:10: max_deletes"),
        ("policy: {test: {when: }}", "3:17: when"),
        ("policy: {test: }", "3:10: test"),
        ("defaults: # none", "3:1: defaults"),
        ("defaults:\n  password: &x\n", "4:3: password"),
        ("defaults: {name: , smtp_port: 1}", "3:12: name"),
        ("defaults: {smtp_crypt: }", "3:12: smtp_crypt"),
    ],
)
def test_a_key_without_a_value_is_an_error_everywhere(complain: Complain, text: str, place: str) -> None:
    assert _told(complain, _HEADER + text).startswith(f"empty_value | a.yaml:{place} has no value | ")


@pytest.mark.parametrize("key", ["id", "default", "has_auth", "smtp_server", "smtp_port", "test", "renamed_from"])
def test_a_key_of_an_account_without_a_value_is_an_error(complain: Complain, key: str) -> None:
    assert _told(complain, _ENTRY + f"  {key}:\n").startswith(f"empty_value | a.yaml:6:3: {key} has no value | ")
    told = _told(complain, "version: 1\naccounts:\n- email:\n  name: A\n  service: gmail\n")
    assert told.startswith("empty_value | a.yaml:3:3: email has no value | ")


def test_an_empty_item_and_an_empty_version_are_errors(complain: Complain) -> None:
    assert [one.split(" | ")[1] for one in complain("version:\naccounts:\n-\n- # x\npolicy: {protect: [a, ]}\n")] == [
        "a.yaml:1:1: version has no value",
        "a.yaml:3:2: accounts[0] is empty",
        "a.yaml:4:2: accounts[1] is empty",
    ]


@pytest.mark.parametrize("null", ["null", "~", "Null"])
def test_an_explicit_null_clears(write: Write, null: str) -> None:
    (account,) = read_manifests([write(_ENTRY + f"  password: {null}\n  smtp_port: {null}\n")]).accounts
    assert (account.account.fields["password"], account.account.fields["smtp_port"]) == (None, None)


_PLACEHOLDERS = [
    "${SMTP_PASSWORD}",
    "$SMTP_PASSWORD",
    "{{ smtp.password }}",
    "${{ secrets.SMTP }}",
    "ENC[AES256_GCM,data:p673w==,type:str]",
    "$__file{/run/secrets/smtp}",
    "<<PASSWORD>>",
    " ${X} ",
]


@pytest.mark.parametrize("value", _PLACEHOLDERS)
@pytest.mark.parametrize("form", ["'{}'", '"{}"', "{}", "|\n    {}"])
def test_a_placeholder_is_an_error_unless_literal(complain: Complain, write: Write, value: str, form: str) -> None:
    told = _told(complain, _ENTRY + f"  password: {form.format(value)}\n")
    assert told.startswith("placeholder | a.yaml:6:1")
    assert "{env: NAME}" in told
    assert "{literal: " in told
    assert value.strip() not in told
    (account,) = read_manifests([write(_ENTRY + f"  password: {{literal: '{value}'}}\n")]).accounts
    assert account.account.fields["password"] == Secret(value)


@pytest.mark.parametrize(
    "text",
    [
        "server: {name: '${X}'}",
        "server: {url: '${X}'}",
        "server: {ca_file: '${X}'}",
        "server: {url: https://x, auth: {access_token: $TOKEN}}",
        "policy: {protect: ['<<X>>']}",
        "policy: {max_deletes: '${X}'}",
        "policy: {prune: '{{ x }}'}",
        "policy: {test: {to_email: '${X}'}}",
        "defaults: {name: '${X}', smtp_port: 1}",
        "defaults: {service: $SERVICE}",
        "defaults: {smtp_port: '${PORT}'}",
        "defaults: {smtp_server: '${X}'}",
        "defaults: {smtp_crypt: '${X}'}",
    ],
)
def test_a_placeholder_is_an_error_everywhere(complain: Complain, text: str) -> None:
    assert _told(complain, _HEADER + text).startswith("placeholder | a.yaml:3:")


@pytest.mark.parametrize("password", ["{file: '${X}'}", "{command: [get, $NAME]}"])
def test_a_placeholder_in_a_reference_is_an_error(complain: Complain, password: str) -> None:
    assert "placeholder" in _told(complain, _ENTRY + f"  password: {password}\n")


@pytest.mark.parametrize("value", ["$name", "$1", "pa$$WORD", "ENC", "<<", "{{", "$", "$Tr0ub"])
def test_a_value_similar_to_a_placeholder_is_accepted(write: Write, value: str) -> None:
    (account,) = read_manifests(
        [write(_ENTRY.replace("name: A", f"name: '{value}'") + f"  password: '{value}'\n")]
    ).accounts
    assert (account.account.name, account.account.fields["password"]) == (value, Secret(value))


@pytest.mark.parametrize("value", ["a${X}", "${X}b", "a${", "${X}${Y}b"])
def test_a_variable_in_a_literal_password_is_part_of_it(write: Write, complain: Complain, value: str) -> None:
    text = _ENTRY + f"  password: '{value}'\n"
    assert read_manifests([write(text)]).accounts[0].account.fields["password"] == Secret(value)
    assert "undefined_variable | a.yaml:4:9: " in " ".join(complain(_ENTRY.replace("name: A", f"name: '{value}'")))


@pytest.mark.parametrize(
    ("host", "words"),
    [
        ("'[2001:db8::25]'", "an IPv6 address has no brackets here, found"),
        ("[2001:db8::25]", "found a list | an IPv6 address has no brackets here: write it as 2001:db8::25"),
        ("'[2001:db8::25]:587'", "write it as 2001:db8::25; put the port into smtp_port"),
        ("mail.example.com:587", "a host name has no port"),
        ("192.0.2.1:25", "a host name has no port"),
        ("mail.bücher.example", "| write it as mail.xn--bcher-kva.example"),
        ("MAIL.BÜCHER.example", "| write it as mail.xn--bcher-kva.example"),
        ("submissions://mail.example.com", "has no scheme"),
        ("submissions://mail.example.com:465/", "submissions is smtp_crypt: ssl-tls"),
        ("smtp.example.com/", "a host name has no path"),
        ("smtp.example.com.", "| write it as smtp.example.com"),
        ("me@smtp.example.com", "a host name has no user name | leave out"),
        ("' smtp.example.com'", "a host name has no spaces around it"),
        ("''", "a host name cannot be empty"),
        ("'a b'", "this is neither a host name nor an IP address"),
    ],
)  # fmt: skip
def test_a_wrong_host_is_explained(complain: Complain, host: str, words: str) -> None:
    assert words in _told(complain, _ENTRY + f"  smtp_server: {host}\n")


@pytest.mark.parametrize(
    ("crypt", "port", "hint"),
    [
        ("tls", "587", 'did you mean "starttls", as usual with port 587?'),
        ("tls", "465", 'did you mean "ssl-tls", as usual with port 465?'),
        ("ssl", "587", 'did you mean "starttls", as usual with port 587?'),
        ("SSL/TLS", "465", 'did you mean "ssl-tls", as usual with port 465?'),
        ("true", "587", 'did you mean "starttls", as usual with port 587?'),
        ("STARTTLS", "587", 'did you mean "starttls"?'),
        ("start_tls", "465", 'did you mean "starttls"?'),
        ("false", "587", 'did you mean "none"?'),
        ("'off'", "25", 'did you mean "none"?'),
        ("tls", "null", '"starttls" begins unencrypted (port 587); "ssl-tls" is encrypted from the start (port 465)'),
    ],
)
def test_the_encryption_names_of_other_tools_get_a_hint(complain: Complain, crypt: str, port: str, hint: str) -> None:
    assert _told(complain, _ENTRY + f"  smtp_crypt: {crypt}\n  smtp_port: {port}\n").endswith(f"| {hint}")
    defaults = f"defaults: {{smtp_port: {port}}}\n"
    assert _told(complain, defaults + _ENTRY + f"  smtp_crypt: {crypt}\n").endswith(f"| {hint}")
    assert _told(complain, f"{_HEADER}defaults: {{smtp_port: {port}, smtp_crypt: {crypt}}}\n").endswith(f"| {hint}")


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        ("service: outro", 'did you mean "other"?'),
        ("smtp_crypt: nenhuma", 'did you mean "none"?'),
        ("default: sim", "write true or false"),
    ],
)
def test_values_in_portuguese_get_a_suggestion(complain: Complain, value: str, hint: str) -> None:
    entry = _ENTRY.replace("  service: gmail\n", "") if value.startswith("service") else _ENTRY
    assert _told(complain, f"{entry}  {value}\n").endswith(f"| {hint}")


@pytest.mark.parametrize("key", ["username", "smtp_user", "from", "login", "user", "FROM", "smtp-user"])
def test_a_login_key_gets_the_hint_to_use_the_address(complain: Complain, key: str) -> None:
    hint = "the login is the account's address: remove this key, and write the address as email"
    assert _told(complain, _ENTRY + f"  {key}: x\n") == f'unknown_key | a.yaml:6:3: unknown key "{key}" | {hint}'


@pytest.mark.parametrize(
    ("key", "known"),
    [
        ("mail", "email"),
        ("host", "smtp_server"),
        ("smtp_host", "smtp_server"),
        ("port", "smtp_port"),
        ("encryption", "smtp_crypt"),
        ("pass", "password"),
        ("smtp_password", "password"),
        ("auth", "has_auth"),
        ("display_name", "name"),
        ("Name", "name"),
        ("senha", "password"),
        ("servidor", "smtp_server"),
        ("padrão", "default"),
    ],
)
def test_keys_of_other_tools_get_a_suggestion(complain: Complain, key: str, known: str) -> None:
    assert complain(_ENTRY + f"  {key}: x\n")[0].endswith(f'| did you mean "{known}"?')


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        (_ENTRY + '  default: "true"\n', "write true, without quotes"),
        (_ENTRY + "  has_auth: 'False'\n", "write false, without quotes"),
        (_ENTRY + "  test: before\n", "write test: {when: before}"),
        (_ENTRY + "  test: off\n", "write test: {when: off}"),
        (_ENTRY + "  test: false\n", "write test: {when: off}"),
        (_ENTRY + "  test: ops@example.com\n", "write test: {to_email: name@example.com}"),
        (_HEADER + "policy: {test: after}", "write test: {when: after}"),
        (_HEADER + "policy: {protect: certs@*}", 'write it as a list: protect: ["certs@*"]'),
        (_HEADER + "policy: {ignore: x}", 'write it as a list: ignore: ["legacy-*@example.com"]'),
        ("- email: a@example.com\n", "write version: 1 and accounts: above the list; the list belongs to accounts"),
        ("version: 1\naccounts:\n- null\n", "remove the dash, or write the account after it"),
        (
            "version: 1\naccounts:\n  email: a@example.com\n",
            "begin each account with a dash: - email: name@example.com",
        ),
        (_ENTRY.replace("name: A", "name: null"), "every account has a name: write one"),
        (_ENTRY.replace("name: A", "name: ''"), "every account has a name: write one"),
        (_ENTRY + "prune: false\n", "prune belongs to policy: indent it as the other keys there"),
        (_ENTRY + "smtp_port: 25\n", "smtp_port belongs to an account: indent it as the other keys there"),
    ],
)
def test_a_wrong_form_gets_a_hint_with_the_right_one(complain: Complain, text: str, hint: str) -> None:
    assert _told(complain, text).endswith(f" | {hint}")


@pytest.mark.parametrize("character", ["\\n", "\\r", "\\r\\nBcc: x", "\\t", "\\e", "\\N", "\\0"])
@pytest.mark.parametrize("text", [_ENTRY.replace("name: A", 'name: "A{}"'), _HEADER + 'server: {{name: "A{}"}}'])
def test_a_name_has_no_control_characters(complain: Complain, text: str, character: str) -> None:
    assert "a name has no line breaks" in _told(complain, text.format(character))


@pytest.mark.parametrize(
    "address",
    ["root@nas", "jörg@firma.local", "root@localhost", "a@nas1", "x@fritz.box", "a@b.home.arpa", "j@büro.local"],
)
def test_local_names_are_addresses(write: Write, address: str) -> None:
    (account,) = read_manifests([write(_ENTRY.replace("a@example.com", address))]).accounts
    assert account.account.email == address


@pytest.mark.parametrize("address", ["root", "@nas", "a@", "a b@nas", "a@-nas", "a@nas..local", "a@b@nas"])
def test_other_strings_are_no_addresses(write: Write, address: str) -> None:
    with pytest.raises(ManifestError):
        read_manifests([write(_ENTRY.replace("a@example.com", f"'{address}'"))])


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            _ENTRY + "<<<<<<< HEAD\n- email: b@example.com\n=======\n>>>>>>> x\n",
            "6:1: this is not YAML: a merge",
        ),
        (_ENTRY + " password: hunter2\n", "6:2: this is not YAML: did not find expected"),
        (_ENTRY + "email: b@example.com\n", '6:1: unknown key "email" | email belongs to an account'),
        (_ENTRY + "  email: b@example.com\n", '6:3: the key "email" is given twice'),
        (_ENTRY + "\N{NO-BREAK SPACE} password: hunter2\n", "6:1: unknown key"),
        (_ENTRY + "  password:\N{NO-BREAK SPACE}hunter2\n", "6:12: this is not YAML: a no-break space"),
        (_ENTRY + "---\n", "6:1: a second document begins here; a file holds one | remove this line"),
        (_ENTRY + '  password: "hunter2\n  id: 1\n', "6:13: this is not YAML: a quote is opened here and not closed"),
        (_ENTRY + "  smtp_server: [::1]:25\n", "6:16: this is not YAML: a square bracket begins a list in YAML"),
        (
            _ENTRY + '  password: "hunter2\n  smtp_server: "smtp.example.com"\n',
            "6:13: this is not YAML: a quote is opened here and not closed",
        ),
        (
            'version: 1\nserver:\n  name: "two\n    lines"\naccounts:\n- email: a@example.com\n  name: "A\n  id: 1\n',
            "7:9: this is not YAML: a quote is opened here and not closed",
        ),
        (_ENTRY + '  password: "hunter2\n  smtp_server: "x"\n', "6:13: this is not YAML: a quote is opened here"),
        (_ENTRY + "\tid: 1\n", "6:1: this is not YAML: found a tab character"),
        (_ENTRY.replace("email: a", "email:a"), "3:9: this is not YAML: a colon needs a space after it"),
        (_ENTRY.replace("name: A", "name:A"), "4:8: this is not YAML: a colon needs a space after it"),
        (_ENTRY + "  password:hunter2\n", "6:12: this is not YAML: a colon needs a space after it"),
        (_ENTRY.replace("- email", "-email"), "3:2: this is not YAML: a dash needs a space after it"),
        (_ENTRY.replace("  name", "    name"), "4:5: this is not YAML: this is indented deeper than the key above it"),
        (_ENTRY + "    password: hunter2\n", "6:5: this is not YAML: this is indented deeper than the key above it"),
        (_ENTRY + "  password: {env: A\n  id: 1\n", "6:13: this is not YAML: a brace is opened here and not closed"),
        (
            '{"version": 1, "accounts": [\n  {"email": "a@example.com"}\n  {"email": "b@example.com"}]}',
            "3:3: this is not YAML",
        ),
        ("version: 1\n\taccounts: []\n", "2:1: this is not YAML: found a tab character"),
        (
            _ENTRY + "  password:\n    command:\n      - vault\n      - secret:mail\n   id: 1\n",
            "10:4: this is not YAML: did",
        ),
        (_ENTRY + "policy: {own: ['*'}\n", "6:19: this is not YAML: did not find expected ',' or ']'"),
        (_ENTRY.replace("name: A", "name: A: hunter2"), "4:10: this is not YAML: mapping values are not allowed"),
    ],
)
def test_a_syntax_error_names_its_likely_cause(complain: Complain, text: str, told: str) -> None:
    found = complain(text)
    assert [one for one in found if f"a.yaml:{told}" in one]
    assert "hunter2" not in "".join(found)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (_ENTRY + "  password:\n  env: NAME\n", '7:3: unknown key "env" | indent it below the key that it belongs to'),
        (_ENTRY + "  test:\n  when: before\n", '7:3: unknown key "when" | indent it below the key that it belongs to'),
        (_ENTRY + "policy:\n  when: before\n", '7:3: unknown key "when" | indent it below the key that it belongs to'),
    ],
)
def test_a_key_beside_its_block_is_told_where_it_belongs(complain: Complain, text: str, told: str) -> None:
    assert [one for one in complain(text) if f"a.yaml:{told}" in one]


def test_accounts_in_the_wrong_block_are_not_missing_too(complain: Complain) -> None:
    text = "version: 1\ndefaults:\n  service: gmail\n  accounts:\n  - email: a@example.com\n    name: A\n"
    hint = "accounts belongs to the top level: indent it as the other keys there"
    assert complain(text) == [f'unknown_key | a.yaml:4:3: unknown key "accounts" | {hint}']


@pytest.mark.parametrize("value", ["hunter1 #hunter2", "hunter1\t# hunter2"])
@pytest.mark.parametrize("flow", [True, False])
def test_a_password_cut_off_by_a_comment_earns_a_warning(write: Write, value: str, flow: bool) -> None:
    text = _ENTRY + f"  password: {value}\n"
    if flow:
        text = f"version: 1\naccounts:\n- {{email: a@example.com, name: A, service: gmail, password: {value}\n  }}\n"
    warnings = [one for one in read_manifests([write(text)]).warnings if one.kind == "cut_off"]
    assert [file_order(one)[1:] for one in warnings] == [(3, 61) if flow else (6, 13)]
    assert "hunter" not in warnings[0].message + warnings[0].hint


def test_a_name_cut_off_by_a_comment_earns_a_warning(write: Write) -> None:
    text = _ENTRY.replace("name: A", "name: Sales #1") + "  smtp_port: 587 #x\n  password: 'a' # x\n"
    found = read_manifests([write(text + "- {email: b@example.com, name: B, service: gmail} # x\n")]).warnings
    assert [file_order(one)[1:] for one in found if one.kind == "cut_off"] == [(4, 9)]


@pytest.mark.parametrize(
    ("port", "crypt", "usual"),
    [
        (465, "starttls", "ssl-tls"),
        (465, "none", "ssl-tls"),
        (587, "ssl-tls", "starttls"),
        (25, "ssl-tls", "starttls"),
        (465, "ssl-tls", None),
        (587, "starttls", None),
        (25, "none", None),
        (1000, "none", None),
    ],
)
def test_a_port_with_an_odd_encryption_earns_a_warning(write: Write, port: int, crypt: str, usual: str | None) -> None:
    for text in (
        _ENTRY + f"  smtp_port: {port}\n  smtp_crypt: {crypt}\n",
        f"defaults: {{smtp_port: {port}, smtp_crypt: {crypt}}}\n" + _ENTRY,
    ):
        found = read_manifests([write(text)]).warnings
        assert [one.kind for one in found] == (["port_mismatch"] if usual else [])
        expected = f"port {port} with smtp_crypt: {crypt} is unusual: servers expect {usual} there"
        assert not usual or found[0].message.startswith(expected)


def test_a_password_beside_has_auth_false_earns_a_warning(write: Write) -> None:
    for key in ("has_auth", "hash_auth"):
        found = read_manifests([write(_ENTRY + f"  password: {{env: X}}\n  {key}: false\n")]).warnings
        assert [one.kind for one in found] == ["password_unused"]


def test_equal_errors_are_grouped_and_many_are_counted(complain: Complain) -> None:
    entry = "- {email: a%d@example.com, name: A, service: gmail, nmae: x}\n"
    many = "version: 1\naccounts:\n" + "".join(entry % number for number in range(500))
    assert complain(many) == [
        'unknown_key | a.yaml:3:52: unknown key "nmae" (500 times, also at a.yaml:4, a.yaml:5, a.yaml:6 and 496 more) '
        '| did you mean "name"?'
    ]
    different = "version: 1\naccounts:\n" + "".join(f"- {{email: bad{number}}}\n" for number in range(500))
    found = complain(different)
    assert len(found) == 101
    assert found[-1] == "wrong_value | 400 more of the kind wrong_value are not shown"


def test_the_number_of_reported_errors_is_bounded(complain: Complain) -> None:
    found = complain("version: 1\naccounts:\n" + "- x\n" * 50_000)
    assert found == [
        "wrong_type | a.yaml:3:3: accounts[0]: expected a mapping, found a string (2000 times, also at a.yaml:4, "
        "a.yaml:5, a.yaml:6 and 1996 more)",
        "wrong_type | 48000 more of the kind wrong_type are not shown",
    ]


def test_further_errors_are_counted_by_kind(complain: Complain) -> None:
    kinds = {
        "- x\n": ["wrong_type"],
        "- {email: a%d@x.com, name: A, service: gmail, nme: x}\n": ["unknown_key"],
        "- {email: '{{ a }}', name: null, service: odd}\n": ["placeholder", "wrong_type", "wrong_value"],
        "- {email: b%d@x.com, service: gmail, name: }\n": ["empty_value"],
        "- {email: c%d@x.com, name: A, service: gmail}\n": [],
    }
    text = "".join(entry.replace("%d", str(number)) for number in range(1000) for entry in kinds)
    found = complain("version: 1\naccounts:\n" + text)
    once = [re.search(r"\((\d+) times|(\d+) more of the kind", line) for line in found]
    totals = Counter[str]()
    for line, match in zip(found, once, strict=True):
        totals[line.partition(" | ")[0]] += int(match[1] or match[2]) if match else 1
    assert totals == Counter(kind for many in kinds.values() for kind in many * 1000)


def test_irregularities_beyond_the_first_are_counted(complain: Complain) -> None:
    entries = "".join(f"- {{email: a{number}@x.com, name: A, name: B, service: gmail}}\n" for number in range(5000))
    found = complain("version: 1\naccounts:\n" + entries)
    assert found[-1] == "duplicate_key | 4900 more of the kind duplicate_key are not shown"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("verison: 1\nacounts: []", ["verison", "acounts"]),
        ("version: 1\naccounts: [{emial: a@x, name: A, service: gmail}]", ["emial"]),
        ("version: 1\naccounts: [{email: a@x, nome: A, service: other, host: smtp.x}]", ["nome", "host"]),
        ("version: 1\ndefaults: {serivce: other}\naccounts: [{email: a@x, name: A}]", ["serivce"]),
        ("version: 1\naccounts: [{email: a@x, service: other, frobnicate: x}]", ["name", "smtp_server", "frobnicate"]),
    ],
)
def test_what_a_misspelled_key_stands_for_is_not_reported_as_missing(
    complain: Complain, text: str, expected: list[str]
) -> None:
    told = (re.search(r'"(\w+)"|needs (\w+)', problem) for problem in complain(text))
    assert [found and (found[1] or found[2]) for found in told] == expected
