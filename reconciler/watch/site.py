"""The watcher's web application: pages, API, metrics, probes and hook."""

from __future__ import annotations

import json
from functools import cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, TypeVar

from anyio import CapacityLimiter, to_thread
from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, PlainTextResponse, Response

from reconciler.http_server.openapi import openapi_document
from reconciler.model.display import shorten
from reconciler.version import VERSION
from reconciler.watch.access import HOOK, Access
from reconciler.watch.api import notice_documents, server_details, server_document
from reconciler.watch.api_models import ErrorModel, NoticeModel, ServerDetailsModel, ServerModel
from reconciler.watch.hook import Hook
from reconciler.watch.metrics import CONTENT_TYPE
from reconciler.watch.page_query import PageQuery
from reconciler.watch.rendering import Pages

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request
    from starlette.types import ASGIApp

    from reconciler.watch.metrics import Metrics
    from reconciler.watch.page_options import PageOptions
    from reconciler.watch.records import Overview, ServerRecord
    from reconciler.watch.view import View

T = TypeVar("T")

API: Final = "/api/v1"
_AT_ONCE: Final = 2
"""The most pages that are made at the same time: the loop needs the processor too."""

_LONGEST_NAME: Final = 80
_SECURITY: Final = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "The page's token, if one is set."},
    "basic": {"type": "http", "scheme": "basic", "description": "The token as the password of any user name."},
}
_UNAUTHORIZED: Final[dict[int | str, dict[str, Any]]] = {
    401: {"model": ErrorModel, "description": "The token is missing or wrong."}
}
_NO_SERVER: Final[dict[int | str, dict[str, Any]]] = {
    404: {"model": ErrorModel, "description": "There is no such server."}
}


def build_site(view: View, metrics: Metrics, options: PageOptions, report_bug: Callable[[Exception], None]) -> ASGIApp:
    """The whole application, with everything that protects it."""
    site = _Site(view, metrics, Hook(options.hook_secret, view.trigger))
    return Access(site.app, names=options.names, token=options.token, refuse=site.refuse, report_bug=report_bug)


class _Site:
    def __init__(self, view: View, metrics: Metrics, hook: Hook) -> None:
        self._view = view
        self._metrics = metrics
        self._pages = Pages()
        self._limit = CapacityLimiter(_AT_ONCE)
        self.app = FastAPI(
            title="Reconciler watch",
            summary="The servers of a fleet, as the watcher last saw them. Read-only.",
            version=VERSION,
            docs_url=None,
            redoc_url=None,
            openapi_url=None,
            redirect_slashes=False,
            exception_handlers={HTTPException: self._respond_with_error, Exception: self._respond_with_error},
        )
        optional: list[object] = [*({name: []} for name in _SECURITY), {}]
        self._document = cache(lambda: openapi_document(self.app, _SECURITY, lambda _path: optional))
        for path, respond in (
            ("/", self._fleet),
            ("/servers/{name:path}", self._server),
            ("/metrics", self._metrics_page),
            ("/openapi.json", self._openapi_page),
            ("/healthz", self._alive),
            ("/readyz", self._ready),
        ):
            self.app.add_route(path, respond, methods=["GET"], include_in_schema=False)
        self.app.add_route(HOOK, hook.respond, methods=["POST"], include_in_schema=False)
        self._add_api()

    def _add_api(self) -> None:
        self.app.add_api_route(
            f"{API}/servers",
            self._list_servers,
            response_model=list[ServerModel],
            responses=_UNAUTHORIZED,
            summary="All servers, sorted by name",
            operation_id="list_servers",
        )
        self.app.add_api_route(
            f"{API}/servers/{{name}}",
            self._get_server,
            response_model=ServerDetailsModel,
            responses={**_UNAUTHORIZED, **_NO_SERVER},
            summary="One server, with its changes and its runs",
            operation_id="get_server",
        )

        self.app.add_api_route(
            f"{API}/notices",
            self._list_notices,
            response_model=list[NoticeModel],
            responses=_UNAUTHORIZED,
            summary="What is wrong with the watcher or its source",
            operation_id="list_notices",
        )

    def refuse(self, path: str, status: HTTPStatus, message: str) -> Response:
        """An error as those who use that path can read it."""
        if path.startswith((f"{API}/", "/openapi.json")):
            return _json({"error": message}, status)
        if path == "/" or path.startswith("/servers/"):
            return self._html(self._pages.error(status, message), status)
        return PlainTextResponse(f"{message}\n", status)

    async def _fleet(self, request: Request) -> Response:
        query = PageQuery.parse(request.query_params.multi_items())
        return self._html(await self._in_thread(lambda: self._pages.fleet(self._view.overview(), query)))

    async def _server(self, request: Request) -> Response:
        query = PageQuery.parse(request.query_params.multi_items())
        name = request.path_params["name"]

        def render() -> str:
            overview = self._view.overview()
            return self._pages.server(overview, _find(overview, name), self._view.runs(name), query)

        return self._html(await self._in_thread(render))

    async def _list_servers(self) -> Response:
        def documents() -> Response:
            return _json([server_document(record) for record in self._view.overview().servers])

        return await self._in_thread(documents)

    async def _get_server(self, name: str) -> Response:
        def document() -> Response:
            return _json(server_details(_find(self._view.overview(), name), self._view.runs(name)))

        return await self._in_thread(document)

    async def _list_notices(self) -> Response:
        return _json(notice_documents(self._view.overview().notices))

    async def _metrics_page(self, _request: Request) -> Response:
        content = await self._in_thread(lambda: self._metrics.render(self._view.overview()))
        return Response(content, media_type=CONTENT_TYPE)

    async def _openapi_page(self, _request: Request) -> Response:
        return _json(self._document())

    async def _alive(self, _request: Request) -> Response:
        return _probe(passes=self._view.is_alive())

    async def _ready(self, _request: Request) -> Response:
        return _probe(passes=self._view.is_ready())

    async def _respond_with_error(self, request: Request, error: Exception) -> Response:
        path = request.url.path
        if isinstance(error, _NoServerError):
            return self.refuse(path, HTTPStatus.NOT_FOUND, error.detail)
        if isinstance(error, HTTPException):
            status = HTTPStatus(error.status_code)
            return self.refuse(path, status, status.phrase.lower())
        return self.refuse(path, HTTPStatus.INTERNAL_SERVER_ERROR, "internal error")

    def _html(self, content: str, status: HTTPStatus = HTTPStatus.OK) -> Response:
        # A string from a server may have an unpaired surrogate, which UTF-8 cannot have.
        return HTMLResponse(content.encode("utf-8", "replace"), status, {"Content-Security-Policy": self._pages.policy})

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await to_thread.run_sync(work, limiter=self._limit)


class _NoServerError(HTTPException):
    def __init__(self, name: str) -> None:
        super().__init__(HTTPStatus.NOT_FOUND, f"no server is named {shorten(name, _LONGEST_NAME)}")


def _find(overview: Overview, name: str) -> ServerRecord:
    for record in overview.servers:
        if record.name == name:
            return record
    raise _NoServerError(name)


def _json(document: object, status: HTTPStatus = HTTPStatus.OK) -> Response:
    content = json.dumps(document, ensure_ascii=False).encode("utf-8", "replace")
    return Response(content, status, media_type="application/json")


def _probe(*, passes: bool) -> Response:
    return PlainTextResponse("ok\n" if passes else "no\n", HTTPStatus.OK if passes else HTTPStatus.SERVICE_UNAVAILABLE)
