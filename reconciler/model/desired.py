"""The desired set, as the YAML declares it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple, Self

from reconciler.errors import InvalidValueError
from reconciler.model.account import NO_GLOBS, Globs
from reconciler.model.server import ServerConfig

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reconciler.errors import Position, Problem
    from reconciler.model.account import Account
    from reconciler.model.server import Server


NO_POSITIONS: Final[Mapping[str, Position]] = MappingProxyType({})


class DeliveryTestWhen(StrEnum):
    """When ``apply`` sends an account's settings through the test endpoint."""

    __test__ = False

    OFF = "off"
    BEFORE = "before"
    AFTER = "after"


@dataclass(frozen=True, slots=True)
class DeliveryTestSettings:
    """Whether and when an account's settings are tested, and who receives the mail. ``None`` means not given."""

    __test__ = False

    when: DeliveryTestWhen | None = None
    to_email: str | None = None

    def over(self, base: DeliveryTestSettings) -> DeliveryTestSettings:
        """These settings, with missing values taken from ``base``."""
        return DeliveryTestSettings(self.when or base.when, self.to_email or base.to_email)

    def described(self) -> dict[str, str]:
        """When the test runs and who receives the mail, as in documents; empty if there is no test."""
        when = self.when or DeliveryTestWhen.OFF
        if when is DeliveryTestWhen.OFF and not self.to_email:
            return {}
        return {"when": str(when), "to_email": self.to_email} if self.to_email else {"when": str(when)}


NO_DELIVERY_TEST = DeliveryTestSettings()


PERCENTAGE: Final = r"(100|[0-9]{1,2}) ?%"


@dataclass(frozen=True, slots=True)
class Amount:
    """A number of things, or a percentage of all of them: ``5`` or ``30%``."""

    amount: int
    percent: bool

    def of(self, total: int) -> int:
        """The number of ``total`` things, rounded up."""
        return min(total, -(-self.amount * total // 100) if self.percent else self.amount)

    def is_exceeded(self, count: int, total: int) -> bool:
        """Whether ``count`` out of ``total`` are more than this."""
        return count * 100 > self.amount * total if self.percent else count > self.amount

    @classmethod
    def parse(cls, value: object) -> Self:
        """Reads ``5`` or ``"30%"``.

        Raises:
            InvalidValueError: It is neither a number from 0 nor a percentage up to 100.
        """
        if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            return cls(value, percent=False)
        match = re.fullmatch(PERCENTAGE, value) if isinstance(value, str) else None
        if match:
            return cls(int(match[1]), percent=True)
        raise InvalidValueError("expected a number from 0, or a percentage from 0% to 100%", "write it as 5 or as 30%")

    def __str__(self) -> str:
        return f"{self.amount}%" if self.percent else str(self.amount)


@dataclass(frozen=True, slots=True)
class DeleteLimit(Amount):
    """The most accounts one run may delete; a percentage is of the managed accounts on the server."""

    def allows(self, deletes: int, managed: int) -> bool:
        """Whether ``deletes`` out of ``managed`` accounts pass. A single delete passes unless the limit is zero."""
        return (self.amount > 0 and deletes < 2) or not self.is_exceeded(deletes, managed)  # noqa: PLR2004 - the rule

    def exceeds(self, other: DeleteLimit) -> bool:
        """Whether this certainly allows more than ``other``: a number and a percentage only compare in a plan."""
        return self.percent == other.percent and self.amount > other.amount


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The YAML's ``policy:`` block.

    Attributes:
        own: The addresses that the manifests are responsible for; empty for all.
    """

    prune: bool = True
    max_deletes: DeleteLimit = DeleteLimit(30, percent=True)
    protect: Globs = NO_GLOBS
    ignore: Globs = NO_GLOBS
    own: Globs = NO_GLOBS
    test: DeliveryTestSettings = DeliveryTestSettings()

    def covers(self, address: str) -> bool:
        """Whether the manifests are responsible for an address."""
        return not (self.ignore and address in self.ignore) and (not self.own or address in self.own)


class DesiredAccount(NamedTuple):
    """One entry of ``accounts:``, with its file's defaults merged in.

    Attributes:
        position: Where the entry starts.
        positions: The positions of the values that decide where a password goes, by their keys.
    """

    account: Account
    position: Position
    renamed_from: str | None = None
    test: DeliveryTestSettings = DeliveryTestSettings()
    positions: Mapping[str, Position] = NO_POSITIONS

    def in_scope(self, only: Globs) -> bool:
        """Whether ``--only`` selects this declaration, by its address or its former one."""
        return not only or self.account.email in only or self.renamed_from in only

    def position_of(self, key: str) -> Position:
        """The position of a key's value; that of the entry if it is unknown."""
        return self.positions.get(key, self.position)


@dataclass(frozen=True, slots=True)
class Desired:
    """The whole declared set for one server.

    Attributes:
        settings: The positions of the settings of ``server`` and ``policy``, by their paths.
    """

    accounts: tuple[DesiredAccount, ...]
    policy: Policy = Policy()
    server: ServerConfig = field(default_factory=ServerConfig)
    warnings: tuple[Problem, ...] = field(default=())
    settings: Mapping[tuple[str | int, ...], Position] = field(default_factory=dict, compare=False)

    @property
    def named_server(self) -> Server:
        """The server as reports name it before anything else decides about its URL."""
        return self.server.as_server(self.server.url or "")
