"""How a file is merged over its base, before anything is validated: values may have any type."""

from __future__ import annotations

from typing import Any, Final, TypeAlias

from reconciler.model.fields import FIELDS, SPELLINGS

Block: TypeAlias = dict[str, Any]

NOT_INHERITED: Final = frozenset({"version", "base", "extends", "accounts"})
"""Keys of a document that are not merged; accounts are merged by their addresses."""

_BY_KEY: Final = frozenset({"server", "policy", "defaults", "vars"})
_NESTED: Final = ("test", "labels")
"""Blocks inside these that are merged key by key too. Credentials and certificates are not: they belong together."""

COMBINED: Final = ("protect", "ignore", "own")
"""Lists that are combined."""

_OTHER_SPELLINGS: Final = {
    spelling: frozenset(SPELLINGS[name]) - {spelling}
    for name in FIELDS
    for spelling in SPELLINGS[name]
    if len(SPELLINGS[name]) > 1
}


def merged_header(base: Block, child: Block) -> Block:
    """The blocks of a document over those of its base, without accounts."""
    found = {key: value for key, value in base.items() if key not in NOT_INHERITED}
    for key, value in child.items():
        if key in found and key in _BY_KEY:
            found[key] = merged_block(found[key], value)
        elif key != "accounts":
            found[key] = value
    return found


def merged_block(base: Any, child: Any) -> Any:  # noqa: ANN401 - as the module says
    """A block, or an account, over that of the base: key by key, and the child wins."""
    if not isinstance(base, dict) or not isinstance(child, dict):
        return child
    found = {**base, **child}
    for key in child:
        if key in _OTHER_SPELLINGS:
            for spelling in _OTHER_SPELLINGS[key] - child.keys():
                found.pop(spelling, None)
        elif key in _NESTED and isinstance(base.get(key), dict) and isinstance(child[key], dict):
            found[key] = {**base[key], **child[key]}
        elif key in COMBINED and key in base:
            found[key] = combined(base[key], child[key])
    return found


def combined(base: Any, child: Any) -> Any:  # noqa: ANN401 - as the module says
    """The items of both lists, each once, the base's first."""
    if not isinstance(base, list) or not isinstance(child, list):
        return child
    found = list(base)
    found += (item for item in child if item not in base)
    return found
