"""Inheritance: the document that results from a file and the bases that it extends.

Bases are merged as they were loaded, before anything is validated, so that there is one set of rules. Every error is
reported where the value is written; if that is in a base, the place in the file that extends it is given as well.
"""

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
from reconciler.manifest.merging import COMBINED, Block, combined, merged_block, merged_header
from reconciler.manifest.suggestions import suggestion
from reconciler.manifest.values import is_placeholder
from reconciler.manifest.variables import LONGEST, NAME, START, Substitution, is_literal_secret, is_usable_name
from reconciler.model.account import identity
from reconciler.model.display import shorten

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from reconciler.manifest.issues import Path

# ruff: noqa: PTH118, PTH120 - names stay as the user wrote them

_DEEPEST: Final = 8
"""The most bases of a file."""

_EXTENDS: Final = ("extends",)
_ACTIONS: Final = ("override", "remove")
_WORDS: Final = (b"extends", b"${", b"vars", b"override", b"remove")
_MAY_BE_BASE: Final = re.compile(rb"base[\"']?\s*:")
"""Files that are read once although they are named and extended too."""


def is_plain(source: Source) -> bool:
    """Whether a file certainly neither inherits nor substitutes anything."""
    return not any(word in source.data for word in _WORDS)


@dataclass(slots=True, eq=False)
class Layer:
    """One file of a chain: the file itself, or one of its bases.

    Attributes:
        accounts: The entries of its ``accounts``, as they were loaded.
        starts: Where they start.
        templates: For each entry, the keys of the values with variables.
    """

    source: Source
    loaded: Loaded
    value: Block
    accounts: list[Any] = field(init=False)
    starts: list[Position] = field(init=False)
    templates: list[tuple[str, ...]] = field(init=False)
    _positions: dict[int, Mapping[str, Position]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        found = self.value.get("accounts")
        self.accounts = found if isinstance(found, list) else []
        self.starts = self.loaded.starts("accounts", len(self.accounts))
        has_variables = START.encode() in self.source.data
        self.templates = [_templates(entry) if has_variables else () for entry in self.accounts]

    def positions(self, index: int) -> Mapping[str, Position]:
        """Where the marked values of an entry are."""
        found = self._positions.get(index)
        if found is None:
            found = self._positions[index] = self.loaded.entry_positions(self.accounts[index])
        return found


def _templates(entry: object) -> tuple[str, ...]:
    """The keys of an entry whose values have variables."""
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
    """

    layers: tuple[Layer, ...]
    header: Block
    has_variables: bool
    _positions: dict[Path, Mapping[str, Position]] = field(default_factory=dict)
    _nearest: dict[str, int | None] = field(default_factory=dict)

    def nearest_with(self, key: str) -> int | None:
        """How far from a file that extends this the nearest layer is that gives a setting of the server."""
        if key not in self._nearest:
            given = (number for number, layer in enumerate(self.layers, 1) if _has(layer.value, ("server", key)))
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


class Bases:
    """The bases of a run, each read and merged once.

    Attributes:
        problems: What is wrong with the bases themselves.
    """

    def __init__(self, paths: Sequence[str]) -> None:
        """Takes the paths that the user named."""
        self.problems: list[Problem] = []
        self._paths = paths
        self._roots: AllowedRoots | None = None
        self._sources: dict[object, Source | Problem] = {}
        self._loaded: dict[Source, Loaded | YamlError] = {}
        self._by_name: dict[tuple[str, object], Base | Issue | None] = {}
        self._compiled: dict[Source, Base | None] = {}

    def load(self, source: Source) -> Loaded:
        """Loads a file; one that may be a base is loaded once.

        Raises:
            YamlError: As ``load``.
        """
        if not _MAY_BE_BASE.search(source.data):
            return load(source.data, source.name)
        self._sources.setdefault(file_identity(source.name), source)
        found = self._loaded.get(source)
        if found is None:
            try:
                found = load(source.data, source.name)
            except YamlError as error:
                found = error
            self._loaded[source] = found
        if isinstance(found, YamlError):
            raise found
        return found

    def of(self, child: Layer) -> Base | Issue | None:
        """The base of a file; an issue if it names none, ``None`` if ``problems`` has what is wrong with it."""
        return self._of(child, ())

    def add(self, sources: Sequence[Source]) -> None:
        """Remembers files that were read and may be bases, so that they are not read again."""
        self._sources.update((file_identity(one.name), one) for one in sources if _MAY_BE_BASE.search(one.data))

    def _of(self, child: Layer, chain: tuple[Layer, ...]) -> Base | Issue | None:
        text = child.value["extends"]
        key = (os.path.dirname(child.source.name), text if isinstance(text, str) else None)
        if key not in self._by_name:
            self._by_name[key] = self._resolved(child, text, (*chain, child))
        found = self._by_name[key]
        return replace(found, node=NodeRef(child.source, _EXTENDS)) if isinstance(found, Issue) else found

    def _resolved(self, child: Layer, text: object, chain: tuple[Layer, ...]) -> Base | Issue | None:
        if not isinstance(text, str) or not text:
            return None  # the validator reports it
        name = os.path.normpath(os.path.join(key_folder(child.source), text))
        if self._roots is None:
            self._roots = AllowedRoots(self._paths)
        source = self._roots.refusal(name) or self._source(name)
        if isinstance(source, Problem):
            message = f"extends: {source.message} ({name})"
            return _issue(child, Kind(source.kind), message, source.hint)
        if source not in self._compiled:
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
            self._sources[key] = read_file(name)
        return self._sources[key]

    def _compile(self, source: Source, child: Layer, chain: tuple[Layer, ...]) -> Base | Issue | None:
        where = _written_at(child.source, _EXTENDS).full
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
        has_variables = b"${" in source.data
        if "extends" not in value:
            return Base((layer,), merged_header({}, value), has_variables)
        above = self._of(layer, chain)
        if isinstance(above, Issue):
            self._report_issue(above, where)
        if not isinstance(above, Base):
            return None
        return Base((layer, *above.layers), merged_header(above.header, value), has_variables or above.has_variables)

    def _check(self, source: Source, loaded: Loaded, where: str) -> None:
        """Checks what is not checked with each file that extends a base."""
        if loaded.irregular:
            from reconciler.manifest.positions import build_source_map

            for problem in build_source_map(source, frozenset(), thorough=True).problems:
                self._report(problem, where)
        if isinstance(loaded.value, dict) and loaded.value.get("version") != 1:
            position = _written_at(source, ("version",))
            message, hint = "this base is not of version 1", "write version: 1"
            self._report(Problem(kind=Kind.WRONG_VALUE, message=message, hint=hint, position=position), where)

    def _report(self, problem: Problem, where: str) -> None:
        self.problems.append(replace(problem, message=f"{problem.message} (extended at {where})"))

    def _report_issue(self, issue: Issue, where: str) -> None:
        node = issue.node
        position = _written_at(node.source, node.path)
        self._report(Problem(kind=issue.kind, message=issue.message, hint=issue.hint, position=position), where)

    def _report_cycle(self, source: Source, chain: tuple[Layer, ...]) -> None:
        start = next(index for index, layer in enumerate(chain) if layer.source is source)
        places = [_written_at(layer.source, _EXTENDS) for layer in chain[start:]]
        message = f"these bases extend each other: {' -> '.join(place.full for place in places)}"
        hint = "remove one of the extends lines"
        self.problems.append(Problem(kind=Kind.EXTENDS_CYCLE, message=message, hint=hint, position=places[-1]))


def key_folder(source: Source) -> str:
    """The folder of a file, as the user named it."""
    return os.path.dirname(source.name)


def _issue(child: Layer, kind: Kind, message: str, hint: str) -> Issue:
    return Issue(kind=kind, message=message, hint=hint, node=NodeRef(child.source, _EXTENDS))


def _written_at(source: Source, path: Path) -> Position:
    from reconciler.manifest.positions import build_source_map

    return build_source_map(source, frozenset([path]), thorough=False).position(NodeRef(source, path))


class Effective:
    """The document of a file with its bases merged and its variables substituted. Stands in for what was loaded.

    Attributes:
        value: The document.
        variables: What was substituted, by name.
        issues: What is wrong with inheritance and variables.
    """

    def __init__(self, child: Layer, base: Base | None) -> None:
        self.child = child
        self.name = child.source.name
        self.irregular = child.loaded.irregular
        self.layers = (child, *base.layers) if base else (child,)
        self.issues: list[Issue] = []
        self._base = base
        header = merged_header(base.header if base else {}, child.value)
        self._has_variables = START.encode() in child.source.data or (base is not None and base.has_variables)
        self._in_layer: tuple[Layer, int] | None = None
        self._limited = False
        self.variables = self._variables(header)
        self._values = Substitution(self.variables, self._undefined, self._too_long)
        self._name_only = Substitution(
            {NAME: self.variables[NAME]} if NAME in self.variables else {}, self._not_allowed, self._too_long
        )
        if self._has_variables:
            self._substitute_header(header)
        self._check_credentials()
        self._entries: list[tuple[tuple[Layer, int], ...]] = []
        self.value: Block = header
        if any("accounts" in layer.value for layer in self.layers):
            header["accounts"] = self._accounts()

    def starts(self, _key: str, length: int) -> list[Position]:
        """Where the accounts start: each where the file itself, or else the nearest base, has it."""
        if not self._entries:
            return [Position(self.name, 1, 1)] * length
        return [parts[0][0].starts[parts[0][1]] for parts in self._entries]

    def entry_positions(self, _entry: object, index: int) -> Mapping[str, Position]:
        """Where the marked values of an account are."""
        (layer, number), *others = self._entries[index]
        found = layer.positions(number)
        for below, position in others:
            found = {**below.positions(position), **found}
        return found

    def block_positions(self, path: Path) -> Mapping[str, Position]:
        """Where the marked values of a block are."""
        own = self.child.loaded.block_positions(path)
        if self._base is None:
            return own
        inherited = self._base.block_positions(path)
        return {**inherited, **own} if own and inherited else own or inherited

    def node(self, path: Path, *, key: bool = False) -> NodeRef:
        """Where a node of the document is written, and through which node of the file itself it is inherited."""
        via: NodeRef | None = NodeRef(self.child.source, _EXTENDS)
        if path[:1] == ("accounts",) and len(path) > 1 and self._entries:
            parts = self._entries[int(path[1])]
            layer, index = next((part for part in parts if _has(part[0].accounts[part[1]], path[2:3])), parts[0])
            if parts[0][0] is self.child:
                via = NodeRef(self.child.source, ("accounts", parts[0][1]))
            path = ("accounts", index, *path[2:])
        elif path[:1] == ("policy",) and len(path) > 2 and path[1] in COMBINED:  # noqa: PLR2004 - an item
            layer, path = self._item(path)
        else:
            layer = next((one for one in self.layers if _has(one.value, path)), self.child)
        return NodeRef(layer.source, path, key=key, via=None if layer is self.child else via)

    def lacks_variable(self, node: NodeRef) -> bool:
        """Whether a variable in a node is reported, so that whatever else is wrong there follows from it."""
        kinds = {Kind.UNDEFINED_VARIABLE, Kind.VARIABLE_NOT_ALLOWED}
        return any(issue.kind in kinds and issue.node == node for issue in self.issues)

    def _item(self, path: Path) -> tuple[Layer, Path]:
        """The layer that an item of a combined list comes from, and its path there."""
        found: Any = []
        places: list[tuple[Layer, int]] = []
        for layer in reversed(self.layers):
            block = layer.value.get("policy")
            items = block.get(path[1], []) if isinstance(block, dict) else []
            new = [index for index, item in enumerate(items) if item not in found]
            places += [(layer, index) for index in new]
            found = combined(found, items)
        index = int(path[2])
        layer, index = places[index] if index < len(places) else (self.child, index)
        return layer, (*path[:2], index, *path[3:])

    def _variables(self, header: Block) -> dict[str, str]:
        server, given = header.get("server"), header.get("vars")
        found: dict[str, str] = {}
        name = server.get("name") if isinstance(server, dict) else None
        if is_usable_name(name):
            found[NAME] = str(name)
        if isinstance(given, dict):
            values = Substitution(dict(found), self._undefined, self._too_long)
            self._limited = True
            for key, value in given.items():
                if isinstance(value, str) and key != NAME:
                    found[key] = values.text(value, ("vars", key)) if START in value else value
            self._limited = False
        return found

    def _substitute_header(self, header: Block) -> None:
        for block in ("policy", "defaults"):
            if block in header:
                header[block] = self._values.value(header[block], (block,))
        if "server" in header:
            header["server"] = self._name_only.value(header["server"], ("server",))

    def _undefined(self, name: str, text: str, path: Path) -> str:
        """Reports a variable that has no value, and stands in for it, so that the checks can go on."""
        if self._is_unfilled(text):
            return text
        message, hint = f"${{{name}}} is not defined", "define it under vars; $${ is a literal ${"
        if not name:
            message, hint = "this ${ begins no variable", "write ${NAME}; $${ is a literal ${"
        elif name == NAME:
            message, hint = self._no_name()
        elif self._limited:
            message, hint = "the value of a variable takes no variable but ${name}", "write it out"
        elif close := suggestion(name, [*self.variables, NAME]):
            hint = f"{close} {hint}"
        self._add(Kind.UNDEFINED_VARIABLE, message, hint, path)
        return name or "x"

    def _is_unfilled(self, text: object) -> bool:
        """Whether a string is a placeholder for another program, which the validator reports."""
        return len(self.layers) == 1 and "vars" not in self.child.value and is_placeholder(text)

    def _no_name(self) -> tuple[str, str]:
        if any(_has(layer.value, ("server", "name")) for layer in self.layers):
            return (
                "${name} needs a server name that has only letters, digits and hyphens",
                "give the server such a name",
            )
        return "${name} is the server's name, and this file gives none", "write server.name"

    def _not_allowed(self, name: str, text: str, path: Path) -> str:
        """As ``_undefined``, in ``server``."""
        if name in {NAME, ""} or self._is_unfilled(text):
            return self._undefined(name, text, path)
        message = f"${{{name}}} is not allowed in server: it would control where credentials go"
        self._add(Kind.VARIABLE_NOT_ALLOWED, message, "only ${name}, the server's name, is allowed there", path)
        return name

    def _too_long(self, path: Path) -> None:
        message = f"with its variables replaced, this has more than {LONGEST:,} characters"
        self._add(Kind.TOO_LARGE, message, "shorten the values of its variables", path)

    def _add(self, kind: Kind, message: str, hint: str, path: Path) -> None:
        if self._in_layer is not None:
            layer, index = self._in_layer
            via = None if layer is self.child else NodeRef(self.child.source, _EXTENDS)
            node = NodeRef(layer.source, ("accounts", index, *path), via=via)
        else:
            node = self.node(path)
        self.issues.append(Issue(kind=kind, message=message, hint=hint, node=node))

    def _check_credentials(self) -> None:
        """A file that names another server does not send the base's credentials there."""
        if self._base is None:
            return
        url, auth = map(self._nearest_with, ("url", "auth"))
        if url is not None and auth is not None and auth > url:
            node, other = self.node(("server", "url")), self.node(("server", "auth"))
            message = "server.url is set here, and server.auth is inherited: credentials belong to the URL beside them"
            hint = "write server.auth beside the URL"
            self.issues.append(
                Issue(kind=Kind.AUTH_INHERITED, message=message, hint=hint, node=node, other=replace(other, via=None))
            )

    def _nearest_with(self, key: str) -> int | None:
        """How far away the nearest layer is that gives a setting of the server."""
        if _has(self.child.value, ("server", key)):
            return 0
        return None if self._base is None else self._base.nearest_with(key)

    def _accounts(self) -> Any:  # noqa: ANN401 - it may be anything
        """The accounts, merged by their addresses."""
        for layer in self.layers:
            if not isinstance(layer.value.get("accounts", []), list):
                return layer.value["accounts"]
        merger = _AccountMerger(self)
        for layer in reversed(self.layers):
            merger.add(layer)
        entries = [(entry, parts) for entry, parts in zip(merger.entries, merger.parts, strict=True) if parts]
        self._entries = [parts for _, parts in entries]
        return [entry for entry, _ in entries]

    def substituted(self, layer: Layer, index: int) -> Any:  # noqa: ANN401 - as above
        """An entry of ``accounts`` with its variables replaced."""
        entry = layer.accounts[index]
        keys = layer.templates[index]
        if not keys:
            return entry
        self._in_layer = (layer, index)
        found = dict(entry)
        for key in keys:
            found[key] = self._values.value(found[key], (key,))
        self._in_layer = None
        return found


class _AccountMerger:
    """Merges accounts, from the last base to the file itself.

    Attributes:
        entries: The accounts.
        parts: The layers that each comes from, the nearest first; none if it was removed.
    """

    def __init__(self, document: Effective) -> None:
        self.entries: list[Any] = []
        self.parts: list[tuple[tuple[Layer, int], ...]] = []
        self._document = document
        self._known: dict[str, list[int]] | None = None

    def add(self, layer: Layer) -> None:
        for index in range(len(layer.accounts)):
            entry = self._document.substituted(layer, index)
            part = (layer, index)
            if isinstance(entry, dict) and (entry.get("override") is True or entry.get("remove") is True):
                self._act(entry, part)
            else:
                self._append(entry, part)
        self._known = None

    def _append(self, entry: Any, part: tuple[Layer, int]) -> None:  # noqa: ANN401 - as above
        self.entries.append(entry)
        self.parts.append((part,))

    def _act(self, entry: Block, part: tuple[Layer, int]) -> None:
        """Overrides or removes an inherited entry."""
        layer, _ = part
        word = "remove" if entry.get("remove") is True else "override"
        extra = entry.keys() - {"email", "id", "remove"}
        if word == "remove" and extra:
            self._report(part, Kind.CONFLICT, "remove: true takes nothing but the address", "leave the rest out")
        targets = self._targets(entry, layer)
        if len(targets) != 1:
            self._refuse(entry, part, word, len(targets))
            return
        (target,) = targets
        if word == "remove":
            self.parts[target] = ()
            return
        override = {key: value for key, value in entry.items() if key not in _ACTIONS}
        self.entries[target] = merged_block(self.entries[target], override)
        self.parts[target] = (part, *self.parts[target])

    def _targets(self, entry: Block, layer: Layer) -> list[int]:
        """The inherited entries that an entry is about, unless the file itself has changed them already."""
        if self._known is None:
            self._known = {}
            for number, known in enumerate(self.entries):
                if self.parts[number] and self.parts[number][0][0] is not layer and isinstance(known, dict):
                    self._known.setdefault(identity(str(known.get("email"))), []).append(number)
        found = self._known.get(identity(str(entry.get("email"))), [])
        return [
            number
            for number in found
            if self.parts[number]
            and self.parts[number][0][0] is not layer
            and ("id" not in entry or entry["id"] == self.entries[number].get("id", entry["id"]))
        ]

    def _refuse(self, entry: Block, part: tuple[Layer, int], word: str, count: int) -> None:
        address = shorten(str(entry.get("email")), 60)
        if count:
            message, hint = f"the base has {address} {count} times", "say which one is meant, with its id"
            self._report(part, Kind.AMBIGUOUS_ADDRESS, message, hint)
            return
        known = {str(one.get("email")) for one, parts in zip(self.entries, self.parts, strict=True) if parts}
        hint = (
            suggestion(str(entry.get("email")), known - {entry.get("email")})
            or f"leave {word} out if this is a new account"
        )
        what = "override" if word == "override" else "remove"
        message = f"there is no inherited account {address} to {what}"
        self._report(part, Kind.NOTHING_TO_OVERRIDE, message, hint)

    def _report(self, part: tuple[Layer, int], kind: Kind, message: str, hint: str) -> None:
        layer, index = part
        child = self._document.child
        via = None if layer is child else NodeRef(child.source, _EXTENDS)
        node = NodeRef(layer.source, ("accounts", index), via=via)
        self._document.issues.append(Issue(kind=kind, message=message, hint=hint, node=node))


def _has(value: object, path: Path) -> bool:
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
