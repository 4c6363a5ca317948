"""A credential is sent only to the server that it was given for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from reconciler.credentials import CredentialSelector, ServerAccess, ServerOptions
from reconciler.errors import ApiError, Problem
from reconciler.model.ports import Notifier
from reconciler.model.secret import Secret
from reconciler.model.server import ClientCertificate, Credentials, Login, RefreshToken, ServerConfig
from reconciler.model.trust import Trust, TrustedServer
from tests.support.scripted_server import ScriptedServer, json_reply

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.support.cli_runner import CliProcess

OURS, OTHER = "https://fw.example.com", "https://other.example.com"
TOKEN = {"RECONCILER_TOKEN": "env-token"}
AUTH = RefreshToken(Secret("yaml-key"))
APPROVE = (
    "give this server a `server.auth` of its own in the YAML; or set"
    f" RECONCILER_URL={OURS} (or --url), or list the URL in a trust file (--trust)"
)


@dataclass
class Case:
    """What names the server and holds the credentials."""

    config: ServerConfig = field(default_factory=ServerConfig)
    flags: ServerOptions = field(default_factory=ServerOptions)
    environ: Mapping[str, str] = field(default_factory=dict)
    listed: tuple[str, ...] | None = None
    warnings: list[Problem] = field(default_factory=list)
    resolved: list[Credentials] = field(default_factory=list)
    replaced: dict[object, Secret] = field(default_factory=dict)
    in_fleet: bool = False

    def select(self) -> ServerAccess:
        def resolve(credentials: Credentials) -> Credentials:
            self.resolved.append(credentials)
            return credentials

        return CredentialSelector(
            config=self.config,
            options=self.flags,
            environ=self.environ,
            trust=None if self.listed is None else Trust(tuple(map(TrustedServer, self.listed))),
            resolve=resolve,
            notifier=Notifier(warn=self.warnings.append),
            replaced=self.replaced,
            in_fleet=self.in_fleet,
        ).select()

    def refusal(self) -> Problem:
        with pytest.raises(ApiError) as caught:
            self.select()
        (problem,) = caught.value.problems
        assert self.resolved == []
        return problem


def used(case: Case) -> str:
    credentials = case.select().credentials
    token = credentials.password if isinstance(credentials, Login) else credentials.token
    assert isinstance(token, Secret)
    return token.reveal()


@pytest.mark.parametrize(
    "environ",
    [
        {"RECONCILER_TOKEN": "t"},
        {"RECONCILER_REFRESH_TOKEN": "t"},
        {"RECONCILER_USERNAME": "u", "RECONCILER_PASSWORD": "p"},
    ],
)
@pytest.mark.parametrize("listed", [None, (), (OTHER,)])
def test_environment_credentials_are_not_sent_to_a_url_that_only_the_yaml_names(
    environ: dict[str, str], listed: tuple[str, ...] | None
) -> None:
    problem = Case(ServerConfig(url=OURS), environ=environ, listed=listed).refusal()
    what = " and ".join(environ)
    message = f"{what} may not be sent to {OURS}: only the YAML names this server"
    assert problem == Problem(kind="url_not_approved", message=message, hint=APPROVE)


@pytest.mark.parametrize(
    ("environ", "kind", "hint"),
    [
        ({}, "no_credentials", "write `server.auth` in the YAML: each server of a fleet needs credentials of its own"),
        (TOKEN, "url_not_approved", "give this server a `server.auth` of its own in the YAML"),
    ],
)
def test_a_server_of_a_fleet_gets_credentials_only_from_the_yaml(environ: dict[str, str], kind: str, hint: str) -> None:
    problem = Case(ServerConfig(url=OURS), environ=environ, listed=(OURS,), in_fleet=True).refusal()
    assert (problem.kind, problem.hint) == (kind, hint)


@pytest.mark.parametrize(
    ("flags", "environ", "listed"),
    [
        (ServerOptions(url=OURS), {}, None),
        (ServerOptions(url="HTTPS://FW.example.com:443/"), {}, None),
        (ServerOptions(), {"RECONCILER_URL": OURS}, None),
        (ServerOptions(), {}, (OURS,)),
    ],
)
@pytest.mark.parametrize("auth", [None, AUTH])
def test_environment_credentials_are_sent_to_a_given_or_trusted_url(
    flags: ServerOptions, environ: dict[str, str], listed: tuple[str, ...] | None, auth: Credentials | None
) -> None:
    case = Case(ServerConfig(url=OURS, auth=auth), flags, {**TOKEN, **environ}, listed)
    assert (used(case), case.resolved, case.select().server.url) == ("env-token", [], OURS)


def test_the_yaml_s_credentials_are_used_if_the_others_are_not_approved() -> None:
    assert used(Case(ServerConfig(url=OURS, auth=AUTH), environ=TOKEN)) == "yaml-key"


@pytest.mark.parametrize("source", ["flag", "environment"])
def test_the_yaml_s_credentials_are_not_sent_to_another_url(source: str) -> None:
    flags = ServerOptions(url=OTHER) if source == "flag" else ServerOptions()
    environ = {"RECONCILER_URL": OTHER} if source == "environment" else {}
    problem = Case(ServerConfig(url=OURS, auth=AUTH), flags, environ).refusal()
    message = f"no credentials for {OTHER}: the YAML's `auth` is for {OURS}, and is not sent anywhere else"
    assert (problem.kind, problem.message) == ("no_credentials", message)


def test_the_yaml_s_credentials_are_sent_to_its_url_even_if_it_is_also_given() -> None:
    assert used(Case(ServerConfig(url=OURS, auth=AUTH), environ={"RECONCILER_URL": f"{OURS}/"})) == "yaml-key"


@pytest.mark.parametrize("option", ["token_file", "refresh_token_file"])
@pytest.mark.parametrize("auth", [None, AUTH])
def test_a_token_file_that_is_not_approved_is_an_error_and_not_read(option: str, auth: Credentials | None) -> None:
    flags = ServerOptions(**{option: "/nowhere"})  # type: ignore[arg-type]
    problem = Case(ServerConfig(url=OURS, auth=auth), flags).refusal()
    what = f"--{option.replace('_', '-')}"
    assert problem.message == f"{what} may not be sent to {OURS}: only the YAML names this server"


def test_an_empty_url_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("k")
    flags = ServerOptions(url="", token_file=str(tmp_path / "key"))
    assert Case(ServerConfig(url=OURS), flags).refusal().kind == "no_server"


def test_options_win_over_the_environment_which_wins_over_the_yaml(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("flag-token\n")
    config, environ = ServerConfig(url=OURS, auth=AUTH), {"RECONCILER_URL": OURS, **TOKEN}
    assert used(Case(config, ServerOptions(token_file=str(tmp_path / "token")), environ)) == "flag-token"
    assert used(Case(config, environ=environ)) == "env-token"
    assert Case(config, ServerOptions(url=OTHER), environ).select().server.url == OTHER


@pytest.mark.parametrize(
    ("flags", "environ", "config"),
    [
        (ServerOptions(url=OTHER), TOKEN, ServerConfig(url=OURS, name="matriz")),
        (ServerOptions(), {"RECONCILER_URL": OTHER, **TOKEN}, ServerConfig(url=OURS, name="matriz")),
        (ServerOptions(url=OTHER), TOKEN, ServerConfig(name="matriz")),
        (ServerOptions(), {}, ServerConfig(url=OURS, name="matriz", auth=AUTH)),
    ],
)
def test_the_name_in_the_yaml_is_the_servers_label(
    flags: ServerOptions, environ: dict[str, str], config: ServerConfig
) -> None:
    assert Case(config, flags, environ).select().server.name == "matriz"


def test_another_url_in_the_environment_is_warned_about() -> None:
    case = Case(ServerConfig(url=OURS), environ={"RECONCILER_URL": OTHER, **TOKEN})
    assert case.select().server.url == OTHER
    (warning,) = case.warnings
    assert warning.kind == "url_overridden"
    assert warning.message == f"RECONCILER_URL names the server, {OTHER}, and `server.url` is not used: {OURS}"
    silent = [
        Case(ServerConfig(url=OURS), ServerOptions(url=OTHER), {"RECONCILER_URL": OTHER, **TOKEN}),
        Case(ServerConfig(url=f"{OURS}/"), environ={"RECONCILER_URL": OURS, **TOKEN}),
        Case(ServerConfig(), environ={"RECONCILER_URL": OURS, **TOKEN}),
    ]
    for one in silent:
        one.select()
        assert not one.warnings


def test_without_a_name_the_host_is_the_servers_label() -> None:
    assert Case(flags=ServerOptions(url=OTHER), environ=TOKEN).select().server.name == "other.example.com"


CERT = ClientCertificate("yaml.pem", "yaml.key")
OWN = ServerConfig(url=OURS, auth=AUTH, ca_file="yaml-ca.pem", client_cert=CERT)
OUTSIDE = {"RECONCILER_CA_FILE": "env-ca.pem", "RECONCILER_CLIENT_CERT": "env.pem"}
NAMED = ServerOptions(ca_file="flag-ca.pem", client_cert="flag.pem")


@pytest.mark.parametrize(
    ("case", "ca_file", "certificate", "warnings"),
    [
        (Case(OWN), "yaml-ca.pem", CERT, 0),
        (Case(OWN, environ=OUTSIDE), "yaml-ca.pem", CERT, 2),
        (Case(OWN, environ={"RECONCILER_URL": OURS}), "yaml-ca.pem", CERT, 0),
        (Case(OWN, environ={"RECONCILER_URL": OURS, **OUTSIDE}), "env-ca.pem", ClientCertificate("env.pem"), 0),
        (Case(OWN, environ={"RECONCILER_URL": OURS, **TOKEN}), None, None, 2),
        (Case(OWN, environ={"RECONCILER_URL": OTHER, **TOKEN}), None, None, 3),
        (Case(OWN, environ=TOKEN, listed=(OURS,)), None, None, 2),
        (Case(OWN, environ={**TOKEN, **OUTSIDE}, listed=(OURS,)), "env-ca.pem", ClientCertificate("env.pem"), 0),
        (
            Case(OWN, NAMED, {"RECONCILER_URL": OTHER, **TOKEN, **OUTSIDE}),
            "flag-ca.pem",
            ClientCertificate("flag.pem"),
            1,
        ),
    ],
)
def test_tls_settings_belong_to_the_url_and_credentials_beside_them(
    case: Case, ca_file: str | None, certificate: ClientCertificate | None, warnings: int
) -> None:
    access = case.select()
    assert (access.ca_file, access.client_certificate, len(case.warnings)) == (ca_file, certificate, warnings)
    assert {problem.kind for problem in case.warnings} <= {"tls_setting_not_used", "url_overridden"}


@pytest.mark.parametrize(
    ("flags", "option"), [(ServerOptions(ca_file="x"), "--ca-file"), (ServerOptions(client_cert="x"), "--client-cert")]
)
def test_a_tls_option_that_does_not_apply_is_an_error(flags: ServerOptions, option: str) -> None:
    with pytest.raises(ApiError) as caught:
        Case(OWN, flags).select()
    (problem,) = caught.value.problems
    message = f"{option} is for a URL, or credentials, that are not the YAML's; here both are"
    assert (problem.kind, problem.message) == ("tls_setting_not_used", message)


def test_nothing_is_sent_to_a_server_that_only_the_yaml_names(user: CliProcess) -> None:
    with ScriptedServer(json_reply([])) as outsider:
        user.write("a.yaml", f"version: 1\nserver: {{url: '{outsider.url}'}}\naccounts: []\n")
        user.write("key", "secret-key")
        for command in (["plan", "a.yaml"], ["apply", "a.yaml", "--auto-approve"], ["test", "a.yaml"]):
            for environ, more in (
                (TOKEN, []),
                ({"RECONCILER_REFRESH_TOKEN": "k"}, []),
                ({"RECONCILER_USERNAME": "u", "RECONCILER_PASSWORD": "p"}, []),
                ({}, ["--token-file", "key"]),
                ({}, ["--refresh-token-file", "key"]),
            ):
                done = user.run(*command, *more, environ=environ)
                assert (done.code, "only the YAML names this server" in done.err) == (1, True), done.err
                assert done.err.startswith("error: a.yaml:2:15: ")
        assert outsider.connections == 0
        done = user.run("plan", "a.yaml", environ={**TOKEN, "RECONCILER_URL": outsider.url})
        assert (done.code, outsider.lines) == (0, ["GET /api/email/accounts"])


def test_a_trust_file_approves_the_url(user: CliProcess) -> None:
    with ScriptedServer(json_reply([])) as server:
        user.write("a.yaml", f"version: 1\nserver: {{url: '{server.url}'}}\naccounts: []\n")
        user.write("trust.yaml", f"version: 1\nservers: [{{url: '{server.url}'}}]\n")
        assert user.run("plan", "a.yaml", "--trust", "trust.yaml", environ=TOKEN).code == 0
        assert [request.header("Authorization") for request in server.requests] == ["Bearer env-token"]
        user.write("trust.yaml", "version: 1\nservers: [{url: 'https://*.example.com'}]\n")
        assert user.run("plan", "a.yaml", "--trust", "trust.yaml", environ=TOKEN).code == 1
        assert len(server.requests) == 1


def test_two_token_files_are_a_usage_error(user: CliProcess) -> None:
    done = user.run("export", "--token-file", "a", "--refresh-token-file", "b")
    assert done.code == 64
    assert "--token-file and --refresh-token-file exclude each other. Name one." in done.err


@pytest.mark.parametrize("given", ["https://[FD00:0:0:0:0:0:0:1]:443/", "https://[fd00:0::0001]", "https://[fd00::1]"])
def test_every_spelling_of_an_ipv6_address_is_one_server(given: str) -> None:
    own = RefreshToken(Secret("own"))
    access = Case(ServerConfig(url="https://[fd00::1]", auth=own), ServerOptions(url=given)).select()
    assert (access.server.url, access.credentials) == ("https://[fd00::1]", own)


def test_a_replaced_refresh_token_goes_only_to_the_server_that_issued_it() -> None:
    replaced: dict[object, Secret] = {}

    def known(url: str) -> Secret | None:
        keeper = Case(ServerConfig(url=url, auth=AUTH), replaced=replaced).select().keeper
        assert keeper
        with keeper.locked() as token:
            if token is None:
                keeper.store(Secret(f"issued by {url}"))
            return token

    assert [known(OURS), known(OTHER)] == [None, None]
    assert [known(OURS), known(OTHER)] == [Secret(f"issued by {OURS}"), Secret(f"issued by {OTHER}")]
