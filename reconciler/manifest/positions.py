"""The source map: where the nodes of a YAML file are, and what is irregular about it.

It is built in a second pass over the file, and only if there are errors, so that a valid file costs nothing extra.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from yaml import AliasEvent, DocumentStartEvent, MappingStartEvent, ScalarEvent
from yaml.events import CollectionEndEvent, CollectionStartEvent, NodeEvent

from reconciler.errors import Kind, Position, Problem
from reconciler.manifest.events import open_events, position_of
from reconciler.manifest.issues import IssueLog
from reconciler.manifest.scalars import describe_key, is_secret, resolve
from reconciler.manifest.values import PLACEHOLDER_HINT, UNFILLED

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from yaml import Event

    from reconciler.manifest.files import Source
    from reconciler.manifest.issues import Issue, NodeRef, Path

_MOST_PROBLEMS: Final = 1000
"""Few users read more, so further ones are only counted."""


@dataclass(slots=True)
class SourceMap:
    """Positions of the nodes that were asked for, and the irregularities of the whole file.

    Attributes:
        uncounted: How many more irregularities there are, by kind.
        comments: The first characters of the comments that end plain scalars.
    """

    file: str
    keys: dict[Path, Position] = field(default_factory=dict)
    values: dict[Path, Position] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    uncounted: Counter[str] = field(default_factory=Counter)
    comments: dict[Path, str] = field(default_factory=dict)

    def position(self, node: NodeRef) -> Position:
        """Where a node is; if a merge or an alias brought it in, where the nearest node around it is."""
        path = node.path
        if node.key and path in self.keys:
            return self.keys[path]
        while path and path not in self.values:
            path = path[:-1]
        return self.values.get(path, Position(self.file, 1, 1))


@dataclass(slots=True)
class _Frame:
    """An open container: ``keys`` is ``None`` for a list; ``key`` is ``None`` while a key is expected."""

    path: Path
    start: Position
    keys: dict[str, Position] | None
    anchor: str | None
    key: str | None = None
    index: int = 0
    merging: bool = False


@lru_cache(maxsize=16)  # thousands of files may extend one base
def build_source_map(source: Source, wanted: frozenset[Path], *, thorough: bool) -> SourceMap:
    """Builds the source map of a file that ``load`` could read.

    Args:
        source: The file.
        wanted: The nodes whose positions are needed.
        thorough: Read to the end for irregularities, even if all positions are found.
    """
    return _MapBuilder(source, wanted, thorough=thorough).run()


class _MapBuilder:
    def __init__(self, source: Source, wanted: Collection[Path], *, thorough: bool) -> None:
        self._source = source
        self._thorough = thorough
        self._next = open_events(source.data).get_event
        self._wanted = {path[:length] for path in wanted for length in range(len(path) + 1)}
        self._found = SourceMap(source.name)
        self._lines: list[str] | None = None
        self._stack: list[_Frame] = []
        self._anchors: dict[str, bool] = {}  # whether the anchored node is complete
        self._mappings: set[str] = set()  # anchors of mappings

    def run(self) -> SourceMap:
        self._next()
        self._next()
        self._node(self._next())
        while self._stack and (self._thorough or len(self._found.values) < len(self._wanted)):
            event = self._next()
            frame = self._stack[-1]
            if isinstance(event, CollectionEndEvent):
                self._close()
            elif frame.keys is not None and frame.key is None:
                self._key(event, frame, frame.keys)
            else:
                self._node(event)
        if not self._thorough:
            return self._found
        self._next()
        event = self._next()
        if isinstance(event, DocumentStartEvent):
            following = self._next()
            if isinstance(following, ScalarEvent) and not following.style and not following.value:
                hint = "remove this line: --- begins a document, and does not end one"
            else:
                hint = "keep the first one here, and move the others to files of their own"
            self._report(event, Kind.SEVERAL_DOCUMENTS, "a second document begins here; a file holds one", hint)
        return self._found

    def _path(self) -> Path:
        if not self._stack:
            return ()
        frame = self._stack[-1]
        if frame.keys is None:
            return (*frame.path, frame.index)
        return (*frame.path, frame.key or "")

    def _node(self, event: Event) -> None:
        path = self._path()
        merging = self._is_merged(event)
        if path in self._wanted:
            self._found.values.setdefault(path, position_of(event, self._source.name))
            if isinstance(event, ScalarEvent) and not event.style:
                self._comment(event, path)
        self._properties(event)
        if self._stack:
            self._stack[-1].index += 1
            self._stack[-1].key = None
        if isinstance(event, CollectionStartEvent):
            keys: dict[str, Position] | None = {} if isinstance(event, MappingStartEvent) else None
            start = position_of(event, self._source.name)
            self._stack.append(_Frame(path, start, keys, event.anchor, merging=merging and keys is None))

    def _comment(self, event: ScalarEvent, path: Path) -> None:
        mark: Any = event.end_mark  # as in place_of
        if self._lines is None:
            self._lines = self._source.data.decode("utf-8-sig").split("\n")
        rest = self._lines[mark.line][mark.column :] if mark.line < len(self._lines) else ""
        if rest[:1].isspace() and rest.lstrip().startswith("#"):
            self._found.comments[path] = rest.lstrip()[:2]

    def _is_merged(self, event: Event) -> bool:
        """Whether the node is what a ``<<`` merges, which has to be a mapping."""
        frame = self._stack[-1] if self._stack else None
        if frame is None or not (frame.merging or (frame.keys is not None and frame.key == "<<")):
            return False
        alias_of_none = isinstance(event, AliasEvent) and event.anchor in self._anchors.keys() - self._mappings
        if isinstance(event, ScalarEvent) or alias_of_none:
            self._report(event, Kind.BAD_MERGE, "<< merges a mapping, or a list of mappings", "write <<: *anchor")
        return not frame.merging

    def _properties(self, event: Event) -> None:
        if isinstance(event, AliasEvent):
            self._alias(event)
        elif isinstance(event, NodeEvent):
            if event.tag is not None:  # type: ignore[attr-defined]
                hint = "remove it, or put the string in quotes"
                self._report(event, Kind.TAG, "a YAML tag (!…) is not allowed here", hint)
            if event.anchor:
                self._anchors[event.anchor] = not isinstance(event, CollectionStartEvent)
                (self._mappings.add if isinstance(event, MappingStartEvent) else self._mappings.discard)(event.anchor)

    def _alias(self, event: AliasEvent) -> None:
        # The name is not shown: an unquoted password that begins with * looks like an alias.
        if event.anchor not in self._anchors:
            hint = "define it above with &, or put a string that begins with * in quotes"
            self._report(event, Kind.UNKNOWN_ALIAS, "this alias (*…) refers to no anchor (&…) above it", hint)
        elif not self._anchors[event.anchor]:
            hint = "a value cannot contain itself"
            self._report(event, Kind.ALIAS_LOOP, "this alias (*…) lies inside the value that it refers to", hint)

    def _close(self) -> None:
        frame = self._stack.pop()
        if frame.anchor:
            self._anchors[frame.anchor] = True

    def _key(self, event: Event, frame: _Frame, keys: dict[str, Position]) -> None:
        self._properties(event)
        if not isinstance(event, ScalarEvent):
            start = position_of(event, self._source.name)
            if isinstance(event, MappingStartEvent) and start == (*frame.start[:2], (frame.start.column or 0) + 1):
                self._report_at(frame.start, Kind.PLACEHOLDER, UNFILLED, PLACEHOLDER_HINT)
            else:
                self._report(event, Kind.BAD_KEY, "a key must be a string", "write it as key: value")
            self._skip(event)
            self._skip(self._next())
            return
        key, position = event.value, position_of(event, self._source.name)
        frame.key = key
        if not event.style and not isinstance(resolve(key), str):
            self._report(event, Kind.BAD_KEY, "a key must be a string; this one is not", "put it in quotes")
        if key in keys:
            name = "a key" if is_secret(frame.path) else f'the key "{describe_key(key)}"'
            first = keys[key].full
            message = f"{name} is given twice (first at {first})"
            new = key == "email" and frame.path[:1] == ("accounts",)
            hint = "begin a new account with a dash: - email: …; otherwise keep one of the two"
            self._report(event, Kind.DUPLICATE_KEY, message, hint if new else "keep one of the two")
            return
        keys[key] = position
        path = (*frame.path, key)
        if path in self._wanted:
            self._found.keys[path] = position

    def _skip(self, event: Event) -> None:
        depth = 0
        while True:
            self._properties(event)
            depth += isinstance(event, CollectionStartEvent) - isinstance(event, CollectionEndEvent)
            if depth <= 0:
                return
            event = self._next()

    def _report(self, event: Event, kind: str, message: str, hint: str) -> None:
        self._report_at(position_of(event, self._source.name), kind, message, hint)

    def _report_at(self, position: Position, kind: str, message: str, hint: str) -> None:
        if len(self._found.problems) >= _MOST_PROBLEMS:
            self._found.uncounted[kind] += 1
            return
        self._found.problems.append(Problem(kind=kind, message=message, hint=hint, position=position))


def locate(issues: Iterable[Issue], irregular: Iterable[Source]) -> list[Problem]:
    """Gives every issue its file, line and column; arguments as ``locate_counted``."""
    return [problem for problem, _ in locate_counted(IssueLog(issues), irregular)]


def locate_counted(log: IssueLog, irregular: Iterable[Source]) -> list[tuple[Problem, int]]:
    """Gives every issue its file, line and column, and counts how often it occurs.

    Args:
        log: The issues, by path. Irregularities beyond the first thousand are counted there.
        irregular: Files with irregularities that must be reported as well.
    """
    issues = list(log)
    nodes = [
        node for issue in issues for node in (issue.node, issue.node.via, issue.other, *issue.also) if node is not None
    ]
    wanted: dict[Source, set[Path]] = {source: set() for source in irregular}
    if not nodes and not wanted:
        return []
    thorough = set(wanted)
    for node in nodes:
        wanted.setdefault(node.source, set()).add(node.path)
    maps = {
        source: build_source_map(source, frozenset(paths), thorough=source in thorough)
        for source, paths in wanted.items()
    }
    for found in maps.values():
        log.uncounted.update(found.uncounted)
    irregularities = [(problem, 1) for found in maps.values() for problem in found.problems]
    known = {problem.position for problem, _ in irregularities}
    problems = [(_problem(issue, maps), issue.count) for issue in issues]
    # An irregular value is often wrong as well; the irregularity is the cause.
    kept = [(problem, count) for problem, count in problems if problem.position not in known]
    return irregularities + kept


def _problem(issue: Issue, maps: Mapping[Source, SourceMap]) -> Problem:
    message = issue.message
    if issue.other is not None:
        message += f" ({issue.other_name} is at {_position(issue.other, maps).full})"
    if issue.node.via is not None:
        others = issue.count - 1
        more = f", and in {others} more file{'s' if others > 1 else ''}" if others else ""
        message += f" (extended at {_position(issue.node.via, maps).full}{more})"
    elif issue.count > 1:
        message += f" ({issue.count} times, also at {_also(issue, maps)})"
    return Problem(
        kind=issue.kind,
        message=message,
        hint=issue.hint,
        address=issue.address,
        position=_position(issue.node, maps),
    )


def _also(issue: Issue, maps: Mapping[Source, SourceMap]) -> str:
    lines = [str(_position(node, maps)) for node in issue.also]
    rest = issue.count - 1 - len(lines)
    return f"{', '.join(lines)} and {rest} more" if rest else " and ".join(lines)


def _position(node: NodeRef, maps: Mapping[Source, SourceMap]) -> Position:
    return maps[node.source].position(node)
