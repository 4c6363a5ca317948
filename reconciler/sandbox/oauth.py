"""The token exchange: OAuth 2 with a pre-shared key, as on the vendor's page about authentication."""

# No `from __future__ import annotations` here: FastAPI reads the handlers' annotations.
from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response

from reconciler.sandbox.api import Sandboxed, refused
from reconciler.sandbox.gate import ACCESS_COOKIE, REFRESH_COOKIE, TOKEN_PATHS, unauthorized
from reconciler.sandbox.refusal import Fault
from reconciler.sandbox.schemas import Grant, PasswordGrant, RefreshGrant, TokenAnswer
from reconciler.sandbox.tokens import is_login

router = APIRouter(tags=["authentication"])


async def exchange(parts: Sandboxed, body: Grant) -> Response:
    """Exchanges the integrator's key, or a user's name and password, for an access token."""
    match body:
        case RefreshGrant() if not parts.tokens.redeem(body.refresh_token):
            raise unauthorized(Fault("refresh_token", "invalid", "Chave de acesso inválida"))
        case PasswordGrant() if not is_login(body.username, body.password):
            raise unauthorized(Fault("password", "invalid", "Usuário ou senha inválidos"))
    token, key = parts.tokens.issue(), parts.tokens.refresh_token
    answer = TokenAnswer(refresh_token=key, access_token=token, expires_in=parts.tokens.lifetime)
    response = JSONResponse(answer.model_dump())
    response.set_cookie(REFRESH_COOKIE, key, httponly=True, samesite="strict")
    response.set_cookie(ACCESS_COOKIE, token, max_age=parts.tokens.lifetime, httponly=True, samesite="strict")
    return response


for _path in TOKEN_PATHS:
    router.post(_path, response_model=TokenAnswer, responses=refused(400, 401))(exchange)
