"""FastAPI's description of an application, corrected where the application does something else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi.openapi.utils import get_openapi

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from fastapi import FastAPI


def openapi_document(
    app: FastAPI, schemes: Mapping[str, object], security: Callable[[str], Sequence[object]]
) -> dict[str, Any]:
    """The document, without FastAPI's own response to invalid requests, which no application here sends.

    Args:
        app: The application.
        schemes: The ways to authenticate, by name.
        security: Which of them the operations of a path take.
    """
    document = get_openapi(title=app.title, version=app.version, summary=app.summary, routes=app.routes)
    for path, operations in document["paths"].items():
        for operation in operations.values():
            operation["responses"].pop("422", None)
            operation["security"] = security(path)
    components = document["components"]
    components["securitySchemes"] = schemes
    for name in ("HTTPValidationError", "ValidationError"):
        components["schemas"].pop(name, None)
    return document
