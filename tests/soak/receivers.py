"""Receives the watcher's notifications: a webhook and an SMTP server. Reads them, and checks that none comes twice."""

from __future__ import annotations

import json
import logging
import random
import re
import socket
import ssl
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import quote

import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

from tests.support.canaries import TOKEN, Canaries
from tests.support.scripted_server import Reply, ScriptedServer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from aiosmtpd.smtp import Envelope

    from tests.soak.watch_process import Event
    from tests.support.scripted_server import Request

_LATER: Final = re.compile(r"\n\nNot delivered at [^\n]+ UTC:\n")
_SECTION: Final = re.compile(r"([A-Z][a-z ]+) \((\d+)\):")
_STATES: Final = {"Failed": "failure", "Drifted": "drift", "Suspended": "suspended", "Recovered": "ok"}
_ENDS: Final = {"Suspension ended": "suspended"}

_ITS_OWN: Final = {"the source", "the watcher"}
"""Subjects that are notified again if they fail differently while they fail."""

Note = dict[str, list[tuple[str, str]]]
"""The subjects of a message, by cause, each with what is said about it."""


@dataclass
class Receivers:
    """A webhook that fails now and then, and an SMTP server; a context manager."""

    folder: Path
    canaries: Canaries
    seed: int
    failing: float = 0.1
    bodies: list[str] = field(default_factory=list)
    mails: list[str] = field(default_factory=list)

    def __enter__(self) -> Self:
        logging.getLogger("mail.log").setLevel(logging.ERROR)
        self._random = random.Random(self.seed)  # noqa: S311 - no secret
        self._password = self.canaries.new("password of the mailbox", TOKEN)
        authority = trustme.CA()
        authority.cert_pem.write_to_path(str(self.folder / "mail-ca.pem"))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost").configure_cert(context)
        with socket.create_server(("127.0.0.1", 0)) as free:
            self._port = free.getsockname()[1]
        self._smtp = Controller(
            self,
            hostname="127.0.0.1",
            port=self._port,
            tls_context=context,
            require_starttls=True,
            auth_required=True,
            authenticator=self._authenticate,
        )
        self._smtp.start()
        self._webhook = ScriptedServer(respond=self._respond).__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._webhook.__exit__()
        self._smtp.stop()

    @property
    def environ(self) -> dict[str, str]:
        """The variables with which the SMTP server's certificate is trusted."""
        return {"SSL_CERT_FILE": str(self.folder / "mail-ca.pem")}

    def write_file(self) -> Path:
        """The notify file."""
        path = self.folder / "notify"
        webhook = f"json://127.0.0.1:{self._webhook.port}/{self.canaries.new('webhook', '-')}"
        mailbox = f"mailtos://ops:{quote(self._password, safe='')}@localhost:{self._port}"
        path.write_text(f"{webhook}\n{mailbox}?from=watch@example.com&to=ana@example.com&mode=starttls&format=text\n")
        path.chmod(0o600)
        return path

    def _respond(self, request: Request) -> Reply:
        if self._random.random() < self.failing:
            return Reply(503)
        self.bodies.append(json.loads(request.body)["message"])
        return Reply()

    def _authenticate(self, *arguments: Any) -> AuthResult:  # noqa: ANN401 - aiosmtpd's
        data = arguments[-1]
        return AuthResult(handled=False, success=(data.login, data.password) == (b"ops", self._password.encode()))

    async def handle_DATA(self, _server: object, _session: object, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's
        assert isinstance(envelope.content, bytes)
        part = message_from_bytes(envelope.content, policy=policy.default).get_body(("plain",))
        assert part is not None
        self.mails.append(part.get_content().replace("\r\n", "\n"))
        return "250 OK"


def notes(bodies: Sequence[str]) -> list[Note]:
    """What was notified, in the order of the rounds."""
    found = []
    for body in bodies:
        newest, *earlier = _LATER.split(body)
        found += [_note(one) for one in (*earlier, newest)]
    return found


def _note(body: str) -> Note:
    found: Note = {}
    cause = ""
    for line in body.splitlines():
        if section := _SECTION.fullmatch(line):
            cause = section[1]
            assert cause not in found, body
            found[cause] = []
        elif line.startswith("- "):
            subjects, _, detail = line[2:].partition(": ")
            found[cause] += [(subject.removesuffix(":"), detail) for subject in subjects.split(", ")]
    return found


def violations(found: Sequence[Note], events: Sequence[Event], states: Mapping[str, str]) -> list[str]:
    """What was notified twice, or not at all.

    Args:
        found: The notifications.
        events: The watcher's log.
        states: The condition that each subject has now; that of all others is ``ok``.
    """
    replay = _Replay(events)
    for number, note in enumerate(found, 1):
        replay.take(number, note)
    replay.compare(states)
    return [*replay.violations, *_uncounted_corrections(found, events)]


class _Replay:
    """Follows the condition of each subject from one notification to the next."""

    def __init__(self, events: Sequence[Event]) -> None:
        self.violations: list[str] = []
        self._now: dict[str, str] = defaultdict(lambda: "ok")
        # A server that is no longer declared is forgotten without a notification.
        self._forgotten = Counter(event["server"] for event in events if event["event"] == "server_removed")

    def take(self, number: int, note: Note) -> None:
        """The next notification."""
        for cause, subjects in note.items():
            if len(dict(subjects)) < len(subjects):
                self.violations.append(f"notification {number}: {cause}: {subjects}")
        for cause in sorted(note, key=lambda one: one not in _ENDS):
            for subject, detail in note[cause]:
                self._take(f"notification {number}", subject, cause, detail)

    def _take(self, what: str, subject: str, cause: str, detail: str) -> None:
        before = self._now[subject]
        if cause == "Drift corrected":
            self._now[subject] = "ok" if before == "drift" else before
            return
        if cause in _ENDS:
            is_wrong, self._now[subject] = before != _ENDS[cause], "ok"
        else:
            now = _STATES[cause]
            if now == "failure" and subject in _ITS_OWN:
                now = f"failure: {detail}"
            is_wrong, self._now[subject] = before == now, now
        if is_wrong:
            self._report(subject, f"{what}: {cause}, but it was {before}")

    def compare(self, states: Mapping[str, str]) -> None:
        """Compares what was notified last with the conditions at the end."""
        for subject in {*self._now, *states}:
            if self._now[subject].partition(":")[0] != states.get(subject, "ok"):
                self._report(subject, f"{states.get(subject, 'ok')}, but {self._now[subject]} was notified last")

    def _report(self, subject: str, what: str) -> None:
        if self._forgotten[subject]:
            self._forgotten[subject] -= 1
        else:
            self.violations.append(f"{subject}: {what}")


def _uncounted_corrections(found: Sequence[Note], events: Sequence[Event]) -> Iterator[str]:
    notified = Counter(subject for note in found for subject, _ in note.get("Drift corrected", []))
    rounds = {
        (event["run"], event["server"])
        for event in events
        if event["event"] == "change" and event["status"] == "applied" and event["origin"] != "commit"
    }
    corrected = Counter(server for _, server in rounds)
    for server in {*notified, *corrected}:
        if notified[server] != corrected[server]:
            yield f"{server}: {notified[server]} notifications of {corrected[server]} rounds that have corrected drift"
