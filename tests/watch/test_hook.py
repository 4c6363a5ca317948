"""Hooks of forges: signatures, limits, and that they only make the watcher check its source."""

from __future__ import annotations

import asyncio
import hmac
import re
import threading
from typing import TYPE_CHECKING

import pytest
from starlette.requests import Request

from reconciler.model.secret import Secret
from reconciler.watch.hook import LARGEST_BODY, Hook, TokenBucket
from tests.support import plain_http
from tests.watch.fleets import SampleView, small
from tests.watch.page_client import SECRET, TOKEN, raw

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import httpx
    from starlette.types import Message

    from tests.watch.conftest import Serve

BODY = '{"ref":"refs/heads/main","é":"ü"}'.encode()


def mac(body: bytes = BODY, secret: str = SECRET, algorithm: str = "sha256") -> str:
    return hmac.new(secret.encode(), body, algorithm).hexdigest()


GENUINE = {
    "GitHub": {"X-Hub-Signature-256": f"sha256={mac()}", "X-GitHub-Event": "push"},
    "Gitea": {"X-Gitea-Signature": mac(), "X-Hub-Signature-256": f"sha256={mac()}", "X-Gogs-Signature": mac()},
    "Gitea alone": {"X-Gitea-Signature": mac()},
    "GitLab": {"X-Gitlab-Token": SECRET, "X-Gitlab-Event": "Push Hook"},
}
FORGED: dict[str, dict[str, str | bytes]] = {
    "nothing": {},
    "empty": {"X-Hub-Signature-256": "", "X-Gitea-Signature": "", "X-Gitlab-Token": ""},
    "other secret": {"X-Hub-Signature-256": f"sha256={mac(secret='other')}"},
    "other body": {"X-Hub-Signature-256": f"sha256={mac(b'{}')}"},
    "body with another line ending": {"X-Gitea-Signature": mac(BODY + b"\n")},
    "SHA-1": {"X-Hub-Signature-256": f"sha1={mac(algorithm='sha1')}"},
    "SHA-1 in its own header": {"X-Hub-Signature": f"sha1={mac(algorithm='sha1')}"},
    "no prefix": {"X-Hub-Signature-256": mac()},
    "a prefix where none belongs": {"X-Gitea-Signature": f"sha256={mac()}"},
    "upper case": {"X-Gitea-Signature": mac().upper()},
    "a part": {"X-Gitea-Signature": mac()[:32]},
    "the signature as a token": {"X-Gitlab-Token": mac()},
    "a part of the token": {"X-Gitlab-Token": SECRET[:-1]},
    "the token elsewhere": {"Authorization": f"Bearer {SECRET}"},
    "not ASCII": {"X-Gitea-Signature": b"\xff" * 64, "X-Gitlab-Token": "ü".encode()},
    "one of two is wrong": {"X-Gitea-Signature": mac(), "X-Gitlab-Token": "wrong"},
}


def post(url: str, headers: Mapping[str, str | bytes], body: bytes = BODY) -> httpx.Response:
    pairs = [(name.encode(), value.encode() if isinstance(value, str) else value) for name, value in headers.items()]
    return plain_http.post(f"{url}/hook", content=body, headers=pairs)


def test_without_a_secret_there_is_no_hook(serve: Serve) -> None:
    view = small()
    response = post(serve(view).url, GENUINE["GitLab"])
    assert (response.status_code, view.triggers) == (404, 0)


@pytest.mark.parametrize("forge", GENUINE)
def test_a_genuine_hook_makes_the_watcher_check(serve: Serve, forge: str) -> None:
    view = small()
    response = post(serve(view, RECONCILER_HOOK_SECRET=SECRET, RECONCILER_PAGE_TOKEN=TOKEN).url, GENUINE[forge])
    assert (response.status_code, response.text, view.triggers) == (202, "the source is being checked\n", 1)


@pytest.mark.parametrize("trick", FORGED)
def test_every_forgery_gets_the_same_response(serve: Serve, trick: str) -> None:
    view = small()
    response = post(serve(view, RECONCILER_HOOK_SECRET=SECRET).url, FORGED[trick])
    assert (response.status_code, response.text, view.triggers) == (403, "the request has no valid signature\n", 0)


def test_a_secret_may_have_any_characters(serve: Serve) -> None:
    secret, view = "schlüssel-" * 3, small()
    url = serve(view, RECONCILER_HOOK_SECRET=secret).url
    assert post(url, {"X-Hub-Signature-256": f"sha256={mac(secret=secret)}"}).status_code == 202
    assert post(url, {"X-Gitlab-Token": secret.encode()}).status_code == 202
    assert view.triggers == 2


def test_an_empty_body_is_signed_too(serve: Serve) -> None:
    url = serve(RECONCILER_HOOK_SECRET=SECRET).url
    assert post(url, {"X-Gitea-Signature": mac(b"")}, b"").status_code == 202
    assert post(url, {"X-Gitea-Signature": mac()}, b"").status_code == 403


def chunks(size: int) -> Iterator[bytes]:
    for _ in range(size // 65_536):
        yield b"x" * 65_536
    yield b"x" * (size % 65_536)


@pytest.mark.parametrize(("size", "status"), [(LARGEST_BODY, 202), (LARGEST_BODY + 1, 413)])
@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_has_at_most_one_mebibyte(serve: Serve, size: int, status: int, chunked: bool) -> None:
    view = small()
    url = serve(view, RECONCILER_HOOK_SECRET=SECRET).url
    headers = {"X-Gitea-Signature": mac(b"x" * size)}
    content = chunks(size) if chunked else b"x" * size
    response = plain_http.post(f"{url}/hook", content=content, headers=headers)
    assert (response.status_code, view.triggers) == (status, int(status == 202))


@pytest.mark.parametrize("length", ["99999999999999999999", "-1", "1e3", "1, 2"])
def test_a_false_length_is_refused_at_once(serve: Serve, length: str) -> None:
    url = serve(RECONCILER_HOOK_SECRET=SECRET).url
    head = f"POST /hook HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n"
    assert re.match(rb"HTTP/1\.1 4\d\d ", raw(url, head.encode()))


def test_a_slow_body_times_out(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reconciler.watch.hook.BODY_SECONDS", 0.2)
    url = serve(RECONCILER_HOOK_SECRET=SECRET).url
    response = raw(url, b"POST /hook HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n1234")
    assert response.startswith(b"HTTP/1.1 408 ")


def test_a_replay_only_causes_another_check(serve: Serve) -> None:
    view = small()
    before = view.overview()
    url = serve(view, RECONCILER_HOOK_SECRET=SECRET).url
    assert [post(url, GENUINE["GitHub"]).status_code for _ in range(3)] == [202, 202, 202]
    assert (view.triggers, view.overview()) == (3, before)


def test_forged_requests_do_not_use_up_the_limit_of_genuine_ones(serve: Serve) -> None:
    view = small()
    url = serve(view, RECONCILER_HOOK_SECRET=SECRET).url
    with plain_http.Client(base_url=url) as client:
        forged = [client.post("/hook", content=BODY) for _ in range(60)]
        assert {one.status_code for one in forged} == {403, 429}
        assert int(forged[-1].headers["Retry-After"]) in {1, 2}
        assert client.post("/hook", content=BODY, headers=GENUINE["GitHub"]).status_code == 202
        genuine = [client.post("/hook", content=BODY, headers=GENUINE["GitHub"]) for _ in range(20)]
    assert {one.status_code for one in genuine} == {202, 429}
    assert view.triggers < 21


def test_a_genuine_hook_beyond_the_limit_is_caught_up_with() -> None:
    triggered = threading.Event()
    bucket = TokenBucket(1, 0.2)
    hook = Hook(Secret(SECRET), triggered.set, accepted=bucket)

    async def run() -> list[int]:
        statuses = [(await hook.respond(request())).status_code]
        triggered.clear()
        statuses += [(await hook.respond(request())).status_code for _ in range(3)]
        assert not triggered.is_set()
        await asyncio.sleep(0.5)
        return statuses

    assert asyncio.run(run()) == [202, 429, 429, 429]
    assert triggered.is_set()


def request() -> Request:
    headers = [(name.lower().encode(), value.encode()) for name, value in GENUINE["GitHub"].items()]

    async def receive() -> Message:
        return {"type": "http.request", "body": BODY, "more_body": False}

    return Request({"type": "http", "method": "POST", "headers": headers}, receive)


def test_a_bucket_refills_with_time() -> None:
    now = 0.0
    bucket = TokenBucket(2, 10.0, lambda: now)
    assert [bucket.take(), bucket.take(), bucket.take()] == [0.0, 0.0, 10.0]
    now = 4.0
    assert bucket.take() == pytest.approx(6.0)
    now = 10.0
    assert bucket.take() == 0.0
    now = 1_000_000.0
    assert [bucket.take(), bucket.take()] == [0.0, 0.0]
    assert bucket.take() > 0
    now = 5.0  # a clock that goes back
    assert bucket.take() > 0


def test_the_hook_shows_nothing_of_the_secret(serve: Serve, capfd: pytest.CaptureFixture[str]) -> None:
    view = SampleView(small().shown)
    url = serve(view, RECONCILER_HOOK_SECRET=SECRET).url
    with plain_http.Client(base_url=url) as client:
        responses = [client.post("/hook", content=BODY, headers={"X-Gitlab-Token": SECRET})]
        responses += [
            client.get(path) for path in ("/", "/metrics", "/api/v1/servers", "/openapi.json", f"/?name={SECRET}")
        ]
    assert [SECRET in response.text for response in responses[:-1]] == [False] * 5
    assert SECRET not in "".join(capfd.readouterr())
