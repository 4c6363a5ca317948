"""The ASGI application: routes, middleware, errors in the vendor's format, and the OpenAPI document."""

from __future__ import annotations

from dataclasses import asdict
from functools import cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, cast

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.routing import Match

from reconciler.http_server.host_check import HostCheck, HostFault, Refusal
from reconciler.http_server.openapi import openapi_document
from reconciler.sandbox.api import ACCESS_COOKIE, ACCOUNTS_PATH, ROUTES, TOKEN_PATHS, AuthMiddleware
from reconciler.sandbox.schemas import (
    FIELDS,
    ErrorEntry,
    ErrorResponse,
    error_from_status,
    error_from_validation,
    response_names,
)
from reconciler.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.requests import Request
    from starlette.types import ASGIApp, Receive, Scope, Send

    from reconciler.sandbox import SandboxOptions
    from reconciler.sandbox.api import AppState

_SECURITY: Final = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "The access token of the token exchange"},
    "cookie": {"type": "apiKey", "in": "cookie", "name": ACCESS_COOKIE, "description": "Set by the token exchange"},
}


def build_app(state: AppState) -> FastAPI:
    """The ASGI application of one sandbox."""
    app = FastAPI(
        title="Reconciler sandbox",
        summary="A local server with the email accounts API of an iTFLEX appliance",
        version=VERSION,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
    )
    app.state.sandbox = state
    app.router.routes.extend(ROUTES)

    @cache
    def document() -> dict[str, Any]:
        return _openapi(app, state.options)

    async def openapi(_request: Request) -> Response:
        return JSONResponse(document())

    async def mails(_request: Request) -> Response:
        return JSONResponse([asdict(mail) for mail in state.sink.mails])

    app.add_route("/openapi.json", openapi, include_in_schema=False)
    app.add_route("/sandbox/mails", mails, include_in_schema=False)
    for kind in (ErrorResponse, RequestValidationError, HTTPException):
        app.add_exception_handler(kind, _respond_with_error)
    app.add_middleware(AuthMiddleware, tokens=state.tokens, latency=state.options.latency)
    # The middleware that is added last runs first.
    app.add_middleware(HostMiddleware, names=(state.options.host, *state.options.allowed_hosts))
    return app


class HostMiddleware:
    """ASGI middleware. It comes before everything else, so a refused request learns and changes nothing."""

    def __init__(self, app: ASGIApp, *, names: Iterable[str]) -> None:
        self._app = app
        self._check = HostCheck(names)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on, or responds with 400, 403 or 421."""
        if scope["type"] == "http" and (refusal := self._check.refusal(scope)):
            error = _host_error(refusal)
            await JSONResponse(error.body, error.status)(scope, receive, send)
        else:
            await self._app(scope, receive, send)


def _host_error(refusal: Refusal) -> ErrorResponse:
    if refusal.fault is HostFault.INVALID:
        entry = ErrorEntry("host", "invalid", "the request has no valid Host header")
        return ErrorResponse(HTTPStatus.BAD_REQUEST, entry)
    if refusal.fault is HostFault.OTHER_HOST:
        message = f"this sandbox is not {refusal.name}; to accept that name, start it with --allow-host"
        return ErrorResponse(HTTPStatus.MISDIRECTED_REQUEST, ErrorEntry("host", "invalid", message))
    entry = ErrorEntry("origin", "invalid", "the request comes from a page of another site")
    return ErrorResponse(HTTPStatus.FORBIDDEN, entry)


async def _respond_with_error(request: Request, error: Exception) -> Response:
    headers = None
    if isinstance(error, RequestValidationError):
        response = error_from_validation(error.errors(), request.app.state.sandbox.options)
    elif isinstance(error, HTTPException):
        response, headers = error_from_status(error.status_code), _allow_header(request) or error.headers
    else:
        response = cast("ErrorResponse", error)
    return JSONResponse(response.body, response.status, headers)


def _allow_header(request: Request) -> dict[str, str]:
    """The ``Allow`` header with all methods of the path; Starlette only lists those of one route."""
    routes = [
        route
        for route in request.app.routes
        if isinstance(route, APIRoute) and route.matches(request.scope)[0] is not Match.NONE
    ]
    exact = [route for route in routes if route.path == request.url.path] or routes
    methods = sorted({method for route in exact if route.include_in_schema for method in route.methods or ()})
    return {"Allow": ", ".join(methods)} if methods else {}


def _openapi(app: FastAPI, options: SandboxOptions) -> dict[str, Any]:
    """FastAPI's document, corrected where this sandbox does something else."""
    needed: list[object] = [{name: []} for name in _SECURITY]
    document = openapi_document(app, _SECURITY, lambda path: [] if path in TOKEN_PATHS else needed)
    account = document["components"]["schemas"]["AccountResponse"]
    for name, field in FIELDS.items():
        for spelling in {*(field.spellings or (name,))}.difference(response_names(name, options)):
            del account["properties"][spelling]
            account["required"].remove(spelling)
    _set_statuses(document["paths"], options)
    return document


def _set_statuses(paths: dict[str, Any], options: SandboxOptions) -> None:
    created = paths[ACCOUNTS_PATH]["post"]["responses"]
    created[str(options.created_status)] = created.pop("200")
    deleted = paths[f"{ACCOUNTS_PATH}/{{id}}"]["delete"]["responses"]
    success = deleted.pop("200")
    if options.deleted_body and options.deleted_status != HTTPStatus.NO_CONTENT:
        success["content"] = {"application/json": {"schema": {}}}
    deleted[str(options.deleted_status)] = success
