"""No output shows a secret: in every command, format, file and encoding."""

from __future__ import annotations

import itertools
import json
from shlex import quote
from typing import TYPE_CHECKING, Any

import pytest

from reconciler.report.formats import PLAN_FORMATS, RESULT_FORMATS, VALIDATION_FORMATS
from tests.support.canaries import ENCODINGS, TOKEN, Canaries
from tests.support.leaky_server import PLACES, STYLES, LeakyServer, serve

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.cli_runner import CliRunner, RunResult

PLAN = ("plan", "--save", "saved.json", "--rotate-passwords", "--allow-commands")
APPLY = ("apply", "--auto-approve", "--journal", "journal.jsonl", "--allow-commands", "--to-email", "ops@example.com")
TRY = ("test", "--to-email", "ops@example.com", "--allow-commands")

COMMANDS: list[tuple[str, ...]] = [
    *(("validate", "-f", one.value) for one in VALIDATION_FORMATS),
    *((*PLAN, "-f", one.value) for one in PLAN_FORMATS),
    *((*APPLY, "-f", one.value) for one in RESULT_FORMATS),
    *((*TRY, "-f", one.value) for one in RESULT_FORMATS),
    ("export",),
]
"""Every command that handles secrets, in every format that it has."""

DECLARED = ("env password", "file password", "command password", "literal password")
CREDENTIALS = {
    "env access token": {"RECONCILER_TOKEN": TOKEN},
    "env refresh token": {"RECONCILER_REFRESH_TOKEN": TOKEN},
    "env login": {"RECONCILER_USERNAME": TOKEN, "RECONCILER_PASSWORD": TOKEN},
}


def loudness(command: tuple[str, ...]) -> list[tuple[str, ...]]:
    """The options for how much a command prints."""
    return [(), ("-q",), *([("-v",)] if command[0] in {"plan", "apply"} else [])]


def declare(desk: CliRunner, canaries: Canaries, *, auth: str = "") -> Path:
    """Writes a YAML file with a secret of each kind, and provides what it refers to."""
    desk.environ["CERTS_PASSWORD"] = canaries.new("env password")
    (desk.inputs / "password.txt").write_text(canaries.new("file password", "") + "\n")
    side, password = canaries.new("what a command writes on the side"), canaries.new("command password")
    (desk.inputs / "print.sh").write_text(f"printf '%s\\n' {quote(side)} >&2\nprintf '%s\\n' {quote(password)}\n")
    literal = json.dumps(canaries.new("literal password"))
    path = desk.inputs / "accounts.yaml"
    path.write_text(f"""\
version: 1
{auth}
defaults: {{service: other, smtp_server: smtp.example.com, smtp_port: 587, smtp_crypt: starttls}}
accounts:
  - {{email: certs@example.com, name: Certificates, default: true, password: {{env: CERTS_PASSWORD}}}}
  - {{email: file@example.com, name: From a file, password: {{file: password.txt}}}}
  - {{email: command@example.com, name: From a command, password: {{command: [sh, print.sh]}}}}
  - {{email: literal@example.com, name: Literal, password: {literal}}}
  - {{email: same@example.com, name: Same}}
""")
    return path


def on_server(canaries: Canaries) -> list[dict[str, Any]]:
    """What the server has: two accounts to update, one as declared, one to delete; passwords shown."""
    common = {
        "default": False,
        "service": "other",
        "hash_auth": True,
        "smtp_server": "smtp.example.com",
        "smtp_port": 587,
        "smtp_crypt": "starttls",
        "smtp_auth_mechanism": "plain",
    }
    names = {"certs": "Certs", "literal": "Literal", "same": "Same", "gone": "Gone"}
    return [
        {
            **common,
            "id": number,
            "email": f"{who}@example.com",
            "name": name,
            "password": canaries.new(f"server's password of {who}"),
            "smtp_password": canaries.new(f"server's unknown field of {who}"),
        }
        for number, (who, name) in enumerate(names.items(), 1)
    ]


def credentials(desk: CliRunner, canaries: Canaries, kind: str = "env refresh token") -> list[str]:
    """Sets the credentials; returns the places of their canaries."""
    names = []
    for variable, middle in CREDENTIALS[kind].items():
        names.append(f"{kind}: {variable}")
        desk.environ[variable] = canaries.new(names[-1], middle)
    return names


def gossip_about(desk: CliRunner, canaries: Canaries, kind: str = "env refresh token") -> LeakyServer:
    """A server that has heard everything that the client knows, too."""
    declare(desk, canaries)
    return LeakyServer(canaries, on_server(canaries), [*DECLARED, *credentials(desk, canaries, kind)])


def run(desk: CliRunner, gossip: LeakyServer, command: tuple[str, ...], *more: str) -> RunResult:
    paths = [] if command[0] == "export" else [str(desk.inputs / "accounts.yaml")]
    with serve(gossip) as server:
        return desk.run(*command, *paths, *more, environ={"RECONCILER_URL": server.url})


def assert_silent(canaries: Canaries, traces: RunResult) -> None:
    found = {name: leaks for name, text in traces.texts.items() if (leaks := canaries.leaks(text))}
    assert not found, f"{found} in\n{traces.whole}"


def test_canaries_are_found_in_every_encoding(canaries: Canaries) -> None:
    secret = canaries.new("somewhere")
    for name, encode in ENCODINGS.items():
        assert canaries.leaks(f"the server said <{encode(secret)}>") == ["somewhere"], name
    assert canaries.leaks(f"{secret[5:13]} is too much") == ["somewhere"]
    assert canaries.leaks("nothing to see here, not even in aGVsbG8gd29ybGQ=") == []


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_successful_run_shows_no_secret(desk: CliRunner, canaries: Canaries, command: tuple[str, ...]) -> None:
    kinds = itertools.cycle(CREDENTIALS)
    for loud, output in itertools.product(loudness(command), ((), ("-o", "document"))):
        kind = next(kinds)
        gossip = gossip_about(desk, canaries, kind)
        traces = run(desk, gossip, command, *loud, *output)
        assert (traces.code, gossip.refused) == (0, 0), traces.whole
        assert_silent(canaries, traces)
        for variable in CREDENTIALS[kind]:
            del desk.environ[variable]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("command", COMMANDS[len(VALIDATION_FORMATS) :], ids=" ".join)
def test_secrets_in_an_error_response_are_not_shown(
    desk: CliRunner, canaries: Canaries, command: tuple[str, ...], place: str
) -> None:
    # The commands that share a place take turns with styles, encodings and the options for how much is printed.
    turn = COMMANDS.index(command) + PLACES.index(place)
    gossip = gossip_about(desk, canaries)
    gossip.place, gossip.style = place, [*STYLES][turn % len(STYLES)]
    gossip.encode = [*ENCODINGS.values()][turn % len(ENCODINGS)]
    if command[0] == "export":  # which never sees the others
        gossip.known = [one for one in gossip.known if one not in DECLARED]
    loud = loudness(command)
    traces = run(desk, gossip, command, *loud[turn % len(loud)])
    assert_silent(canaries, traces)
    assert traces.code in ({1, 3} if gossip.refused else {0})  # not every command makes each call


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_secrets_are_masked_in_every_encoding(desk: CliRunner, canaries: Canaries, encoding: str) -> None:
    command = (*APPLY, "--test", "before", "-v", "-f", "json")
    places = itertools.cycle((("token", "env login"), ("test", "env refresh token")))
    if [*ENCODINGS].index(encoding) % 2:
        next(places)
    for style, (place, kind) in zip(STYLES, places, strict=False):
        gossip = gossip_about(desk, canaries, kind)
        gossip.place, gossip.style, gossip.encode = place, style, ENCODINGS[encoding]
        traces = run(desk, gossip, command)
        assert gossip.refused
        assert_silent(canaries, traces)
        for variable in CREDENTIALS[kind]:
            del desk.environ[variable]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("log_format", ["text", "json"])
def test_a_watcher_shows_and_stores_no_secret(desk: CliRunner, canaries: Canaries, place: str, log_format: str) -> None:
    encodings = itertools.cycle(ENCODINGS.values())
    (desk.inputs / "receivers").write_text(f"json://127.0.0.1:9/{canaries.new('receiver', '')}\n")
    # Every second style: the formats of the log take turns. Each run waits for a second, until its file has settled.
    for style in list(STYLES)[(PLACES.index(place) + (log_format == "json")) % 2 :: 2]:
        state = desk.inputs / f"state-{style}"  # one for each: in a row, they would reach the heal limit
        options = ("--state-dir", str(state), "--notify-file", str(desk.inputs / "receivers"))
        gossip = gossip_about(desk, canaries)
        gossip.place, gossip.style, gossip.encode = place, style, next(encodings)
        traces = run(desk, gossip, ("watch", "--once", "--allow-commands", "--log-format", log_format), *options)
        assert_silent(canaries, traces)
        for path in state.iterdir():
            assert not canaries.leaks(path.read_bytes().decode("utf-8", "replace")), path
        assert traces.code in ({1, 3} if gossip.refused else {0}), traces.whole
