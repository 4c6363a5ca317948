"""The sandbox as a context manager, and its database."""

from __future__ import annotations

import asyncio
import errno
import os
import pathlib
import shutil
import socket
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import httpx
import pytest
import uvicorn

from reconciler.errors import Problem, ReconcilerError
from reconciler.sandbox import Sandbox, SandboxOptions
from tests.sandbox.conftest import ACCOUNTS, access_token
from tests.support import plain_http
from tests.support.vendor_page import ACCOUNT

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import MakeSandbox
    from tests.sandbox.conftest import Connect


def test_a_database_file_survives_a_restart_and_so_does_the_next_id(
    tmp_path: Path, make_sandbox: MakeSandbox, connect: Connect
) -> None:
    database = str(tmp_path / "sandbox.sqlite3")
    with Sandbox(SandboxOptions(database=database)) as first:
        client = connect(first)
        client.post(ACCOUNTS, json=ACCOUNT)
        client.post(ACCOUNTS, json=ACCOUNT)
        client.delete(f"{ACCOUNTS}/2")
        accounts = client.get(ACCOUNTS).json()
    client = connect(make_sandbox(database=database))
    assert client.get(ACCOUNTS).json() == accounts
    assert client.post(ACCOUNTS, json=ACCOUNT).json()["id"] == 3


def test_sandboxes_in_one_process_are_independent(make_sandbox: MakeSandbox, connect: Connect) -> None:
    one, other = make_sandbox(), make_sandbox()
    connect(one).post(ACCOUNTS, json=ACCOUNT)
    assert connect(other).get(ACCOUNTS).json() == []
    headers = {"Authorization": f"Bearer {access_token(one)}"}
    assert plain_http.get(other.url + ACCOUNTS, headers=headers).status_code == 401


def test_parallel_creates_get_different_ids(sandbox: Sandbox, connect: Connect) -> None:
    client = connect(sandbox)
    with ThreadPoolExecutor(8) as pool:
        responses = list(pool.map(lambda _: client.post(ACCOUNTS, json=ACCOUNT), range(40)))
    assert sorted(response.json()["id"] for response in responses) == list(range(1, 41))


def test_accounts_are_seeded_only_if_there_are_none(sandbox: Sandbox, connect: Connect) -> None:
    assert sandbox.seed([ACCOUNT, {**ACCOUNT, "name": "n"}]) is True
    assert sandbox.seed([ACCOUNT]) is False
    assert [account["name"] for account in connect(sandbox).get(ACCOUNTS).json()] == [ACCOUNT["name"], "n"]


def test_invalid_seeds_are_all_reported_without_their_values(sandbox: Sandbox, connect: Connect) -> None:
    with pytest.raises(ReconcilerError) as caught:
        sandbox.seed([ACCOUNT, "hunter2", {**ACCOUNT, "smtp_port": "hunter2", "service": "hunter2"}])
    hint = "write each account as in the body of the API's POST"
    assert [(problem.kind, problem.hint) for problem in caught.value.problems] == [("sandbox_seed", hint)] * 3
    assert [problem.message for problem in caught.value.problems] == [
        "account [1]: Input should be a valid dictionary or instance of AccountBody",
        "account [2].service: Input should be 'gmail', 'outlook' or 'other'",
        "account [2].smtp_port: Input should be a valid integer",
    ]
    assert connect(sandbox).get(ACCOUNTS).json() == []


def test_seeds_that_break_a_rule_are_not_stored_at_all(make_sandbox: MakeSandbox, connect: Connect) -> None:
    sandbox = make_sandbox(unique_names=True)
    with pytest.raises(ReconcilerError) as caught:
        sandbox.seed([ACCOUNT, {**ACCOUNT, "name": "n"}, {**ACCOUNT, "name": "n"}])
    assert caught.value.problems == (
        Problem(
            kind="sandbox_seed",
            message="the accounts cannot be on this server together: Já existe um item com o nome 'n'",
            hint="change one of them, or leave out the option that makes the rule",
        ),
    )
    assert connect(sandbox).get(ACCOUNTS).json() == []


def test_a_failed_start_is_reported_and_leaves_nothing_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    database = str(tmp_path / "sandbox.sqlite3")

    async def no_files_left(_server: uvicorn.Server, sockets: object = None) -> None:
        raise OSError(errno.EMFILE, f"Too many open files: {type(sockets).__name__}")

    monkeypatch.setattr(uvicorn.Server, "startup", no_files_left)
    with pytest.raises(OSError, match="Too many open files"):
        Sandbox(SandboxOptions(port=port, database=database)).__enter__()
    socket.create_server(("127.0.0.1", port)).close()
    assert [path.name for path in tmp_path.iterdir()] == [
        "sandbox.sqlite3"
    ]  # without what an open database has beside it


def test_a_port_in_use_is_one_problem() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ReconcilerError) as caught:
            Sandbox(SandboxOptions(port=port)).__enter__()
    assert caught.value.problems == (
        Problem(
            kind="sandbox_port",
            message=f"the sandbox cannot listen on 127.0.0.1, port {port}: Address already in use",
            hint="name another --port, or leave it out to use any free port",
        ),
    )


@pytest.mark.parametrize("host", ["no such host", "x" * 300, "192.0.2.1"])
def test_an_unusable_host_is_one_problem(host: str) -> None:
    with pytest.raises(ReconcilerError, match=f"cannot listen on {host}"):
        Sandbox(SandboxOptions(host=host)).__enter__()


@pytest.mark.parametrize(("host", "url"), [("0.0.0.0", "http://127.0.0.1:"), ("localhost", "http://localhost:")])  # noqa: S104
def test_the_url_leads_to_the_sandbox_from_this_machine(make_sandbox: MakeSandbox, host: str, url: str) -> None:
    sandbox = make_sandbox(host=host)
    assert sandbox.url.startswith(url)
    assert plain_http.get(f"{sandbox.url}/sandbox/mails").json() == []


def test_an_ipv6_address_is_in_brackets(make_sandbox: MakeSandbox) -> None:
    try:
        sandbox = make_sandbox(host="::1")
    except ReconcilerError:
        pytest.skip("this machine has no IPv6 loopback")
    assert sandbox.url.startswith("http://[::1]:")
    assert plain_http.get(f"{sandbox.url}/sandbox/mails").json() == []


@pytest.mark.parametrize("kind", ["a folder", "no database", "another program's database"])
def test_an_unusable_database_is_one_problem_and_frees_the_port(tmp_path: Path, kind: str) -> None:
    database = tmp_path / "x"
    if kind == "a folder":
        database.mkdir()
    elif kind == "no database":
        database.write_text("Dear diary, " * 100)
    else:
        connection = sqlite3.connect(database)
        connection.execute("CREATE TABLE accounts (iban)").close()
        connection.close()
    with pytest.raises(ReconcilerError) as caught:
        Sandbox(SandboxOptions(database=str(database))).__enter__()
    (problem,) = caught.value.problems
    assert problem.kind == "sandbox_database"
    assert problem.message.startswith(f"{database} cannot be used as the sandbox's database: ")


def test_a_request_in_flight_gets_its_response_before_the_sandbox_ends(connect: Connect) -> None:
    with ThreadPoolExecutor(1) as pool:
        with Sandbox(SandboxOptions(latency=0.2)) as sandbox:
            client = connect(sandbox)
            arrived = threading.Event()
            client.event_hooks = {"request": [lambda _: arrived.set()]}
            response = pool.submit(client.get, ACCOUNTS)
            assert arrived.wait(5)
            # The hook runs before the request is sent; once a second one has its response, the first has arrived, too.
            plain_http.get(f"{sandbox.url}/sandbox/mails")
        assert response.result().json() == []


def test_a_slow_request_is_cut_off_when_the_sandbox_ends(connect: Connect, capfd: pytest.CaptureFixture[str]) -> None:
    with ThreadPoolExecutor(1) as pool:
        with Sandbox(SandboxOptions(real_smtp=True)) as sandbox:
            client = connect(sandbox)
            silent = socket.create_server(("127.0.0.1", 0))
            body = {**ACCOUNT, "smtp_server": "127.0.0.1", "smtp_port": silent.getsockname()[1], "to_email": "a@b.c"}
            response = pool.submit(client.post, f"{ACCOUNTS}/test", json=body)
            connection, _ = silent.accept()
            # After the sandbox's grace period, and long before the mailer gives up.
            threading.Timer(1.2, connection.close).start()
        silent.close()
        with pytest.raises(httpx.TransportError):
            response.result()
    assert capfd.readouterr() == ("", "")


def test_a_sandbox_starts_and_stops_without_polling(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses = []
    sleep = asyncio.sleep

    async def recorded(seconds: float) -> None:
        pauses.append(seconds)
        await sleep(seconds)

    monkeypatch.setattr(asyncio, "sleep", recorded)
    with Sandbox() as sandbox:
        plain_http.get(f"{sandbox.url}/sandbox/mails")
    assert set(pauses) == {0}


@pytest.mark.parametrize("kind", ["new", "left by a sandbox that was killed", "new through a link"])
def test_only_the_owner_can_read_the_database(
    tmp_path: Path, make_sandbox: MakeSandbox, connect: Connect, kind: str
) -> None:
    database = tmp_path / "sandbox.sqlite3"
    if kind == "left by a sandbox that was killed":
        running = tmp_path / "running"
        running.mkdir()
        with Sandbox(SandboxOptions(database=str(running / database.name))) as sandbox:
            connect(sandbox).post(ACCOUNTS, json=ACCOUNT)
            for file in running.iterdir():
                shutil.copy(file, tmp_path)
                (tmp_path / file.name).chmod(0o666)
    if kind == "new through a link":
        (tmp_path / "link").symlink_to(database)
    former = os.umask(0)
    try:
        given = tmp_path / "link" if kind == "new through a link" else database
        connect(make_sandbox(database=str(given))).post(ACCOUNTS, json=ACCOUNT)
    finally:
        os.umask(former)
    modes = {path.name: oct(path.stat().st_mode & 0o777) for path in tmp_path.glob("sandbox.*")}
    assert modes == {f"sandbox.sqlite3{ending}": "0o600" for ending in ("", "-wal", "-shm")}


def test_an_existing_database_becomes_private(tmp_path: Path, make_sandbox: MakeSandbox) -> None:
    database = tmp_path / "sandbox.sqlite3"
    with Sandbox(SandboxOptions(database=str(database))):
        pass
    database.chmod(0o644)
    make_sandbox(database=str(database))
    assert database.stat().st_mode & 0o777 == 0o600


def test_another_programs_database_keeps_its_permissions(tmp_path: Path) -> None:
    database = tmp_path / "x"
    with sqlite3.connect(database) as connection:
        connection.execute("CREATE TABLE accounts (iban)").close()
    connection.close()
    database.chmod(0o644)
    before = database.read_bytes()
    with pytest.raises(ReconcilerError):
        Sandbox(SandboxOptions(database=str(database))).__enter__()
    assert (database.stat().st_mode & 0o777, database.read_bytes()) == (0o644, before)


def test_the_mail_server_listens_on_loopback_only(make_sandbox: MakeSandbox) -> None:
    sandbox = make_sandbox(host="0.0.0.0")  # noqa: S104 - what it is about
    listening = {
        int(address.rpartition(":")[2], 16): address.partition(":")[0]
        for address in (
            line.split()[1] for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:] if " 0A " in line
        )
    }
    assert {listening[port] for port in (sandbox.smtp_port, sandbox.smtps_port)} == {"0100007F"}
