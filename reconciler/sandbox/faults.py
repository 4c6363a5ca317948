"""Turns what FastAPI and pydantic find wrong with a request into the vendor's error format."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from reconciler.sandbox.refusal import Fault, Refusal, no_such_account

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydantic_core import ErrorDetails

    from reconciler.sandbox import SandboxOptions

_GRANTS: Final = frozenset({"refresh_token", "password"})
_MESSAGES: Final = {
    "missing": "Campo obrigatório",
    "union_tag_not_found": "Campo obrigatório",
    "union_tag_invalid": "Valor inválido: valores possíveis: refresh_token, password",
    "json_invalid": "O corpo da requisição não é um JSON válido",
    "bool_type": "Valor inválido: esperado um booleano",
    "string_type": "Valor inválido: esperado um texto",
    "string_unicode": "Valor inválido: esperado um texto em Unicode válido",
    "string_too_short": "Valor inválido: não pode ser vazio",
    "string_pattern_mismatch": "Endereço de email inválido",
    "int_type": "Valor inválido: esperado um número inteiro",
    "greater_than_equal": "Valor inválido: esperado um número entre 1 e 65535",
    "less_than_equal": "Valor inválido: esperado um número entre 1 e 65535",
}
_STATUSES: Final = {
    HTTPStatus.NOT_FOUND: Fault("url", "not_found", "Recurso não encontrado"),
    HTTPStatus.METHOD_NOT_ALLOWED: Fault("method", "invalid", "Método não permitido"),
}


def refusal_of_request(errors: Sequence[ErrorDetails], options: SandboxOptions) -> Refusal:
    """The refusal of a request that is not what the API takes.

    Args:
        errors: Pydantic's error dictionaries; the input in them is never repeated, because it may hold a password.
        options: Says how this server spells ``hash_auth``.
    """
    if any(error["loc"][0] == "path" for error in errors):
        return no_such_account()
    return Refusal(HTTPStatus.BAD_REQUEST, *(_fault(error, options) for error in errors))


def refusal_of_status(status: int) -> Refusal:
    """The refusal of a request that no handler took, or whose body could not be read."""
    invalid = Fault("body", "invalid", _MESSAGES["json_invalid"])
    return Refusal(status, _STATUSES.get(HTTPStatus(status), invalid))


def _fault(error: ErrorDetails, options: SandboxOptions) -> Fault:
    kind = error["type"]
    missing = kind in {"missing", "union_tag_not_found"}
    field = "grant_type" if kind.startswith("union_tag") else _path(error["loc"][1:])
    if missing and field == "hash_auth" and options.auth_field == "has_auth":
        field = "has_auth"
    return Fault(field, "required" if missing else "invalid", _message(error))


def _path(location: Sequence[str | int]) -> str:
    """The field's path as the vendor writes it: ``data_list[1].value``."""
    if len(location) > 1 and location[0] in _GRANTS:
        location = location[1:]
    names = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location).removeprefix(".")
    return "body" if not names or names.startswith("[") else names


def _message(error: ErrorDetails) -> str:
    if error["type"] == "literal_error":
        allowed = re.findall("'([^']*)'", error["ctx"]["expected"])
        return f"Valor inválido: valores possíveis: {', '.join(allowed)}"
    return _MESSAGES.get(error["type"], "Valor inválido")
