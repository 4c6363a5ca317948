"""The calls on email accounts, as on the vendor's page."""

# No `from __future__ import annotations` here: FastAPI reads the handlers' annotations.
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, HTTPException, Path, Request
from fastapi.responses import JSONResponse, Response

from reconciler.sandbox.parts import Parts
from reconciler.sandbox.presentation import present
from reconciler.sandbox.schemas import AccountAnswer, AccountBody, DeliveryTestBody, ErrorAnswer

ACCOUNTS_PATH: Final = "/api/email/accounts"

_DESCRIPTIONS: Final = {
    400: "The request is not what the API takes",
    401: "No access token, or none that is good (any more)",
    404: "There is no such account",
    409: "A rule is in the way: a value that another account has, or the default account",
}


def refused(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The error answers of an operation, for the OpenAPI document."""
    return {status: {"model": ErrorAnswer, "description": _DESCRIPTIONS[status]} for status in statuses}


async def _parts(request: Request) -> Parts:
    parts: Parts = request.app.state.parts
    return parts


Sandboxed = Annotated[Parts, Depends(_parts)]
AccountId = Annotated[int, Path(alias="id", ge=1, description="The server's id of the account")]

router = APIRouter(prefix=ACCOUNTS_PATH, tags=["email accounts"])


# The store is quick, and calling it in the loop spares each request the way to a worker thread. Sending a mail takes as
# long as it takes: that handler is no coroutine, so that it runs in a thread of its own.


@router.get("", response_model=list[AccountAnswer], responses=refused(401))
async def list_accounts(parts: Sandboxed) -> Response:
    """All accounts."""
    return JSONResponse([present(account, parts.options) for account in parts.store.list()])


@router.post("", response_model=AccountAnswer, responses=refused(400, 401, 409))
async def create_account(parts: Sandboxed, body: AccountBody) -> Response:
    """Creates an account."""
    account = parts.store.create(body.settings())
    return JSONResponse(present(account, parts.options), parts.options.created_status)


@router.post("/test", response_class=Response, responses=refused(400, 401))
def run_delivery_test(parts: Sandboxed, body: DeliveryTestBody) -> Response:
    """Sends a mail with the settings in the body; the answer says whether it went out."""
    parts.mailer.send(body.settings(), body.to_email)
    return Response()


@router.api_route("/test", methods=["GET", "PUT", "DELETE"], include_in_schema=False)
async def refuse_method() -> None:
    """``test`` is a call and no account: without this, it would be taken for an id."""
    raise HTTPException(405)


@router.get("/{id}", response_model=AccountAnswer, responses=refused(401, 404))
async def get_account(parts: Sandboxed, account_id: AccountId) -> Response:
    """One account."""
    return JSONResponse(present(parts.store.get(account_id), parts.options))


@router.put("/{id}", response_model=AccountAnswer, responses=refused(400, 401, 404, 409))
async def replace_account(parts: Sandboxed, account_id: AccountId, body: AccountBody) -> Response:
    """Replaces an account: what the body leaves out is cleared."""
    return JSONResponse(present(parts.store.replace(account_id, body.settings()), parts.options))


@router.delete("/{id}", response_class=Response, responses=refused(401, 404, 409))
async def delete_account(parts: Sandboxed, account_id: AccountId) -> Response:
    """Deletes an account."""
    parts.store.delete(account_id)
    options = parts.options
    if options.deleted_status == 204:  # noqa: PLR2004 - "No Content"
        return Response(status_code=options.deleted_status)
    return Response(options.deleted_body, options.deleted_status, media_type="application/json")
