"""Makes random events: what administrators, authors, operators, networks and attackers do to a watcher."""

from __future__ import annotations

import hashlib
import hmac
import random
import signal
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from tests.soak.fleet import PASSWORDS
from tests.soak.record import FAULTS, IN_MANIFEST, Span
from tests.support.administrator import NEW

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.soak.fleet import Repository, Row, Servers
    from tests.soak.watch_process import WatchProcess
    from tests.support.canaries import Canaries
    from tests.support.cli_runner import CliProcess
    from tests.support.run_result import RunResult

_LONGEST_FAULT: Final = 6.0
_LONGEST_SUSPENSION: Final = 12.0
_MOST_AT_ONCE: Final = 3
_STAYING: Final = 4
"""The accounts of a server, the first by name, that commits neither remove nor rename."""

_UNTIL_CERTAIN: Final = 0.3
"""Seconds after which a write that was under way when a server was suspended has arrived."""

_GLANCE: Final = 2.5
"""Seconds within which the watcher notices that a suspension has ended."""

_CAN_FAIL: Final = 3
"""Servers that fail at the same time."""


@dataclass
class Driver:
    """Makes one event after the other.

    Attributes:
        excused: When drift on a server cannot be corrected.
        suspended: When a server was suspended for certain.
        history: The events, with their times.
    """

    seed: int
    servers: Servers
    repository: Repository
    watcher: WatchProcess
    user: CliProcess
    hook_secret: str
    canaries: Canaries
    excused: list[Span] = field(default_factory=list)
    suspended: list[Span] = field(default_factory=list)
    history: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)  # noqa: S311 - events, not secrets
        self._failing: dict[str, tuple[float, Span]] = {}
        self._paused: dict[str, tuple[float, list[Span], Span]] = {}
        self._declared_pauses: dict[str, Span] = {}
        self._strays = 0
        self._broken = ""
        self._left = ""
        self._events: dict[Callable[[], str], int] = {
            self.edit_accounts: 30,
            self.edit_everywhere: 3,
            self.commit: 12,
            self.commit_broken: 3,
            self.push_unrelated: 3,
            self.remove_server: 2,
            self.suspend_in_manifest: 2,
            self.send_hook: 4,
            self.send_forged_hook: 5,
            self.hang_up: 4,
            self.begin_fault: 8,
            self.suspend: 4,
            self.start_second_watcher: 1,
            self.compete: 1,
        }

    def step(self) -> None:
        """Makes a few events, and ends what has lasted long enough."""
        self._end_what_is_over(time.time())
        self._follow_log()
        count = self.random.randint(1, _MOST_AT_ONCE)
        for event in self.random.choices([*self._events], weights=[*self._events.values()], k=count):
            self._note(event())

    def settle(self) -> str:
        """Ends everything that keeps servers from being as declared, except one suspension; returns that server."""
        self._end_what_is_over(float("inf"))
        self.repository.restore()
        self.repository.absent.clear()
        self.repository.suspended.clear()
        self._end_declared_pauses()
        self._note(f"the last commit: {self.repository.commit()[:12]}")
        left = self._left = self.servers.names[-1]
        end = time.monotonic() + 10
        while (done := self._run("suspend", left, "--reason", "left suspended")).code and time.monotonic() < end:
            time.sleep(0.2)  # until the watcher has read the commit that declares the server again
        assert done.code == 0, done.err
        self.excused.append(Span(left, time.time(), why="suspended"))
        self.suspended.append(Span(left, time.time() + _UNTIL_CERTAIN))
        time.sleep(_UNTIL_CERTAIN)
        for account in self.servers.accounts(left)[:2]:
            self.servers.change(left, account, smtp_port=4444)
        return left

    def resume_all(self) -> None:
        """Resumes what the watcher has stopped since."""
        self._end_what_is_over(float("inf"))

    def follow(self) -> None:
        """Reads what the watcher and the servers have done."""
        self._follow_log()
        self.servers.collect()

    def _note(self, what: str) -> None:
        if what:
            self.history.append(f"{time.time():.3f} {what}")

    # Administrators

    def edit_accounts(self) -> str:
        """Changes, creates or deletes a few accounts on one server."""
        server = self.random.choice(self.servers.names)
        return f"{server}: {'; '.join(self._edit(server) for _ in range(self.random.randint(1, 3)))}"

    def edit_everywhere(self) -> str:
        """Makes the same change on every server, as a script of an administrator does."""
        port = self.random.randint(2000, 9999)
        for server in self.servers.names:
            accounts = self.servers.accounts(server)
            for account in self.random.sample(accounts, min(2, len(accounts))):
                self.servers.change(server, account, smtp_port=port)
        return f"port {port} on every server"

    def compete(self) -> str:
        """Undoes every correction of a field, until the watcher stops."""
        server = self._running_server()
        if server is None or not (accounts := self.servers.accounts(server)):
            return ""
        account = self.random.choice(accounts)
        for port in range(4):
            self.servers.change(server, account, smtp_port=7000 + port)
            time.sleep(1.5)
        return f"{server}: competed over {account['email']}"

    def _edit(self, server: str) -> str:
        accounts = self.servers.accounts(server)
        strays = sum(one["email"].startswith("stray") for one in accounts)
        deed = self.random.choice(["change"] * 6 + ["create", "delete"])
        if not accounts or (deed == "create" and strays < 2):
            self._strays += 1
            address = f"stray{self._strays}@{server}.example.com"
            self.servers.create(server, self._stray(address))
            return f"create {address}"
        account = self.random.choice(accounts)
        if deed == "delete" and len(accounts) > 5:
            self.servers.delete(server, account)
            return f"delete {account['email']}"
        fields = self._edited()
        self.servers.change(server, account, **fields)
        return f"change {account['email']} {', '.join(fields)}"

    def _edited(self) -> Row:
        number = self.random.randint(1, 9999)
        values: Row = {
            "name": f"By hand {number}",
            "smtp_server": f"host{number}.example.com",
            "smtp_port": 1000 + number,
            "password": self.canaries.new(f"password by hand {number % 50}"),
        }
        return {name: values[name] for name in self.random.sample(sorted(values), self.random.randint(1, 2))}

    def _stray(self, address: str) -> Row:
        return {
            **NEW,
            "email": address,
            "name": "Stray",
            "smtp_server": "smtp.example.com",
            "smtp_port": 25,
            "has_auth": True,
            "password": self.canaries.new("password of strays"),
        }

    # Authors

    def commit(self) -> str:
        """Changes, adds, removes and renames accounts in one commit."""
        deeds = []
        for _ in range(self.random.randint(1, 4)):
            server = self.random.choice(self.servers.names)
            entries = self.repository.draft[server]
            deed = self.random.choice(["change", "change", "change", "add", "remove", "rename"])
            # Some stay: a server that is suspended for long must not lose all of its accounts at once.
            first = _STAYING if deed in {"remove", "rename"} else 0
            address = self.random.choice(sorted(entries)[first:])
            number = self.random.randint(1, 10**6)
            if deed == "add" and len(entries) < 12:
                entries[f"n{number}@{server}.example.com"] = {**entries[address], "name": f"New {number}"}
                entries[f"n{number}@{server}.example.com"].pop("renamed_from", None)
            elif deed == "remove" and len(entries) > 6:
                del entries[address]
            elif deed == "rename" and "renamed_from" not in entries[address]:
                entries[f"r{number}@{server}.example.com"] = {**entries.pop(address), "renamed_from": address}
            else:
                deed = "change"
                entries[address] |= {
                    "smtp_port": 10_000 + number % 50_000,
                    "password": f"PASSWORD_{number % PASSWORDS}",
                }
            deeds.append(f"{deed} {address}")
        return self._commit("; ".join(deeds))

    def _commit(self, what: str) -> str:
        if self._broken:
            self.repository.restore()
            self._broken = ""
        commit = self.repository.commit()
        self._end_declared_pauses()
        return f"commit {commit[:12]}: {what}"

    def commit_broken(self) -> str:
        """Commits a file that is not valid."""
        if self._broken == "unrelated":
            return ""
        server = self.random.choice([one for one in self.servers.names if one not in self.repository.absent])
        self.repository.commit_broken(server)
        self._broken = "broken"
        return f"a broken commit: {server}"

    def push_unrelated(self) -> str:
        """Force-pushes another history."""
        self.repository.push_unrelated()
        self._broken = "unrelated"
        return "force-pushed another history"

    def remove_server(self) -> str:
        """Deletes a server's file, or brings it back."""
        if self.repository.absent:
            server = self.repository.absent.pop()
            return self._commit(f"{server} is back")
        server = self.random.choice(self.servers.names)
        self.repository.absent.add(server)
        return self._commit(f"{server} is removed")

    def suspend_in_manifest(self) -> str:
        """Suspends a server in its manifest, or ends that."""
        if self.repository.suspended:
            server = self.repository.suspended.pop()
            return self._commit(f"{server} is no longer suspended")
        server = self.random.choice(self.servers.names)
        self.repository.suspended.add(server)
        span = Span(server, time.time(), why=IN_MANIFEST)
        self.excused.append(span)
        self._declared_pauses[server] = span
        return self._commit(f"{server} is suspended")

    def _end_declared_pauses(self) -> None:
        """A suspension in a manifest ends when the watcher has the commit; deviations count anew then."""
        for server in [*self._declared_pauses]:
            if server not in self.repository.suspended:
                self._declared_pauses.pop(server).end = time.time()

    # Hooks and signals

    def send_hook(self) -> str:
        """Sends a signed hook, as a forge does."""
        body = b'{"ref": "refs/heads/main"}'
        digest = hmac.new(self.hook_secret.encode(), body, hashlib.sha256).hexdigest()
        headers = self.random.choice(
            [
                {"X-Hub-Signature-256": f"sha256={digest}"},
                {"X-Gitea-Signature": digest},
                {"X-Gitlab-Token": self.hook_secret},
            ]
        )
        status = self.watcher.post("/hook", body, headers)
        assert status in {202, 429}, status
        return f"a hook: {status}"

    def send_forged_hook(self) -> str:
        """Sends a hook with a wrong signature, or without one."""
        digest = hmac.new(b"guessed", b"{}", hashlib.sha256).hexdigest()
        forged: list[dict[str, str]] = [{"X-Hub-Signature-256": f"sha256={digest}"}, {"X-Gitlab-Token": "guessed"}, {}]
        status = self.watcher.post("/hook", b"{}", self.random.choice(forged))
        assert status in {403, 429}, status
        return f"a forged hook: {status}"

    def hang_up(self) -> str:
        """Sends SIGHUP."""
        self.watcher.process.send_signal(signal.SIGHUP)
        return "SIGHUP"

    # Networks

    def begin_fault(self) -> str:
        """Lets a server fail for a while."""
        working = [name for name in self.servers.names if name not in self._failing]
        if len(self._failing) >= _CAN_FAIL:
            return ""
        server, kind = self.random.choice(working), self.random.choice(FAULTS)
        probability = 0.0 if kind == "expired" else self.random.choice([1.0, 0.4])
        span = Span(server, time.time(), why=kind)
        self.servers.set_fault(server, kind, probability)
        self.excused.append(span)
        self._failing[server] = (time.time() + self.random.uniform(0.5, _LONGEST_FAULT), span)
        return f"{server}: {kind} with probability {probability}"

    def _end_fault(self, server: str) -> None:
        _, span = self._failing.pop(server)
        self.servers.set_fault(server, "", 0)
        span.end = time.time()
        self._note(f"{server}: {span.why} has ended")

    # Operators

    def suspend(self) -> str:
        """Suspends a server by the command."""
        server = self._running_server()
        if server is None or len(self._paused) > 2:
            return ""
        span = Span(server, time.time(), why="suspended")
        options = ["--for", "5s"] if self.random.random() < 0.2 else []
        done = self._run("suspend", server, "--reason", "maintenance", *options)
        if done.code:  # it was removed, and the watcher does not have the commit that brings it back
            assert "knows no server" in done.err, done.err
            return ""
        now = time.time()
        certain = Span(server, now + _UNTIL_CERTAIN, now + 4 if options else float("inf"))
        self.excused.append(span)
        self.suspended.append(certain)
        seconds = self.random.uniform(1, _LONGEST_SUSPENSION)
        self._paused[server] = (now + (8 if options else seconds), [span], certain)
        return f"{server}: suspended {' '.join(options)}"

    def _resume(self, server: str) -> None:
        _, spans, certain = self._paused.pop(server)
        certain.end = min(certain.end, time.time())
        self._run("resume", server)
        for span in spans:
            span.end = time.time() + _GLANCE
        self._note(f"{server}: resumed")

    def start_second_watcher(self) -> str:
        """Starts another watcher on the same state, which must be refused."""
        done = self.user.run("watch", "fleet", "--state-dir", str(self.watcher.state_dir), "--listen", "off")
        assert done.code == 1, done.err
        assert f"process {self.watcher.process.pid}" in done.err, done.err
        return "a second watcher was refused"

    def _run(self, *arguments: str) -> RunResult:
        return self.user.run(*arguments, "--state-dir", str(self.watcher.state_dir))

    def _running_server(self) -> str | None:
        busy = {*self._failing, *self._paused, *self.repository.absent, *self.repository.suspended}
        free = [name for name in self.servers.names if name not in busy]
        return self.random.choice(free) if free else None

    def _end_what_is_over(self, now: float) -> None:
        for server, (end, _) in [*self._failing.items()]:
            if now >= end:
                self._end_fault(server)
        for server, (end, *_) in [*self._paused.items()]:
            if now >= end:
                self._resume(server)

    def _follow_log(self) -> None:
        """Excuses servers that the watcher has stopped at the heal limit, until they are resumed."""
        for event in self.watcher.read():
            server = event["server"]
            if event["event"] == "heal_limit_reached" and server != self._left:
                span = Span(server, event["at"], why="heal limit")
                self.excused.append(span)
                seconds = self.random.uniform(1, _LONGEST_SUSPENSION)
                _, spans, _ = self._paused.setdefault(server, (time.time() + seconds, [], Span(server, 0, 0)))
                spans.append(span)
