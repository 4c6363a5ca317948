"""The manifests of a worker: loaded when it starts, and again when a client has another version."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Final

from reconciler.errors import GuardError, Kind, Problem, SourceError
from reconciler.fleet.worker import Declared
from reconciler.manifest.digest import manifest_digest
from reconciler.report.server_names import count_phrase
from reconciler.watch.intake import Intake

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconciler.reconcile import RunContext
    from reconciler.source.revision import Source
    from reconciler.watch.intake import Look
    from reconciler.watch.log import EventLog

_SETTLING: Final = 3.0
"""Seconds to look for a new version: a change of files counts when they have been unchanged for one second."""

_PAUSE: Final = 0.25
_REST: Final = 2.0
"""Seconds between two searches for a newer version, if the last one found none."""


class WorkerManifests:
    """Implements ``Declarations``. Safe for threads."""

    def __init__(self, source: Source, context: RunContext, trust: str | None, log: EventLog) -> None:
        self._intake = Intake(source, context, trust)
        self._log = log
        self._lock = threading.Lock()
        self._declared: dict[str, tuple[str, Declared]] = {}
        self._bases: frozenset[str] = frozenset()
        self._searched_in_vain_at = float("-inf")

    def load(self) -> None:
        """Loads the manifests for the first time.

        Raises:
            SourceError: They cannot be loaded.
        """
        look = self._search()
        if not self._declared:
            raise SourceError.of(look.problem or "the manifests keep changing", kind=Kind.NO_SUCH_FILE)

    @property
    def files(self) -> Iterator[str]:
        """The other files that the manifests name, such as those with secrets."""
        from reconciler.manifest.trust_check import files_of

        yield from self._bases
        for _digest, declared in self._declared.values():
            yield from files_of(declared.desired)

    def find(self, server: str, manifest_digest: str) -> Declared:
        """What is declared for a server; see ``Declarations.find``."""
        known, declared = self._declared.get(server, ("", None))
        if known != manifest_digest:
            with self._lock:
                known, declared = self._declared.get(server, ("", None))
                if known != manifest_digest and time.monotonic() - self._searched_in_vain_at > _REST:
                    self._search()
                    known, declared = self._declared.get(server, ("", None))
        if declared is None:
            message, hint = "this worker's manifests declare no such server", "give client and worker the same commit"
            raise GuardError(Problem(kind=Kind.MANIFESTS_DIFFER, message=message, hint=hint))
        if known != manifest_digest:
            message = "this worker's manifests declare the server otherwise than the client's; nothing was done"
            hint = "give client and worker the same commit and the same version of this program"
            raise GuardError(Problem(kind=Kind.MANIFESTS_DIFFER, message=message, hint=hint))
        return declared

    def _search(self) -> Look:
        """Looks for a newer version, until there is one or nothing changes."""
        end = time.monotonic() + _SETTLING
        look = self._intake.look(again=True)
        while not look.manifests and not look.problem and time.monotonic() < end:
            time.sleep(_PAUSE)
            look = self._intake.look()
        if look.problem:
            self._log.event("source_problem", look.problem, level="warning")
        if look.manifests:
            self._take(look)
        else:
            self._searched_in_vain_at = time.monotonic()
        return look

    def _take(self, look: Look) -> None:
        assert look.manifests is not None  # noqa: S101 - the caller has checked
        revision, fleet = look.manifests.revision, look.manifests.fleet
        context = self._intake.context(revision)
        self._declared = {
            one.named_server.name: (manifest_digest(one), Declared(one, context, revision.shorten))
            for one in fleet.servers
        }
        self._bases = fleet.bases
        self._log.commit = revision.commit
        self._log.event("manifests_loaded", count_phrase(len(fleet.servers)))
