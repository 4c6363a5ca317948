"""A list that may have another page is refused, and the error says why."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from reconciler.errors import ApiError
from tests.support.scripted_server import Reply, ScriptedServer, json_reply

if TYPE_CHECKING:
    from tests.client.conftest import OpenReader

TWO = [{"id": 1, "email": "a@example.com"}, {"id": 2, "email": "b@example.com"}]
NEXT = 'it has a Link to a next page (rel="next")'


@pytest.mark.parametrize(
    ("name", "value", "seen"),
    [
        ("Content-Range", "items 0-1/120", "Content-Range: items 0-1/120 (with 2 accounts)"),
        ("Content-Range", "0-1/3", "Content-Range: 0-1/3 (with 2 accounts)"),
        ("Content-Range", "items 1-2/2", "Content-Range: items 1-2/2 (with 2 accounts)"),
        ("Content-Range", "items 0-2/3", "Content-Range: items 0-2/3 (with 2 accounts)"),
        ("Content-Range", "bytes 0-99/1000", "Content-Range: bytes 0-99/1000 (with 2 accounts)"),
        ("content-range", "items 0-1/*", "Content-Range: items 0-1/* (with 2 accounts)"),
        ("Content-Range", "items */2", "Content-Range: items */2 (with 2 accounts)"),
        ("Content-Range", "all of them", "Content-Range: all of them (with 2 accounts)"),
        ("X-Total-Count", "3", "X-Total-Count: 3 (with 2 accounts)"),
        ("x-total", "120", "X-Total: 120 (with 2 accounts)"),
        ("Total-Count", "120", "Total-Count: 120 (with 2 accounts)"),
        ("X-Total-Count", "many", "X-Total-Count: many (with 2 accounts)"),
        ("X-Total-Count", "-1", "X-Total-Count: -1 (with 2 accounts)"),
        ("X-Total-Count", "2, 3", "X-Total-Count: 2, 3 (with 2 accounts)"),
        ("X-Total-Count", "1,000", "X-Total-Count: 000, 1 (with 2 accounts)"),
        ("X-Total-Count", "9" * 30, f"X-Total-Count: {'9' * 30} (with 2 accounts)"),
        ("Link", '<https://x/?page=2>; rel="next"', NEXT),
        ("Link", "<https://x/?page=2>; rel=next", NEXT),
        ("link", "</?page=2>;REL=Next", NEXT),
        ("Link", '</?page=2> ; rel = "NEXT"', NEXT),
        ("Link", '</?page=2>; rel="prev next"', NEXT),
        ("Link", '</?page=1>; rel="first", </?page=2>; rel="next"; title="a, b"', NEXT),
        ("Link", '</?a,b;c=">; title="; rel=x"; rel="last", </?page=2>; rel=next', NEXT),
        ("Link", "</?page=2>; rel='next'", NEXT),
        ("Link", '</?page=2>; rel="ne\\xt"', NEXT),
        ("Link", '</?page=2>; rel="next', NEXT),
        ("Link", "</?page=2; rel=next", NEXT),
    ],
)
def test_a_list_that_may_have_another_page_is_refused(reader: OpenReader, name: str, value: str, seen: str) -> None:
    reply = json_reply(TWO)
    with ScriptedServer(Reply(200, reply.body, {name: value})) as server, pytest.raises(ApiError) as refused:
        reader(server.url).list_accounts()
    (problem,) = refused.value.problems
    assert (problem.kind, problem.message) == (
        "incomplete_list",
        f"the response to the list call may be incomplete: {seen}",
    )
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [201, 202, 203, 206, 226])
def test_a_list_with_another_status_than_200_is_refused(reader: OpenReader, status: int) -> None:
    with ScriptedServer(json_reply(TWO, status)) as server, pytest.raises(ApiError) as refused:
        reader(server.url).list_accounts()
    (problem,) = refused.value.problems
    assert problem.kind == "incomplete_list"
    assert problem.message == (f"the response to the list call may be incomplete: its status is {status}, not 200")


def test_a_next_page_in_the_second_link_header_is_found(reader: OpenReader) -> None:
    headers = {"Link": '</?page=1>; rel="first"\r\nLink: </?page=2>; rel="next"'}
    with ScriptedServer(Reply(200, json_reply(TWO).body, headers)) as server, pytest.raises(ApiError) as refused:
        reader(server.url).list_accounts()
    assert refused.value.problems[0].kind == "incomplete_list"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Content-Range", "items 0-1/2"),
        ("Content-Range", "0-1/2"),
        ("Content-Range", "bytes 0-999/1000"),
        ("X-Total-Count", "2"),
        ("X-Total", " 2 "),
        ("Total-Count", "0"),
        ("X-Total-Count", "2, 2"),
        ("Link", '</?page=1>; rel="first"'),
        ("Link", '</next>; rel="prev"; title="rel=next"'),
        ("Link", '</>; rel="https://x/next"'),
        ("Link", "</style.css>; rel=preload; crossorigin"),
        ("Link", ""),
    ],
)
def test_a_complete_list_is_read(reader: OpenReader, name: str, value: str) -> None:
    with ScriptedServer(Reply(200, json_reply(TWO).body, {name: value})) as server:
        assert [account.id for account in reader(server.url).list_accounts()] == [1, 2]


@pytest.mark.parametrize(("value", "whole"), [("*/0", True), ("items */0", True), ("*/*", False), ("*/5", False)])
def test_an_empty_list_may_have_an_empty_range(reader: OpenReader, value: str, whole: bool) -> None:
    with ScriptedServer(Reply(200, b"[]", {"Content-Range": value})) as server:
        accounts = reader(server.url)
        if whole:
            assert accounts.list_accounts() == ()
        else:
            with pytest.raises(ApiError, match="may be incomplete"):
                accounts.list_accounts()


def test_a_header_in_a_message_is_redacted_and_escaped(reader: OpenReader) -> None:
    reply = Reply(200, b"[]", {"X-Total-Count": "an-access-token\x1b[2J " + "9" * 400})
    with ScriptedServer(reply) as server, pytest.raises(ApiError) as refused:
        reader(server.url).list_accounts()
    message = refused.value.problems[0].message
    assert ("an-access-token" in message, message.isprintable(), len(message) < 300) == (False, True, True)
