"""What the page, the API and the metrics need from the loop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from reconciler.watch.records import Overview, RunRecord


class View(Protocol):
    """The watcher as its page sees it. Each method returns at once, and any thread may call it."""

    def overview(self) -> Overview:
        """The fleet as it is known now."""

    def runs(self, server: str) -> tuple[RunRecord, ...]:
        """The runs on a server, newest first; none if there is no such server."""

    def trigger(self) -> None:
        """Asks for a check of the source now."""

    def is_alive(self) -> bool:
        """Whether the loop goes on."""

    def is_ready(self) -> bool:
        """Whether manifests have loaded, and the first round has ended."""
