"""``reconciler sandbox`` in its own process, and its options."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from reconciler.commands.sandbox import sandbox as command
from reconciler.errors import ReconcilerError
from tests.sandbox.conftest import ACCOUNTS
from tests.support import plain_http
from tests.support.vendor_page import ACCOUNT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import httpx

START = "from reconciler.commands.sandbox import sandbox; sandbox()"
GREETING = re.compile(
    r"# Sandbox at (http://127\.0\.0\.1:(\d+)), mails at \1/sandbox/mails; Ctrl-C ends it\n"
    r"export RECONCILER_URL=\1 RECONCILER_REFRESH_TOKEN=sandbox-refresh-token\n"
    r"# (curl -H 'Authorization: Bearer \S+' \1/api/email/accounts  # the token lasts \d+ s)\n"
)


@contextmanager
def announced(*options: str, end: signal.Signals = signal.SIGTERM) -> Iterator[re.Match[str]]:
    """What a sandbox in a process of its own prints at its start; checks it, and how the sandbox ends."""
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-c", START, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            greeting = "".join(process.stdout.readline() for _ in range(3))
            found = GREETING.fullmatch(greeting)
            assert found, greeting + process.stderr.read()
            yield found
        finally:
            os.kill(process.pid, end)
            rest = process.communicate(timeout=20)
        assert (process.returncode, *rest) == (0, "", "")


@contextmanager
def running(*options: str, end: signal.Signals = signal.SIGTERM) -> Iterator[str]:
    """The URL of a sandbox in a process of its own."""
    with announced(*options, end=end) as greeting:
        yield greeting[1]


def addresses(url: str) -> list[str]:
    with authenticated(url) as client:
        return [account["email"] for account in client.get(ACCOUNTS).json()]


def authenticated(url: str) -> httpx.Client:
    grant = {"grant_type": "password", "username": "admin", "password": "sandbox"}
    token = plain_http.post(f"{url}/api/v1/oauth2/token", json=grant).json()["access_token"]
    return plain_http.Client(base_url=url, headers={"Authorization": f"Bearer {token}"})


def test_it_starts_with_sample_accounts_and_says_how_to_reach_it() -> None:
    with announced("--allow-host", "sandbox.test", "--allow-host", "other.test") as greeting:
        url = greeting[1]
        assert addresses(url) == [
            *("noc@example.com", "certs@example.com", "reports@example.com", "marketing@example.org"),
            *("billing@example.org", "backup@example.com", "printers@example.com", "intern@example.org"),
        ]
        # The curl line works as it is, and a shell can evaluate all lines.
        done = subprocess.run(["bash", "-c", greeting[3]], capture_output=True, text=True, check=True)
        assert len(json.loads(done.stdout)) == 8
        script = 'eval "$1"; echo "$RECONCILER_URL $RECONCILER_REFRESH_TOKEN"'
        done = subprocess.run(["bash", "-euc", script, "-", greeting[0]], capture_output=True, text=True, check=True)
        assert (done.stdout, done.stderr) == (f"{url} sandbox-refresh-token\n", "")
        statuses = [
            plain_http.get(f"{url}/sandbox/mails", headers={"Host": host}).status_code
            for host in ("sandbox.test", "other.test", "third.test")
        ]
        assert statuses == [200, 200, 421]
        # A port that is in use is an error.
        port = greeting[2]
        result = CliRunner().invoke(command, ["--port", port])
    assert isinstance(result.exception, ReconcilerError)
    assert result.exception.exit_code == 1
    assert str(result.exception) == f"the sandbox cannot listen on 127.0.0.1, port {port}: Address already in use"
    assert result.output == ""


def test_it_serves_until_a_signal_and_keeps_its_database_even_if_that_is_empty(tmp_path: Path) -> None:
    seed, database = tmp_path / "seed.json", tmp_path / "sandbox.sqlite3"
    seed.write_text(json.dumps([ACCOUNT]))
    with running("--empty", "--db", str(database)) as url:
        assert addresses(url) == []
    with running("--db", str(database), end=signal.SIGINT) as url, authenticated(url) as client:
        assert client.get(ACCOUNTS).json() == []
        assert client.post(ACCOUNTS, json=ACCOUNT).is_success
        accounts = client.get(ACCOUNTS).json()
    with running("--db", str(database), "--seed", str(seed)) as url, authenticated(url) as client:
        assert client.get(ACCOUNTS).json() == accounts


def test_empty_and_seed_exclude_each_other(tmp_path: Path) -> None:
    (tmp_path / "seed.json").write_text("[]")
    result = CliRunner().invoke(command, ["--empty", "--seed", str(tmp_path / "seed.json")])
    assert result.output.splitlines()[-1] == "Error: --empty and --seed exclude each other. Leave one out."


def test_the_options_are_passed_to_the_sandbox(tmp_path: Path) -> None:
    mailboxes = tmp_path / "mailboxes.json"
    mailboxes.write_text(json.dumps({ACCOUNT["email"]: "right"}))
    options = ["--auth-field=both", "--passwords=mask", "--unique-names", "--unique-emails", "--single-default"]
    options += ["--keep-default", "--latency=0.01", "--token-lifetime=60", f"--mailboxes={mailboxes}"]
    with running("--empty", *options) as url, authenticated(url) as client:
        created = client.post(ACCOUNTS, json=ACCOUNT).json()
        assert (created["hash_auth"], created["has_auth"], created["password"]) == (True, True, "********")
        assert client.post(ACCOUNTS, json=ACCOUNT).status_code == 409
        assert client.delete(f"{ACCOUNTS}/1").status_code == 409
        tests = [
            client.post(f"{ACCOUNTS}/test", json={**ACCOUNT, "password": password, "to_email": "a@b.c"}).status_code
            for password in ("wrong", "right")
        ]
        assert tests == [400, 200]
        assert [mail["recipients"] for mail in client.get("/sandbox/mails").json()] == [["a@b.c"]]


@pytest.mark.parametrize(
    ("option", "content", "expected"),
    [
        ("--mailboxes", '["hunter2"]', "a JSON object of address to password"),
        ("--mailboxes", '{"a@b.c": ["hunter2"]}', "a JSON object of address to password"),
        ("--mailboxes", '{"a@b.c": "hunter2"', "readable JSON"),
        ("--seed", '{"password": "hunter2"}', "a JSON list of accounts"),
        ("--seed", "[" * 100_000, "readable JSON"),
    ],
)
def test_an_invalid_file_is_named_but_not_quoted(tmp_path: Path, option: str, content: str, expected: str) -> None:
    path = tmp_path / "file.json"
    path.write_text(content)
    result = CliRunner().invoke(command, [option, str(path)])
    assert isinstance(result.exception, ReconcilerError)
    assert [vars_of(problem) for problem in result.exception.problems] == [
        ("sandbox_file", f"{path} is not {expected}")
    ]


def vars_of(problem: Any) -> tuple[str, str]:  # noqa: ANN401 - a Problem
    return problem.kind, problem.message


def test_an_invalid_seed_is_reported_and_ends_the_sandbox(tmp_path: Path) -> None:
    path = tmp_path / "seed.json"
    path.write_text(json.dumps([{**ACCOUNT, "service": "yahoo"}]))
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    result = CliRunner().invoke(command, ["--seed", str(path)])
    assert str(result.exception) == "account [0].service: Input should be 'gmail', 'outlook' or 'other'"
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_a_duplicate_seed_is_reported_and_ends_the_sandbox(tmp_path: Path) -> None:
    path = tmp_path / "seed.json"
    path.write_text(json.dumps([ACCOUNT, ACCOUNT]))
    database = tmp_path / "sandbox.sqlite3"
    result = CliRunner().invoke(command, ["--seed", str(path), "--db", str(database), "--unique-emails"])
    assert isinstance(result.exception, ReconcilerError)
    assert [vars_of(problem) for problem in result.exception.problems] == [
        (
            "sandbox_seed",
            f"the accounts cannot be on this server together: Já existe um item com o email '{ACCOUNT['email']}'",
        )
    ]


def test_help_imports_no_server_library_and_fits_80_columns() -> None:
    script = (
        "import sys\nfrom reconciler.commands.sandbox import sandbox\n"
        "sandbox(['--help'], standalone_mode=False)\n"
        "heavy = {'fastapi', 'uvicorn', 'pydantic_core', 'aiosmtpd', 'trustme'} & set(sys.modules)\n"
        "print(sorted(heavy))\n"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.splitlines()[-1] == "[]"
    assert max(map(len, run.stdout.splitlines())) <= 80


@pytest.mark.parametrize(
    ("host", "exposed"),
    [("127.0.0.1", False), ("localhost", False), ("0.0.0.0", True), ("::", True)],  # noqa: S104
)
def test_it_warns_if_other_machines_can_reach_it(host: str, exposed: bool) -> None:
    with ended_when_started():
        result = CliRunner().invoke(command, ["--empty", "--host", host])
    if host == "::" and result.exception:
        pytest.skip("this machine has no IPv6")
    assert (result.exit_code, result.stdout.startswith("# Sandbox at http://")) == (0, True)
    warning = f"warning: other machines can reach this sandbox at {host}. Its key is public, so"
    assert result.stderr.startswith(warning) if exposed else result.stderr == ""


@contextmanager
def ended_when_started() -> Iterator[None]:
    """Ends the sandbox of this process as soon as it heeds the signal; it then still says where it is."""
    ended = threading.Event()

    def harmless(*_: object) -> None:
        """Receives a signal that comes too late."""

    def end() -> None:
        while signal.getsignal(signal.SIGTERM) is harmless and not ended.wait(0.001):
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    former = signal.signal(signal.SIGTERM, harmless)
    thread = threading.Thread(target=end)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        signal.signal(signal.SIGTERM, former)
