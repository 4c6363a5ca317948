"""The calls on the vendor's two pages: email accounts, and the exchange of tokens."""

# No `from __future__ import annotations` here: FastAPI reads the handlers' annotations.
import asyncio
import secrets
import time
from dataclasses import dataclass
from hmac import compare_digest
from http import HTTPStatus
from threading import Lock
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, HTTPException, Path
from fastapi.responses import JSONResponse, Response
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from reconciler.sandbox import PASSWORD, REFRESH_TOKEN, USERNAME, SandboxOptions
from reconciler.sandbox.mailer import Mailer
from reconciler.sandbox.schemas import (
    FIELDS,
    AccountBody,
    AccountResponse,
    DeliveryTestBody,
    ErrorBody,
    ErrorEntry,
    ErrorResponse,
    Grant,
    PasswordGrant,
    RefreshGrant,
    TokenResponse,
    response_names,
)
from reconciler.sandbox.smtp_sink import SmtpSink
from reconciler.sandbox.store import AccountStore, StoredAccount

ACCOUNTS_PATH: Final = "/api/email/accounts"
TOKEN_PATHS: Final = ("/api/v1/oauth2/token", "/api/oauth2/token")
ACCESS_COOKIE: Final = "access-token"
REFRESH_COOKIE: Final = "refresh-token"

_MASK: Final = "********"
_DESCRIPTIONS: Final = {
    400: "The request is not valid",
    401: "The access token is missing, invalid or expired",
    404: "There is no such account",
    409: "The request breaks a rule: a value is not unique, or it concerns the default account",
}


class TokenStore:
    """Issues and checks tokens: random, short-lived, and gone when the sandbox ends."""

    def __init__(self, lifetime: int, *, rotates: bool = False) -> None:
        """Takes an access token's lifetime in seconds, and whether each refresh token can be exchanged once only."""
        self.lifetime = lifetime
        self.refresh_token = REFRESH_TOKEN
        self._rotates = rotates
        self._lock = Lock()
        self._expiries: dict[str, float] = {}

    def redeem(self, refresh_token: str) -> bool:
        """Whether this is the refresh token, which is replaced if they rotate."""
        with self._lock:
            if not compare_digest(refresh_token.encode(), self.refresh_token.encode()):
                return False
            if self._rotates:
                self.refresh_token = f"sandbox-{secrets.token_urlsafe(24)}"
            return True

    def issue(self) -> str:
        """Returns a new access token."""
        now = time.monotonic()
        self._expiries = {token: expiry for token, expiry in self._expiries.items() if expiry > now}
        token = secrets.token_urlsafe(24)
        self._expiries[token] = now + self.lifetime
        return token

    def accepts(self, token: str) -> bool:
        """Whether ``token`` was issued and has not expired."""
        return self._expiries.get(token, 0.0) > time.monotonic()

    def expire(self) -> None:
        """Makes every access token expire now."""
        self._expiries = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class AppState:
    """What the handlers of one sandbox share."""

    options: SandboxOptions
    store: AccountStore
    tokens: TokenStore
    mailer: Mailer
    sink: SmtpSink


class AuthMiddleware:
    """ASGI middleware that adds the latency and checks the token, before anything else looks at the request."""

    def __init__(self, app: ASGIApp, *, tokens: TokenStore, latency: float) -> None:
        self._app = app
        self._tokens = tokens
        self._latency = latency

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on, or responds with 401."""
        if scope["type"] == "http" and scope["path"].startswith("/api/"):
            if self._latency:
                await asyncio.sleep(self._latency)
            if scope["path"] not in TOKEN_PATHS and (error := self._error(Request(scope))):
                response = JSONResponse(error.body, error.status, {"WWW-Authenticate": "Bearer"})
                await response(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _error(self, request: Request) -> ErrorResponse | None:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if not scheme:
            # The vendor's SDK sends no header: it relies on the cookies that the token exchange has set.
            token = request.cookies.get(ACCESS_COOKIE, "")
        elif scheme.lower() != "bearer":
            token = ""
        if not token:
            entry = ErrorEntry("access_token", "required", "Token de acesso não informado")
        elif not self._tokens.accepts(token.strip()):
            entry = ErrorEntry("access_token", "invalid", "Token de acesso inválido ou expirado")
        else:
            return None
        return ErrorResponse(HTTPStatus.UNAUTHORIZED, entry)


def account_response(account: StoredAccount, options: SandboxOptions) -> dict[str, Any]:
    """The account as responses show it, with the spellings and the passwords that the options ask for."""
    password = account.fields["password"]
    forms = {"null": None, "empty": "", "mask": _MASK if password else None}
    shown = {**account.fields, "password": forms.get(options.passwords, password)}
    return {
        "id": account.id,
        **{spelling: shown[name] for name in FIELDS for spelling in response_names(name, options)},
        "created_at": account.created_at,
        "updated_at": account.updated_at,
    }


def _errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The error responses of an operation, for the OpenAPI document."""
    return {status: {"model": ErrorBody, "description": _DESCRIPTIONS[status]} for status in statuses}


async def _state(request: Request) -> AppState:
    state: AppState = request.app.state.sandbox
    return state


State = Annotated[AppState, Depends(_state)]
AccountId = Annotated[int, Path(alias="id", ge=1, description="The server's id of the account")]

_authentication = APIRouter(tags=["authentication"])
_accounts = APIRouter(prefix=ACCOUNTS_PATH, tags=["email accounts"])

# The store is fast enough to be called in the event loop, which saves each request the way to a worker thread. Sending
# a mail may take seconds: that handler is no coroutine, so FastAPI runs it in a thread.


@_accounts.get("", response_model=list[AccountResponse], responses=_errors(401))
async def list_accounts(state: State) -> Response:
    """Lists all accounts."""
    return JSONResponse([account_response(account, state.options) for account in state.store.list()])


@_accounts.post("", response_model=AccountResponse, responses=_errors(400, 401, 409))
async def create_account(state: State, body: AccountBody) -> Response:
    """Creates an account."""
    account = state.store.create(body.model_dump())
    return JSONResponse(account_response(account, state.options), state.options.created_status)


@_accounts.post("/test", response_class=Response, responses=_errors(400, 401))
def run_delivery_test(state: State, body: DeliveryTestBody) -> Response:
    """Sends a mail with the settings in the body, and reports whether the mail server accepted it."""
    state.mailer.send(body.model_dump(), body.to_email)
    return Response()


@_accounts.api_route("/test", methods=["GET", "PUT", "DELETE"], include_in_schema=False)
async def refuse_method() -> None:
    """Refuses these methods: without this route, ``test`` would be an invalid id."""
    raise HTTPException(HTTPStatus.METHOD_NOT_ALLOWED)


@_accounts.get("/{id}", response_model=AccountResponse, responses=_errors(401, 404))
async def get_account(state: State, account_id: AccountId) -> Response:
    """Returns one account."""
    return JSONResponse(account_response(state.store.get(account_id), state.options))


@_accounts.put("/{id}", response_model=AccountResponse, responses=_errors(400, 401, 404, 409))
async def replace_account(state: State, account_id: AccountId, body: AccountBody) -> Response:
    """Replaces an account: optional fields that the body leaves out are cleared."""
    return JSONResponse(account_response(state.store.replace(account_id, body.model_dump()), state.options))


@_accounts.delete("/{id}", response_class=Response, responses=_errors(401, 404, 409))
async def delete_account(state: State, account_id: AccountId) -> Response:
    """Deletes an account."""
    state.store.delete(account_id)
    options = state.options
    if options.deleted_status == HTTPStatus.NO_CONTENT:
        return Response(status_code=options.deleted_status)
    return Response(options.deleted_body, options.deleted_status, media_type="application/json")


async def exchange(state: State, body: Grant) -> Response:
    """Exchanges the API key, or a user's name and password, for an access token."""
    error: ErrorEntry | None = None
    match body:
        case RefreshGrant() if not state.tokens.redeem(body.refresh_token):
            error = ErrorEntry("refresh_token", "invalid", "Chave de acesso inválida")
        case PasswordGrant() if not _is_login(body.username, body.password):
            error = ErrorEntry("password", "invalid", "Usuário ou senha inválidos")
    if error:
        raise ErrorResponse(HTTPStatus.UNAUTHORIZED, error)
    token, key, lifetime = state.tokens.issue(), state.tokens.refresh_token, state.tokens.lifetime
    tokens = TokenResponse(refresh_token=key, access_token=token, expires_in=lifetime)
    response = JSONResponse(tokens.model_dump())
    response.set_cookie(REFRESH_COOKIE, key, httponly=True, samesite="strict")
    response.set_cookie(ACCESS_COOKIE, token, max_age=lifetime, httponly=True, samesite="strict")
    return response


def _is_login(username: str, password: str) -> bool:
    return compare_digest(f"{username}\0{password}".encode(), f"{USERNAME}\0{PASSWORD}".encode())


for _path in TOKEN_PATHS:
    _authentication.post(_path, response_model=TokenResponse, responses=_errors(400, 401))(exchange)

ROUTES: Final = [*_accounts.routes, *_authentication.routes]
"""Routes take long to make, so all sandboxes share these."""
