"""The second pass over a YAML text that turned out to be wrong: where its nodes are, and what is irregular about it.

Only the error path comes here, so that a good file pays nothing for the positions that its errors would have.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from yaml import AliasEvent, DocumentStartEvent, MappingStartEvent, ScalarEvent
from yaml.events import CollectionEndEvent, CollectionStartEvent, NodeEvent

from reconciler.errors import Kind, Position, Problem
from reconciler.manifest.events import open_events, place_of
from reconciler.manifest.issues import Path, Place
from reconciler.manifest.scalars import resolve
from reconciler.manifest.shown import describe_key, is_secret
from reconciler.manifest.values import PLACEHOLDER_HINT, UNFILLED

if TYPE_CHECKING:
    from collections.abc import Collection

    from yaml import Event

    from reconciler.manifest.files import Source

_START: Final = Place(1, 1)
_MOST_PROBLEMS: Final = 1000
"""More are hardly read, and only counted."""


@dataclass(slots=True)
class SourceMap:
    """Positions of the nodes that were asked for, and the irregularities of the whole text.

    Attributes:
        uncounted: How many more irregularities there are, by kind.
        comments: The first characters of the comments that end plain scalars.
    """

    keys: dict[Path, Place] = field(default_factory=dict)
    values: dict[Path, Place] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    uncounted: Counter[str] = field(default_factory=Counter)
    comments: dict[Path, str] = field(default_factory=dict)

    def place(self, path: Path, *, key: bool = False) -> Place:
        """Where a node is, or the nearest node around it that the text has (a merge or an alias brought it in)."""
        if key and path in self.keys:
            return self.keys[path]
        while path and path not in self.values:
            path = path[:-1]
        return self.values.get(path, _START)


@dataclass(slots=True)
class _Frame:
    """An open container: ``keys`` is ``None`` for a list; ``key`` is ``None`` while a key is awaited."""

    path: Path
    start: Place
    keys: dict[str, Place] | None
    anchor: str | None
    key: str | None = None
    index: int = 0
    merging: bool = False


def survey(source: Source, wanted: Collection[Path], *, thorough: bool) -> SourceMap:
    """Goes over a text that ``load`` could read.

    Args:
        source: The file.
        wanted: The nodes whose positions are needed.
        thorough: Go on to the end for irregularities, even where all positions are found.
    """
    return _Surveyor(source, wanted, thorough=thorough).run()


class _Surveyor:
    def __init__(self, source: Source, wanted: Collection[Path], *, thorough: bool) -> None:
        self._source = source
        self._thorough = thorough
        self._next = open_events(source.data).get_event
        self._wanted = {path[:length] for path in wanted for length in range(len(path) + 1)}
        self._found = SourceMap()
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
            self._found.values.setdefault(path, place_of(event))
            if isinstance(event, ScalarEvent) and not event.style:
                self._comment(event, path)
        self._properties(event)
        if self._stack:
            self._stack[-1].index += 1
            self._stack[-1].key = None
        if isinstance(event, CollectionStartEvent):
            keys: dict[str, Place] | None = {} if isinstance(event, MappingStartEvent) else None
            self._stack.append(_Frame(path, place_of(event), keys, event.anchor, merging=merging and keys is None))

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
                hint = "remove it, or put the text in quotes"
                self._report(event, Kind.TAG, "a YAML tag (!…) is not allowed here", hint)
            if event.anchor:
                self._anchors[event.anchor] = not isinstance(event, CollectionStartEvent)
                (self._mappings.add if isinstance(event, MappingStartEvent) else self._mappings.discard)(event.anchor)

    def _alias(self, event: AliasEvent) -> None:
        # The name is not shown: an unquoted password that begins with * looks like an alias.
        if event.anchor not in self._anchors:
            hint = "define it above with &, or put a text that begins with * in quotes"
            self._report(event, Kind.UNKNOWN_ALIAS, "this alias (*…) refers to no anchor (&…) above it", hint)
        elif not self._anchors[event.anchor]:
            hint = "a value cannot contain itself"
            self._report(event, Kind.ALIAS_LOOP, "this alias (*…) lies inside the value that it refers to", hint)

    def _close(self) -> None:
        frame = self._stack.pop()
        if frame.anchor:
            self._anchors[frame.anchor] = True

    def _key(self, event: Event, frame: _Frame, keys: dict[str, Place]) -> None:
        self._properties(event)
        if not isinstance(event, ScalarEvent):
            if isinstance(event, MappingStartEvent) and place_of(event) == frame.start._replace(
                column=frame.start.column + 1
            ):
                self._report_at(frame.start, Kind.PLACEHOLDER, UNFILLED, PLACEHOLDER_HINT)
            else:
                self._report(event, Kind.BAD_KEY, "a key has to be a text", "write it as key: value")
            self._skip(event)
            self._skip(self._next())
            return
        key, place = event.value, place_of(event)
        frame.key = key
        if not event.style and not isinstance(resolve(key), str):
            self._report(event, Kind.BAD_KEY, "a key has to be a text; this one is not", "put it in quotes")
        if key in keys:
            name = "a key" if is_secret(frame.path) else f'the key "{describe_key(key)}"'
            first = f"{self._source.name}:{keys[key].line}:{keys[key].column}"
            message = f"{name} is given twice (first at {first})"
            new = key == "email" and frame.path[:1] == ("accounts",)
            hint = "begin a new account with a dash: - email: …; otherwise keep one of the two"
            self._report(event, Kind.DUPLICATE_KEY, message, hint if new else "keep one of the two")
            return
        keys[key] = place
        path = (*frame.path, key)
        if path in self._wanted:
            self._found.keys[path] = place

    def _skip(self, event: Event) -> None:
        depth = 0
        while True:
            self._properties(event)
            depth += isinstance(event, CollectionStartEvent) - isinstance(event, CollectionEndEvent)
            if depth <= 0:
                return
            event = self._next()

    def _report(self, event: Event, kind: str, message: str, hint: str) -> None:
        self._report_at(place_of(event), kind, message, hint)

    def _report_at(self, place: Place, kind: str, message: str, hint: str) -> None:
        if len(self._found.problems) >= _MOST_PROBLEMS:
            self._found.uncounted[kind] += 1
            return
        self._found.problems.append(
            Problem(kind=kind, message=message, hint=hint, position=Position(self._source.name, *place))
        )
