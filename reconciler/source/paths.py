"""Manifests in files and folders on this machine, which anything may change at any time."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import TYPE_CHECKING, Final, TypeAlias

from reconciler.errors import SourceError
from reconciler.manifest.contents import read_contents
from reconciler.model.display import shorten
from reconciler.source.revision import Revision

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from reconciler.manifest.contents import Contents

# ruff: noqa: PTH116 - names stay as the user wrote them

SETTLED_AFTER: Final = 1.0
"""How long a path must be unchanged before it is used, in seconds: whoever writes to it may not have finished."""

_COMMIT_LENGTH: Final = 32
"""Shorter than a commit of Git: if a repository takes the place of the paths, its commits need not descend from it."""

_LONGEST_NAME: Final = 200

_Status: TypeAlias = "tuple[int, ...] | None"

_STATUS: Final = attrgetter("st_mtime_ns", "st_ctime_ns", "st_size", "st_ino", "st_dev")
"""The time of the last change of the inode cannot be set back, unlike that of the content."""


@dataclass(frozen=True, slots=True)
class _Look:
    """What was found at the paths.

    Attributes:
        statuses: Of each visited file and folder, taken before its content was read if the look is settled.
        since: When this content was first seen, on the monotonic clock.
        settled: Whether a second look, at least a second later, has found the same content.
    """

    contents: Contents
    names: tuple[str, ...]
    statuses: tuple[_Status, ...]
    since: float
    settled: bool = False


class PathsSource:
    """Offers the manifests at some paths once they have been unchanged for a second.

    Each look compares the status (times, size, inode) of every file and folder with the last one. Only if something
    differs is the content read. That also finds files that were replaced by renaming, and links that lead elsewhere
    now, such as those of a Kubernetes ConfigMap.

    A path that has vanished is an error only after a second, too: replacing it may take two steps.
    """

    def __init__(self, paths: Sequence[str], clock: Callable[[], float] = time.monotonic) -> None:
        """Takes files and folders as the user named them, and a monotonic clock in seconds."""
        self.name = shorten(" ".join(paths), _LONGEST_NAME)
        self._paths = tuple(paths)
        self._clock = clock
        self._look: _Look | None = None
        self._settled: Contents | None = None
        self._accepted = ""

    def last_good(self) -> Revision | None:
        """``None``: the former content of the paths is not kept."""
        return None

    def fetch(self) -> Revision | None:
        """The content of the paths; see ``Source.fetch``.

        Raises:
            SourceError: A path has vanished, is a folder without manifests, or cannot be read.
        """
        look = self._look = self._next_look()
        if look.settled:
            self._settled = look.contents
        if self._settled is None:
            return None
        if self._settled.problems:
            raise SourceError(*self._settled.problems)
        if self._settled.digest == self._accepted:
            return None
        return Revision(self._settled.digest[:_COMMIT_LENGTH], self._paths)

    def is_intact(self, revision: Revision) -> bool:
        """Whether nothing has changed since the revision was offered; see ``Source.is_intact``."""
        look = self._look
        if look is None or not look.settled or revision.commit != look.contents.digest[:_COMMIT_LENGTH]:
            return False
        if _statuses(look.names) == look.statuses and self._read() == look.contents:
            return True
        self._look = self._settled = None
        return False

    def accept(self, revision: Revision) -> bool:
        """The revision is the last good one from now on, if it is intact; see ``Source.accept``."""
        if self._settled is None or not self.is_intact(revision):
            return False
        self._accepted = self._settled.digest
        return True

    def close(self) -> None:
        """Nothing is running."""

    def _next_look(self) -> _Look:
        last, now = self._look, self._clock()
        if last is None:
            return self._first_look(now)
        statuses = _statuses(last.names)
        is_due = not last.settled and now - last.since >= SETTLED_AFTER
        if statuses == last.statuses and not is_due:
            return last
        contents = self._read()
        if contents == last.contents:
            return replace(last, statuses=statuses, settled=last.settled or is_due)
        return self._first_look(now, contents)

    def _first_look(self, now: float, contents: Contents | None = None) -> _Look:
        """The status is taken after the content is read: only then is it known which files there are.

        So a change in between is not noticed by the status, but by the second look, which always reads the content.
        """
        contents = contents or self._read()
        names = tuple(sorted(contents.visited))
        return _Look(contents, names, _statuses(names), now)

    def _read(self) -> Contents:
        return read_contents(self._paths, self._look.contents if self._look else None)


def _statuses(names: Iterable[str]) -> tuple[_Status, ...]:
    return tuple(map(_status, names))


def _status(name: str) -> _Status:
    """What the system reports about a file, links followed; ``None`` if there is no such file."""
    try:
        status: _Status = _STATUS(os.stat(name))
    except (OSError, ValueError):
        return None
    return status
