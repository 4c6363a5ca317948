"""Hostile servers cause a clear error within bounds, and get no token that is not for them."""

from __future__ import annotations

import json
import zlib
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.scripted_server import Endless, Reply, ScriptedServer, Step, json_reply

if TYPE_CHECKING:
    from tests.support.cli_runner import CliProcess, CliRunner

ACCOUNT: dict[str, Any] = {"id": 1, "email": "a@example.com", "name": "A", "service": "gmail", "hash_auth": False}
LIMIT = "the response is larger than 256 MiB"


def listing(*changes: dict[str, Any]) -> Step:
    return json_reply([{**ACCOUNT, **one} for one in changes])


def bomb(megabytes: int) -> bytes:
    """Compressed zeros. The end is missing: nothing may read that far."""
    packer = zlib.compressobj(9, wbits=31)
    first, block = (packer.compress(bytes(1_000_000)) + packer.flush(zlib.Z_FULL_FLUSH) for _ in range(2))
    return first + block * (megabytes - 1)


ANSWERS: dict[str, tuple[Step, str]] = {
    "a body of 10 GB": (Reply(200, b"[", {"Content-Length": str(10**10)}), LIMIT),
    "an endless body": (Endless(b"HTTP/1.1 200 x\r\n\r\n[", b" " * 1_000_000), LIMIT),
    "an endless header": (Endless(b"HTTP/1.1 200 x\r\nX: ", b"x" * 65536), "broke before the response was complete"),
    "endless headers": (Endless(b"HTTP/1.1 200 x\r\n", b"X: x\r\n" * 9999), "broke before the response was complete"),
    "a bomb": (Reply(200, bomb(300), {"Content-Encoding": "gzip"}), LIMIT),
    "no JSON": (Reply(200, b"[{]"), "the response is not JSON"),
    "a log-in page": (Reply(200, b"<html>Log in", {"Content-Type": "text/html"}), "the response is not JSON"),
    "an object": (Reply(200, b'{"accounts": []}'), "the response is not what was asked for"),
    "null": (Reply(200, b"null"), "the response is not what was asked for"),
    "deep nesting": (Reply(200, b"[" * 5_000_000), "the response is not JSON"),
    "deep nesting in a field": (Reply(200, b'[{"id": 1, "email": "a", "x": ' + b"[" * 1_000_000), "not JSON"),
    "an id that is a text": (listing({"id": "1"}), "entry 0: field id"),
    "an id that is negative": (listing({"id": -1}), "entry 0: field id"),
    "an id that is huge": (listing({"id": 10**30}), "entry 0: field id"),
    "an id that is true": (listing({"id": True}), "entry 0: field id"),
    "an id that is a float": (listing({"id": 1.5}), "entry 0: field id"),
    "no id": (json_reply([{"email": "a@example.com"}]), "entry 0: field id"),
    "an id twice": (listing({}, {"email": "b@example.com"}), "the response lists the same id twice"),
    "an address that is a list": (listing({"email": ["a"]}), "entry 0: field email"),
    "an empty answer": (Reply(200), "the response is empty"),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_an_invalid_response_is_an_error_within_bounds(user: CliProcess, name: str) -> None:
    step, words = ANSWERS[name]
    with ScriptedServer(step) as server:
        done = user.run("export", environ={"RECONCILER_URL": server.url, "RECONCILER_TOKEN": "x"})
    assert (done.code, "Traceback" in done.whole) == (1, False), done.whole[-2000:]
    assert words in done.err
    assert len(done.whole) < 2_000
    assert done.usage.seconds < 20
    assert done.usage.peak_memory < 900 * 1024  # the largest body that is taken, and one copy of it


def test_a_name_of_ten_megabytes_is_shortened_in_the_plan(user: CliProcess) -> None:
    user.write("a.yaml", "version: 1\naccounts: [{email: a@example.com, name: B, service: gmail}]\n")
    with ScriptedServer(listing({"name": "x" * 10_000_000})) as server:
        done = user.run("plan", "a.yaml", environ={"RECONCILER_URL": server.url, "RECONCILER_TOKEN": "x"})
    assert done.code == 0
    assert "(10,000,000 characters)" in done.out
    assert len(done.whole) < 2_000
    assert done.usage.seconds < 15
    assert done.usage.peak_memory < 400 * 1024


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("place", ["token", "list"])
def test_no_token_follows_a_redirect(desk: CliRunner, status: int, place: str) -> None:
    tokens = {"access_token": "an-access-token", "expires_in": 900}
    with ScriptedServer(json_reply(tokens), listing({})) as other:
        redirect = Reply(status, b"", {"Location": f"{other.url}/api/email/accounts"})
        steps = [redirect] if place == "token" else [json_reply(tokens), redirect]
        with ScriptedServer(*steps) as server:
            traces = desk.run("export", environ={"RECONCILER_URL": server.url, "RECONCILER_REFRESH_TOKEN": "a-key"})
        assert traces.code == 1
        assert "redirects are not followed" in traces.whole
        assert len(server.requests) == len(steps)
        assert other.connections == 0


def test_a_huge_error_response_does_not_fill_the_log(desk: CliRunner) -> None:
    errors = [{"type": "x" * 10_000, "field": "y" * 10_000, "msg": "z" * 10_000}]
    for body in (json.dumps({"errors": errors * 1_000}), "x" * 50_000_000):
        with ScriptedServer(Reply(400, body.encode())) as server:
            traces = desk.run("export", environ={"RECONCILER_URL": server.url, "RECONCILER_TOKEN": "x"})
        assert traces.code == 1
        assert len(traces.whole) < 35_000
