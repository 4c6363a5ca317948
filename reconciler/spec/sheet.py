"""One file, loaded and checked by itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeVar

from pydantic import BaseModel, ValidationError

from reconciler.errors import Problem
from reconciler.spec.complaints import complaint
from reconciler.spec.document import AccountEntry, Document
from reconciler.spec.events import UnreadableError
from reconciler.spec.issues import Issue, Path, Place, Spot
from reconciler.spec.loader import Loaded, load

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydantic_core import ErrorDetails

    from reconciler.spec.files import Source

_NONE: Final[frozenset[str]] = frozenset()
_M = TypeVar("_M", bound=BaseModel)


@dataclass(slots=True)
class Row:
    """One entry of ``accounts:``.

    Attributes:
        index: Which entry.
        place: Where it starts.
        given: The fields that the entry has, by name.
        bad: The fields that it has, with errors; they are not in ``given``.
    """

    index: int
    place: Place | None
    given: dict[str, Any]
    bad: frozenset[str] = _NONE


@dataclass(slots=True)
class Sheet:
    """A file's content, as far as it could be read, and what is wrong with it."""

    source: Source
    document: Document
    rows: list[Row]
    issues: list[Issue] = field(default_factory=list)
    bad_defaults: frozenset[str] = _NONE
    irregular: bool = False

    def spot(self, *path: str | int, key: bool = False) -> Spot:
        """A spot in this file."""
        return Spot(self.source, path, key=key)


def given(model: BaseModel) -> dict[str, Any]:
    """The fields that the YAML has, in contrast to those that the model fills in."""
    values = model.__dict__
    return {name: values[name] for name in model.__pydantic_fields_set__}


def read_sheet(source: Source) -> Sheet | Problem:
    """Loads and checks a file; a problem where nothing can be made of it."""
    try:
        loaded = load(source.data)
    except UnreadableError as failure:
        place = failure.place
        return Problem(
            kind=failure.kind,
            message=failure.message,
            hint=failure.hint,
            file=source.name,
            line=place.line if place else None,
            column=place.column if place else None,
        )
    return _checked(source, loaded)


def _checked(source: Source, loaded: Loaded) -> Sheet:
    raw = loaded.value
    accounts = raw.get("accounts") if isinstance(raw, dict) else None
    header = {**raw, "accounts": []} if isinstance(raw, dict) and isinstance(accounts, list) else raw
    document, errors = _validated(Document, header)
    issues = [complaint(error, source, (), None) for error in errors]
    if document is None:
        document, _ = _validated(Document, _without(header, errors))
    sheet = Sheet(source, document or Document(version=1, accounts=[]), [], issues, irregular=loaded.irregular)
    sheet.bad_defaults = _bad_below(errors, "defaults")
    if isinstance(accounts, list):
        _read_rows(sheet, accounts, loaded.items.get("accounts", ()))
    return sheet


def _read_rows(sheet: Sheet, accounts: list[object], places: Sequence[Place]) -> None:
    if len(places) != len(accounts):
        places = ()  # the list came through an alias or a merge
    for index, raw in enumerate(accounts):
        place = places[index] if places else None
        entry, errors = _validated(AccountEntry, raw)
        if entry is not None:
            sheet.rows.append(Row(index, place, given(entry)))
            continue
        base: Path = ("accounts", index)
        salvaged = _salvaged(raw, errors)
        address = salvaged.email if salvaged else None
        sheet.issues += [complaint(error, sheet.source, base, address) for error in errors]
        if salvaged:
            bad = frozenset(str(error["loc"][0]) for error in errors)
            sheet.rows.append(Row(index, place, given(salvaged), bad))


def _salvaged(raw: object, errors: Sequence[ErrorDetails]) -> AccountEntry | None:
    """The entry without its wrong fields, so that the rules among accounts still see it."""
    if not isinstance(raw, dict) or any(error["loc"][:1] in {(), ("email",)} for error in errors):
        return None
    bad = {error["loc"][0] for error in errors}
    return _validated(AccountEntry, {key: value for key, value in raw.items() if key not in bad})[0]


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
