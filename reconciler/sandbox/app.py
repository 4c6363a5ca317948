"""Puts the API together: routes, error format, the gate in front, the OpenAPI document."""

from __future__ import annotations

from dataclasses import asdict
from functools import cache
from typing import TYPE_CHECKING, Any, Final, cast

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.routing import Match

from reconciler.sandbox import api, oauth
from reconciler.sandbox.faults import refusal_of_request, refusal_of_status
from reconciler.sandbox.gate import Gate
from reconciler.sandbox.host_check import HostCheck
from reconciler.sandbox.openapi import describe
from reconciler.sandbox.refusal import Refusal
from reconciler.version import VERSION

if TYPE_CHECKING:
    from starlette.requests import Request

    from reconciler.sandbox.parts import Parts


_REFUSED: Final = (Refusal, RequestValidationError, HTTPException)


def build_app(parts: Parts) -> FastAPI:
    """The ASGI application of one sandbox."""
    app = FastAPI(
        title="Reconciler sandbox",
        summary="A stand-in for the email accounts API of an iTFLEX appliance",
        version=VERSION,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
    )
    app.state.parts = parts
    # The routes are the same for every sandbox: they are made once, at import, and shared.
    app.router.routes.extend([*api.router.routes, *oauth.router.routes])

    @cache
    def document() -> dict[str, Any]:
        return describe(app, parts.options)

    async def openapi(_request: Request) -> Response:
        return JSONResponse(document())

    async def mails(_request: Request) -> Response:
        return JSONResponse([asdict(mail) for mail in parts.sink.mails])

    app.add_route("/openapi.json", openapi, include_in_schema=False)
    app.add_route("/sandbox/mails", mails, include_in_schema=False)
    for kind in _REFUSED:
        app.add_exception_handler(kind, _refuse)
    app.add_middleware(Gate, tokens=parts.tokens, latency=parts.options.latency)
    # Added last, it comes first.
    app.add_middleware(HostCheck, names=(parts.options.host, *parts.options.allowed_hosts))
    return app


async def _refuse(request: Request, error: Exception) -> Response:
    """Whatever goes wrong with a request is answered in the vendor's format."""
    headers = None
    if isinstance(error, RequestValidationError):
        refusal = refusal_of_request(error.errors(), request.app.state.parts.options)
    elif isinstance(error, HTTPException):
        refusal, headers = refusal_of_status(error.status_code), _allow(request) or error.headers
    else:
        refusal = cast("Refusal", error)
    return JSONResponse(refusal.body, refusal.status, headers)


def _allow(request: Request) -> dict[str, str]:
    """The ``Allow`` header with every method of the path; Starlette names those of one route alone."""
    routes = [
        route
        for route in request.app.routes
        if isinstance(route, APIRoute) and route.matches(request.scope)[0] is not Match.NONE
    ]
    exact = [route for route in routes if route.path == request.url.path] or routes
    methods = sorted({method for route in exact if route.include_in_schema for method in route.methods or ()})
    return {"Allow": ", ".join(methods)} if methods else {}
