"""Which failures are an outage: a rollout counts them apart from servers that respond, but not as they should."""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING, Final

import pytest
import trustme

from reconciler.errors import ApiError
from reconciler.model.outcome import ServerStatus
from reconciler.model.secret import Secret
from reconciler.model.server import RefreshToken
from tests.support.scripted_server import Close, Reply, ScriptedServer, Step, json_reply

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.client.conftest import Open

KEY = RefreshToken(Secret("the-key"))
PAGE = Reply(200, b"<html>Sign in</html>")

RESPONSES: Final[tuple[tuple[Step, bool], ...]] = (
    *((Reply(status), True) for status in (502, 503, 504)),
    *((Reply(status), False) for status in (400, 401, 403, 404, 409, 413, 422, 429, 500, 501, 505)),
    *((Reply(status, headers={"Location": "https://x"}), False) for status in (301, 302, 303, 307, 308)),
    (PAGE, False),
    (Reply(200), False),
    (json_reply({"errors": [{"type": "auth", "msg": "no"}]}), False),
    (Close(), True),
    (Close(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n[]"), True),
)


def error_of(call: Callable[[], object]) -> ApiError:
    with pytest.raises(ApiError) as caught:
        call()
    return caught.value


@pytest.mark.parametrize("request_name", ["token", "list", "create"])
@pytest.mark.parametrize(("step", "is_outage"), RESPONSES, ids=[str(step)[:40] for step, _ in RESPONSES])
def test_a_response_is_an_outage_if_waiting_may_help(
    writer: Open, request_name: str, step: Step, *, is_outage: bool
) -> None:
    credentials = {"credentials": KEY} if request_name == "token" else {}
    with ScriptedServer(step) as server:
        accounts = writer(server.url, **credentials)
        create = request_name == "create"
        error = error_of(lambda: accounts.create_account({"email": "a@x"}) if create else accounts.list_accounts())
        again = error_of(accounts.list_accounts)
    assert error.is_outage is is_outage
    assert again.is_outage is is_outage
    assert ServerStatus.after(error) is (ServerStatus.UNREACHABLE if is_outage else ServerStatus.FAILED)


def test_a_port_where_nothing_listens_is_an_outage(writer: Open) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    assert error_of(writer(url).list_accounts).is_outage
    assert error_of(writer(url, credentials=KEY).list_accounts).is_outage


@pytest.mark.parametrize("with_key", [True, False])
def test_a_certificate_that_is_not_trusted_is_no_outage(writer: Open, *, with_key: bool) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(tls)
    with ScriptedServer(Reply(), tls=tls) as server:
        accounts = writer(server.url, **({"credentials": KEY} if with_key else {}))
        assert not error_of(accounts.list_accounts).is_outage
