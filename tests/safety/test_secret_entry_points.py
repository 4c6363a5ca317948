"""Secrets that enter in unusual ways: credentials in the YAML, mistakes, crashes, interrupts, child processes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from itertools import count

import pytest

from reconciler import reconcile
from reconciler.applying import delivery_tests
from reconciler.applying.step import StepRunner
from reconciler.report.formats import PLAN_FORMATS, VALIDATION_FORMATS
from tests.safety.test_secrets import APPLY, TRY, assert_silent, declare, gossip_about, on_server, run
from tests.support.canaries import TOKEN, Canaries
from tests.support.cli_runner import CliProcess, CliRunner
from tests.support.leaky_server import LeakyServer, serve
from tests.support.scripted_server import Hang, Request, ScriptedServer, Step


def reference(desk: CliRunner, kind: str, name: str, value: str) -> str:
    """A secret in the YAML, given in one of the four ways."""
    if kind == "env":
        desk.environ[name.upper()] = value
        return f"{{env: {name.upper()}}}"
    if kind == "file":
        (desk.inputs / name).write_text(value)
        return f"{{file: {name}}}"
    if kind == "command":
        (desk.inputs / f"{name}.py").write_text(f"print({value!r})")
        return f"{{command: [{sys.executable}, {name}.py]}}"
    return json.dumps(value)


@pytest.mark.parametrize("kind", ["env", "file", "command", "literal"])
@pytest.mark.parametrize("fields", [("access_token",), ("refresh_token",), ("username", "password")], ids="+".join)
@pytest.mark.parametrize("place", ["token", "list"])
def test_credentials_in_the_yaml_are_not_shown(
    desk: CliRunner, canaries: Canaries, kind: str, fields: tuple[str, ...], place: str
) -> None:
    values = {name: canaries.new(f"{name} in the YAML", TOKEN) for name in fields}
    auth = ", ".join(f"{name}: {reference(desk, kind, name, value)}" for name, value in values.items())
    gossip = LeakyServer(canaries, on_server(canaries), list(canaries.values)[: len(values)], place)
    with serve(gossip) as server:
        path = declare(desk, canaries, auth=f"server: {{url: '{server.url}', auth: {{{auth}}}}}")
        chosen = "json" if place == "list" else "text"
        assert_silent(canaries, desk.run("plan", str(path), "--allow-commands", "-v", "-f", chosen))
    assert gossip.refused or (place == "token" and "access_token" in fields)


@pytest.mark.parametrize("option", ["--token-file", "--refresh-token-file"])
def test_a_token_from_a_file_is_not_shown(desk: CliRunner, canaries: Canaries, option: str) -> None:
    path = desk.inputs / "token"
    path.write_text(canaries.new("token file", TOKEN))
    gossip = LeakyServer(canaries, on_server(canaries), list(canaries.values)[:1], "list")
    with serve(gossip) as server:
        assert_silent(canaries, desk.run("export", "--url", server.url, option, str(path)))
    assert gossip.refused


def test_a_literal_password_out_of_scope_is_not_shown(desk: CliRunner, canaries: Canaries) -> None:
    gossip = gossip_about(desk, canaries)
    gossip.place = "list"
    gossip.known = ["literal password"]
    traces = run(desk, gossip, ("plan",), "--only", "same@*", "-v")
    assert "***" in traces.whole
    assert_silent(canaries, traces)


MISTAKES = {
    "an unknown key": "pasword: {0}",
    "a key without a space": "{{password:{0}: x}}",
    "an equals sign": "password={0}: x",
    "twice": "{{password:{0}: x, password:{0}: y}}",
    "a list": "password: [{0}]",
    "a mapping": "password: {{{0}: x}}",
    "an unknown reference": "password: {{evn: {0}}}",
    "a tag": "password: !secret {0}",
    "an anchor": "password: &{0} x",
    "an alias": "password: *{0}",
    "the name's place": "name:\n      password: {0}",
    "a text in its place": "name: A\n      password: {0}",
    "an unclosed quote": 'password: "{0}',
    "an unknown escape": 'password: "\\q{0}"',
    "a log-in in a host": "smtp_server: user:{0}@smtp.example.com",
    "a log-in with a scheme": "smtp_server: smtp://user:{0}@smtp.example.com",
    "a password after an address": "email: a@example.com:{0}",
    "a password before an address": "email: 'x:{0}@example.com'",
    "a password beside an address": "email: b@example.com\n    renamed_from: a@example.com {0}",
    "a password after a recipient": "email: b@example.com\n    test: {{to_email: 'a@example.com;{0}'}}",
    "a log-in in a URL": "email: b@example.com\nserver: {{url: 'user:{0}@fw.example.com'}}",
    "a token in a URL": "email: b@example.com\nserver: {{url: 'https://fw.example.com/?token={0}'}}",
    "an unknown key of auth": "email: b@example.com\nserver: {{auth: {{tokn: {0}}}}}",
    "a key of auth": "email: b@example.com\nserver: {{auth: {{{0}: x}}}}",
    "a list for auth": "email: b@example.com\nserver: {{auth: [{0}]}}",
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_the_yaml_does_not_show_the_secret(desk: CliRunner, canaries: Canaries, mistake: str) -> None:
    secret = canaries.new("mistake", "")
    text = "version: 1\naccounts:\n  - service: gmail\n    " + MISTAKES[mistake].format(secret) + "\n"
    (desk.inputs / "accounts.yaml").write_text(text)
    for chosen in VALIDATION_FORMATS:
        traces = desk.run("validate", str(desk.inputs / "accounts.yaml"), "-f", chosen.value)
        assert traces.code == 1
        assert_silent(canaries, traces)


@pytest.mark.parametrize(
    "where", ["https://u:{}@fw.example.com", "u:{}@fw", "https://fw.example.com/?key={}", "https://fw/#{}"]
)
def test_a_secret_in_the_url_is_not_shown(desk: CliRunner, canaries: Canaries, where: str) -> None:
    traces = desk.run(
        "export", environ={"RECONCILER_URL": where.format(canaries.new("url", "")), "RECONCILER_TOKEN": "x"}
    )
    assert traces.code == 1
    assert_silent(canaries, traces)


def test_a_secret_on_the_command_line_is_not_shown(desk: CliRunner, canaries: Canaries) -> None:
    for option in ("--token={}", "--password={}", "--refresh-token={}"):
        traces = desk.run("plan", "accounts.yaml", option.format(canaries.new("option", "")), "-f", "json")
        assert traces.code == 64
        assert_silent(canaries, traces)


@pytest.mark.parametrize("chosen", [one.value for one in PLAN_FORMATS])
def test_a_crash_log_holds_no_secret(
    desk: CliRunner, canaries: Canaries, monkeypatch: pytest.MonkeyPatch, chosen: str
) -> None:
    gossip = gossip_about(desk, canaries)
    unknown = canaries.new("a value that nobody knows to be a secret")

    def crash(*_: object) -> None:
        try:
            dict[str, str]()[unknown]
        except KeyError as error:
            raise TypeError(f"{list(map(canaries.values.get, gossip.known))}") from error

    monkeypatch.setattr(reconcile, "plan", crash)
    traces = run(desk, gossip, ("plan", "--allow-commands", "-v", "-f", chosen))
    logs = [text for name, text in traces.texts.items() if name.startswith("reconciler-crash-")]
    assert traces.code == 1
    assert len(logs) == 1
    assert "builtins.TypeError: [" in logs[0]
    assert "builtins.KeyError: (its message is left out: it may contain a secret)" in logs[0]
    assert ", in crash" in logs[0]
    assert_silent(canaries, traces)


@pytest.mark.parametrize(
    ("command", "owner", "name"),
    [(APPLY, StepRunner, "run"), (TRY, delivery_tests, "run_delivery_test")],
    ids=["apply", "test"],
)
def test_a_bug_in_one_change_leaves_the_report_of_the_others(
    desk: CliRunner,
    canaries: Canaries,
    monkeypatch: pytest.MonkeyPatch,
    command: tuple[str, ...],
    owner: object,
    name: str,
) -> None:
    gossip = gossip_about(desk, canaries)
    unknown = canaries.new("a value that nobody knows to be a secret")
    work, calls = getattr(owner, name), count()

    def crash(*arguments: object) -> object:
        if next(calls) < 2:
            raise ValueError(unknown)
        return work(*arguments)

    monkeypatch.setattr(owner, name, crash)
    traces = run(desk, gossip, (*command, "-f", "json"))
    (log,) = (path for path in traces.texts if path.startswith("reconciler-crash-"))
    results = json.loads(traces.texts["stdout"])["results"]
    told = f"internal error (ValueError); please report it with {desk.outputs / log}, after looking through it"
    assert traces.code == 3
    assert [one["error"] for one in results if one["status"] == "unknown"] == [told, told]
    assert {one["status"] for one in results} > {"unknown"}
    assert "builtins.ValueError: (its message is left out: it may contain a secret)" in traces.texts[log]
    assert ", in crash" in traces.texts[log]
    assert_silent(canaries, traces)


@pytest.mark.parametrize("signals", [1, 2])
def test_an_interrupted_run_shows_no_secret(desk: CliRunner, canaries: Canaries, signals: int) -> None:
    gossip = gossip_about(desk, canaries)
    reached, let_go = threading.Event(), threading.Event()

    def respond(request: Request) -> Step:
        if request.method == "PUT":
            reached.set()
            if signals == 2:
                return Hang()
            let_go.wait(10)
        return gossip(request)

    with ScriptedServer(respond=respond) as server:
        environ = {"TMPDIR": str(desk.outputs), "RECONCILER_URL": server.url, **desk.environ}
        arguments = (*APPLY, "-v", "-f", "json", "-o", "document", "--timeout", "20")
        process = CliProcess(desk.outputs, environ).start(*arguments, str(desk.inputs / "accounts.yaml"))
        assert reached.wait(30)
        process.send_signal(signal.SIGINT)
        process.wait_for_error_text("Interrupted")
        if signals == 2:
            process.send_signal(signal.SIGINT)
        let_go.set()
        done = process.finish()
    assert done.code == 130, done.whole
    texts = {**done.texts, **desk.files()}
    assert "document" in texts
    assert {name: leaks for name, text in texts.items() if (leaks := canaries.leaks(text))} == {}


def test_no_secret_is_on_a_command_line(desk: CliRunner, canaries: Canaries) -> None:
    gossip = gossip_about(desk, canaries)
    spy = """
import os, pathlib
seen, number = [], os.getpid()
while number > 1:
    folder = pathlib.Path('/proc', str(number))
    seen.append((folder / 'cmdline').read_bytes())
    number = int((folder / 'stat').read_text().rpartition(')')[2].split()[1])
with open('seen', 'ab') as file:
    file.write(b'\\n'.join(seen))
"""
    (desk.inputs / "spy.py").write_text(spy)
    path = desk.inputs / "print.sh"
    path.write_text(f"{sys.executable} spy.py\n{path.read_text()}")
    traces = run(desk, gossip, ("plan", "--allow-commands"))
    seen = (desk.inputs / "seen").read_text(errors="replace")
    assert traces.code == 0
    assert "print.sh" in seen
    assert canaries.leaks(seen) == []


def test_no_pydantic_plugin_is_loaded(desk: CliRunner) -> None:
    package = desk.inputs / "packages"
    metadata = package / "spy-1.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: spy\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text("[pydantic]\nspy = spy:plugin\n")
    (package / "spy.py").write_text("open('loaded', 'w').close()\nplugin = None\n")
    (desk.inputs / "a.yaml").write_text("version: 1\naccounts: []\n")
    desk.environ["PYTHONPATH"] = str(package)
    library = "import reconciler; reconciler.load('a.yaml')"
    pydantic = "import pydantic; pydantic.TypeAdapter(int)"
    command_line = ["-m", "reconciler", "validate", "a.yaml"]
    for command, loads in ((command_line, False), (["-c", library], False), (["-c", pydantic], True)):
        subprocess.run([sys.executable, *command], cwd=desk.inputs, env=desk.environ, check=loads is False)
        assert (desk.inputs / "loaded").exists() is loads
