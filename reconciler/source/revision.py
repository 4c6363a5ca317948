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
        commit: The commit's full hash; for paths, a shorter hash of their content.
        paths: Where its files are: readable until a later revision has been accepted.
        root: The folder that was made for the revision; empty if the paths are the user's own.
    """

    commit: str
    paths: Sequence[str]
    root: str = ""

    def shorten(self, text: str) -> str:
        """A sentence that names the revision's files as the repository does."""
        return text.replace(f"{self.root}/", "") if self.root else text


class Source(Protocol):
    """Offers the newest version of the manifests. For one thread, except for ``close``.

    Files may change between ``fetch`` and the end of loading. So neither the result of loading nor its errors count
    until the source has confirmed that the files are still those that it offered::

        revision = source.fetch()
        try:
            fleet = load(revision.paths)
        except ManifestError:
            if source.is_intact(revision):
                ...  # the revision is bad; its commit is remembered, because it will be offered again
        else:
            if source.accept(revision):
                ...  # the fleet is what the revision declares
    """

    name: str
    """What the source is, safe to show: a URL without credentials and a ref, or paths."""

    def last_good(self) -> Revision | None:
        """The last good revision of an earlier process, without asking anyone; ``None`` if its files are gone."""

    def fetch(self) -> Revision | None:
        """The newest version; ``None`` if it is the one that was last accepted, or is still being written.

        A revision that is never accepted is offered again each time, also while a newer one is still being written.

        Raises:
            SourceError: It cannot be reached, or its newest version must not be used.
        """

    def is_intact(self, revision: Revision) -> bool:
        """Whether the files of the revision have not changed since it was offered."""

    def accept(self, revision: Revision) -> bool:
        """This revision has loaded without errors: it is the last good one from now on. Files of others may go.

        Returns:
            Whether it was intact. If not, nothing was accepted, what was loaded must not be used, and a later ``fetch``
            offers what is there then.
        """

    def close(self) -> None:
        """Ends a git command that a ``fetch`` of another thread waits for; the ``fetch`` raises ``SourceError``."""
