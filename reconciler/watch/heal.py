"""Stops the watcher from fighting over a field: after a few corrections of it in a row, people must decide."""

from __future__ import annotations

import re
from collections import defaultdict, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from reconciler.errors import InvalidValueError
from reconciler.model.duration import format_duration, parse_duration

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

_LIMIT: Final = re.compile(r"([1-9][0-9]{0,3})/(.+)")


@dataclass(frozen=True, slots=True)
class Correction:
    """A drift that was corrected.

    Attributes:
        account: The account's identity.
        field: The field that had been changed; empty for a whole account that had been created or deleted.
        at: When it was corrected, in UTC.
    """

    server: str
    account: str
    field: str
    at: datetime


@dataclass(frozen=True, slots=True)
class HealLimit:
    """The number of corrections of one field, within a period, that stops the server.

    Attributes:
        seconds: The length of the period.
    """

    count: int
    seconds: float

    @classmethod
    def parse(cls, text: str) -> HealLimit:
        """Reads ``3/1h``.

        Raises:
            InvalidValueError: It is not a limit.
        """
        found = _LIMIT.fullmatch(text)
        if found is None:
            raise InvalidValueError("expected a number and a period", "write it as 3/1h")
        return cls(int(found[1]), parse_duration(found[2]))

    def __str__(self) -> str:
        return f"{self.count}/{format_duration(self.seconds)}"


class Corrections:
    """The corrections of the last while, by server, account and field. For one thread."""

    def __init__(self, limit: HealLimit, earlier: Iterable[Correction] = ()) -> None:
        self._limit = limit
        self._times: dict[tuple[str, str, str], deque[datetime]] = defaultdict(lambda: deque(maxlen=limit.count))
        self._looked_at: datetime | None = None
        for one in sorted(earlier, key=lambda correction: correction.at):
            self._times[_key(one)].append(one.at)

    def count(self, correction: Correction) -> bool:
        """Counts a correction. Returns whether the field has reached the limit with it."""
        self._forget_old(correction.at)
        times = self._times[_key(correction)]
        times.append(correction.at)
        # The clock may have been set back since an earlier one: what lies ahead counts as just now.
        age = (correction.at - times[0]).total_seconds()
        return len(times) == self._limit.count and age <= self._limit.seconds

    def _forget_old(self, now: datetime) -> None:
        """Forgets fields that were not corrected for longer than the period, once in each period."""
        if self._looked_at and (now - self._looked_at).total_seconds() <= self._limit.seconds:
            return
        self._looked_at = now
        for key, times in list(self._times.items()):
            if (now - times[-1]).total_seconds() > self._limit.seconds:
                del self._times[key]

    def forget(self, server: str) -> None:
        """People have decided: the server starts from zero."""
        for key in [key for key in self._times if key[0] == server]:
            del self._times[key]


def _key(correction: Correction) -> tuple[str, str, str]:
    return correction.server, correction.account, correction.field
