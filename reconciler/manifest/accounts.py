"""Entries and defaults of one file to desired accounts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from reconciler.errors import Kind
from reconciler.manifest.issues import Issue, NodeRef
from reconciler.manifest.references import Reference
from reconciler.model.account import Account, Value
from reconciler.model.desired import DeliveryTestSettings, DeliveryTestWhen, DesiredAccount
from reconciler.model.fields import FIELDS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reconciler.errors import Position
    from reconciler.manifest.sheet import ParsedFile, Row

_UNSAID: Final = DeliveryTestSettings()


@dataclass(slots=True)
class Declared:
    """A desired account with where it comes from, for the rules among accounts.

    Attributes:
        bad: Fields with errors of their own; rules keep quiet about them.
        defaulted: Fields that the file's defaults gave.
    """

    desired: DesiredAccount
    sheet: ParsedFile
    row: Row
    bad: frozenset[str]
    defaulted: frozenset[str]

    def spot(self, *keys: str) -> NodeRef:
        """A field of the entry, in the defaults where it was given there, or the entry itself."""
        if keys and keys[0] not in self.row.given and keys[0] in self.defaulted:
            return self.sheet.spot("defaults", *keys)
        return self.sheet.spot("accounts", self.row.index, *keys)


def test_settings(said: Mapping[str, Any]) -> DeliveryTestSettings:
    """A ``test:`` block of the YAML."""
    when = said.get("when")
    return DeliveryTestSettings(None if when is None else DeliveryTestWhen(when), said.get("to_email"))


test_settings.__test__ = False  # type: ignore[attr-defined]


def declares_default(sheet: ParsedFile) -> bool:
    """Whether any account of the file is to be the default account."""
    by_default = sheet.block("defaults").get("default", False)
    return any(row.given.get("default", by_default) is True for row in sheet.rows)


class AccountBuilder:
    """Makes the desired accounts of one file."""

    def __init__(self, sheet: ParsedFile, *, one_is_default: bool) -> None:
        """Takes the file, and whether any account of the whole set is the default one, so that the others are not."""
        self._sheet = sheet
        defaults = dict(sheet.block("defaults"))
        self._test = test_settings(defaults.pop("test")) if "test" in defaults else _UNSAID
        self._base: dict[str, Any] = dict(defaults)
        self._settle(self._base, defaults, sheet.positions["defaults",], "defaults")
        self._defaulted = frozenset(self._base)
        self._positions = {**sheet.positions["defaults",], **sheet.positions["defaults", "test"]}
        if one_is_default:
            self._base.setdefault("default", False)

    def build(self) -> list[Declared]:
        """The accounts; what is wrong with them becomes issues of the file."""
        return [self._account(row) for row in self._sheet.rows]

    def _account(self, row: Row) -> Declared:
        given = row.given
        merged = {**self._base, **given}
        self._settle(merged, given, row.positions, "accounts", row.index)
        if "has_auth" not in merged and merged.get("password") is not None:
            merged["has_auth"] = True
        fields: dict[str, Value] = {name: merged[name] for name in FIELDS if name in merged}
        test = given.get("test")
        desired = DesiredAccount(
            Account(fields, given.get("id")),
            row.position,
            given.get("renamed_from"),
            self._test if test is None else test_settings(test).over(self._test),
            {**self._positions, **row.positions} if self._positions else row.positions,
        )
        bad = row.bad | self._sheet.bad_defaults if row.bad or self._sheet.bad_defaults else row.bad
        return Declared(desired, self._sheet, row, bad, self._defaulted)

    def _settle(
        self, fields: dict[str, Any], given: Mapping[str, Any], positions: Mapping[str, Position], *path: str | int
    ) -> None:
        """Brings what was given, at ``path``, under one spelling of ``has_auth``; its reference learns its place."""
        if "hash_auth" in given:
            fields["has_auth"] = given.get("has_auth", given["hash_auth"])
            if fields["has_auth"] is not given["hash_auth"]:
                self._contradiction(path)
        if isinstance(password := given.get("password"), Reference):
            fields["password"] = password.at(positions["password"])

    def _contradiction(self, path: tuple[str | int, ...]) -> None:
        message = "has_auth and hash_auth are two spellings of one field, and have different values"
        one, other = self._sheet.spot(*path, "hash_auth", key=True), self._sheet.spot(*path, "has_auth", key=True)
        self._sheet.issues.append(
            Issue(kind=Kind.CONFLICT, message=message, hint="keep has_auth alone", spot=one, other=other)
        )
