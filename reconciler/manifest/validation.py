"""What the models say to a file that is not plainly right: what is wrong, and what can be used all the same."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any, Final, TypeVar

from pydantic import BaseModel, ValidationError

from reconciler.manifest.complaints import issue_from, means_something
from reconciler.manifest.document import AccountBlock, Document
from reconciler.manifest.scalars import EMPTY
from reconciler.manifest.values import is_placeholder

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pydantic_core import ErrorDetails

    from reconciler.manifest.files import Source
    from reconciler.manifest.issues import Issue, Path

_M = TypeVar("_M", bound=BaseModel)
_KEYS_LOOKED_AT: Final = 100

_KINDS: Final[dict[tuple[object, ...], str]] = {}
"""The kinds of errors that ``issue_from`` has named, by all that they depend on."""


def given(model: BaseModel) -> dict[str, Any]:
    """The fields that the YAML has, in contrast to those that the model fills in; blocks as dictionaries too."""
    values = model.__dict__
    return {
        name: given(values[name]) if isinstance(values[name], BaseModel) else values[name]
        for name in model.__pydantic_fields_set__
    }


def is_foreign(raw: Mapping[str, Any]) -> bool:
    """Whether a document is something else: none of its keys is a key of any block, or could be meant for one."""
    return bool(raw) and not any(map(means_something, islice(raw, _KEYS_LOOKED_AT)))


def judged_header(raw: object, source: Source) -> tuple[dict[str, Any], frozenset[str], list[Issue]]:
    """The document apart from its accounts.

    Returns:
        What can be used, the fields of ``defaults`` that are wrong (``*`` for the whole block), and what is wrong.
    """
    document, errors = _validated(Document, raw)
    issues = [issue_from(error, source, port=port_of(raw)) for error in errors]
    if document is None:
        document, _ = _validated(Document, _without(raw, errors))
    return given(document) if document else {}, _bad_below(errors, "defaults"), issues


def port_of(header: object) -> object:
    """The ``smtp_port`` of the defaults, whatever it is."""
    defaults = header.get("defaults") if isinstance(header, dict) else None
    return defaults.get("smtp_port") if isinstance(defaults, dict) else None


def judged_entry(
    raw: object, source: Source, base: Path, default_port: object
) -> tuple[dict[str, Any] | None, frozenset[str], list[Issue]]:
    """An entry of ``accounts``.

    Returns:
        What can be used, so that the rules among accounts still see it; the fields that are wrong; and what is wrong.
    """
    entry, errors = _validated(AccountBlock, raw)
    if entry is not None:
        return given(entry), frozenset(), []
    salvaged = _salvaged(raw, errors)
    address = salvaged.email if salvaged else None
    port = raw.get("smtp_port", default_port) if isinstance(raw, dict) else None
    issues = [issue_from(error, source, base, address=address, port=port) for error in errors]
    if salvaged is None:
        return None, frozenset(), issues
    return given(salvaged), frozenset(str(error["loc"][0]) for error in errors), issues


def kinds_in(raw: object, source: Source, base: Path) -> list[str]:
    """The kind of each error of an entry; much faster than ``judged_entry``, which finds the words as well."""
    _, errors = _validated(AccountBlock, raw)
    return [_kind(error, source, base) for error in errors]


def _kind(error: ErrorDetails, source: Source, base: Path) -> str:
    value = error["input"]
    sort = (error["type"], value is None, value is EMPTY, is_placeholder(value))
    if sort not in _KINDS:
        _KINDS[sort] = issue_from(error, source, base).kind
    return _KINDS[sort]


def _salvaged(raw: object, errors: Sequence[ErrorDetails]) -> AccountBlock | None:
    """The entry without its wrong fields."""
    if not isinstance(raw, dict) or any(error["loc"][:1] in {(), ("email",)} for error in errors):
        return None
    bad = {error["loc"][0] for error in errors}
    return _validated(AccountBlock, {key: value for key, value in raw.items() if key not in bad})[0]


def _validated(model: type[_M], raw: object) -> tuple[_M | None, list[ErrorDetails]]:
    try:
        return model.model_validate(raw), []
    except ValidationError as error:
        return None, error.errors(include_url=False)


def _without(header: object, errors: Sequence[ErrorDetails]) -> dict[str, Any]:
    """The header without what is wrong in it, one level below its keys, so that the rest can be used."""
    kept: dict[str, Any] = dict(header) if isinstance(header, dict) else {}
    for error in errors:
        first, *rest = error["loc"] or ("",)
        section = kept.get(str(first))
        if rest and isinstance(section, dict):
            kept[str(first)] = {key: value for key, value in section.items() if key != rest[0]}
        else:
            kept.pop(str(first), None)
    return {**kept, "version": 1, "accounts": []}


def _bad_below(errors: Sequence[ErrorDetails], section: str) -> frozenset[str]:
    """Fields of a section that have errors; all of them where the section itself is wrong."""
    found = {error["loc"][1] if len(error["loc"]) > 1 else "*" for error in errors if error["loc"][:1] == (section,)}
    return frozenset(str(name) for name in found)
