"""The SMTP sink, without the mailer."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from reconciler.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator
    from io import BufferedRWPair


class Conversation:
    """A raw SMTP conversation."""

    def __init__(self, stream: BufferedRWPair) -> None:
        self._stream = stream
        self.receive()

    def receive(self) -> str:
        line = self._stream.readline().decode()
        while line[3:4] == "-":
            line = self._stream.readline().decode()
        return line.rstrip()

    def send(self, line: str) -> str:
        self._stream.write(line.encode() + b"\r\n")
        self._stream.flush()
        return self.receive()


@pytest.fixture
def conversation(sandbox: Sandbox) -> Iterator[Conversation]:
    with socket.create_connection(("127.0.0.1", sandbox.smtp_port)) as connection, connection.makefile("rwb") as stream:
        yield Conversation(stream)


def test_an_aborted_login_is_not_a_login(conversation: Conversation) -> None:
    conversation.send("EHLO me")
    assert conversation.send("AUTH CRAM-MD5").startswith("334 ")
    assert conversation.send("*") == "501 5.7.0 Auth aborted"
    assert conversation.send("NOOP") == "250 OK"


def test_an_invalid_line_gets_an_error_and_the_conversation_continues(
    conversation: Conversation, capfd: pytest.CaptureFixture[str]
) -> None:
    conversation.send("EHLO me")
    assert conversation.send("AUTH CRAM-MD5").startswith("334 ")
    assert conversation.send("A" * 5000) == "500 5.5.0 ValueError"
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("header", "subject"),
    [
        ("Subject: =?utf-8?b?w6c=?=", "ç"),
        ("Subject: plain", "plain"),
        ("Subject: =?no-such-charset?q?x?=", "=?no-such-charset?q?x?="),
        ("X-Other: x", ""),
    ],
)
def test_a_subject_is_decoded_if_possible(
    sandbox: Sandbox, conversation: Conversation, header: str, subject: str
) -> None:
    for line in ("EHLO me", "MAIL FROM:<x@y.z>", "RCPT TO:<a@b.c>", "DATA"):
        conversation.send(line)
    assert conversation.send(f"{header}\r\n\r\nHello\r\n.") == "250 2.0.0 Message accepted"
    (mail,) = sandbox.mails()
    assert (mail.sender, mail.recipients, mail.subject, mail.tls) == ("x@y.z", ("a@b.c",), subject, False)


def test_open_connections_are_closed_when_the_sandbox_ends() -> None:
    with Sandbox() as sandbox:
        connection = socket.create_connection(("127.0.0.1", sandbox.smtp_port))
        assert connection.recv(3) == b"220"
    with connection:
        connection.settimeout(5)
        try:
            rest = b"".join(iter(lambda: connection.recv(1024), b""))
        except ConnectionResetError:
            rest = b""
    assert b"221" not in rest
