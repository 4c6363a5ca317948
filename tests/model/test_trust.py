from __future__ import annotations

import shlex

import pytest

from reconciler.model.account import Globs
from reconciler.model.trust import Trust, TrustedServer, escaped_pattern, is_url_pattern, path_matches

TRUST = Trust(
    servers=(
        TrustedServer("https://*.fw.example.com", env=("SMTP_*",), files=("/run/secrets/${name}/*", "/etc/all")),
        TrustedServer("https://one.example.com:8443", env=("ONE",)),
        TrustedServer("http://127.0.0.1:*"),
        TrustedServer("https://[fd00::1]"),
    ),
    commands=("sops -d --extract * secrets/*", "pass show smtp/*", "vault read -field=* secret"),
    smtp_servers=("smtp.example.com", "*.mail.example.com"),
    recipients=Globs(("*@example.com",)),
)


@pytest.mark.parametrize(
    "url",
    [
        "https://a.fw.example.com",
        "https://A.FW.Example.COM/",
        "https://a.b.fw.example.com",
        "https://a.fw.example.com:443",
        "https://one.example.com:8443",
        "http://127.0.0.1:8080",
        "http://127.0.0.1",
        "https://[FD00::1]",
        "https://[fd00:0::0001]",
    ],
)
def test_a_listed_server_is_trusted(url: str) -> None:
    assert TRUST.lists_url(url, "b001")


@pytest.mark.parametrize(
    "url",
    [
        "https://fw.example.com",
        "https://evil.com/.fw.example.com",
        "https://evil.com#.fw.example.com",
        "https://evil.com?.fw.example.com",
        "https://evil.com\\.fw.example.com",
        "https://evil.com@a.fw.example.com",
        "https://a.fw.example.com@evil.com",
        "https://evil.com:443.fw.example.com",
        "https://evil.com%2f.fw.example.com",
        "https://evil.com\n.fw.example.com",
        "https://evil.com\t.fw.example.com",
        "https://evil。com/.fw.example.com",
        "https://a.fw.example.com.evil.com",
        "https://a.fw.example.com:8443",
        "http://a.fw.example.com",
        "https://*.fw.example.com",
        "https://?.fw.example.com",
        "https://one.example.com",
        "http://127.0.0.1.evil.com:80",
        "http://127.0.0.10:80",
        "https://[fd00::1]:8443",
        "https://[fd00::11]",
        "//a.fw.example.com",
        "",
    ],
)
def test_no_other_url_is_accepted(url: str) -> None:
    assert not TRUST.lists_url(url, "b001")


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ("https://fw.example.com", True),
        ("https://*", True),
        ("http://127.0.0.1:*", True),
        ("https://[fd00::*]:8443", True),
        ("https://${name}.fw.example.com", True),
        ("https://${host}.fw.example.com", False),
        ("https://fw.example.com:${name}", False),
        ("*://fw.example.com", False),
        ("fw.example.com", False),
        ("https://user@fw.example.com", False),
        ("https://fw.example.com/path", False),
        ("https://fw.example.com?x", True),  # a character of the host
        ("https://fw.example.com#x", False),
    ],
)
def test_a_pattern_of_a_url_has_scheme_host_and_port(text: str, fits: bool) -> None:
    assert is_url_pattern(text) is fits


def test_variables_and_files_belong_to_a_server() -> None:
    assert TRUST.lists_variable("https://a.fw.example.com", "b001", "SMTP_A")
    assert not TRUST.lists_variable("https://a.fw.example.com", "b001", "smtp_a")
    assert not TRUST.lists_variable("https://a.fw.example.com", "b001", "ONE")
    assert not TRUST.lists_variable("https://one.example.com:8443", "b001", "SMTP_A")
    assert TRUST.files("https://a.fw.example.com", "b001") == ("/run/secrets/b001/*", "/etc/all")
    assert TRUST.files("https://one.example.com:8443", "b001") == ()


@pytest.mark.parametrize(
    ("url", "name", "listed"),
    [
        ("https://b001.fw.example.com", "b001", True),
        ("https://B001.fw.example.com", "b001", True),
        ("https://b001.fw.example.com", "B001", True),
        ("https://b002.fw.example.com", "b001", False),
        ("https://b001.fw.example.com", "", False),
        ("https://b001.fw.example.com", "*", False),
        ("https://evil.com.fw.example.com", "evil.com", False),
        ("https://evil.com#.fw.example.com", "evil.com#", False),
        ("https://${name}.fw.example.com", "", False),
    ],
)
def test_a_name_in_a_url_pairs_a_server_with_its_secrets(url: str, name: str, listed: bool) -> None:
    trust = Trust((TrustedServer("https://${name}.fw.example.com", env=("*",), files=("/run/secrets/${name}.key",)),))
    assert trust.lists_url(url, name) is listed
    assert trust.lists_variable(url, name, "SECRET") is listed
    assert trust.files(url, name) == ((f"/run/secrets/{name}.key",) if listed else ())


PAIRED = Trust(
    (
        TrustedServer("https://${name}.fw.example.com", env=("KEY_${name}", "${NAME}_KEY")),
        TrustedServer("https://*.fw.example.com", env=("SMTP_*", "WIDE_${name}")),
    ),
    commands=("pass show fw/${name}", "get ${NAME}", "get all"),
)


@pytest.mark.parametrize(
    ("host", "name", "variables"),
    [
        ("b001", "b001", {"KEY_b001", "B001_KEY"}),
        ("b001", "B001", {"KEY_B001", "B001_KEY"}),
        ("b-1", "b-1", {"B_1_KEY"}),
        ("b001", "b002", set()),
        ("b001", "", set()),
        ("b001", "*", set()),
        ("b001", "b001.fw", set()),
        ("x", "B_1", set()),
    ],
)
def test_variables_are_paired_with_servers_by_name(host: str, name: str, variables: set[str]) -> None:
    known = ["KEY_b001", "KEY_B001", "KEY_b002", "B001_KEY", "B002_KEY", "B_1_KEY", "WIDE_b001", "WIDE_b002"]
    url = f"https://{host}.fw.example.com"
    assert {one for one in known if PAIRED.lists_variable(url, name, one)} == variables
    assert PAIRED.lists_variable(url, name, "SMTP_A")
    assert all(PAIRED.lists_variable(None, "", one) for one in known if not one.startswith("WIDE"))


@pytest.mark.parametrize(
    ("host", "name", "lines"),
    [
        ("b001", "b001", {"pass show fw/b001", "get B001"}),
        ("b-1", "b-1", {"get B_1"}),
        ("b001", "b002", set()),
        ("b001", "*", set()),
        ("b001", "", set()),
        ("--config", "--config", set()),
    ],
)
def test_commands_are_paired_with_servers_by_name(host: str, name: str, lines: set[str]) -> None:
    known = ["pass show fw/b001", "pass show fw/b002", "get B001", "get B_1", "get --CONFIG", "pass show fw/--config"]
    url = f"https://{host}.fw.example.com"
    assert {one for one in known if PAIRED.lists_command(url, name, one.split())} == lines
    assert PAIRED.lists_command(url, name, ["get", "all"])
    assert PAIRED.lists_command(None, "", ["get", "B001"])


@pytest.mark.parametrize(
    ("url", "binds"),
    [
        ("https://${name}.fw.example.com", True),
        ("https://fw-${name}.*", True),
        ("https://${name}*.fw.example.com", False),
        ("https://?${name}.fw.example.com", False),
        ("https://*.fw.example.com", False),
    ],
)
def test_a_url_binds_a_name_that_it_contains_as_a_whole(url: str, *, binds: bool) -> None:
    assert TrustedServer(url).binds_name is binds


@pytest.mark.parametrize("name", ["*", "?", "..", ".", "a/b", "../b", "", "a\n", "[*]", "${name}"])
def test_no_server_name_gives_access_to_other_servers_files(name: str) -> None:
    assert TRUST.files("https://a.fw.example.com", name) == ("/etc/all",)


@pytest.mark.parametrize(
    ("line", "allowed"),
    [
        ("sops -d --extract '[\"smtp\"]' secrets/a.yaml", True),
        ("sops -d --extract x secrets/deep/a.yaml", True),
        ("sops -d --extract x y secrets/a.yaml", False),
        ("sops -d --extract 'x secrets/a.yaml' secrets/a.yaml", True),
        ("sops -d --extract x secrets/a.yaml --config=evil", False),
        ("sops -d --extract --config=evil secrets/a.yaml", False),
        ("sops -d --extract x secrets/../../etc/passwd", False),
        ("sops -d --extract x secrets/..", False),
        ("sops -d --extract x /opt/secrets/a.yaml", False),
        ("/opt/sops -d --extract x secrets/a.yaml", False),
        ("pass show smtp/a", True),
        ("pass show smtp/a extra", False),
        ("pass show", False),
        ("vault read -field=password secret", True),
        ("vault read -field=../password secret", False),
        ("sh -c 'sops -d --extract x secrets/a'", False),
    ],
)
def test_a_command_matches_word_by_word(line: str, allowed: bool) -> None:
    assert TRUST.lists_command(None, "", shlex.split(line)) is allowed


@pytest.mark.parametrize(
    "arguments", [["a*b"], ["a[*]b", "?"], ["[[]", "[x]", ""], ["-x", "../y", 'a "b" c'], ["[["], ["${name}", "[$]"]]
)
def test_an_escaped_command_matches_itself_alone(arguments: list[str]) -> None:
    trust = Trust(commands=(escaped_pattern(shlex.join(arguments)),))
    assert trust.lists_command(None, "", arguments)
    assert not trust.lists_command(None, "", [*arguments[:-1], arguments[-1] + "b"])
    assert not trust.lists_command(None, "", [one.replace("*", "evil") + "!" for one in arguments])


def test_a_star_in_a_path_stays_within_a_folder() -> None:
    assert path_matches("/run/*/x", "/run/a/x")
    assert not path_matches("/run/*/x", "/run/a/b/x")
    assert not path_matches("/run/*", "/run/a/b")
    assert path_matches("/run/**", "/run/a/b")
    assert path_matches("/run/**/x", "/run/a/b/x")
    assert path_matches("/run/**/x", "/run/x")
    assert not path_matches("/run/**/x", "/run/evilx")
    assert path_matches("/run/[*]", "/run/*")
    assert not path_matches("/run/[*]", "/run/a")


def test_smtp_servers_and_recipients_are_compared_without_case() -> None:
    assert TRUST.lists_smtp_server("SMTP.example.com.")
    assert TRUST.lists_smtp_server("a.mail.example.com")
    assert not TRUST.lists_smtp_server("smtp.example.com.evil.com")
    assert not TRUST.lists_smtp_server("mail.example.com")
    assert TRUST.lists_recipient("Ops@Example.com")
    assert not TRUST.lists_recipient("ops@example.com.evil.com")


@pytest.mark.parametrize(
    "listed", ["smtp.b\u00fccher.example", "smtp.xn--bcher-kva.example", "SMTP.B\u00dcCHER.example."]
)
@pytest.mark.parametrize(
    "host", ["smtp.b\u00fccher.example", "SMTP.XN--bcher-kva.example.", "smtp.bu\u0308cher.example"]
)
def test_smtp_servers_and_recipients_are_compared_by_identity(listed: str, host: str) -> None:
    bare = listed.removesuffix(".")
    trust = Trust(smtp_servers=(listed,), recipients=Globs((f"*@{bare}",)))
    assert (trust.lists_smtp_server(host), trust.lists_recipient(f"ops@{host.removesuffix('.')}")) == (True, True)
    assert Trust(smtp_servers=("*.b\u00fccher.example", "*b\u00fc*")).lists_smtp_server(host)
    assert not Trust(smtp_servers=("smtp.strasse.example", "*.bucher.example")).lists_smtp_server(host)
    assert not trust.lists_smtp_server("smtp.bucher.example")


def test_an_empty_trust_file_lists_nothing() -> None:
    trust = Trust()
    assert not trust.lists_url("https://a.fw.example.com", "a")
    assert not trust.lists_command(None, "", ["true"])
    assert not trust.lists_smtp_server("smtp.example.com")
    assert not trust.lists_recipient("ops@example.com")
    assert trust.limits.max_deletes is None
