"""The fleet of the soak test: its servers, what administrators do to them, and what commits declare for them."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Self

from tests.support.canaries import TOKEN, Canaries
from tests.support.git_remote import GitRemote

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

NAMES: Final = ("anvil", "birch", "cedar", "dune", "ember", "fjord", "grove", "harbor", "islet", "jetty")
ACCOUNTS: Final = 8
PASSWORDS: Final = 4
DECLARED: Final = ("name", "service", "smtp_server", "smtp_port", "has_auth", "password")
"""The fields that commits declare."""

UNDECLARED_PORT: Final = 6666
"""A port that only commits declare which must not be used."""

_PATH: Final = "/api/email/accounts"
_FLEET: Final = """version: 1
fleet:
  min_servers: 1
  rollout: {canary: "ring=canary", batches: [1, 50%, 100%], max_failures: 100%, max_unreachable: 100%}
"""

Row = dict[str, Any]


@dataclass(frozen=True)
class Commit:
    """What a commit declares.

    Attributes:
        accounts: By server and address, the declared fields; passwords in clear.
        suspended: The servers that it suspends.
    """

    accounts: Mapping[str, Mapping[str, Row]]
    suspended: frozenset[str] = frozenset()


class Servers:
    """The servers' process; a context manager.

    Attributes:
        entries: The writes that had an effect, and the lists that were served to the watcher, oldest first.
    """

    def __init__(self, canaries: Canaries) -> None:
        self.names = NAMES
        self.tokens = {name: canaries.new(f"key of {name}", TOKEN) for name in self.names}
        self.entries: list[Row] = []
        self._access: dict[str, str] = {}

    def __enter__(self) -> Self:
        environ = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.soak.server_process", *self.tokens.values()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environ,
        )
        ports = self._send("start")
        self.urls = {name: f"http://127.0.0.1:{port}" for name, port in zip(self.names, ports, strict=True)}
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        self._process.wait(20)
        self._process.stdout.close()

    def set_fault(self, server: str, kind: str, probability: float = 1.0) -> None:
        """Begins a fault, or ends it if the kind is empty."""
        self._send("fault", server=self.names.index(server), kind=kind, probability=probability)

    def collect(self) -> None:
        """Gets what has happened on the servers since the last time."""
        self.entries += [{**one, "server": self.names[one["server"]]} for one in self._send("entries")]

    def accounts(self, server: str) -> list[Row]:
        """The accounts of a server."""
        found: list[Row] = self._send("accounts", server=self.names.index(server))
        return found

    def create(self, server: str, fields: Row) -> None:
        """Creates an account through the API, as an administrator."""
        self._request(server, "POST", _PATH, fields)

    def change(self, server: str, account: Row, **fields: object) -> None:
        """Changes an account through the API."""
        kept = {name: value for name, value in account.items() if name not in ("id", "created_at", "updated_at")}
        self._request(server, "PUT", f"{_PATH}/{account['id']}", {**kept, **fields})

    def delete(self, server: str, account: Row) -> None:
        """Deletes an account through the API."""
        self._request(server, "DELETE", f"{_PATH}/{account['id']}")

    def _request(self, server: str, method: str, path: str, body: Row | None = None) -> None:
        headers = {"X-Administrator": "yes", "Content-Type": "application/json"}
        for _attempt in range(2):
            try:
                token = self._access[server] = self._access.get(server) or self._log_in(server)
            except OSError:
                return
            request = urllib.request.Request(  # noqa: S310 - of this test
                self.urls[server] + path,
                method=method,
                data=json.dumps(body).encode() if body else None,
                headers={**headers, "Authorization": f"Bearer {token}"},
            )
            try:
                urllib.request.urlopen(request, timeout=20).close()  # noqa: S310 - of this test
            except urllib.error.HTTPError as error:
                if error.code == 404:  # the watcher was faster
                    return
                if error.code != 401:
                    raise
                self._access[server] = ""
            except OSError:  # the server is down
                return
            else:
                return

    def _log_in(self, server: str) -> str:
        grant = {"grant_type": "refresh_token", "refresh_token": self.tokens[server]}
        request = urllib.request.Request(  # noqa: S310 - of this test
            f"{self.urls[server]}/api/v1/oauth2/token",
            data=json.dumps(grant).encode(),
            headers={"X-Administrator": "yes", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=20) as response:  # noqa: S310 - of this test
            return str(json.load(response)["access_token"])

    def _send(self, do: str, **more: object) -> Any:  # noqa: ANN401 - JSON
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps({"do": do, **more}) + "\n")
        self._process.stdin.flush()
        response = json.loads(self._process.stdout.readline())
        assert "error" not in response, response
        return response["result"]


@dataclass
class Repository:
    """A bare repository with the fleet's manifests, and what each commit declares.

    Attributes:
        draft: What the next commit declares: for each server, the entries by address.
        suspended: The servers that it suspends.
        absent: The servers without a file.
        commits: The commits that may be used, by hash.
    """

    folder: Path
    servers: Servers
    canaries: Canaries
    draft: dict[str, dict[str, Row]] = field(default_factory=dict)
    suspended: set[str] = field(default_factory=set)
    absent: set[str] = field(default_factory=set)
    commits: dict[str, Commit] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.folder.mkdir()
        self.remote = GitRemote(self.folder)
        for name in self.servers.names:
            self.draft[name] = dict(self._entry(name, number) for number in range(ACCOUNTS))
        self.good = self.commit()

    def add_account(self, server: str, address: str) -> None:
        """Adds an account to the draft."""
        self.draft[server][address] = self._entry(server, len(self.draft[server]))[1]

    def _entry(self, server: str, number: int) -> tuple[str, Row]:
        fields = {
            "name": f"Account {number}",
            "service": "other",
            "smtp_server": "smtp.example.com",
            "smtp_port": 587,
            "has_auth": True,
            "password": f"PASSWORD_{number % PASSWORDS}",
        }
        return f"a{number}@{server}.example.com", fields

    @property
    def environ(self) -> dict[str, str]:
        """The secrets that the manifests refer to."""
        keys = {f"KEY_{name.upper()}": token for name, token in self.servers.tokens.items()}
        return keys | {f"PASSWORD_{number}": self._password(number) for number in range(PASSWORDS)}

    def _password(self, number: int) -> str:
        return self.canaries.new(f"password {number}")

    def declared(self) -> Commit:
        """What the draft declares."""
        present = [name for name in self.servers.names if name not in self.absent]
        accounts = {name: {address: self._row(one) for address, one in self.draft[name].items()} for name in present}
        return Commit(accounts, frozenset(self.suspended - self.absent))

    def _row(self, entry: Row) -> Row:
        password = self._password(int(entry["password"].removeprefix("PASSWORD_")))
        return {**{name: entry[name] for name in DECLARED}, "password": password}

    def commit(self) -> str:
        """Commits the draft on top of the last good commit; returns the hash."""
        self._write()
        self.good = self.remote.commit({})
        self.commits[self.good] = copy.deepcopy(self.declared())
        for entries in self.draft.values():
            for entry in entries.values():
                entry.pop("renamed_from", None)
        return self.good

    def commit_broken(self, server: str) -> None:
        """Commits a file that is not valid, along with a change in another that is."""
        other = next(name for name in self.servers.names if name not in (server, *self.absent))
        self._write(forbidden=other)
        (self.remote.files / "fleet" / f"{server}.yaml").write_text("version: 1\naccounts: [{email: not an address}]\n")
        self.remote.commit({})

    def push_unrelated(self) -> None:
        """Replaces the branch by a commit that does not descend from any other."""
        self._write(forbidden=next(name for name in self.servers.names if name not in self.absent))
        self.remote.git("add", "--all")
        tree = self.remote.git("write-tree").strip()
        commit = self.remote.git("commit-tree", tree, "-m", "unrelated").strip()
        self.remote.git("update-ref", "refs/heads/main", commit)

    def restore(self) -> None:
        """Makes the branch point at the last good commit again."""
        self.remote.git("reset", "--hard", "--quiet", self.good)

    def _write(self, forbidden: str = "") -> None:
        folder = self.remote.files / "fleet"
        folder.mkdir(exist_ok=True)
        (folder / "fleet.yaml").write_text(_FLEET)
        for name in self.servers.names:
            path = folder / f"{name}.yaml"
            path.write_text("\n".join(self._lines(name, is_forbidden=name == forbidden)))
            if name in self.absent:
                path.unlink()

    def _lines(self, name: str, *, is_forbidden: bool) -> Iterator[str]:
        ring = "canary" if name == self.servers.names[0] else "main"
        auth = {"refresh_token": {"env": f"KEY_{name.upper()}"}}
        server = {"name": name, "url": self.servers.urls[name], "labels": {"ring": ring}, "auth": auth}
        if name in self.suspended:
            server["suspended"] = "being moved"
        yield "version: 1"
        yield f"server: {json.dumps(server)}"
        yield "policy: {max_deletes: 90%}"
        yield "accounts:"
        for address, entry in self.draft[name].items():
            port = {"smtp_port": UNDECLARED_PORT} if is_forbidden else {}
            fields = {"email": address, **entry, **port, "password": {"env": entry["password"]}}
            yield f"  - {json.dumps(fields)}"


def is_as_declared(row: Row | None, declared: Row | None) -> bool:
    """Whether an account is as a commit declares it."""
    if row is None or declared is None:
        return row is declared
    return all(row[name] == declared[name] for name in DECLARED)


def deviating(rows: Sequence[Row], declared: Mapping[str, Row]) -> set[str]:
    """The addresses that are not as declared."""
    found = {row["email"]: row for row in rows}
    twice = {row["email"] for row in rows if sum(one["email"] == row["email"] for one in rows) > 1}
    return twice | {
        address for address in {*found, *declared} if not is_as_declared(found.get(address), declared.get(address))
    }
