"""The test endpoint: mails that arrive, and the errors of those that do not."""

from __future__ import annotations

import socket
import ssl
from contextlib import ExitStack
from threading import Thread
from typing import TYPE_CHECKING, Any

import pytest

from reconciler.model.fields import FIELDS
from reconciler.sandbox import Mail
from reconciler.sandbox.mailer import Destination, Mailer, destination_of
from reconciler.sandbox.schemas import AccountFields, ErrorResponse
from reconciler.sandbox.smtp_sink import client_context
from tests.sandbox.conftest import ACCOUNTS
from tests.support import plain_http
from tests.support.vendor_page import ACCOUNT

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from reconciler.sandbox import Sandbox
    from tests.conftest import MakeSandbox
    from tests.sandbox.conftest import Connect

TO = "test@test.com"
PASSWORD = "correct horse"
MAILBOXES = {"certs@itflex.com.br": PASSWORD}


def run_delivery_test(client: httpx.Client, **settings: Any) -> httpx.Response:  # noqa: ANN401 - whatever JSON holds
    body = {**ACCOUNT, "password": PASSWORD, "to_email": TO, **settings}
    return client.post(f"{ACCOUNTS}/test", json={key: value for key, value in body.items() if value is not ...})


run_delivery_test.__test__ = False  # type: ignore[attr-defined]


def settings(**changes: Any) -> AccountFields:  # noqa: ANN401 - whatever a field holds
    base: dict[str, Any] = {
        "default": False,
        "name": "n",
        "email": "n@example.com",
        "service": "other",
        "has_auth": False,
    }
    return {**dict.fromkeys(FIELDS), **base, **changes}


def error_of(response: httpx.Response) -> tuple[int, str, str, str]:
    (error,) = response.json()["errors"]
    return response.status_code, error["field"], error["type"], error["msg"].removeprefix("Falha ao enviar o email: ")


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port that is bound, so that no other process gets it, but not listened on."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


@pytest.fixture
def literal(make_sandbox: MakeSandbox, connect: Connect) -> httpx.Client:
    """A client of a sandbox that uses the SMTP settings literally."""
    return connect(make_sandbox(real_smtp=True))


class ScriptedServer:
    """An SMTP server that sends the given lines, one after each line that it receives, and then hangs up."""

    def __init__(self, stack: ExitStack, lines: tuple[str, ...]) -> None:
        self._lines = lines
        self._listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        self.here = {"smtp_server": "127.0.0.1", "smtp_port": self._listener.getsockname()[1]}
        thread = Thread(target=self._talk)
        thread.start()
        stack.callback(thread.join, 10)

    def _talk(self) -> None:
        connection, _ = self._listener.accept()
        with connection, connection.makefile("rb") as incoming:
            for line in self._lines:
                connection.sendall(line.encode() + b"\r\n")
                incoming.readline()
            # Closing with something unread would reset the connection, and the last line might get lost.
            connection.shutdown(socket.SHUT_WR)
            incoming.read()


@pytest.mark.parametrize("crypt", ["none", "starttls", "ssl-tls"])
@pytest.mark.parametrize("mechanism", ["plain", "login", "cram-md5"])
def test_every_mechanism_works_with_every_encryption(
    make_sandbox: MakeSandbox, connect: Connect, mechanism: str, crypt: str
) -> None:
    sandbox = make_sandbox(mailboxes=MAILBOXES)
    response = run_delivery_test(connect(sandbox), smtp_crypt=crypt, smtp_auth_mechanism=mechanism)
    assert (response.status_code, response.text, response.headers.get("content-type")) == (200, "", None)
    assert sandbox.mails() == [
        Mail(
            sender="certs@itflex.com.br",
            recipients=(TO,),
            subject="Teste da conta de email Contas envio de certificados",
            user="certs@itflex.com.br",
            tls=crypt != "none",
            mechanism=mechanism,
        )
    ]


@pytest.mark.parametrize("crypt", ["none", "starttls", "ssl-tls"])
@pytest.mark.parametrize("mechanism", ["plain", "login", "cram-md5"])
@pytest.mark.parametrize("email", ["certs@itflex.com.br", "stranger@itflex.com.br"])
def test_a_wrong_password_is_refused_in_the_mail_servers_own_words(
    make_sandbox: MakeSandbox, connect: Connect, mechanism: str, crypt: str, email: str
) -> None:
    sandbox = make_sandbox(mailboxes=MAILBOXES)
    response = run_delivery_test(
        connect(sandbox), smtp_crypt=crypt, smtp_auth_mechanism=mechanism, email=email, password="hunter2"
    )
    assert error_of(response) == (400, "password", "rule", "535 5.7.8 Authentication credentials invalid")
    assert "hunter2" not in response.text
    assert sandbox.mails() == []


@pytest.mark.parametrize("mechanism", ["plain", "login", "cram-md5"])
def test_without_mailboxes_any_login_is_accepted(sandbox: Sandbox, client: httpx.Client, mechanism: str) -> None:
    assert run_delivery_test(client, smtp_auth_mechanism=mechanism, password="olá, çedilha €").status_code == 200
    assert [mail.user for mail in sandbox.mails()] == ["certs@itflex.com.br"]


def test_a_non_ascii_password_works_with_every_mechanism(make_sandbox: MakeSandbox, connect: Connect) -> None:
    sandbox = make_sandbox(mailboxes={"certs@itflex.com.br": "coração"})
    client = connect(sandbox)
    for mechanism in ("plain", "login", "cram-md5"):
        assert run_delivery_test(client, smtp_auth_mechanism=mechanism, password="coração").status_code == 200
        assert run_delivery_test(client, smtp_auth_mechanism=mechanism, password="coracao").status_code == 400
    assert [mail.mechanism for mail in sandbox.mails()] == ["plain", "login", "cram-md5"]


def test_without_authentication_there_is_no_login(make_sandbox: MakeSandbox, connect: Connect) -> None:
    sandbox = make_sandbox(mailboxes=MAILBOXES)
    assert run_delivery_test(connect(sandbox), hash_auth=False, password=None).status_code == 200
    assert [(mail.user, mail.mechanism, mail.tls) for mail in sandbox.mails()] == [(None, None, True)]


def test_the_mails_are_listed_as_json_without_a_token(sandbox: Sandbox, client: httpx.Client) -> None:
    run_delivery_test(client, name="Alertas çã\r\nBcc: victim@example.com", email="ünï@exämple.com", to_email="é@b.c")
    response = plain_http.get(f"{sandbox.url}/sandbox/mails")
    assert response.json() == [
        {
            "sender": "ünï@exämple.com",
            "recipients": ["é@b.c"],
            "subject": "Teste da conta de email Alertas çã Bcc: victim@example.com",
            "user": "ünï@exämple.com",
            "tls": True,
            "mechanism": "plain",
        }
    ]


@pytest.mark.parametrize("crypt", ["none", "starttls", "ssl-tls"])
def test_a_closed_port_is_refused(client: httpx.Client, closed_port: int, crypt: str) -> None:
    response = run_delivery_test(client, smtp_port=closed_port, smtp_crypt=crypt)
    assert error_of(response) == (400, "smtp_server", "rule", "[Errno 111] Connection refused")


def test_tls_to_a_port_without_it_is_an_encryption_error(sandbox: Sandbox, client: httpx.Client) -> None:
    status, field, kind, msg = error_of(run_delivery_test(client, smtp_port=sandbox.smtp_port, smtp_crypt="ssl-tls"))
    assert (status, field, kind) == (400, "smtp_crypt", "rule")
    assert "WRONG_VERSION_NUMBER" in msg or "wrong version number" in msg


def test_starttls_to_a_server_without_it_is_an_encryption_error(literal: httpx.Client) -> None:
    with ExitStack() as stack:
        server = ScriptedServer(stack, ("220 hello", "250 hello"))
        response = run_delivery_test(literal, **server.here, smtp_crypt="starttls")
    assert error_of(response) == (400, "smtp_crypt", "rule", "STARTTLS extension not supported by server.")


def test_a_mechanism_that_the_server_does_not_offer_is_not_used(literal: httpx.Client) -> None:
    with ExitStack() as stack:
        server = ScriptedServer(stack, ("220 hello", "250-hello\r\n250 AUTH LOGIN"))
        response = run_delivery_test(literal, **server.here, smtp_crypt="none", smtp_auth_mechanism="plain")
    assert error_of(response) == (400, "smtp_auth_mechanism", "rule", "The server does not offer AUTH PLAIN")


@pytest.mark.parametrize("mechanism", ["login", "cram-md5"])
def test_a_server_that_aborts_the_login_is_quoted(literal: httpx.Client, mechanism: str) -> None:
    with ExitStack() as stack:
        server = ScriptedServer(stack, ("220 hello", f"250-hello\r\n250 AUTH {mechanism}", "504 not now", "221 bye"))
        response = run_delivery_test(literal, **server.here, smtp_crypt="none", smtp_auth_mechanism=mechanism)
    assert error_of(response) == (400, "password", "rule", "504 not now")


def test_a_challenge_that_is_not_base64_is_blamed_on_the_server(literal: httpx.Client) -> None:
    with ExitStack() as stack:
        server = ScriptedServer(stack, ("220 hello", "250-hello\r\n250 AUTH CRAM-MD5", "334 !!!", "221 bye"))
        response = run_delivery_test(literal, **server.here, smtp_crypt="none", smtp_auth_mechanism="cram-md5")
    assert error_of(response)[:3] == (400, "smtp_server", "rule")


def test_a_password_that_the_mail_server_repeats_is_masked(literal: httpx.Client) -> None:
    with ExitStack() as stack:
        server = ScriptedServer(stack, ("220 hello", "250-hello\r\n250 AUTH PLAIN", "535 not 'hunter2'!", "221 bye"))
        response = run_delivery_test(literal, **server.here, smtp_crypt="none", password="hunter2")
    assert error_of(response) == (400, "password", "rule", "535 not '***'!")


@pytest.mark.parametrize(
    ("lines", "error"),
    [
        (("250 sender ok", "550 no such user", "250 reset"), ("to_email", "550 no such user")),
        (("553 not your address", "250 reset"), ("email", "553 not your address")),
        (("250 ok", "250 ok", "354 go", "554 spam", "250 reset"), ("smtp_server", "554 spam")),
    ],
    ids=["the recipient", "the sender", "the mail"],
)
def test_the_field_that_the_mail_server_refuses_is_named(
    literal: httpx.Client, lines: tuple[str, ...], error: tuple[str, str]
) -> None:
    with ExitStack() as stack:
        server = ScriptedServer(stack, ("220 hello", "250 hello", *lines, "221 bye"))
        response = run_delivery_test(literal, **server.here, smtp_crypt="none", hash_auth=False)
    assert error_of(response) == (400, error[0], "rule", error[1])


def test_a_silent_mail_server_times_out() -> None:
    mailer = Mailer(smtp_port=1, smtps_port=1, sink_tls=client_context(), real_smtp=True, timeout=0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(ErrorResponse) as caught:
        mailer.send(settings(smtp_server="127.0.0.1", smtp_port=silent.getsockname()[1]), TO)
    assert caught.value.body == {
        "errors": [
            {
                "field": "smtp_server",
                "type": "rule",
                "msg": "Falha ao enviar o email: Connection unexpectedly closed: timed out",
            }
        ]
    }


def test_a_certificate_of_another_authority_is_refused(sandbox: Sandbox) -> None:
    stranger = ssl.create_default_context()
    stranger.check_hostname = False
    mailer = Mailer(smtp_port=sandbox.smtp_port, smtps_port=sandbox.smtps_port, sink_tls=stranger)
    for crypt in ("ssl-tls", "starttls"):
        with pytest.raises(ErrorResponse, match="CERTIFICATE_VERIFY_FAILED") as caught:
            mailer.send(settings(smtp_server="mx", smtp_crypt=crypt), TO)
        assert caught.value.entries[0].field == "smtp_crypt"
    assert sandbox.mails() == []


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"password": ...}, "password"),
        ({"password": ""}, "password"),
        ({"service": "other", "smtp_server": ...}, "smtp_server"),
    ],
)
def test_incomplete_settings_are_refused_before_a_connection(
    sandbox: Sandbox, client: httpx.Client, changes: dict[str, Any], field: str
) -> None:
    assert error_of(run_delivery_test(client, **changes)) == (400, field, "required", "Campo obrigatório")
    assert sandbox.mails() == []


@pytest.mark.parametrize(
    ("changes", "destination"),
    [
        ({"service": "gmail"}, Destination("smtp.gmail.com", 465, "ssl-tls")),
        ({"service": "outlook"}, Destination("smtp.office365.com", 587, "starttls")),
        ({"service": "outlook", "smtp_port": 2525}, Destination("smtp.office365.com", 2525, "starttls")),
        ({"service": "gmail", "smtp_crypt": "starttls"}, Destination("smtp.gmail.com", 587, "starttls")),
        ({"service": "gmail", "smtp_server": "mx"}, Destination("mx", 25, "none")),
        ({"smtp_server": "mx", "smtp_crypt": "starttls"}, Destination("mx", 587, "starttls")),
        ({"smtp_server": "mx", "smtp_crypt": "ssl-tls"}, Destination("mx", 465, "ssl-tls")),
        ({"smtp_server": "mx", "smtp_crypt": "none", "smtp_port": 26}, Destination("mx", 26, "none")),
    ],
)
def test_missing_settings_have_defaults(changes: dict[str, Any], destination: Destination) -> None:
    assert destination_of(settings(**changes)) == destination


@pytest.mark.parametrize(
    ("crypt", "ports"),
    [
        ("none", [None, 25, 587, 1000, 1025, 2525, 2587]),
        ("starttls", [None, 25, 587, 1000, 1025, 2525, 2587]),
        ("ssl-tls", [None, 465, 1000, 2465]),
    ],
)
def test_every_host_leads_to_the_sink_on_every_usual_port(
    sandbox: Sandbox, client: httpx.Client, ports: list[int | None], crypt: str
) -> None:
    for port in ports:
        response = run_delivery_test(client, smtp_server="no.such.host.invalid", smtp_port=port, smtp_crypt=crypt)
        assert response.status_code == 200
    assert [mail.tls for mail in sandbox.mails()] == [crypt != "none"] * len(ports)


@pytest.mark.parametrize("port", [25, 587, 1025, 2525, 2587])
def test_tls_from_the_start_fails_on_a_plain_port(client: httpx.Client, port: int) -> None:
    status, field, kind, msg = error_of(run_delivery_test(client, smtp_port=port, smtp_crypt="ssl-tls"))
    assert (status, field, kind) == (400, "smtp_crypt", "rule")
    assert "wrong version number" in msg.casefold().replace("_", " ")


@pytest.mark.parametrize("port", [465, 2465])
@pytest.mark.parametrize("crypt", ["none", "starttls"])
def test_a_tls_port_does_not_greet_a_plain_client(sandbox: Sandbox, port: int, crypt: str) -> None:
    mailer = Mailer(smtp_port=sandbox.smtp_port, smtps_port=sandbox.smtps_port, sink_tls=client_context(), timeout=0.1)
    with pytest.raises(ErrorResponse, match="Connection unexpectedly closed"):
        mailer.send(settings(smtp_server="mx", smtp_port=port, smtp_crypt=crypt), TO)
    assert sandbox.mails() == []


def test_the_test_endpoint_reaches_nothing_but_the_sink(client: httpx.Client) -> None:
    with socket.create_server(("127.0.0.1", 0)) as bystander:
        bystander.settimeout(0.1)
        for crypt in ("none", "starttls", "ssl-tls"):
            response = run_delivery_test(client, smtp_port=bystander.getsockname()[1], smtp_crypt=crypt)
            assert error_of(response) == (400, "smtp_server", "rule", "[Errno 111] Connection refused")
        with pytest.raises(TimeoutError):
            bystander.accept()


def test_with_real_smtp_the_settings_are_used_literally(make_sandbox: MakeSandbox, connect: Connect) -> None:
    sandbox = make_sandbox(real_smtp=True)
    client = connect(sandbox)
    here = {"smtp_server": "127.0.0.1", "smtp_port": sandbox.smtp_port}
    assert run_delivery_test(client, **here, smtp_crypt="none").status_code == 200
    assert len(sandbox.mails()) == 1
    assert "CERTIFICATE_VERIFY_FAILED" in error_of(run_delivery_test(client, **here, smtp_crypt="starttls"))[3]
    assert error_of(run_delivery_test(client, smtp_server="a\0b", smtp_crypt="none"))[:3] == (
        400,
        "smtp_server",
        "rule",
    )
    assert len(sandbox.mails()) == 1
