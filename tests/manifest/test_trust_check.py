# ruff: noqa: E501 - cases are tables, and messages are compared in the one line that they are printed in
from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from reconciler.errors import ManifestError, NotTrustedError
from reconciler.manifest.reader import read_manifests
from reconciler.manifest.trust import read_trust
from reconciler.manifest.trust_check import TrustCheckContext, check_trust
from reconciler.model.account import Globs
from reconciler.model.desired import DeleteLimit
from reconciler.model.trust import Limits, Trust, TrustedServer

if TYPE_CHECKING:
    from pathlib import Path

    from tests.manifest.conftest import Write

URL = "https://a.fw.example.com"


def account(password: str, more: str = "") -> str:
    return (
        "version: 1\naccounts:\n"
        f"  - {{email: a@x.example, name: A, service: other, smtp_server: mx.example, password: {password}{more}}}\n"
    )


def refused(
    name: str, trust: Trust | None = None, environ: dict[str, str] | None = None, to_email: str | None = None
) -> list[str]:
    """What must not be used in a file, each as one line; nothing if it may all be used."""
    request = TrustCheckContext(
        paths=[name], environ=environ or {}, url=URL if trust else None, name="b1", to_email=to_email
    )
    try:
        check_trust(read_manifests([name]), trust, request)
    except NotTrustedError as error:
        return [str(problem) for problem in error.problems if problem.kind == "not_trusted" and problem.hint]
    return []


@pytest.fixture
def outside(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that is neither given nor the working directory, with a secret."""
    path = tmp_path_factory.mktemp("outside")
    (path / "secret").write_text("theirs")
    return path


@pytest.mark.parametrize(
    "reference",
    ["RECONCILER_REFRESH_TOKEN", "RECONCILER_TOKEN", "RECONCILER_PASSWORD", "RECONCILER_X", "reconciler_token"],
)
def test_reconciler_variables_are_never_used_as_passwords(write: Write, reference: str) -> None:
    name = write(account(f"{{env: {reference}}}"))
    trust = Trust((TrustedServer(URL, env=("*",)),), smtp_servers=("*",))
    for given in (None, trust):
        assert refused(name, given) == [
            f"accounts.yaml:3:86: {{env: {reference}}}: RECONCILER_ variables are for this program, and are never sent on as secrets"
        ]


def test_reconciler_variables_are_never_sent_as_the_yaml_s_credentials(write: Write) -> None:
    name = write(
        "version: 1\nserver: {url: 'https://evil.example', auth: {username: {env: RECONCILER_USERNAME},"
        " password: {env: RECONCILER_PASSWORD}}}\naccounts: []\n"
    )
    assert [one.split(":")[:3] for one in refused(name)] == [
        ["accounts.yaml", "2", "56"],
        ["accounts.yaml", "2", "94"],
    ]


@pytest.mark.parametrize(
    "path",
    [
        *("/proc/self/environ", "/proc/1/environ", "/dev/stdin", "/dev/stdout", "/dev/null", "/sys/kernel/notes"),
        *("/proc/self/root/etc/passwd", "/proc/self/cwd/accounts.yaml", "../../../../../../../proc/self/environ"),
        *("link", "folder/environ", "/dev/fd/0"),
    ],
)
def test_files_of_the_system_are_never_used_as_passwords(write: Write, folder: Path, path: str) -> None:
    (folder / "link").symlink_to("/proc/self/environ")
    (folder / "folder").symlink_to("/proc/self")
    name = write(account(f"{{file: {path}}}"))
    trust = Trust((TrustedServer(URL, files=("/**", f"{folder}/**", "/dev/*")),), smtp_servers=("*",))
    for given in (None, trust):
        (message,) = refused(name, given)
        assert message.startswith("accounts.yaml:3:86: ")
        assert "nothing below /" in message


def test_without_a_trust_file_secret_files_must_be_near_the_yaml(write: Write, folder: Path, outside: Path) -> None:
    (folder / "near").write_text("ours")
    (folder / "link").symlink_to(outside / "secret")
    (folder / "linked").symlink_to(outside)
    (folder / "inside").symlink_to("near")
    for path in ("near", "./near", "inside", f"{folder}/near", "missing", "/run/secrets/smtp", "/run/secrets/a/b"):
        assert refused(write(account(f"{{file: {path}}}"))) == []
    for path in ("/etc/passwd", "../x", f"{outside}/secret", "link", "linked/secret", "/run/secretsx/a", "/run"):
        (message,) = refused(write(account(f"{{file: {path}}}")))
        assert "the file is outside the given paths, the working directory" in message


def test_given_folders_and_the_folders_of_given_files_are_near(folder: Path, outside: Path) -> None:
    (outside / "a.yaml").write_text(account("{file: secret}"))
    assert refused(str(outside / "a.yaml")) == []
    assert refused(str(outside)) == []
    (folder / "link.yaml").symlink_to(outside / "a.yaml")
    with pytest.raises(ManifestError) as caught:
        read_manifests(["link.yaml"])
    assert caught.value.problems[0].kind == "outside_path"


def test_systemd_credentials_are_near(write: Write, outside: Path) -> None:
    name = write(account(f"{{file: {outside}/secret}}"))
    assert refused(name, environ={"CREDENTIALS_DIRECTORY": str(outside)}) == []
    assert refused(name, environ={"CREDENTIALS_DIRECTORY": "relative"}) != []
    assert refused(name, environ={"CREDENTIALS_DIRECTORY": ""}) != []


EVERYTHING = Trust(
    servers=(TrustedServer("https://*.fw.example.com", env=("SMTP_*",), files=("/run/secrets/${name}/*",)),),
    commands=("pass show smtp/*",),
    smtp_servers=("mx.example",),
    recipients=Globs(("*@ok.example",)),
    limits=Limits(DeleteLimit(10, percent=True)),
    file="t.yaml",
)


@pytest.mark.parametrize(
    ("password", "allowed"),
    [
        ("{env: SMTP_A}", True),
        ("{env: AWS_SECRET_ACCESS_KEY}", False),
        ("{env: smtp_a}", False),
        ("{file: /run/secrets/b1/x}", True),
        ("{file: /run/secrets/b2/x}", False),
        ("{file: /run/secrets/b1/../b2/x}", False),
        ("{file: near}", False),
        ("{command: [pass, show, smtp/x]}", True),
        ("{command: [pass, show, smtp/x, y]}", False),
        ("{command: [pass, show, smtp/../aws]}", False),
        ("{command: [sh, -c, pass show smtp/x]}", False),
        ("literal", True),
        ("null", True),
    ],
)
def test_with_a_trust_file_only_what_it_lists_may_be_used(write: Write, password: str, allowed: bool) -> None:
    found = refused(write(account(password)), EVERYTHING)
    assert (found == []) is allowed
    assert all(one.startswith("accounts.yaml:3:86: ") and "t.yaml does not list the" in one for one in found)


def test_all_refusals_are_reported_at_once_with_their_positions(write: Write) -> None:
    name = write(
        """\
        version: 1
        server: {url: https://a.fw.example.com, auth: {refresh_token: {env: FW_KEY}}}
        policy:
          max_deletes: 50%
          test: {to_email: me@evil.example}
        defaults:
          service: other
          smtp_server: mx.evil.example
          test:
            to_email: you@evil.example
        accounts:
          - {email: a@x.example, name: A, password: {env: AWS_KEY}}
          - {email: b@x.example, name: B, password: {env: AWS_KEY}}
          - email: c@x.example
            name: C
            service: gmail
            smtp_server: mx.example
            password: {env: SMTP_C}
            test:
              to_email: c@evil.example
        """
    )
    assert refused(name, EVERYTHING, to_email="x@evil.example") == [
        "--to-email x@evil.example: t.yaml does not list the recipient of test mails",
        "accounts.yaml:2:63: {env: FW_KEY}: t.yaml does not list the variable for this server",
        "accounts.yaml:4:16: max_deletes: 50%: it exceeds the limit of t.yaml, 10%",
        "accounts.yaml:5:20: to_email me@evil.example: t.yaml does not list the recipient of test mails",
        "accounts.yaml:8:16: smtp_server mx.evil.example: t.yaml does not list the SMTP server, and the account has a password (2 accounts use it)",
        "accounts.yaml:10:15: to_email you@evil.example: t.yaml does not list the recipient of test mails (2 accounts use it)",
        "accounts.yaml:12:45: {env: AWS_KEY}: t.yaml does not list the variable for this server (2 accounts use it)",
        "accounts.yaml:16:14: service smtp.gmail.com: t.yaml does not list the SMTP server, and the account has a password",
        "accounts.yaml:20:17: to_email c@evil.example: t.yaml does not list the recipient of test mails",
    ]


def test_a_server_that_is_not_listed_is_an_error_at_its_url(write: Write) -> None:
    name = write(f"version: 1\nserver:\n  url: {URL}\naccounts: []\n")
    assert refused(name, replace(EVERYTHING, servers=())) == [
        f"accounts.yaml:3:8: the server {URL}: t.yaml does not list it"
    ]


@pytest.mark.parametrize(
    ("declared", "limit", "allowed"),
    [
        ("max_deletes: 10%", DeleteLimit(10, percent=True), True),
        ("max_deletes: 11%", DeleteLimit(10, percent=True), False),
        ("max_deletes: 5", DeleteLimit(5, percent=False), True),
        ("max_deletes: 6", DeleteLimit(5, percent=False), False),
        ("max_deletes: 6", DeleteLimit(5, percent=True), True),  # the plan tells
        ("prune: true", DeleteLimit(0, percent=False), True),  # the limit holds
    ],
)
def test_the_policy_cannot_exceed_the_limits(write: Write, declared: str, limit: DeleteLimit, allowed: bool) -> None:
    name = write(f"version: 1\npolicy: {{{declared}}}\naccounts: []\n")
    assert (refused(name, replace(EVERYTHING, limits=Limits(limit))) == []) is allowed


def test_links_are_followed_on_both_sides(write: Write, folder: Path, outside: Path) -> None:
    (outside / "mounted").mkdir()
    (outside / "mounted/pw").write_text("x")
    (outside / "current").symlink_to("mounted")
    (folder / "link").symlink_to(outside / "mounted/pw")
    for pattern in (f"{outside}/current/*", f"{outside}/mounted/*", f"{outside}/current/pw"):
        trust = replace(EVERYTHING, servers=(TrustedServer(URL, files=(pattern,)),))
        for path in (f"{outside}/current/pw", f"{outside}/mounted/pw", "link"):
            assert refused(write(account(f"{{file: {path}}}")), trust) == []
        assert refused(write(account(f"{{file: {outside}/secret}}")), trust) != []


def test_a_link_out_of_a_listed_folder_is_refused(write: Write, folder: Path, outside: Path) -> None:
    (folder / "secrets").mkdir()
    (folder / "secrets/link").symlink_to(outside / "secret")
    trust = replace(EVERYTHING, servers=(TrustedServer(URL, files=(f"{folder}/secrets/*", f"{folder}/secrets/link")),))
    assert refused(write(account("{file: secrets/link}")), trust) != []
    (folder / "secrets/link").unlink()
    (folder / "secrets").rmdir()
    (folder / "secrets").symlink_to(outside)
    assert refused(write(account("{file: secrets/secret}")), trust) != []


def test_kubernetes_links_a_secret_to_a_hidden_folder_beside_it(write: Write, outside: Path) -> None:
    (outside / "..2026_01").mkdir()
    (outside / "..2026_01/pw").write_text("x")
    (outside / "..data").symlink_to("..2026_01")
    (outside / "pw").symlink_to("..data/pw")
    trust = replace(EVERYTHING, servers=(TrustedServer(URL, files=(f"{outside}/*",)),))
    assert refused(write(account(f"{{file: {outside}/pw}}")), trust) == []


@pytest.mark.parametrize("name", ["../b2", "*", ".", "..", "b1/../b2"])
def test_a_server_name_gives_no_access_to_other_servers_files(write: Write, name: str) -> None:
    file = write(account("{file: /run/secrets/b2/x}"))
    request = TrustCheckContext(paths=[file], environ={}, url=URL, name=name)
    with pytest.raises(NotTrustedError):
        check_trust(read_manifests([file]), EVERYTHING, request)


def test_a_trust_file_is_read(write: Write, folder: Path) -> None:
    name = write(
        """\
        version: 1
        servers:
          - url: "https://*.fw.example.com"
            env: ["SMTP_*"]
            files: ["/run/secrets/${name}/*", "near/*"]
        commands: ["pass show *"]
        smtp_servers: ["smtp.example.com"]
        recipients: ["*@example.com"]
        limits: {max_deletes: 10%, protect: ["certs@*"]}
        """,
        "trust/t.yaml",
    )
    assert read_trust(name) == Trust(
        servers=(
            TrustedServer(
                "https://*.fw.example.com", ("SMTP_*",), ("/run/secrets/${name}/*", f"{folder}/trust/near/*")
            ),
        ),
        commands=("pass show *",),
        smtp_servers=("smtp.example.com",),
        recipients=Globs(("*@example.com",)),
        limits=Limits(DeleteLimit(10, percent=True), Globs(("certs@*",))),
        file="trust/t.yaml",
    )
    assert read_trust(write("version: 1\n")) == Trust(file="accounts.yaml")


def test_every_error_in_a_trust_file_has_its_position(write: Write) -> None:
    name = write(
        """\
        version: 2
        servers:
          - urls: "https://*.fw.example.com"
            env: ["SMTP_$", RECONCILER]
            files: ["/run/${nam}/*", ../x, ~/x]
          - {url: "*://x/y"}
        command: []
        commands: ["sops 'x", 3, ""]
        smtp_servers:
        recipients: [example.com]
        limits: {max_deletes: 110%, protekt: []}
        """
    )
    with pytest.raises(ManifestError) as caught:
        read_trust(name)
    assert [str(problem).split(",")[0] + f" | {problem.hint}" for problem in caught.value.problems] == [
        "accounts.yaml:1:10: version: this version of the format is not known | write version: 1",
        'accounts.yaml:3:5: unknown key "urls" | did you mean "url"?',
        "accounts.yaml:4:11: env[0]: this is not a pattern of a variable's name | letters, digits, _, * and ? only; ${name} and ${NAME} are the server's name",
        "accounts.yaml:5:13: files[0]: a pattern of files takes no variable but ${name} | write ${name} for the server's name",
        "accounts.yaml:5:30: files[1]: a pattern of files takes neither .. nor ~ | write the path from / on",
        "accounts.yaml:5:36: files[2]: a pattern of files takes neither .. nor ~ | write the path from / on",
        "accounts.yaml:6:11: url: this is not a pattern of a server's URL | write scheme, host and port, such as https://${name}.fw.example.com; * stays within the host, or the port",
        'accounts.yaml:7:1: unknown key "command" | did you mean "commands"?',
        "accounts.yaml:8:12: commands[0]: this is not a command line | write it as for a shell, with every quote closed",
        "accounts.yaml:8:23: commands[1]: expected a string | put it in quotes",
        "accounts.yaml:8:26: commands[2]: this is not a command line | write it as for a shell, with every quote closed",
        "accounts.yaml:9:1: smtp_servers has no value | give it one, or leave the key out; a value that begins with # or & needs quotes",
        "accounts.yaml:10:14: recipients[0]: a pattern of addresses has an @-sign | write it as *@example.com",
        "accounts.yaml:11:23: max_deletes: expected a number from 0 | write it as 5 or as 30%",
        'accounts.yaml:11:29: unknown key "protekt" | did you mean "protect"?',
    ]


@pytest.mark.parametrize("text", ["", "- a\n", "version: 1\nversion: 1\n", "a: [", "\x00"])
def test_a_file_that_is_not_a_trust_file_is_an_error(write: Write, text: str) -> None:
    with pytest.raises(ManifestError):
        read_trust(write(text))


def test_a_name_is_inserted_only_if_the_url_contains_it(write: Write) -> None:
    text = """\
        version: 1
        servers:
          - {url: "https://*.fw.example.com", env: [SMTP, "SMTP_${name}", "${NAME}"], files: ["/${name}"]}
        commands: [get all, "get ${name}"]
    """
    with pytest.raises(ManifestError) as caught:
        read_trust(write(text))
    message = "the server's name is not bound to its URL: a pull request could write another one"
    assert [str(one) for one in caught.value.problems] == [
        f"accounts.yaml:3:51: env[1]: {message}",
        f"accounts.yaml:3:67: env[2]: {message}",
        f"accounts.yaml:4:21: commands[1]: {message}",
    ]
    paired = write(text.replace("*.fw", "${name}.fw"))
    assert read_trust(paired).lists_variable("https://a.fw.example.com", "a", "SMTP_a")


def test_a_trust_file_must_be_a_regular_file(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    with pytest.raises(ManifestError):
        read_trust("pipe")
    with pytest.raises(ManifestError):
        read_trust("missing")
