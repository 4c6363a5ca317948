"""Attacks by a pull request, with the installed command: none reads a secret, or sends one elsewhere."""

from __future__ import annotations

import base64
import json
import os
import shlex
from typing import TYPE_CHECKING

import pytest

from reconciler.report.formats import PLAN_FORMATS, RESULT_FORMATS, VALIDATION_FORMATS
from tests.support.accounts_api import account_json
from tests.support.cli_runner import RECONCILER, CliProcess

if TYPE_CHECKING:
    from reconciler.sandbox import Sandbox

CANARY = "canary-2b7e"
ENTRY = "{{email: a@example.com, name: A, service: other, smtp_server: smtp.example.com, password: {}}}"


def manifest(password: str, *more: str) -> str:
    return "\n".join(["version: 1", *more, "accounts:", f"  - {ENTRY.format(password)}", ""])


def accounts_of(user: CliProcess) -> int:
    """How many accounts the server has."""
    return user.run("export").out.count("email:")


@pytest.fixture
def careful(at_sandbox: CliProcess, sandbox: Sandbox) -> CliProcess:
    """A user with a trust file for the sandbox, and a secret that it lists."""
    at_sandbox.environ |= {"SMTP_A": CANARY, "AWS_SECRET_ACCESS_KEY": CANARY, "RECONCILER_TRUST": "../trust.yaml"}
    trust = {
        "version": 1,
        "servers": [{"url": sandbox.url, "env": ["SMTP_*"], "files": [str(at_sandbox.folder / "secrets/*")]}],
        "commands": ["printf %s *"],
        "smtp_servers": ["smtp.example.com"],
        "recipients": ["ops@example.com"],
    }
    (at_sandbox.folder.parent / "trust.yaml").write_text(json.dumps(trust))
    return at_sandbox


@pytest.mark.parametrize(
    "password",
    [
        *("{env: RECONCILER_REFRESH_TOKEN}", "{file: /proc/self/environ}", "{file: /etc/passwd}", "{file: pipe}"),
        "{command: [touch, ran]}",
    ],
)
def test_a_pull_request_cannot_read_other_secrets(at_sandbox: CliProcess, sandbox: Sandbox, password: str) -> None:
    at_sandbox.starts_python = "/proc/self" in password
    os.mkfifo(at_sandbox.folder / "pipe")
    at_sandbox.write("a.yaml", manifest(password, "policy: {test: {when: before, to_email: me@evil.example}}"))
    for command in (["plan", "a.yaml"], ["apply", "a.yaml", "--auto-approve"], ["test", "a.yaml"]):
        done = at_sandbox.run(*command)
        assert done.code == 1
        assert done.err.startswith("error: a.yaml:4:")
        assert sandbox.refresh_token not in done.out + done.err
        assert "root:" not in done.out + done.err
    assert not (at_sandbox.folder / "ran").exists()
    assert accounts_of(at_sandbox) == 0


def test_a_trusted_command_runs_without_reconciler_variables(careful: CliProcess) -> None:
    careful.write("a.yaml", manifest("{command: [printf, '%s', x]}"))
    assert careful.run("plan", "a.yaml").code == 0
    careful.write("a.yaml", manifest("{command: [touch, ran]}"))
    done = careful.run("plan", "a.yaml", "--allow-commands", "-f", "json")
    assert [one["kind"] for one in json.loads(done.out)["errors"]] == ["not_trusted"]
    assert not (careful.folder / "ran").exists()
    careful.environ.pop("RECONCILER_TRUST")
    careful.write("a.yaml", manifest("{command: [sh, -c, 'env > seen; echo x']}"))
    assert careful.run("plan", "a.yaml", "--allow-commands").code == 0
    seen = (careful.folder / "seen").read_text()
    assert "SMTP_A=" in seen
    assert "RECONCILER_" not in seen


def test_two_pull_requests_cannot_send_a_password_elsewhere(careful: CliProcess, sandbox: Sandbox) -> None:
    trust = careful.folder.parent / "trust.yaml"
    trust.write_text(trust.read_text().replace('"smtp.example.com"', '"smtp.gmail.com"'))
    text = "version: 1\naccounts:\n  - {email: a@example.com, name: A, service: gmail}\n"
    careful.write("a.yaml", text.replace("gmail", "gmail, smtp_server: smtp.evil.example"))
    assert careful.run("apply", "a.yaml", "--auto-approve").code == 0
    careful.write("a.yaml", text.replace("gmail", "gmail, password: {env: SMTP_A}"))
    test = ["--to-email", "ops@example.com"]
    for command in (["plan", "a.yaml"], ["apply", "a.yaml", "--auto-approve"], ["test", "a.yaml", *test]):
        done = careful.run(*command)
        assert done.code == 1
        assert "a.yaml:3:5: a@example.com has a password and would log in at 'smtp.evil.example'" in done.err
    assert sandbox.mails() == []


@pytest.mark.parametrize("secret", ["{env: KEY_b001}", "{env: B001}", "{file: b001.key}", "{command: [printf, b001]}"])
def test_a_pull_request_that_swaps_names_gets_no_other_secret(user: CliProcess, secret: str) -> None:
    trust = {
        "version": 1,
        "servers": [
            {
                "url": "https://${name}.example.com",
                "env": ["KEY_${name}", "${NAME}"],
                "files": [str(user.folder / "fleet/${name}.key")],
            },
            {"url": "https://*.example.com", "files": ["/none"]},
        ],
        "commands": ["printf ${name}"],
    }
    (user.folder.parent / "trust.yaml").write_text(json.dumps(trust))

    def refusals(*, swaps_urls: bool = False, swaps_secrets: bool = False) -> int:
        for name, other in (("b001", "b002"), ("b002", "b001")):
            host, owner = other if swaps_urls else name, other if swaps_secrets else name
            token = secret.replace("b001", owner).replace("B001", owner.upper())
            user.write(
                f"fleet/{name}.yaml",
                "version: 1\naccounts: []\n"
                f"server: {{name: {name}, url: 'https://{host}.example.com', auth: {{access_token: {token}}}}}\n",
            )
        done = user.run("validate", "fleet", "--trust", "../trust.yaml", "-f", "json")
        assert done.code == 0 or "does not list" in done.err
        return done.out.count('"kind": "not_trusted"')

    assert (refusals(), refusals(swaps_urls=True), refusals(swaps_secrets=True)) == (0, 2, 2)


def test_a_recipient_on_the_command_line_must_be_listed_too(careful: CliProcess) -> None:
    careful.write("a.yaml", manifest("{env: SMTP_A}"))
    for command in (["test", "a.yaml"], ["apply", "a.yaml", "--auto-approve", "--test", "before"]):
        done = careful.run(*command, "--to-email", "me@evil.example")
        assert done.code == 1
        assert "--to-email me@evil.example: ../trust.yaml does not list the recipient" in done.err


def test_the_trust_command_allows_exactly_what_is_used(careful: CliProcess) -> None:
    careful.environ.pop("RECONCILER_TRUST")
    careful.write("secrets/pw", "x\n")
    text = manifest("{file: secrets/pw}", "policy: {test: {when: before, to_email: ops@example.com}}")
    entry = "  - {email: b@example.com, name: B, service: gmail, password: {env: SMTP_A}}\n"
    command = "  - {email: c@example.com, name: C, service: gmail, password: {command: [echo, 'a*b', '[x]']}}\n"
    careful.write("a.yaml", text + entry + command)
    made = careful.run("trust", "a.yaml", "-o", "trust.yaml")
    assert (made.code, made.err) == (0, "wrote trust.yaml\n")
    assert careful.run("plan", "a.yaml", "--trust", "trust.yaml").code == 0
    lines = (careful.folder / "trust.yaml").read_text().splitlines()
    needed = [line for line in lines[4:] if not line.startswith("limits")]
    assert len(needed) == 6
    for line in needed[1:]:
        careful.write("less.yaml", "\n".join(one for one in lines if one != line))
        done = careful.run("validate", "a.yaml", "--trust", "less.yaml")
        assert done.code == 1
        assert "less.yaml does not list" in done.err


def test_the_trust_command_sets_no_limit_that_would_refuse_a_plan(user: CliProcess) -> None:
    def made(*limits: str) -> list[str]:
        for name, limit in zip("abc", limits, strict=False):
            server = f"server: {{name: {name}, url: 'https://{name}.example.com'}}"
            user.write(f"set/{name}.yaml", f"version: 1\n{server}\npolicy: {{{limit}}}\naccounts: []\n")
        found = user.run("trust", "set").out
        user.write("trust.yaml", found)
        assert user.run("validate", "set", "--trust", "trust.yaml").code == 0
        lines = found.splitlines()
        return lines[lines.index('  - url: "https://c.example.com"') + 1 :]

    assert made("max_deletes: 50", "max_deletes: 2", "max_deletes: 7") == ["limits: {max_deletes: 50}"]
    assert made("max_deletes: 50%", "max_deletes: 2%", "") == ["limits: {max_deletes: 50%}"]
    first, second, *rest = made("max_deletes: 50, protect: [x@y]", "protect: [x@y]", "protect: [x@y]")
    assert (first.startswith("# Without limits.max_deletes: "), second[:2]) == (True, "# ")
    assert rest == ['limits: {protect: ["x@y"]}']
    assert len(made("max_deletes: 50", "", "")) == 2


@pytest.mark.parametrize("name", ["secrets/pw", "link", "hard", "../trust.yaml", "token"])
def test_no_input_file_is_overwritten(careful: CliProcess, sandbox: Sandbox, name: str) -> None:
    secret = careful.write("secrets/pw", f"{CANARY}\n")
    (careful.folder / "link").symlink_to("secrets/pw")
    (careful.folder / "hard").hardlink_to(secret)
    careful.write("token", sandbox.refresh_token)
    careful.write("a.yaml", manifest("{file: secrets/pw}"))
    before = (careful.folder / name).read_bytes()
    token = ["--refresh-token-file", "token"]
    for command in (["plan", "a.yaml", "--save", name], ["plan", "a.yaml", "-f", "json", "-o", name]):
        assert careful.run(*command, *token).code == 64
    assert careful.run("apply", "a.yaml", "--auto-approve", "--journal", name, *token).code == 64
    assert (careful.folder / name).read_bytes() == before
    assert accounts_of(careful) == 0


@pytest.mark.parametrize("chosen", ["text", "json", "markdown", "html", "github", "gitlab", "tfplan"])
def test_every_format_shows_where_a_password_comes_from(careful: CliProcess, sandbox: Sandbox, chosen: str) -> None:
    sandbox.seed([account_json("b@example.com", name="Old", hash_auth=True, password="x")])
    entry = (
        "  - {email: b@example.com, name: B, service: other, smtp_server: smtp.example.com, password: {env: SMTP_B}}\n"
    )
    careful.environ["SMTP_B"] = "x"
    careful.write("a.yaml", manifest("{env: SMTP_A}") + entry)
    for option in ([], ["--no-secrets"]):
        done = careful.run("plan", "a.yaml", "-f", chosen, *option)
        assert done.code == 0
        assert "env SMTP_A" in done.out
        assert "env SMTP_B" in done.out
        assert CANARY not in done.out
        assert ("not compared" in done.out) is bool(option)


def test_a_plan_without_secrets_binds_their_references(careful: CliProcess, sandbox: Sandbox) -> None:
    sandbox.seed([account_json("a@example.com", name="A", hash_auth=True, password="old")])
    careful.write("a.yaml", manifest("{env: SMTP_A}"))
    value = careful.environ.pop("SMTP_A")
    done = careful.run("plan", "a.yaml", "--no-secrets", "--save", "plan.json")
    assert done.code == 0
    assert "No changes." in done.out
    assert "1 declared password of unchanged accounts: not compared" in done.out
    careful.environ |= {"SMTP_A": value, "SMTP_B": value}
    careful.write("a.yaml", manifest("{env: SMTP_B}"))
    done = careful.run("apply", "a.yaml", "--plan", "plan.json")
    assert done.code == 4
    assert "env SMTP_A" in done.err
    assert "env SMTP_B" in done.err
    careful.write("a.yaml", manifest("{env: SMTP_A}"))
    assert careful.run("apply", "a.yaml", "--plan", "plan.json").code == 0
    assert careful.run("plan", "a.yaml", "--detailed-exitcode").code == 0


@pytest.mark.parametrize(
    ("old", "new"),
    [("SMTP_A", "SMTP_B"), ("when: before", "when: after"), ("to_email: ops@", "to_email: evil@"), ("before", "'off'")],
)
def test_a_saved_plan_binds_references_and_delivery_tests(at_sandbox: CliProcess, old: str, new: str) -> None:
    at_sandbox.environ |= {"SMTP_A": "x", "SMTP_B": "x"}
    text = manifest("{env: SMTP_A}", "policy: {test: {when: before, to_email: ops@example.com}}")
    at_sandbox.write("a.yaml", text)
    assert at_sandbox.run("plan", "a.yaml", "--save", "plan.json").code == 0
    at_sandbox.write("a.yaml", text.replace(old, new))
    done = at_sandbox.run("apply", "a.yaml", "--plan", "plan.json")
    assert done.code == 4
    assert new.rsplit(maxsplit=1)[-1].strip("'") in done.err


def test_an_empty_trust_variable_is_an_error(careful: CliProcess) -> None:
    careful.write("a.yaml", manifest("{env: SMTP_A}"))
    done = careful.run("plan", "a.yaml", environ={"RECONCILER_TRUST": ""})
    assert done.code == 64
    assert "RECONCILER_TRUST" in done.err


def test_one_final_line_ending_is_not_part_of_a_token(at_sandbox: CliProcess, sandbox: Sandbox) -> None:
    token = "RECONCILER_REFRESH_TOKEN"
    assert at_sandbox.run("export", environ={token: f"{sandbox.refresh_token}\n"}).code == 0
    done = at_sandbox.run("export", environ={token: f"{sandbox.refresh_token}\n\n"})
    assert done.code == 1
    assert f"error: {token} has more than one line" in done.err
    assert sandbox.refresh_token not in done.err


BROKEN = {
    "byte order mark": (f"\ufeff{CANARY}", "contains a byte order mark"),
    "control character": (f"{CANARY}\x07x", "contains a control character (U+0007)"),
    "second line": (f"{CANARY}\nx\n", "has more than one line"),
    "two line endings": (f"{CANARY}\n\n", "has more than one line"),
}


@pytest.mark.parametrize(("text", "reason"), BROKEN.values(), ids=BROKEN)
@pytest.mark.parametrize(
    "source",
    [
        *("RECONCILER_TOKEN", "RECONCILER_REFRESH_TOKEN", "RECONCILER_PASSWORD", "--token-file"),
        *("--refresh-token-file", "variable", "file", "command", "literal"),
    ],
)
def test_an_invalid_secret_is_refused_from_every_source(user: CliProcess, source: str, text: str, reason: str) -> None:
    user.environ |= {"RECONCILER_URL": "http://127.0.0.1:9", "RECONCILER_USERNAME": "u"}
    user.write("secret", text)
    passwords = {
        "variable": "{env: SMTP_A}",
        "file": "{file: secret}",
        "command": "{command: [cat, secret]}",
        "literal": json.dumps(text),
    }
    user.write("a.yaml", manifest(passwords.get(source, "null, has_auth: false")))
    more = []
    if source.startswith("-"):
        more = [source, "secret"]
    elif source.startswith("RECONCILER_"):
        user.environ[source] = text
    else:
        user.environ |= {"SMTP_A": text, "RECONCILER_TOKEN": "t"}
    done = user.run("plan", "a.yaml", "--allow-commands", *more)
    assert done.code == 1
    assert reason in done.err
    assert CANARY not in done.out + done.err


@pytest.mark.parametrize("option", ["--refresh-token-file", "--token-file", "--client-cert"])
@pytest.mark.parametrize("name", ["token", "link", "hard", "./token"])
def test_a_pull_request_cannot_forward_our_own_token(
    at_sandbox: CliProcess, sandbox: Sandbox, option: str, name: str
) -> None:
    token = at_sandbox.write("token", f"{sandbox.refresh_token}\n")
    (at_sandbox.folder / "link").symlink_to("token")
    (at_sandbox.folder / "hard").hardlink_to(token)
    at_sandbox.write("a.yaml", manifest(f"{{file: {name}}}"))
    test = ["--to-email", "ops@example.com"]
    for command in (["plan", "a.yaml"], ["apply", "a.yaml", "--auto-approve"], ["test", "a.yaml", *test]):
        done = at_sandbox.run(*command, option, "token")
        assert done.code == 1
        assert f"a.yaml:3:94: {{file: {name}}}: an option names this file" in done.err
    assert sandbox.mails() == []


def test_a_block_scalar_is_a_secret_of_one_line(user: CliProcess) -> None:
    entry = "version: 1\naccounts:\n- email: a@example.com\n  name: A\n  service: gmail\n  password: "
    for header, more, code in (("|", "", 0), ("|-", "", 0), (">", "", 0), ("|", "    x\n", 1), ("|+", "\n", 1)):
        user.write("a.yaml", f"{entry}{header}\n    {CANARY}\n{more}")
        done = user.run("validate", "a.yaml")
        assert done.code == code
        assert ("has more than one line" in done.err) is bool(code)
        assert CANARY not in done.out + done.err


def test_pipes_and_devices_cannot_block_the_run(user: CliProcess) -> None:
    os.mkfifo(user.folder / "pipe")
    user.write("a.yaml", manifest("null, has_auth: false"))
    for setting in ("ca_file: pipe", "client_cert: {cert: pipe}", "ca_file: /dev/zero"):
        server = f"server: {{url: 'https://127.0.0.1:9', auth: {{access_token: x}}, {setting}}}"
        user.write("tls.yaml", manifest("null, has_auth: false", server))
        done = user.run("plan", "tls.yaml")
        assert done.code == 1
        assert "this is not a regular file" in done.err
    user.environ |= {"RECONCILER_URL": "http://127.0.0.1:9"}
    for odd in ("/dev/zero", "."):
        for option in (["plan", "a.yaml", "--token-file"], ["apply", "a.yaml", "--plan"]):
            done = user.run(*option, odd)
            assert done.code == 1
            assert "this is not a regular file" in done.err


def test_a_token_can_come_through_a_pipe(at_sandbox: CliProcess, sandbox: Sandbox) -> None:
    at_sandbox.environ.pop("RECONCILER_REFRESH_TOKEN")
    command = [RECONCILER, "export", "--refresh-token-file", "/dev/stdin"]
    script = f"(sleep 0.2; echo {sandbox.refresh_token}) | {shlex.join(map(str, command))}"
    assert at_sandbox.run_program(["sh", "-c", script]).code == 0


def test_content_given_instead_of_a_path_is_not_shown(user: CliProcess) -> None:
    user.environ |= {"RECONCILER_URL": "https://127.0.0.1:9", "RECONCILER_TOKEN": "t"}
    user.write("a.yaml", manifest("null, has_auth: false"))
    key = f"-----BEGIN PRIVATE KEY-----\n{CANARY}\n-----END PRIVATE KEY-----\n"
    long = base64.b64encode(CANARY.encode() * 4).decode().replace("/", "_")
    for environ, option in (
        ({"RECONCILER_TRUST": f"version: 1\nrecipients: [{CANARY}@example.com]\n"}, []),
        ({"RECONCILER_TRUST": f'{{"version": 1, "recipients": ["{CANARY}"]}}'}, []),
        ({"RECONCILER_CLIENT_CERT": key}, []),
        ({"RECONCILER_CA_FILE": key}, []),
        ({}, ["--token-file", long]),
        ({}, ["--refresh-token-file", long]),
    ):
        done = user.run("plan", "a.yaml", *option, environ=environ)
        assert done.code == 1
        assert "characters that is not shown here" in done.err
        assert CANARY not in done.err
        assert long not in done.err
    assert "nofile.yaml: there is no such file" in user.run("plan", "a.yaml", "--trust", "nofile.yaml").err


@pytest.mark.parametrize("mistake", [["broken.yaml"], ["a.yaml", "--nope"], ["missing.yaml"]])
def test_a_failure_keeps_a_file_that_may_be_a_secret(at_sandbox: CliProcess, mistake: list[str]) -> None:
    at_sandbox.write("a.yaml", manifest("{file: secret}"))
    at_sandbox.write("broken.yaml", "version: 1\naccounts: [\n")
    for text in (CANARY, f'{{"key": "{CANARY}"}}', f"-----BEGIN KEY-----\n{CANARY}\n"):
        secret = at_sandbox.write("secret", text)
        done = at_sandbox.run("plan", *mistake, "-q", "-f", "json", "-o", "secret")
        assert secret.read_text() == text
        assert "secret was not replaced" in done.err
        assert json.loads(done.out)["errors"]


@pytest.mark.parametrize("command", ["validate", "plan", "apply"])
def test_a_failure_replaces_our_own_documents(at_sandbox: CliProcess, command: str) -> None:
    formats = {"validate": VALIDATION_FORMATS, "plan": PLAN_FORMATS, "apply": RESULT_FORMATS}[command]
    at_sandbox.write("a.yaml", manifest("null, has_auth: false"))
    at_sandbox.write("broken.yaml", "version: 1\naccounts: [\n")
    for one in formats:
        if one != "text":
            approve = ["--auto-approve"] if command == "apply" else []
            assert at_sandbox.run(command, "a.yaml", "-f", one, "-o", f"out.{one}", *approve).code == 0
            before = (at_sandbox.folder / f"out.{one}").read_text()
            for name in ("broken.yaml", "a.yaml", "broken.yaml"):
                at_sandbox.run(command, name, "-f", one, "-o", f"out.{one}", *approve)
                after = (at_sandbox.folder / f"out.{one}").read_text()
                assert after != before
                before = after
