"""The SMTP sink, talked to without the mailer in between."""

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
        self.hear()

    def hear(self) -> str:
        line = self._stream.readline().decode()
        while line[3:4] == "-":
            line = self._stream.readline().decode()
        return line.rstrip()

    def say(self, line: str) -> str:
        self._stream.write(line.encode() + b"\r\n")
        self._stream.flush()
        return self.hear()


@pytest.fixture
def conversation(sandbox: Sandbox) -> Iterator[Conversation]:
    with socket.create_connection(("127.0.0.1", sandbox.smtp_port)) as connection, connection.makefile("rwb") as stream:
        yield Conversation(stream)


def test_a_login_that_is_broken_off_is_no_login(conversation: Conversation) -> None:
    conversation.say("EHLO me")
    assert conversation.say("AUTH CRAM-MD5").startswith("334 ")
    assert conversation.say("*") == "501 5.7.0 Auth aborted"
    assert conversation.say("NOOP") == "250 OK"


def test_a_conversation_that_makes_no_sense_gets_an_error_and_goes_on(
    conversation: Conversation, capfd: pytest.CaptureFixture[str]
) -> None:
    conversation.say("EHLO me")
    assert conversation.say("AUTH CRAM-MD5").startswith("334 ")
    assert conversation.say("A" * 5000) == "500 5.5.0 ValueError"
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
def test_a_subject_is_decoded_where_it_can_be(
    sandbox: Sandbox, conversation: Conversation, header: str, subject: str
) -> None:
    for line in ("EHLO me", "MAIL FROM:<x@y.z>", "RCPT TO:<a@b.c>", "DATA"):
        conversation.say(line)
    assert conversation.say(f"{header}\r\n\r\nHello\r\n.") == "250 2.0.0 Message accepted"
    (mail,) = sandbox.mails()
    assert (mail.sender, mail.recipients, mail.subject, mail.tls) == ("x@y.z", ("a@b.c",), subject, False)


def test_the_end_of_a_sandbox_hangs_up_on_whoever_is_connected() -> None:
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
