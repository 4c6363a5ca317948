"""How accounts are merged: a file adds to those of its base, overrides them, and removes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from reconciler.errors import Kind
from reconciler.manifest.bases import EXTENDS
from reconciler.manifest.issues import Issue, NodeRef
from reconciler.manifest.merging import Block, merged_block
from reconciler.manifest.suggestions import suggestion
from reconciler.model.account import identity
from reconciler.model.display import shorten

if TYPE_CHECKING:
    from reconciler.manifest.bases import Layer
    from reconciler.manifest.extends import Effective

_ACTIONS: Final = ("override", "remove")


class AccountMerger:
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
        """Merges the accounts of the next layer."""
        for index, entry in enumerate(layer.accounts):
            found = self._document.substituted(layer, index) if layer.templates[index] else entry
            part = (layer, index)
            if isinstance(found, dict) and (found.get("override") is True or found.get("remove") is True):
                self._act(found, part)
            else:
                self.entries.append(found)
                self.parts.append((part,))
        self._known = None

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
        inherited = (
            one for one, parts in zip(self.entries, self.parts, strict=True) if parts and isinstance(one, dict)
        )
        known = {str(one.get("email")) for one in inherited}
        hint = (
            suggestion(str(entry.get("email")), known - {entry.get("email")})
            or f"leave {word} out if this is a new account"
        )
        message = f"there is no inherited account {address} to {word}"
        self._report(part, Kind.NOTHING_TO_OVERRIDE, message, hint)

    def _report(self, part: tuple[Layer, int], kind: Kind, message: str, hint: str) -> None:
        layer, index = part
        child = self._document.child
        via = None if layer is child else NodeRef(child.source, EXTENDS)
        node = NodeRef(layer.source, ("accounts", index), via=via)
        self._document.issues.append(Issue(kind=kind, message=message, hint=hint, node=node))
