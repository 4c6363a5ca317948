"""One version of the manifests, and what a source offers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Revision:
    """One version of the manifests.

    Attributes:
        commit: The commit's full hash; for paths, the first 40 hexadecimal digits of a hash of their content.
        paths: Where its files are: readable until a later revision has been accepted.
    """

    commit: str
    paths: Sequence[str]


class Source(Protocol):
    """Offers the newest version of the manifests. For one thread."""

    name: str
    """What the source is, safe to show: a URL without credentials and a ref, or paths."""

    def fetch(self) -> Revision | None:
        """The newest version; ``None`` if it is the one that was last accepted, or is still being written.

        Raises:
            SourceError: It cannot be reached, or its newest version must not be used.
        """

    def accept(self, revision: Revision) -> None:
        """This revision has loaded without errors: it is the last good one from now on. Files of others may go."""
