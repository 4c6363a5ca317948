"""Notifications to a real SMTP server and a real webhook receiver: each once, and never a secret."""

from __future__ import annotations

import json
import logging
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

from reconciler.errors import Kind, MissingExtraError, Problem, ReconcilerError, StateError
from reconciler.watch.conditions import OK, Condition, Conditions, State
from reconciler.watch.notify import Notifier, read_receivers
from reconciler.watch.state import WatchState
from tests.support.scripted_server import Close, Hang, Reply, ScriptedServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from aiosmtpd.smtp import Envelope

NOW = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
FAILED = Condition(State.FAILURE, "connection refused")
CANARY = "s3cr3tcanary"


@dataclass
class Watch:
    """A notifier with its state and notify file; ``start`` is what a new process does."""

    folder: Path
    problems: list[Problem] = field(default_factory=list)
    round: int = 0

    def start(self, *urls: str) -> None:
        (self.folder / "notify").write_text("\n".join(["# receivers", "", *urls]))
        self.state = WatchState(self.folder / "state")
        receivers = read_receivers(str(self.folder / "notify"))
        self.notifier = Notifier(receivers, self.state.outbox, source="git main", warn=self.problems.append)

    def end(self) -> None:
        self.notifier.close(10)
        self.state.close()

    def tell(self, *, wait: bool = True, **servers: Condition) -> None:
        self.round += 1
        self.notifier.notify(Conditions(servers=servers), NOW + timedelta(minutes=self.round))
        if wait:
            self.notifier.close(10)

    @property
    def warnings(self) -> list[str]:
        return [problem.message for problem in self.problems]


@pytest.fixture
def watch(tmp_path: Path) -> Iterator[Watch]:
    made = Watch(tmp_path)
    yield made
    with suppress(AttributeError):
        made.end()


def hook(server: ScriptedServer, path: str = "") -> str:
    return f"json://127.0.0.1:{server.port}/{CANARY}{path}"


def titles(server: ScriptedServer) -> list[str]:
    return [json.loads(request.body)["title"] for request in server.requests]


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


# Each change once


def test_each_change_is_sent_once_even_after_a_restart(watch: Watch) -> None:
    with ScriptedServer(Reply()) as server:
        watch.start(hook(server))
        watch.tell(b001=OK)
        watch.tell(b001=FAILED)
        watch.tell(b001=Condition(State.FAILURE, "another reason"))
        watch.end()
        watch.start(hook(server))
        watch.tell(b001=FAILED)
        watch.tell(b001=OK, b002=FAILED)
        assert titles(server) == ["reconciler: b001 failed", "reconciler: b002 failed, b001 recovered"]
    body = json.loads(server.requests[0].body)
    assert body["type"] == "failure"
    assert body["message"] == "Failed (1):\n- b001: connection refused\n\nSource: git main"
    assert watch.problems == []


def test_a_failed_delivery_is_sent_with_the_next_round(watch: Watch) -> None:
    with ScriptedServer(Reply(503), Reply(503), Reply()) as server:
        watch.start(hook(server))
        watch.tell(b001=FAILED)
        watch.tell(b001=OK)
        watch.end()
        watch.start(hook(server))
        watch.tell(b001=OK)
        watch.tell(b001=OK)
    assert titles(server) == ["reconciler: b001 failed", "reconciler: b001 recovered", "reconciler: b001 recovered"]
    assert json.loads(server.requests[2].body)["message"] == (
        "Recovered (1):\n- b001\n\nSource: git main\n\n"
        "Not delivered at 2026-03-01 09:31 UTC:\nFailed (1):\n- b001: connection refused\n\nSource: git main"
    )
    assert watch.warnings == [
        "a notification to line 3 of the notify file could not be delivered; it is sent again after the next round"
    ]


def test_a_failing_receiver_causes_no_second_delivery_to_others(watch: Watch) -> None:
    with ScriptedServer(Reply(500), Reply()) as bad, ScriptedServer(Reply()) as good:
        watch.start(hook(bad), hook(good))
        watch.tell(b001=FAILED)
        watch.tell(b001=FAILED)
    assert len(titles(bad)) == 2
    assert titles(good) == ["reconciler: b001 failed"]


def test_at_most_twenty_messages_wait_for_a_receiver(watch: Watch) -> None:
    with ScriptedServer(Reply(500)) as server:
        watch.start(hook(server))
        for number in range(25):
            watch.tell(b001=OK if number % 2 else FAILED)
    body = json.loads(server.requests[-1].body)["message"]
    assert body.count("Not delivered at") == 19
    assert "09:31 UTC" not in body


def test_messages_for_receivers_that_were_removed_are_dropped(watch: Watch) -> None:
    with ScriptedServer(Reply(500), Reply()) as server:
        watch.start(hook(server))
        watch.tell(b001=FAILED)
        watch.end()
        watch.start(hook(server, "/other"))
        watch.tell(b001=FAILED)
    assert len(server.requests) == 1


def test_a_receiver_that_does_not_listen_gets_the_message_later(watch: Watch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    watch.start(f"json://127.0.0.1:{port}/")
    watch.tell(b001=FAILED)
    assert "could not be delivered" in watch.warnings[0]
    assert len(watch.state.outbox.claim(*watch.notifier._receivers)) == 1


def test_a_receiver_that_breaks_off_is_not_asked_again(watch: Watch) -> None:
    with ScriptedServer(Close(), Reply()) as server:
        watch.start(hook(server))
        watch.tell(b001=FAILED)
        watch.tell(b001=FAILED)
    assert len(server.requests) == 1
    assert "did not confirm a notification; it is not sent again, because it may have arrived" in watch.warnings[0]


def test_a_receiver_that_hangs_delays_nothing(watch: Watch) -> None:
    with ScriptedServer(Hang()) as server, ScriptedServer(Reply()) as other:
        watch.start(hook(server), hook(other))
        watch.tell(wait=False, b001=FAILED)
        until(lambda: len(other.requests) == 1 and len(server.requests) == 1)

        def is_sent_on() -> bool:  # a round may end before the first delivery to this receiver has
            watch.tell(wait=False, b001=OK)
            return len(other.requests) > 1

        until(is_sent_on)
        assert titles(other) == ["reconciler: b001 failed", "reconciler: b001 recovered"]
        assert len(server.requests) == 1


# Crashes and full disks

SCRIPT = """
import sys
from pathlib import Path
from tests.watch.test_notify import FAILED, OK, Watch
watch = Watch(Path(sys.argv[1]))
watch.start(sys.argv[2])
watch.tell(b001=FAILED)
print("told", flush=True)
sys.stdin.read()
"""


def process(folder: Path, url: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(folder), url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )


def test_a_process_that_is_killed_while_it_sends_does_not_send_again(watch: Watch) -> None:
    with ScriptedServer(Hang(), Reply()) as server:
        first = process(watch.folder, hook(server))
        until(lambda: len(server.requests) == 1)
        first.send_signal(signal.SIGKILL)
        first.communicate()
        watch.start(hook(server))
        watch.tell(b001=FAILED)
    assert titles(server) == ["reconciler: b001 failed"]


def test_a_process_that_is_killed_before_it_sends_sends_later(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    with ScriptedServer(Reply()) as server:
        watch.start(hook(server))
        with monkeypatch.context() as patch:
            patch.setattr(watch.notifier, "_deliver", lambda _key: None)
            watch.tell(b001=FAILED)
        watch.end()
        watch.start(hook(server))
        watch.tell(b001=FAILED)
    assert titles(server) == ["reconciler: b001 failed"]


def test_what_cannot_be_recorded_is_not_sent(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    with ScriptedServer(Reply()) as server:
        watch.start(hook(server))
        database = watch.state._database

        def full(*_: object, **__: object) -> None:
            raise StateError.of("the disk is full", kind=Kind.STATE)

        with monkeypatch.context() as patch:
            patch.setattr(database, "run", full)
            watch.tell(b001=FAILED)
            watch.tell(b001=FAILED)
        assert server.requests == []
        assert watch.warnings == ["nothing is notified, because it cannot be recorded: the disk is full"]
        watch.tell(b001=FAILED)
        assert len(server.requests) == 1


def test_a_delivery_that_cannot_be_recorded_is_not_repeated(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise StateError.of("the disk is full", kind=Kind.STATE)

    with ScriptedServer(Reply()) as server:
        watch.start(hook(server))
        with monkeypatch.context() as patch:
            patch.setattr(watch.state.outbox, "delivered", full)
            watch.tell(b001=FAILED)
        watch.tell(b001=FAILED)
        watch.end()
        watch.start(hook(server))
        watch.tell(b001=FAILED)
    assert len(server.requests) == 1
    assert watch.warnings == ["the outcome of the notification to line 3 cannot be recorded: the disk is full"]


def test_a_state_that_is_deleted_while_it_is_used_repeats_nothing(watch: Watch) -> None:
    with ScriptedServer(Reply()) as server:
        watch.start(hook(server))
        watch.tell(b001=FAILED)
        (watch.folder / "state" / "state.sqlite").unlink()
        watch.tell(b001=FAILED, b002=FAILED)
        watch.end()
        watch.start(hook(server))
        watch.tell(b001=FAILED, b002=FAILED)
    assert titles(server) == ["reconciler: b001 failed", "reconciler: b002 failed"]


# Mail


class Mailbox:
    """An SMTP server that insists on STARTTLS and a login."""

    def __init__(self, authority: trustme.CA) -> None:
        import ssl

        self.mails: list[bytes] = []
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost").configure_cert(context)
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.controller = Controller(
            self,
            hostname="127.0.0.1",
            port=self.port,
            tls_context=context,
            require_starttls=True,
            auth_required=True,
            authenticator=self.authenticate,
        )

    def authenticate(self, *arguments: Any) -> AuthResult:  # noqa: ANN401 - aiosmtpd's
        data = arguments[-1]
        return AuthResult(handled=False, success=(data.login, data.password) == (b"ops", CANARY.encode()))

    async def handle_DATA(self, _server: object, _session: object, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's
        assert isinstance(envelope.content, bytes)
        self.mails.append(envelope.content)
        return "250 OK"


@pytest.fixture
def mailbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Mailbox]:
    logging.getLogger("mail.log").setLevel(logging.ERROR)
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    box = Mailbox(authority)
    box.controller.start()
    yield box
    box.controller.stop()


def mail_url(box: Mailbox, password: str = CANARY) -> str:
    return f"mailtos://ops:{password}@localhost:{box.port}?from=watch@example.com&to=ana@example.com&mode=starttls"


def test_mail_goes_through_starttls_with_a_login(watch: Watch, mailbox: Mailbox) -> None:
    watch.start(mail_url(mailbox))
    watch.tell(b001=Condition(State.FAILURE, "<b>500</b> & more"))
    assert watch.warnings == []
    mail = message_from_bytes(mailbox.mails[0], policy=policy.default)
    assert mail["Subject"] == "reconciler: b001 failed"
    assert mail["To"] == "ana@example.com"
    part = mail.get_body(("plain", "html"))
    assert part is not None
    assert "&lt;b&gt;500&lt;/b&gt; &amp; more" in part.get_content() or "<b>500</b> & more" in part.get_content()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_mail_with_a_wrong_password_is_sent_again(
    watch: Watch, mailbox: Mailbox, caplog: pytest.LogCaptureFixture
) -> None:
    watch.start(mail_url(mailbox, f"{CANARY}wrong"))
    watch.tell(b001=FAILED)
    assert mailbox.mails == []
    assert "could not be delivered" in watch.warnings[0]
    assert CANARY not in repr(watch.problems) + caplog.text


# The notify file


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"json://localhost\n# comment\nnonsense://{CANARY}\n", ":3: this is not a URL that apprise knows"),
        (f"mailto://{CANARY}\n", ":1: this is not a URL that apprise knows"),
        (f"tgram://{CANARY}/1\n", ":1: this is not a URL that apprise knows"),
        (f"{CANARY}\n", ":1: this is not a URL that apprise knows"),
        ("# nothing\n\n", ": the notify file contains no URL"),
        (b"\xff\xfe\x00", ": the notify file is not a text file in UTF-8"),
        ("json://localhost\n" * 20_000, ": the notify file is larger than 256 KiB"),
        (None, ": the notify file cannot be read: No such file or directory"),
    ],
)
def test_an_invalid_file_is_an_error_that_names_the_line_and_no_url(
    tmp_path: Path,
    text: str | bytes | None,
    message: str,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "notify"
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ReconcilerError) as caught:
        read_receivers(str(path))
    (problem,) = caught.value.problems
    assert str(problem) == f"{path}{message}"
    assert problem.kind == "notify_file"
    out, err = capfd.readouterr()
    assert CANARY not in f"{caught.value!r}{problem!r}{caplog.text}{out}{err}"


def test_no_url_is_shown_anywhere(
    watch: Watch, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    logging.getLogger().setLevel(logging.DEBUG)
    with ScriptedServer(Reply(500, CANARY.encode()), Reply()) as server:
        watch.start(hook(server), f"jsons://user:{CANARY}@127.0.0.1:9/{CANARY}?verify=no")
        watch.tell(b001=FAILED)
        watch.tell(b001=OK)
        watch.state.close()
    stored = b"".join(path.read_bytes() for path in (watch.folder / "state").iterdir())
    out, err = capfd.readouterr()
    assert CANARY not in f"{watch.problems!r}{watch.notifier._receivers!r}{caplog.text}{out}{err}"
    assert CANARY.encode() not in stored
    assert watch.problems


def test_without_the_extra_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "apprise", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'email-account-reconciler\[notify\]'"):
        read_receivers(str(tmp_path / "notify"))
