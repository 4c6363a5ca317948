"""How records are written as JSON in the state's database, and read again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import fields, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from reconciler.errors import kind_of
from reconciler.report.json import MALFORMED
from reconciler.report.kind_pages import explained
from reconciler.report.view import FieldRow
from reconciler.watch.records import (
    ChangeRecord,
    Origin,
    RunRecord,
    ServerRecord,
    ServerState,
    SuspendedBy,
    Suspension,
    VerifiedAccount,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def _plain(value: Any) -> Any:  # noqa: ANN401 - json's interface
    """What JSON has no word for: times as ISO 8601, records as objects."""
    if isinstance(value, datetime):
        return value.isoformat()
    return dict(value) if isinstance(value, Mapping) else {one.name: getattr(value, one.name) for one in fields(value)}


dump: Final[Callable[[object], str]] = json.JSONEncoder(separators=(",", ":"), default=_plain).encode


class CorruptStateError(Exception):
    """What the database holds is not what this program writes."""


@contextmanager
def reading() -> Iterator[None]:
    """Raises ``CorruptStateError`` for whatever is wrong with JSON that is read within it."""
    try:
        yield
    except MALFORMED as error:
        raise CorruptStateError(f"an entry is damaged ({type(error).__name__})") from error


def _dump_without(record: ServerRecord | RunRecord, *names: str) -> str:
    return dump({name: value for name, value in _plain(record).items() if name not in names})


def dump_record(record: ServerRecord) -> str:
    """A server's record without its changes and its accounts, which change less often."""
    return _dump_without(record, "name", "changes", "verified")


def load_record(name: str, parts: Mapping[str, str]) -> ServerRecord:
    """A server's record, from what each of the ``dump`` functions wrote of it."""
    with reading():
        entry = json.loads(parts["record"])
        for moment in ("changed_since", "last_success", "last_run", "next_run"):
            entry[moment] = _datetime(entry[moment])
        entry["state"] = ServerState(entry["state"])
        entry["kinds"] = explained(map(kind_of, entry.get("kinds", ())))
        suspended = entry["suspended"]
        entry["suspended"] = None if suspended is None else _load_suspension(suspended)
        changes = tuple(_load_change(change) for change in json.loads(parts.get("changes", "[]")))
        verified = json.loads(parts.get("verified", "null"))
        if verified is not None:
            verified = {identity: VerifiedAccount(**account) for identity, account in verified.items()}
        return ServerRecord(name=name, changes=changes, verified=verified, **entry)


def dump_run(run: RunRecord) -> str:
    """A run without the count of those it stands for and the time when the last of them ended."""
    return _dump_without(run, "count", "finished_at")


def load_run(body: str, count: int, finished_at: str) -> RunRecord:
    """A run, from what ``dump_run`` wrote and the two columns beside it."""
    with reading():
        entry = json.loads(body)
        entry["changes"] = tuple(map(_load_change, entry["changes"]))
        entry["started_at"] = datetime.fromisoformat(entry["started_at"])
        return RunRecord(**entry, count=int(count), finished_at=datetime.fromisoformat(finished_at))


def merged_run(newest: RunRecord, run: RunRecord) -> RunRecord | None:
    """One record for two runs of which the second found the same and did nothing; ``None`` if it did not."""
    if any(change.status for change in run.changes):
        return None
    same = replace(
        run,
        run=newest.run,
        trigger=newest.trigger,
        started_at=newest.started_at,
        finished_at=newest.finished_at,
        count=newest.count,
    )
    if same != newest:
        return None
    return replace(newest, count=newest.count + run.count, finished_at=run.finished_at)


def load_suspension(body: str) -> Suspension:
    """A suspension, from what ``dump`` wrote."""
    with reading():
        return _load_suspension(json.loads(body))


def _load_suspension(entry: dict[str, Any]) -> Suspension:
    moments = {name: _datetime(entry[name]) for name in ("since", "until")}
    return Suspension(**{**entry, **moments, "by": SuspendedBy(entry["by"])})


def _load_change(entry: dict[str, Any]) -> ChangeRecord:
    entry["origin"] = Origin(entry["origin"])
    entry["rows"] = tuple(FieldRow(*row) for row in entry["rows"])
    entry["notes"] = tuple(entry["notes"])
    return ChangeRecord(**entry)


def _datetime(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
