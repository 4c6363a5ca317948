"""Loads YAML as plain dictionaries, lists and scalars, in one pass over libyaml's events.

PyYAML's own loader (nodes, then constructors) takes about nine times as long, and deep nesting exceeds its recursion
limit. Anything irregular but readable (a tag, a key given twice, an unknown alias) is only noted here;
``build_source_map`` reads the file again and reports each irregularity with its position.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from yaml import (
    AliasEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
    YAMLError,
)
from yaml.events import CollectionEndEvent, NodeEvent

from reconciler.errors import Kind, Position
from reconciler.manifest.anchors import Anchors
from reconciler.manifest.events import (
    DEEPEST,
    Place,
    Positions,
    YamlError,
    converted,
    open_events,
    place_of,
    position_at,
    position_of,
)
from reconciler.manifest.scalars import EMPTY, SUSPECTS, resolve
from reconciler.model.desired import NO_POSITIONS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from yaml import Event

_Container: TypeAlias = dict[str, object] | list[object]

REFERENCE_KEYS: Final = ("password", "access_token", "refresh_token", "username")
"""Keys whose values may refer to secrets."""

MARKED: Final = frozenset([*REFERENCE_KEYS, "url", "service", "smtp_server", "to_email", "max_deletes"])
"""Keys of values that may be refused after the file is validated: errors about them need a position."""

_PLAIN_KEYS: Final[dict[str, str]] = {}
"""Keys that need no second look: one string for each, however many mappings and files have it."""

_MOST_PLAIN_KEYS: Final = 1000
_LONGEST_PLAIN_KEY: Final = 64

_MERGE: Final[Any] = object()
"""The key that holds the value of a plain ``<<`` until its mapping ends; no key of a document can equal it."""


class Loaded(NamedTuple):
    """A document as plain values.

    Attributes:
        name: The file.
        value: Dictionaries with string keys, lists, and scalars of the core schema.
        account_places: Where the items of ``accounts`` start.
        places: For each mapping, by its ``id``: where the values of the ``MARKED`` keys are.
        irregular: Whether something was skipped that ``build_source_map`` has to report.
    """

    name: str
    value: Any
    account_places: Sequence[Place]
    places: Mapping[int, Mapping[str, Place]]
    irregular: bool

    def positions(self, block: object) -> Mapping[str, Position]:
        """Where the values of the ``MARKED`` keys of a block are."""
        places = self.places.get(id(block))
        return Positions(self.name, places) if places else NO_POSITIONS

    def block_positions(self, path: Sequence[str | int]) -> Mapping[str, Position]:
        """Where the values of the ``MARKED`` keys of the block at a path are."""
        if not self.places:
            return NO_POSITIONS
        block = self.value
        for key in path:
            block = block.get(key) if isinstance(block, dict) else None
        return self.positions(block)

    def entry_positions(self, index: int) -> Mapping[str, Position]:
        """Where the values of the ``MARKED`` keys of an account are, including those of ``test``."""
        if not self.places:
            return NO_POSITIONS
        entry = self.value["accounts"][index]
        found = self.positions(entry)
        if isinstance(entry, dict) and "test" in entry:
            return {**found, **self.positions(entry["test"])}
        return found

    def starts(self, length: int) -> list[Position]:
        """Where the accounts start; not known if an alias or a merge brought their list in."""
        if len(self.account_places) != length:
            return [Position(self.name, 1, 1)] * length
        return [position_at(place, self.name) for place in self.account_places]


def load(data: bytes, name: str = "") -> Loaded:
    """Loads the first document of a YAML file.

    Args:
        data: The content of the file.
        name: The name of the file, for positions.

    Raises:
        YamlError: It is not YAML, or not safe to read.
    """
    try:
        return _Builder(data, name).build()
    except YAMLError as error:
        failure = converted(error, data)
    raise failure


class _Builder:
    """Builds the document; the open containers are on a stack, so that depth needs no recursion."""

    def __init__(self, data: bytes, name: str) -> None:
        self._name = name
        self._next = open_events(data).get_event
        self._root: list[object] = []
        self._stack: list[_Container] = [self._root]
        self._accounts: object = None  # the list right under the root
        self._account_places: list[Place] = []
        self._places: dict[int, dict[str, Place]] = {}
        self._merged: list[object] = []  # keeps the values alive whose ids are keys of _places
        self._anchors = Anchors(len(data))
        self._anchored: list[tuple[int, str]] = []  # the open containers with an anchor: how deep, and its name
        self._plain_keys = _PLAIN_KEYS
        self._irregular = False
        # Otherwise nothing has an anchor or a tag, and nothing is merged.
        self._with_properties = b"&" in data or b"!" in data or b"<<" in data

    def build(self) -> Loaded:
        self._next()
        if not isinstance(self._next(), DocumentStartEvent):
            raise _empty()
        self._open(self._next(), self._root, None)
        while len(self._stack) > 1:
            container = self._stack[-1]
            if isinstance(container, dict):
                self._entries(container)
            else:
                self._elements(container)
        self._next()
        following = self._next()
        if self._root[0] is None or self._root[0] is EMPTY:
            raise _empty() if isinstance(following, StreamEndEvent) else _second_document(following)
        if not isinstance(following, StreamEndEvent):
            self._irregular = True
        return Loaded(self._name, self._root[0], self._account_places, self._places, self._irregular)

    def _entries(self, target: Any) -> None:  # noqa: ANN401, C901 - a check or a call would cost more than an entry
        """Reads the rest of a mapping and of those inside it, until it ends or a list begins. This is the hot loop."""
        next_event, stack, plain_keys, suspects, with_properties = (
            self._next,
            self._stack,
            self._plain_keys,
            SUSPECTS,
            self._with_properties,
        )
        while target.__class__ is dict:
            event = next_event()
            if event.__class__ is ScalarEvent:
                key = plain_keys.get(event.value)
                if key is None or (with_properties and (event.anchor or event.tag)):
                    key = self._key(event)
                if key in target:
                    self._irregular = True
                event = next_event()
                if key in MARKED:
                    self._places.setdefault(id(target), {})[key] = place_of(event)
                if event.__class__ is ScalarEvent and not (with_properties and (event.anchor or event.tag)):
                    value: Any = event.value
                    if (not value or value[0] in suspects) and not event.style:
                        value = resolve(value)
                    target[key] = value
                elif self._open(event, target, key):
                    target = stack[-1]
            elif event.__class__ is MappingEndEvent:
                self._close() if with_properties else stack.pop()
                target = stack[-1]
            else:
                self._skip_entry(event)

    def _elements(self, target: list[object]) -> None:
        """Reads the rest of a list and of the mappings in it, until it ends or another list begins."""
        is_accounts = target is self._accounts
        while True:
            event = self._next()
            if event.__class__ is SequenceEndEvent:
                self._close()
                return
            if is_accounts:
                self._account_places.append(place_of(event))
            if self._open(event, target, None):
                self._entries(self._stack[-1])  # most lists are of mappings
                if self._stack[-1] is not target:
                    return

    def _open(self, event: Any, target: Any, key: str | None) -> bool:  # noqa: ANN401
        """Adds a node to ``target``; returns whether it is a container, which is then on top of the stack."""
        kind = event.__class__
        value: Any
        if kind is MappingStartEvent:
            value = {}
        elif kind is SequenceStartEvent:
            value = []
        else:
            value = self._alias(event) if kind is AliasEvent else self._scalar(event)
        if key is None:
            target.append(value)
        else:
            target[key] = value
        if kind is not MappingStartEvent and kind is not SequenceStartEvent:
            return False
        depth = len(self._stack)
        if depth > DEEPEST:
            raise YamlError.too_deep(position_of(event))
        if depth == 2 and key == "accounts" and kind is SequenceStartEvent:  # noqa: PLR2004 - right under the root
            self._accounts, self._account_places = value, []
        self._stack.append(value)
        self._irregular = self._irregular or event.tag is not None
        if event.anchor:
            self._anchored.append((depth, event.anchor))
            self._anchors.open(event.anchor)
        return True

    def _scalar(self, event: ScalarEvent) -> object:
        if event.tag is not None:
            self._irregular = True
        value = event.value if event.style else resolve(event.value)
        if event.anchor:
            self._anchors.set(event.anchor, value)
        return value

    def _close(self) -> None:
        container = self._stack.pop()
        if isinstance(container, dict) and _MERGE in container:
            self._merge(container, container.pop(_MERGE))
        if self._anchored and self._anchored[-1][0] == len(self._stack):
            self._anchors.set(self._anchored.pop()[1], container)

    def _skip_entry(self, event: Event) -> None:
        """Skips an entry whose key is not a scalar."""
        self._irregular = True
        self._skip(event)
        self._skip(self._next())

    def _skip(self, event: Event) -> None:
        depth = _step(event)
        while depth:
            depth += _step(self._next())
            if depth > DEEPEST:
                raise YamlError.too_deep(position_of(event))

    def _key(self, event: ScalarEvent) -> str:
        """Reads a key that is new, quoted or irregular."""
        key: str = event.value
        if event.tag:
            self._irregular = True
        if event.anchor:
            self._anchors.set(event.anchor, key)
        if event.style:
            return key
        if key == "<<":
            return _MERGE  # type: ignore[no-any-return]  # it takes the place of a key
        if isinstance(resolve(key), str):
            if len(self._plain_keys) < _MOST_PLAIN_KEYS and len(key) <= _LONGEST_PLAIN_KEY:
                self._plain_keys[key] = key
        else:
            self._irregular = True
        return key

    def _alias(self, event: AliasEvent) -> object:
        """The value of an alias; the nodes that all aliases together expand to are bounded."""
        name = str(event.anchor)
        if name not in self._anchors:
            self._irregular = True
            return None
        try:
            return self._anchors.expand(name)
        except OverflowError:
            hint = "write the values out, or split the file"
            failure = YamlError(Kind.ALIAS_BOMB, "the aliases expand to too many values", hint, position_of(event))
        raise failure

    def _merge(self, target: dict[str, object], merged: object) -> None:
        self._merged.append(merged)
        for source in merged if isinstance(merged, list) else [merged]:
            if isinstance(source, dict):
                for key, value in source.items():
                    target.setdefault(key, value)
                if id(source) in self._places:
                    self._places[id(target)] = self._places[id(source)] | self._places.get(id(target), {})
            else:
                self._irregular = True


def _step(event: Event) -> int:
    if isinstance(event, CollectionEndEvent):
        return -1
    return 1 if isinstance(event, NodeEvent) and not isinstance(event, ScalarEvent | AliasEvent) else 0


def _second_document(event: Event) -> YamlError:
    message = "a second document begins here, and the first one is empty"
    hint = "remove this line; a file holds one document"
    return YamlError(Kind.SEVERAL_DOCUMENTS, message, hint, position_of(event))


def _empty() -> YamlError:
    return YamlError(Kind.EMPTY_FILE, "the file is empty", "a set without accounts has version: 1 and accounts: []")
