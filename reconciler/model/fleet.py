"""A fleet: the servers that manifests declare together, how to select among them, and how changes are rolled out."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final, NamedTuple

from reconciler.errors import GuardError, InvalidValueError, Kind, Problem
from reconciler.model.desired import Amount

if TYPE_CHECKING:
    from reconciler.model.desired import Desired
    from reconciler.model.server import Server

EVERYTHING: Final = Amount(100, percent=True)

_TERM: Final = r"([A-Za-z0-9][A-Za-z0-9_./-]*)\s*(!=|=)\s*([^,=]*)"


class Selector(NamedTuple):
    """Selects servers by name and labels: ``region=south,ring!=canary,name=b0*``. Every term has to hold.

    Attributes:
        terms: For each term the label, whether it must match, and the pattern (``*``, ``?``, ``[…]``).
    """

    terms: tuple[tuple[str, bool, str], ...]

    def matches(self, server: Server) -> bool:
        """Whether the server is selected. A label that it does not have matches no pattern."""
        known = {**server.labels, "name": server.name}
        return all((key in known and fnmatchcase(known[key], glob)) is wanted for key, wanted, glob in self.terms)

    @classmethod
    def parse(cls, text: str) -> Selector:
        """Reads a selector.

        Raises:
            InvalidValueError: It is not one.
        """
        found = [re.fullmatch(_TERM, term.strip()) for term in text.split(",")]
        terms = tuple((term[1], term[2] == "=", term[3].strip()) for term in found if term)
        if len(terms) < len(found):
            raise InvalidValueError("expected terms such as label=value or label!=value", "write region=south,name=b0*")
        return cls(terms)

    def __str__(self) -> str:
        return ",".join(f"{key}{'=' if wanted else '!='}{glob}" for key, wanted, glob in self.terms)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """How ``apply`` proceeds through a fleet. Percentages are of the selected servers, rounded up for batches.

    Attributes:
        canary: Which servers come first; none if it is ``None``.
        batches: Cumulative numbers of servers, canaries included; everything follows after the last one.
        max_failures: If more servers than this have failed, no further server starts.
        max_unreachable: If more servers than this were not reached, no further server starts.
        pause: Seconds between two batches.
    """

    canary: Selector | None = None
    batches: tuple[Amount, ...] = (EVERYTHING,)
    max_failures: Amount = EVERYTHING
    max_unreachable: Amount = EVERYTHING
    pause: float = 0.0


ALL_AT_ONCE: Final = Rollout()


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Servers of a rollout that start when those before them have finished.

    Attributes:
        number: Which batch of the rollout it is, from 1.
        count: How many batches the rollout has.
        first: Its first server, counted from 1 in the order of the rollout.
        last: Its last server.
        total: The number of servers in the rollout.
        is_canaries: Whether these are the canaries.
    """

    number: int
    count: int
    first: int
    last: int
    total: int
    is_canaries: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """The servers that manifests declare.

    Attributes:
        servers: What is declared for each, sorted by name; one if the manifests name one server or none.
        min_servers: With fewer declared servers, nothing is planned or applied.
        warnings: What is not about one of the servers.
        bases: The files that the manifests extend.
    """

    servers: tuple[Desired, ...]
    rollout: Rollout = ALL_AT_ONCE
    min_servers: int = 0
    warnings: tuple[Problem, ...] = ()
    bases: frozenset[str] = frozenset()

    def check_min_servers(self) -> None:
        """Checks ``min_servers``: if the files of many servers are missing, something is wrong with the checkout.

        Raises:
            GuardError: The fleet declares fewer servers than it must.
        """
        declared = len(self.servers)
        if declared < self.min_servers:
            message = (
                f"the files declare {declared} server{'' if declared == 1 else 's'}; min_servers is {self.min_servers}"
            )
            hint = "check that all files are there; lower min_servers if servers were removed"
            raise GuardError(Problem(kind=Kind.GUARD_MIN_SERVERS, message=message, hint=hint))
