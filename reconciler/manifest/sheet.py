"""One file, loaded and checked by itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from reconciler.errors import Kind, Position, Problem
from reconciler.manifest.acceptance import DoubtError, accepted_entry, accepted_header
from reconciler.manifest.events import UnreadableError
from reconciler.manifest.files import is_journal, own_document
from reconciler.manifest.grouping import IssueLog
from reconciler.manifest.issues import NodeRef
from reconciler.manifest.loader import Loaded, load
from reconciler.model.desired import NO_POSITIONS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reconciler.manifest.files import Source
    from reconciler.manifest.issues import Path

_NONE: Final[frozenset[str]] = frozenset()


_MOST_EXPLAINED: Final = 2000
"""Wrong entries of a file, after which the errors of others are only counted: finding the words takes a while."""


@dataclass(slots=True)
class Row:
    """One entry of ``accounts:``.

    Attributes:
        index: Which entry.
        position: Where it starts.
        positions: Where the values of the ``MARKED`` keys are, those of ``test`` among them.
        given: The fields that the entry has, by name.
        bad: The fields that it has, with errors; they are not in ``given``.
    """

    index: int
    position: Position
    positions: Mapping[str, Position]
    given: dict[str, Any]
    bad: frozenset[str] = _NONE


@dataclass(slots=True)
class ParsedFile:
    """A file's content, as far as it could be read, and what is wrong with it.

    Attributes:
        header: The blocks that the file has, apart from ``accounts``; only what is given is in them.
        positions: Where the values of the ``MARKED`` keys are, by the path of their block.
        bad_defaults: The fields of ``defaults`` with errors; ``*`` where the block itself is wrong.
    """

    source: Source
    header: dict[str, Any]
    rows: list[Row]
    issues: IssueLog = field(default_factory=IssueLog)
    positions: Mapping[Path, Mapping[str, Position]] = field(default_factory=dict)
    bad_defaults: frozenset[str] = _NONE
    irregular: bool = False

    def block(self, *path: str) -> dict[str, Any]:
        """A block of the header; empty where it is not given."""
        found = self.header
        for key in path:
            found = found.get(key) or {}
        return found

    def spot(self, *path: str | int, key: bool = False) -> NodeRef:
        """A spot in this file."""
        return NodeRef(self.source, path, key=key)


def parse_file(source: Source) -> ParsedFile | Problem | None:
    """Loads and checks a file.

    Returns:
        A problem if nothing can be made of it; ``None`` if it is one of our own documents, found in a folder.
    """
    if is_journal(source.data):
        return _not_a_manifest(source, "a journal")
    try:
        loaded = load(source.data, source.name)
    except UnreadableError as failure:
        return unreadable_problem(failure, source.name)
    kind = own_document(loaded.value)
    return _not_a_manifest(source, kind) if kind else _checked(source, loaded)


def _not_a_manifest(source: Source, what: str) -> Problem | None:
    if source.given is not None:
        return None
    message, hint = f"this is {what} of reconciler, and declares no accounts", "name the YAML with the accounts"
    return Problem(kind=Kind.NOT_A_MANIFEST, message=message, hint=hint, position=Position(source.name))


def unreadable_problem(failure: UnreadableError, file: str) -> Problem:
    """The problem of a file that cannot be read as YAML."""
    place = failure.place
    return Problem(
        kind=failure.kind,
        message=failure.message,
        hint=failure.hint,
        position=Position(file, *place) if place else Position(file),
    )


def _foreign(source: Source) -> Problem:
    """The problem of a file of somebody else, maybe reached through a committed link: its keys are not shown."""
    message = "this is no file of accounts: none of its keys is one of those that such a file has"
    hint = "name the YAML with the accounts; it begins with version: 1"
    return Problem(kind=Kind.NOT_A_MANIFEST, message=message, hint=hint, position=Position(source.name, 1, 1))


def _checked(source: Source, loaded: Loaded) -> ParsedFile | Problem:
    raw = loaded.value
    accounts = raw.get("accounts") if isinstance(raw, dict) else None
    header = {**raw, "accounts": []} if isinstance(raw, dict) and isinstance(accounts, list) else raw
    sheet = ParsedFile(source, {}, [], positions=_header_positions(loaded), irregular=loaded.irregular)
    try:
        sheet.header = accepted_header(header)
    except DoubtError:
        from reconciler.manifest.validation import is_foreign, judged_header

        if isinstance(raw, dict) and is_foreign(raw):
            return _foreign(source)
        sheet.header, sheet.bad_defaults, issues = judged_header(header, source)
        sheet.issues.extend(issues)
    if isinstance(accounts, list):
        _read_rows(sheet, accounts, loaded)
    return sheet


def _header_positions(loaded: Loaded) -> dict[Path, Mapping[str, Position]]:
    found = {}
    for path in _MARKED_BLOCKS:
        block = loaded.value
        for key in path:
            block = block.get(key) if isinstance(block, dict) else None
        found[path] = loaded.positions.get(id(block), NO_POSITIONS)
    return found


_MARKED_BLOCKS: Final[tuple[Path, ...]] = (
    ("server",),
    ("server", "auth"),
    ("policy",),
    ("policy", "test"),
    ("defaults",),
    ("defaults", "test"),
)


def _read_rows(sheet: ParsedFile, accounts: list[object], loaded: Loaded) -> None:
    starts = loaded.items.get("accounts", ())
    if len(starts) != len(accounts):
        starts = [Position(sheet.source.name, 1, 1)] * len(accounts)  # the list came through an alias or a merge
    wrong = 0
    for index, raw in enumerate(accounts):
        row = Row(index, starts[index], _row_positions(raw, loaded), {})
        try:
            row.given = accepted_entry(raw)
        except DoubtError:
            wrong += _read_doubtful(sheet, row, raw, explained=wrong < _MOST_EXPLAINED)
        else:
            sheet.rows.append(row)


def _row_positions(raw: object, loaded: Loaded) -> Mapping[str, Position]:
    found = loaded.positions.get(id(raw), NO_POSITIONS)
    if isinstance(raw, dict) and "test" in raw:
        return {**found, **loaded.positions.get(id(raw["test"]), NO_POSITIONS)}
    return found


def _read_doubtful(sheet: ParsedFile, row: Row, raw: object, *, explained: bool) -> bool:
    """Lets the models judge an entry; returns whether it is wrong."""
    from reconciler.manifest.validation import judged_entry, kinds_in

    base = ("accounts", row.index)
    if not explained and (kinds := kinds_in(raw, sheet.source, base)):
        for kind in kinds:
            sheet.issues.count_more(kind)
        return True
    said, bad, issues = judged_entry(raw, sheet.source, base, sheet.block("defaults").get("smtp_port"))
    sheet.issues.extend(issues)
    if said is not None:
        row.given, row.bad = said, bad
        sheet.rows.append(row)
    return bool(issues)
