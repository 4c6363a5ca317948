"""Bases: the files that others extend, each read and merged once."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from reconciler.errors import Kind, Position, Problem
from reconciler.manifest.discovery import AllowedRoots, file_identity
from reconciler.manifest.events import YamlError
from reconciler.manifest.files import Source, read_file
from reconciler.manifest.issues import Issue, NodeRef
from reconciler.manifest.loader import Loaded, load
from reconciler.manifest.merging import Block, merged_header
from reconciler.manifest.variables import START, is_literal_secret

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from reconciler.manifest.issues import Path

# ruff: noqa: PTH112, PTH118, PTH120 - names stay as the user wrote them

_DEEPEST: Final = 8
"""The most bases of a file."""

EXTENDS: Final = ("extends",)
"""The path of the key that names the base of a file."""

_WORDS: Final = (b"extends", b"${", b"vars", b"override", b"remove")
_MAY_BE_BASE: Final = re.compile(rb"base[\"']?\s*:")
"""Files that are read once although they are named and extended too."""


def is_plain(source: Source) -> bool:
    """Whether a file certainly neither inherits nor substitutes anything."""
    return not source.may_contain(*_WORDS)


@dataclass(slots=True, eq=False)
class Layer:
    """One file of a chain: the file itself, or one of its bases.

    Attributes:
        accounts: The entries of its ``accounts``, as they were loaded.
        starts: Where they start.
        has_variables: Whether the file contains a variable.
        templates: For each entry, the keys of the values with variables.
    """

    source: Source
    loaded: Loaded
    value: Block
    accounts: list[Any] = field(init=False)
    starts: list[Position] = field(init=False)
    has_variables: bool = field(init=False)
    templates: list[tuple[str, ...]] = field(init=False)
    _positions: dict[int, Mapping[str, Position]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        found = self.value.get("accounts")
        self.accounts = found if isinstance(found, list) else []
        self.starts = self.loaded.starts(len(self.accounts))
        self.has_variables = self.source.may_contain(START.encode())
        self.templates = [_templates(entry) if self.has_variables else () for entry in self.accounts]

    def positions(self, index: int) -> Mapping[str, Position]:
        """Where the marked values of an entry are."""
        found = self._positions.get(index)
        if found is None:
            found = self._positions[index] = self.loaded.entry_positions(index)
        return found


def _templates(entry: object) -> tuple[str, ...]:
    """The keys of an entry, or of a document, whose values have variables."""
    if not isinstance(entry, dict):
        return ()
    return tuple(key for key, value in entry.items() if not is_literal_secret(key, value) and _has_variable(value))


def _has_variable(value: object) -> bool:
    if isinstance(value, str):
        return START in value
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return any(map(_has_variable, parts))


@dataclass(slots=True, eq=False)
class Base:
    """A base with its own bases, merged once for all files that extend it.

    Attributes:
        layers: The base, then the base that it extends, and so on.
        header: Its blocks, without accounts, before variables are substituted.
        has_variables: Whether any of the files contains a variable.
        templates: The keys of the blocks with variables.
    """

    layers: tuple[Layer, ...]
    header: Block
    has_variables: bool = field(init=False)
    templates: tuple[str, ...] = field(init=False)
    _positions: dict[Path, Mapping[str, Position]] = field(default_factory=dict)
    _nearest: dict[str, int | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.has_variables = any(layer.has_variables for layer in self.layers)
        self.templates = _templates(self.header) if self.has_variables else ()

    def nearest_with(self, key: str) -> int | None:
        """How far from a file that extends this the nearest layer is that gives a setting of the server."""
        if key not in self._nearest:
            given = (number for number, layer in enumerate(self.layers, 1) if has_node(layer.value, ("server", key)))
            self._nearest[key] = next(given, None)
        return self._nearest[key]

    def block_positions(self, path: Path) -> Mapping[str, Position]:
        """Where the marked values of a block are."""
        if path not in self._positions:
            self._positions[path] = {
                key: position
                for layer in reversed(self.layers)
                for key, position in layer.loaded.block_positions(path).items()
            }
        return self._positions[path]


class NewBaseError(Exception):
    """A base would have been read that no file before has named."""


class Bases:
    """The bases of a run, each read and merged once.

    Attributes:
        problems: What is wrong with the bases themselves.
        names: The names of the files that others extend, readable or not.
    """

    def __init__(self, paths: Sequence[str], within: str | None = None) -> None:
        """Takes the paths that the user named, and the only folder that files may be in."""
        self._closed = False
        self._paths, self._within = paths, within
        self._roots: AllowedRoots | None = None
        self._sources: dict[object, Source | Problem] = {}
        self.start_again()

    def start_again(self) -> None:
        """Forgets everything but what was read."""
        self.problems: list[Problem] = []
        self.names: set[str] = set()
        self._loaded: dict[Source, Loaded | YamlError] = {}
        self._by_name: dict[tuple[str, object], Base | Issue | None] = {}
        self._compiled: dict[Source, Base | None] = {}
        self._found: list[Layer] = []

    def load(self, source: Source) -> Loaded:
        """Loads a file; one that may be a base is loaded once.

        Raises:
            YamlError: As ``load``.
            NewBaseError: No further base is taken in.
        """
        if not _MAY_BE_BASE.search(source.data):
            return load(source.data, source.name)
        self._sources.setdefault(file_identity(source.name), source)
        found = self._loaded.get(source)
        if found is None:
            self._refuse_if_closed()
            try:
                found = load(source.data, source.name)
            except YamlError as error:
                found = error
            self._loaded[source] = found
        if isinstance(found, YamlError):
            raise found
        return found

    def of(self, child: Layer) -> Base | Issue | None:
        """The base of a file; an issue if it names none, ``None`` if ``problems`` has what is wrong with it.

        Raises:
            NewBaseError: No further base is taken in.
        """
        return self._of(child, ())

    def extended_by(self, source: Source, text: str) -> Base | None:
        """The base of a file, if it is known."""
        found = self._by_name.get((_named_folder(source), text))
        return found if isinstance(found, Base) else None

    def adopt(self, source: Source, text: str, base: str) -> None:
        """Remembers which base a file extends, as another process has found out. Nothing is read for that."""
        key = (_named_folder(source), text)
        if key not in self._by_name:
            known = (one for one in self._compiled.values() if one is not None)
            self._by_name[key] = next(one for one in known if one.layers[0].source.name == base)

    def close(self) -> None:
        """From now on, no further base is taken in: another process reads and checks it."""
        self._closed = True

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise NewBaseError

    def add(self, sources: Sequence[Source]) -> None:
        """Remembers files that were read and may be bases, so that they are not read again."""
        self._sources.update((file_identity(one.name), one) for one in sources if _MAY_BE_BASE.search(one.data))

    def add_layer(self, layer: Layer) -> None:
        """Remembers a base that is one of the given files."""
        self._found.append(layer)

    def unextended(self) -> list[Layer]:
        """The given bases that no file extends, once all files are read."""
        return [layer for layer in self._found if layer.source not in self._compiled]

    def _of(self, child: Layer, chain: tuple[Layer, ...]) -> Base | Issue | None:
        text = child.value["extends"]
        key = (_named_folder(child.source), text if isinstance(text, str) else None)
        if key not in self._by_name:
            self._by_name[key] = self._resolved(child, (*chain, child))
        found = self._by_name[key]
        return replace(found, node=NodeRef(child.source, EXTENDS)) if isinstance(found, Issue) else found

    def _resolved(self, child: Layer, chain: tuple[Layer, ...]) -> Base | Issue | None:
        if not names_base(child.value):
            return None  # the validator reports it, or _check if the file is a base
        text: str = child.value["extends"]
        if "://" in text:  # it is not shown: it may hold a password
            message, hint = "extends: expected the path of a file, found a URL", "keep a copy of the base here"
            return _issue(child, Kind.WRONG_VALUE, message, hint)
        name = path_of_base(child.source, text)
        self.names.add(name)
        if self._roots is None:
            self._roots = AllowedRoots(self._paths, self._within)
        source = self._roots.refusal(name) or self._source(name)
        if isinstance(source, Problem):
            is_folder = source.kind != Kind.OUTSIDE_PATH and os.path.isdir(name)
            message = "this is a folder, and a base is a file" if is_folder else source.message
            hint = "name the file in it" if is_folder else _path_hint(text) or source.hint
            return _issue(child, Kind(source.kind), f"extends: {message} ({name})", hint)
        if source not in self._compiled:
            self._refuse_if_closed()
            self._compiled[source] = None  # until it is known to be a base
            found = self._compile(source, child, chain)
            if isinstance(found, Issue):
                del self._compiled[source]
                return found
            self._compiled[source] = found
        elif any(layer.source is source for layer in chain):
            self._report_cycle(source, chain)
        return self._compiled[source]

    def _source(self, name: str) -> Source | Problem:
        key = file_identity(name)
        if key not in self._sources:
            self._refuse_if_closed()
            self._sources[key] = read_file(name)
        return self._sources[key]

    def _compile(self, source: Source, child: Layer, chain: tuple[Layer, ...]) -> Base | Issue | None:
        where = _position_of(child.source, EXTENDS).full
        try:
            loaded = self.load(source)
        except YamlError as error:
            self._report(error.problem(source.name), where)
            return None
        value = loaded.value
        if not isinstance(value, dict) or value.get("base") is not True:
            hint = "write base: true in it if it is a base; a base is never a server itself"
            return _issue(child, Kind.NOT_A_BASE, f"extends: {source.name} is not a base", hint)
        if len(chain) > _DEEPEST:
            hint = "merge some of the bases"
            return _issue(child, Kind.TOO_DEEP, f"extends: a chain of more than {_DEEPEST} bases", hint)
        self._check(source, loaded, where)
        layer = Layer(source, loaded, value)
        if not names_base(value):
            return Base((layer,), merged_header({}, value))
        above = self._of(layer, chain)
        if isinstance(above, Issue):
            self._report_issue(above, where)
        if not isinstance(above, Base):
            return None
        return Base((layer, *above.layers), merged_header(above.header, value))

    def _check(self, source: Source, loaded: Loaded, where: str) -> None:
        """Checks what is not checked with each file that extends a base."""
        if loaded.irregular:
            from reconciler.manifest.positions import build_source_map

            for problem in build_source_map(source, frozenset(), thorough=True).problems:
                self._report(problem, where)
        if loaded.value.get("version") != 1:
            message, hint, node = "this base is not of version 1", "write version: 1", NodeRef(source, ("version",))
            self._report_issue(Issue(kind=Kind.WRONG_VALUE, message=message, hint=hint, node=node), where)
        if "extends" in loaded.value and not names_base(loaded.value):
            message, hint = "extends: expected the path of another base", "write the path, or leave the key out"
            issue = Issue(kind=Kind.WRONG_VALUE, message=message, hint=hint, node=NodeRef(source, EXTENDS))
            self._report_issue(issue, where)

    def _report(self, problem: Problem, where: str) -> None:
        self.problems.append(replace(problem, message=f"{problem.message} (extended at {where})"))

    def _report_issue(self, issue: Issue, where: str) -> None:
        node = issue.node
        position = _position_of(node.source, node.path)
        self._report(Problem(kind=issue.kind, message=issue.message, hint=issue.hint, position=position), where)

    def _report_cycle(self, source: Source, chain: tuple[Layer, ...]) -> None:
        start = next(index for index, layer in enumerate(chain) if layer.source is source)
        places = [_position_of(layer.source, EXTENDS) for layer in chain[start:]]
        message = f"these bases extend each other: {' -> '.join(place.full for place in places)}"
        hint = "remove one of the extends lines"
        self.problems.append(Problem(kind=Kind.EXTENDS_CYCLE, message=message, hint=hint, position=places[-1]))


def names_base(document: Block) -> bool:
    """Whether a document extends a base: ``extends`` may also be missing or have a wrong type."""
    return isinstance(document.get("extends"), str) and document["extends"] != ""


def _path_hint(text: str) -> str:
    """A hint if a path is written as a shell or a string with variables would have it."""
    if text.startswith("~"):
        return "~ is not replaced by a home folder: write the path relative to this file"
    return "extends takes no variables: write the path out" if START in text else ""


def _named_folder(source: Source) -> str:
    """The folder of a file, as the user named it."""
    return os.path.dirname(source.name)


def path_of_base(source: Source, text: str) -> str:
    """The path that the ``extends`` of a file names."""
    return os.path.normpath(os.path.join(_named_folder(source), text))


def _issue(child: Layer, kind: Kind, message: str, hint: str) -> Issue:
    return Issue(kind=kind, message=message, hint=hint, node=NodeRef(child.source, EXTENDS))


def _position_of(source: Source, path: Path) -> Position:
    from reconciler.manifest.positions import build_source_map

    return build_source_map(source, frozenset([path]), thorough=False).position(NodeRef(source, path))


def has_node(value: object, path: Path) -> bool:
    """Whether a value has a node at a path."""
    for key in path:
        if isinstance(value, dict):
            if key not in value:
                return False
            value = value[key]
        elif isinstance(value, list) and isinstance(key, int) and key < len(value):
            value = value[key]
        else:
            return False
    return True
