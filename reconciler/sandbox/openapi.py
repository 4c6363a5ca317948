"""Makes the generated OpenAPI document say what this sandbox really does."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from fastapi.openapi.utils import get_openapi

from reconciler.sandbox.api import ACCOUNTS_PATH
from reconciler.sandbox.gate import ACCESS_COOKIE, TOKEN_PATHS
from reconciler.sandbox.presentation import hidden_fields

if TYPE_CHECKING:
    from fastapi import FastAPI

    from reconciler.sandbox import SandboxOptions

_SECURITY: Final = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "The access token of the token exchange"},
    "cookie": {"type": "apiKey", "in": "cookie", "name": ACCESS_COOKIE, "description": "Set by the token exchange"},
}


def describe(app: FastAPI, options: SandboxOptions) -> dict[str, Any]:
    """The OpenAPI document of ``app`` under ``options``."""
    document = get_openapi(
        title=app.title,
        version=app.version,
        summary=app.summary,
        routes=app.routes,
        openapi_version=app.openapi_version,
    )
    for path, operations in document["paths"].items():
        for operation in operations.values():
            # FastAPI's own answer to bad requests, which this server never gives.
            operation["responses"].pop("422", None)
            operation["security"] = [] if path in TOKEN_PATHS else [{name: []} for name in _SECURITY]
    components = document["components"]
    components["securitySchemes"] = _SECURITY
    schemas = components["schemas"]
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    for field in hidden_fields(options):
        schemas["AccountAnswer"]["properties"].pop(field)
        schemas["AccountAnswer"]["required"].remove(field)
    _set_statuses(document["paths"], options)
    return document


def _set_statuses(paths: dict[str, Any], options: SandboxOptions) -> None:
    created = paths[ACCOUNTS_PATH]["post"]["responses"]
    created[str(options.created_status)] = created.pop("200")
    deleted = paths[f"{ACCOUNTS_PATH}/{{id}}"]["delete"]["responses"]
    answer = deleted.pop("200")
    if options.deleted_body and options.deleted_status != HTTPStatus.NO_CONTENT:
        answer["content"] = {"application/json": {"schema": {}}}
    deleted[str(options.deleted_status)] = answer
