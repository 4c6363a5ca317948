"""Makes the pages from their templates, without any script."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from reconciler.report.html_page import FOOTER, WEB_FOLDER, source_hash, templates, web_files
from reconciler.watch.page import fleet_contents, server_path
from reconciler.watch.page_words import Moments
from reconciler.watch.server_page import server_contents

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from http import HTTPStatus

    from reconciler.watch.page_query import PageQuery
    from reconciler.watch.records import Overview, RunRecord, ServerRecord

REFRESH_SECONDS: Final = 30
_FOLDER: Final = Path(__file__).with_name("web")


class Pages:
    """Renders pages. Thread-safe.

    Attributes:
        policy: The Content-Security-Policy of all pages: their own style, forms to the same address, nothing else.
    """

    def __init__(self) -> None:
        self._templates = templates(_FOLDER)
        self._style = web_files(WEB_FOLDER / "page.css", _FOLDER / "watch.css")
        self.policy = (
            f"default-src 'none'; style-src {source_hash(self._style)}; img-src data:; base-uri 'none';"
            " form-action 'self'; frame-ancestors 'none'"
        )

    def fleet(self, overview: Overview, query: PageQuery) -> str:
        """The page of all servers."""
        contents = fleet_contents(overview, query)
        return self._render("fleet.html.jinja", contents, overview.at, _refresh_links(query, None))

    def server(self, overview: Overview, record: ServerRecord, runs: Sequence[RunRecord], query: PageQuery) -> str:
        """The page of one server."""
        contents = server_contents(overview, record, runs, query)
        return self._render("server.html.jinja", contents, overview.at, _refresh_links(query, record.name))

    def error(self, status: HTTPStatus, message: str) -> str:
        """A page instead of the one that was asked for. It never reloads itself."""
        contents = {"title": status.phrase, "message": message}
        links = {"refresh": 0, "stop_path": "", "resume_path": ""}
        return self._render("error.html.jinja", contents, datetime.now(UTC), links)

    def _render(self, template: str, contents: Mapping[str, Any], at: datetime, links: Mapping[str, Any]) -> str:
        return self._templates.get_template(template).render(
            style=self._style,
            seconds=REFRESH_SECONDS,
            moment=Moments(at).of(at),
            footer=FOOTER,
            **links,
            **contents,
        )


def _refresh_links(query: PageQuery, server: str | None) -> dict[str, Any]:
    """How the page reloads itself, and the addresses that stop and resume that."""

    def path(changed: PageQuery) -> str:
        return changed.path() if server is None else server_path(server, changed)

    return {
        "refresh": REFRESH_SECONDS if query.refreshes else 0,
        "stop_path": path(query.with_refresh(refreshes=False)),
        "resume_path": path(query.with_refresh(refreshes=True)),
    }
