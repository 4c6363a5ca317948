"""YAML text to plain dictionaries, lists and scalars, in one pass over libyaml's events.

PyYAML's own way to here (nodes, then constructors) takes about nine times as long, and its recursion is what deep
nesting breaks. Whatever is irregular but readable (a tag, a key given twice, an unknown alias) is only noted here;
``survey`` goes over the text again and says what and where.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from yaml import (
    AliasEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    StreamEndEvent,
    YAMLError,
)
from yaml.events import CollectionEndEvent, NodeEvent

from reconciler.spec.anchors import Anchors
from reconciler.spec.events import DEEPEST, UnreadableError, open_events, place_of, unreadable
from reconciler.spec.scalars import SUSPECTS, resolve

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from yaml import Event

    from reconciler.spec.issues import Place

_MERGE: Final = "\0<<"
"""The key under which a plain ``<<`` waits until its mapping ends; a quoted ``"<<"`` is an ordinary key."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A document as plain values.

    Attributes:
        value: Dictionaries with string keys, lists, and scalars of the core schema.
        items: For each list right under the root, by its key: where its items start.
        irregular: Something was passed over that ``survey`` has to report.
    """

    value: object
    items: Mapping[str, Sequence[Place]]
    irregular: bool


def load(data: bytes) -> Loaded:
    """Loads the first document of a YAML text.

    Raises:
        UnreadableError: This is not YAML, or not YAML that is safe to read.
    """
    try:
        return _Builder(data).build()
    except YAMLError as error:
        failure = unreadable(error, data)
    raise failure


@dataclass(slots=True)
class _Frame:
    container: dict[str, object] | list[object]
    anchor: str | None
    places: list[Place] | None


class _Builder:
    """Puts the containers together; the open ones lie on a stack, so that depth costs no recursion."""

    def __init__(self, data: bytes) -> None:
        self._next = open_events(data).get_event
        self._root: list[object] = []
        self._stack = [_Frame(self._root, None, None)]
        self._items: dict[str, list[Place]] = {}
        self._anchors = Anchors(len(data))
        self._plain_keys: dict[str, str] = {}  # one text for a key, however many mappings have it
        self._irregular = False
        self._marked = b"&" in data or b"!" in data  # otherwise nothing has an anchor or a tag

    def build(self) -> Loaded:
        self._next()
        if not isinstance(self._next(), DocumentStartEvent):
            raise _empty()
        self._open(self._next(), self._root, None)
        while len(self._stack) > 1:
            frame = self._stack[-1]
            if isinstance(frame.container, dict):
                self._entries(frame.container)
            else:
                self._elements(frame.container, frame.places)
        self._next()
        if self._root == [None]:
            raise _empty()
        if not isinstance(self._next(), StreamEndEvent):
            self._irregular = True
        return Loaded(self._root[0], self._items, self._irregular)

    def _entries(self, target: dict[str, object]) -> None:  # noqa: C901 - a call would cost more than an entry
        """Reads on in a mapping and those inside, until it ends or a list opens inside. This is the hot loop."""
        next_event, plain_keys, suspects, marked = self._next, self._plain_keys, SUSPECTS, self._marked
        while True:
            event = next_event()
            if event.__class__ is not ScalarEvent:
                if self._end(event):
                    container = self._stack[-1].container
                    if container.__class__ is list:
                        return
                    target = container  # type: ignore[assignment]
                continue
            key = plain_keys.get(event.value)
            if key is None or (marked and (event.anchor or event.tag)):
                key = self._key(event)
            if key in target:
                self._irregular = True
            event = next_event()
            if event.__class__ is ScalarEvent and not (marked and (event.anchor or event.tag)):
                value = event.value
                target[key] = resolve(value) if value[:1] in suspects and event.implicit[0] else value
            elif self._open(event, target, key):
                container = self._stack[-1].container
                if container.__class__ is list:
                    return
                target = container  # type: ignore[assignment]

    def _elements(self, target: list[object], places: list[Place] | None) -> None:
        """Reads on in a list, until it ends or a container opens inside."""
        while True:
            event = self._next()
            if isinstance(event, CollectionEndEvent):
                self._close()
                return
            if places is not None:
                places.append(place_of(event))
            if self._open(event, target, None):
                return

    def _open(self, event: Any, target: dict[str, object] | list[object], key: str | None) -> bool:  # noqa: ANN401
        """Attaches any node; returns whether it is a container, which is then on top of the stack."""
        if event.__class__ is AliasEvent:
            self._attach(target, key, self._alias(event))
            return False
        if event.tag is not None:
            self._irregular = True
        if event.__class__ is ScalarEvent:
            value = resolve(event.value) if not event.style else event.value
            if event.anchor:
                self._anchors.set(event.anchor, value)
            self._attach(target, key, value)
            return False
        container: dict[str, object] | list[object] = {} if event.__class__ is MappingStartEvent else []
        self._attach(target, key, container)
        self._push(event, container, key)
        return True

    @staticmethod
    def _attach(target: dict[str, object] | list[object], key: str | None, value: object) -> None:
        if isinstance(target, list):
            target.append(value)
        else:
            target[str(key)] = value

    def _push(self, event: NodeEvent, container: dict[str, object] | list[object], key: str | None) -> None:
        if len(self._stack) > DEEPEST:
            raise UnreadableError.too_deep(place_of(event))
        places = None
        if key is not None and len(self._stack) == 2 and isinstance(container, list):  # noqa: PLR2004 - right under the root
            places = self._items[key] = []
        self._stack.append(_Frame(container, event.anchor, places))
        if event.anchor:
            self._anchors.open(event.anchor)

    def _end(self, event: Event) -> bool:
        """Takes what stands in place of a plain key: the mapping's end, or something that cannot be a key."""
        if event.__class__ is MappingEndEvent:
            self._close()
            return True
        self._irregular = True
        self._skip(event)
        self._skip(self._next())
        return False

    def _skip(self, event: Event) -> None:
        depth = _step(event)
        while depth:
            depth += _step(self._next())
            if depth > DEEPEST:
                raise UnreadableError.too_deep(place_of(event))

    def _close(self) -> None:
        frame = self._stack.pop()
        if isinstance(frame.container, dict) and _MERGE in frame.container:
            self._merge(frame.container, frame.container.pop(_MERGE))
        if frame.anchor:
            self._anchors.set(frame.anchor, frame.container)

    def _key(self, event: ScalarEvent) -> str:
        """A key that is seen for the first time, quoted, or odd."""
        key: str = event.value
        if event.tag:
            self._irregular = True
        if event.anchor:
            self._anchors.set(event.anchor, key)
        if event.style:
            return key
        if key == "<<":
            return _MERGE
        if isinstance(resolve(key), str):
            self._plain_keys[key] = key
        else:
            self._irregular = True
        return key

    def _alias(self, event: AliasEvent) -> object:
        """What an alias stands for; the nodes that all aliases stand for together are bounded."""
        name = str(event.anchor)
        if name not in self._anchors:
            self._irregular = True
            return None
        try:
            return self._anchors.expand(name)
        except OverflowError:
            hint = "write the values out, or split the file"
            failure = UnreadableError.at(event, "alias_bomb", "the aliases expand to too many values", hint)
        raise failure

    def _merge(self, target: dict[str, object], merged: object) -> None:
        for source in merged if isinstance(merged, list) else [merged]:
            if isinstance(source, dict):
                for key, value in source.items():
                    target.setdefault(key, value)
            else:
                self._irregular = True


def _step(event: Event) -> int:
    if isinstance(event, CollectionEndEvent):
        return -1
    return 1 if isinstance(event, NodeEvent) and not isinstance(event, ScalarEvent | AliasEvent) else 0


def _empty() -> UnreadableError:
    return UnreadableError("empty_file", "the file is empty", "a set without accounts has version: 1 and accounts: []")
