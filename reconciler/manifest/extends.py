"""Inheritance: the document that results from a file and the bases that it extends.

Bases are merged as they were loaded, before anything is validated, so that there is one set of rules. Every error is
reported where the value is written; if that is in a base, the place in the file that extends it is given as well.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from reconciler.errors import Kind, Position
from reconciler.manifest.bases import EXTENDS, has_node
from reconciler.manifest.issues import Issue, NodeRef
from reconciler.manifest.merging import COMBINED, Block, combined, merged_header
from reconciler.manifest.overrides import AccountMerger
from reconciler.manifest.suggestions import suggestion
from reconciler.manifest.values import is_placeholder
from reconciler.manifest.variables import LONGEST, NAME, START, Substitution, is_usable_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reconciler.manifest.bases import Base, Layer
    from reconciler.manifest.issues import Path


class Effective:
    """The document of a file with its bases merged and its variables substituted. Used as what was loaded is.

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
        self._in_layer: tuple[Layer, int] | None = None
        self._limited = False
        self.variables = self._variables(header)
        self._values = Substitution(self.variables, self._undefined, self._too_long)
        if child.has_variables or (base and base.has_variables):
            self._substitute_header(header)
        self._check_credentials()
        self._entries: list[tuple[tuple[Layer, int], ...]] = []
        self.value: Block = header
        if any("accounts" in layer.value for layer in self.layers):
            header["accounts"] = self._accounts()

    def starts(self, length: int) -> list[Position]:
        """Where the accounts start: each where the file itself, or else the nearest base, has it."""
        if not self._entries:
            return [Position(self.name, 1, 1)] * length
        return [parts[0][0].starts[parts[0][1]] for parts in self._entries]

    def entry_positions(self, index: int) -> Mapping[str, Position]:
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
        via: NodeRef | None = NodeRef(self.child.source, EXTENDS)
        if path[:1] == ("accounts",) and len(path) > 1 and self._entries:
            parts = self._entries[int(path[1])]
            layer, index = next((part for part in parts if has_node(part[0].accounts[part[1]], path[2:3])), parts[0])
            if parts[0][0] is self.child:
                via = NodeRef(self.child.source, ("accounts", parts[0][1]))
            path = ("accounts", index, *path[2:])
        elif path[:1] == ("policy",) and len(path) > 2 and path[1] in COMBINED:  # noqa: PLR2004 - an item
            layer, path = self._item(path)
        else:
            layer = next((one for one in self.layers if has_node(one.value, path)), self.child)
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
            if self._may_have_variables(block):
                header[block] = self._values.value(header[block], (block,))
        if self._may_have_variables("server"):
            name = {NAME: self.variables[NAME]} if NAME in self.variables else {}
            name_only = Substitution(name, self._not_allowed, self._too_long)
            header["server"] = name_only.value(header["server"], ("server",))

    def _may_have_variables(self, block: str) -> bool:
        inherits_some = self._base is not None and block in self._base.templates
        return inherits_some or (self.child.has_variables and block in self.child.value)

    def _undefined(self, name: str, text: str, path: Path) -> str:
        """Reports a variable that has no value, and inserts a value in its place, so that the checks can go on."""
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
        if any(has_node(layer.value, ("server", "name")) for layer in self.layers):
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
            via = None if layer is self.child else NodeRef(self.child.source, EXTENDS)
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
        if has_node(self.child.value, ("server", key)):
            return 0
        return None if self._base is None else self._base.nearest_with(key)

    def _accounts(self) -> Any:  # noqa: ANN401 - it may be anything
        """The accounts, merged by their addresses."""
        for layer in self.layers:
            if not isinstance(layer.value.get("accounts", []), list):
                return layer.value["accounts"]
        merger = AccountMerger(self)
        for layer in reversed(self.layers):
            merger.add(layer)
        if () not in merger.parts:
            self._entries = merger.parts
            return merger.entries
        entries = [(entry, parts) for entry, parts in zip(merger.entries, merger.parts, strict=True) if parts]
        self._entries = [parts for _, parts in entries]
        return [entry for entry, _ in entries]

    def substituted(self, layer: Layer, index: int) -> Any:  # noqa: ANN401 - as above
        """An entry of ``accounts`` with its variables replaced."""
        self._in_layer = (layer, index)
        found = dict(layer.accounts[index])
        for key in layer.templates[index]:
            found[key] = self._values.value(found[key], (key,))
        self._in_layer = None
        return found
