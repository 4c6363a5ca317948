"""Fleets for the tests of the page: records as the watcher keeps them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from reconciler.errors import Kind
from reconciler.model.display import display_pair, escape
from reconciler.report.view import FieldRow
from reconciler.watch.records import (
    ChangeRecord,
    Origin,
    Overview,
    RunRecord,
    ServerRecord,
    ServerState,
    SuspendedBy,
    Suspension,
)
from tests.report.plans import HOSTILE

if TYPE_CHECKING:
    from collections.abc import Mapping

NOW: Final = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
COMMIT: Final = "4f2a9c1be07d6358a1c0ffee4f2a9c1be07d6358"
FORMER: Final = "90ab12cd34ef56ab78cd90ef12ab34cd56ef78ab"
SOURCE: Final = "https://git.example.com/mail/accounts.git main"


@dataclass
class SampleView:
    """A fleet that does not change by itself."""

    shown: Overview
    history: Mapping[str, tuple[RunRecord, ...]] = field(default_factory=dict)
    alive: bool = True
    ready: bool = True
    triggers: int = 0

    def overview(self) -> Overview:
        return self.shown

    def runs(self, server: str) -> tuple[RunRecord, ...]:
        return self.history.get(server, ())

    def trigger(self) -> None:
        self.triggers += 1

    def is_alive(self) -> bool:
        return self.alive

    def is_ready(self) -> bool:
        return self.ready


def ago(**parts: float) -> datetime:
    return NOW - timedelta(**parts)


PORT: Final = ChangeRecord(
    address="alerts@b001.example.com",
    action="update",
    origin=Origin.DRIFT,
    rows=(FieldRow("smtp_port", "2525", "587"), FieldRow("smtp_server", '"smtp.evil.example"', '"smtp.example.com"')),
    notes=("smtp_port differs",),
)
PASSWORD: Final = ChangeRecord(
    address="certs@b001.example.com",
    action="update",
    origin=Origin.BOTH,
    rows=(FieldRow("name", '"Certs"', '"Certificates"'), FieldRow("password", words="(changed, from env CERTS)")),
)
NEW: Final = ChangeRecord(
    address="till@b001.example.com",
    action="create",
    origin=Origin.COMMIT,
    rows=(FieldRow("name", after='"Till"'), FieldRow("password", words="(set, from env TILL)")),
    notes=("declared in branches/b001.yaml:9",),
)
GONE: Final = ChangeRecord(
    address="old@b001.example.com",
    action="delete",
    origin=Origin.COMMIT,
    rows=(FieldRow("name", '"Old"'), FieldRow("password", words="(deleted)")),
    notes=("no longer declared, and policy.prune is on",),
)


def server(name: str, state: ServerState, **more: object) -> ServerRecord:
    common: dict[str, object] = {
        "name": name,
        "url": f"https://{name}.fw.example.com",
        "labels": {"region": "south", "ring": "main"},
        "commit": COMMIT,
        "last_success": ago(minutes=4),
        "last_run": ago(minutes=4),
        "next_run": NOW + timedelta(minutes=1, seconds=12),
    }
    return ServerRecord(**{**common, "state": state, **more})  # type: ignore[arg-type]


def held(change: ChangeRecord, why: str) -> ChangeRecord:
    return replace(change, held=why)


REPORT_ONLY: Final = "drift is only reported (--on-drift report)"
LONG_REASON: Final = (
    "the vendor replaces the mail gateway of this branch tonight, and until the new certificate has been rolled out to"
    " all tills nothing may be changed here, see ticket OPS-20417 and ask the people of the branch before you resume"
)


def small() -> SampleView:
    """Twelve servers, each state at least once."""
    servers = (
        server("b001", ServerState.DRIFTED, changes=(held(PORT, REPORT_ONLY), PASSWORD), changed_since=ago(hours=2)),
        server("b002", ServerState.SYNCED, labels={"region": "south", "ring": "canary"}),
        server("b003", ServerState.SYNCED, labels={"region": "north", "ring": "main"}),
        server(
            "b004",
            ServerState.FAILED,
            error="smtp_server: the server responded 422 (invalid_host): no such host as smtp.exmaple.com",
            failures=7,
            changes=(NEW, GONE),
            changed_since=ago(days=1, hours=3),
            last_success=ago(days=1, hours=3),
            next_run=NOW + timedelta(minutes=32),
        ),
        server(
            "b005",
            ServerState.UNREACHABLE,
            error="cannot connect to https://b005.fw.example.com: connection refused",
            kinds=(Kind.CONNECTION_REFUSED, Kind.DNS),
            failures=1,
            last_success=ago(minutes=9),
            labels={"region": "north", "ring": "main"},
        ),
        server(
            "b006",
            ServerState.SUSPENDED,
            suspended=Suspension(
                reason=LONG_REASON,
                by=SuspendedBy.COMMAND,
                user="maria",
                since=ago(hours=5),
                until=NOW + timedelta(hours=3),
            ),
            changes=(held(PORT, "the server is suspended"),),
            changed_since=ago(hours=1),
        ),
        server(
            "b007",
            ServerState.STOPPED,
            suspended=Suspension(
                reason="smtp_port of alerts@b007.example.com was corrected 3 times within an hour; two systems compete",
                by=SuspendedBy.HEAL_LIMIT,
                since=ago(minutes=20),
            ),
            changes=(held(PORT, "the heal limit was reached"),),
            changed_since=ago(minutes=20),
        ),
        server(
            "b008",
            ServerState.REFUSED,
            error="14 of 20 accounts would be deleted, more than policy.max_deletes allows (10%)",
            changes=(GONE,),
            changed_since=ago(minutes=31),
        ),
        server("b009", ServerState.PENDING, changes=(NEW,), changed_since=ago(seconds=40), commit=FORMER),
        server("b010", ServerState.UNKNOWN, commit="", last_success=None, last_run=None, next_run=None),
        server("b011", ServerState.SYNCED, labels={"region": "north", "ring": "canary"}),
        server(
            "b012",
            ServerState.SUSPENDED,
            suspended=Suspension(reason="being moved", by=SuspendedBy.MANIFEST),
            labels={},
        ),
    )
    notices = (
        "commit 77d0e1f2 is not used: branches/b003.yaml:4:3: unknown key `smpt_port` (did you mean smtp_port?)",
    )
    return SampleView(overview(servers, *notices), {"b001": runs(50), "b004": failed_runs()})


def overview(servers: tuple[ServerRecord, ...], *notices: str) -> Overview:
    return Overview(
        at=NOW,
        source=SOURCE,
        commit=COMMIT,
        notices={f"notice_{number}": notice for number, notice in enumerate(notices)},
        servers=servers,
    )


def run(number: int, result: str, **more: object) -> RunRecord:
    took = timedelta(hours=2 if more.get("count") else 0, seconds=3)
    began = ago(hours=3 * number, minutes=4) - took
    common: dict[str, object] = {
        "run": f"{0x7F00 + number:x}",
        "trigger": "interval",
        "commit": COMMIT,
        "started_at": began,
        "finished_at": began + took,
    }
    return RunRecord(**{**common, "result": result, **more})  # type: ignore[arg-type]


def runs(count: int) -> tuple[RunRecord, ...]:
    applied = tuple(replace(change, status="applied") for change in (NEW, GONE, PASSWORD))
    kinds = (
        {"result": "planned", "changes": (held(PORT, REPORT_ONLY),), "count": 23},
        {"result": "unchanged", "count": 288},
        {"result": "applied", "changes": applied, "trigger": "commit"},
        {"result": "unchanged"},
        {"result": "unreachable", "error": "cannot connect to https://b001.fw.example.com: timed out", "count": 2},
    )
    return tuple(run(number, **kinds[number % len(kinds)]) for number in range(count))


def failed_runs() -> tuple[RunRecord, ...]:
    failed = replace(NEW, status="failed", error="the server responded 422 (invalid_host)")
    skipped = replace(GONE, status="not_attempted")
    return (run(0, "failed", changes=(failed, skipped), error="1 of 2 changes failed", trigger="retry", count=7),)


def large(count: int = 1_000) -> SampleView:
    """A big fleet, in which most servers are as declared."""
    others = small().shown.servers
    servers = tuple(
        replace(
            others[index % 12] if index % 40 == 0 or index % 97 == 0 else others[1],
            name=f"b{index:04}",
            url=f"https://b{index:04}.fw.example.com",
            labels={
                "region": ("north", "south", "east", "west")[index % 4],
                "ring": "canary" if index % 50 == 0 else "main",
                "site": f"s{index // 3:03}",
            },
        )
        for index in range(count)
    )
    return SampleView(overview(servers), {"b0000": runs(50)})


def hostile() -> SampleView:
    """Hostile strings wherever strings from outside are shown, and names in several scripts."""
    states = tuple(ServerState)
    names = (*HOSTILE, "מחסן-צפון", "فرع-الجنوب", "支店-東京", "b" * 120)
    servers = tuple(
        server(
            name,
            states[index % len(states)],
            labels={"note": name, name[:40]: "x"},
            error=name,
            commit=name,
            suspended=Suspension(reason=name, by=SuspendedBy.COMMAND, user=name) if index % 3 == 0 else None,
            changes=(
                ChangeRecord(
                    address=name,
                    action="update",
                    origin=Origin.DRIFT,
                    rows=(FieldRow("name", *display_pair(name, name[::-1])), FieldRow("password", words=escape(name))),
                    notes=(name,),
                    held=name,
                    status="failed",
                    error=name,
                ),
            ),
            changed_since=ago(days=400),
        )
        for index, name in enumerate(names)
    )
    history = {
        one.name: (run(0, "failed", run=one.name, trigger=one.name, changes=one.changes, error=one.name),)
        for one in servers
    }
    return SampleView(replace(overview(servers, *HOSTILE), source=HOSTILE[0], commit=HOSTILE[4]), history)
