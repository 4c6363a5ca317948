"""The content of manifests as one digest, to detect that they have changed."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from reconciler.manifest.bases import Bases, Layer
from reconciler.manifest.discovery import read_files
from reconciler.manifest.events import YamlError
from reconciler.manifest.files import Source, read_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from reconciler.errors import Problem


@dataclass(frozen=True, slots=True)
class Contents:
    """What the manifests at some paths consist of.

    Attributes:
        digest: A SHA-256 of the names and bytes of all files that ``read_fleet`` reads, bases included.
        problems: Why a path yields nothing.
        visited: The files and folders whose status shows whether anything has changed.
        bases: Of the files that others extend, those that are not found at the paths.
    """

    digest: str
    problems: tuple[Problem, ...]
    visited: frozenset[str]
    bases: tuple[str, ...]


def read_contents(paths: Sequence[str], previous: Contents | None = None) -> Contents:
    """Reads the files at some paths, and the bases that they extend.

    Args:
        paths: As for ``read_fleet``.
        previous: What was there before. If it still is, the YAML is not parsed again to find the bases.
    """
    sources, problems, _, visited = read_files(paths)
    if previous is not None:
        found = _contents(sources, problems, visited, previous.bases)
        if found == previous:
            return previous
    return _contents(sources, problems, visited, _bases(paths, sources))


def _contents(
    sources: Iterable[Source], problems: Iterable[Problem], visited: frozenset[str], bases: tuple[str, ...]
) -> Contents:
    digest = hashlib.sha256()
    for file in (*sources, *(_base(name) for name in bases)):
        for part in (file.name.encode(errors="surrogateescape"), file.data):
            digest.update(len(part).to_bytes(8, "big"))
            digest.update(part)
    return Contents(digest.hexdigest(), tuple(problems), visited.union(bases), bases)


def _base(name: str) -> Source:
    """A base. The loader reports it if it cannot be read; here, the reason is its content."""
    found = read_file(name)
    return found if isinstance(found, Source) else Source(name, str(found).encode())


def _bases(paths: Sequence[str], sources: Sequence[Source]) -> tuple[str, ...]:
    """The names of the bases that are not among the files, sorted."""
    bases = Bases(paths)
    bases.add(sources)
    for source in sources:
        if source.may_contain(b"extends"):
            try:
                loaded = bases.load(source)
            except YamlError:
                continue
            if isinstance(loaded.value, dict) and "extends" in loaded.value:
                bases.of(Layer(source, loaded, loaded.value))
    return tuple(sorted(bases.names.difference(source.name for source in sources)))
