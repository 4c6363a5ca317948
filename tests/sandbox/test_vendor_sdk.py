"""The vendor's own SDK, as it is on PyPI, against the sandbox.

``import itflex_sdk`` fails, because its wheel lacks ``auth/types``. The modules that matter here are loaded from the
installed files by themselves, under a package whose ``__init__`` is not run.
"""

from __future__ import annotations

import importlib
import sys
from importlib.metadata import PackageNotFoundError, distribution
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest

from tests.sandbox.conftest import ACCOUNTS
from tests.support.vendor_page import ACCOUNT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconciler.sandbox import Sandbox
    from tests.sandbox.conftest import Connect


Sdk: TypeAlias = dict[str, Any]
Requester: TypeAlias = Any
"""The SDK has no types."""


@pytest.fixture
def sdk(monkeypatch: pytest.MonkeyPatch) -> Sdk:
    try:
        location = distribution("itflex-sdk").locate_file("itflex_sdk")
    except PackageNotFoundError:
        pytest.skip("the vendor's SDK is not installed: pip install itflex-sdk==0.0.2")
    package = ModuleType("itflex_sdk")
    package.__path__ = [str(location)]
    monkeypatch.setitem(sys.modules, "itflex_sdk", package)
    modules = {name: importlib.import_module(f"itflex_sdk.{name}") for name in ("consts", "errors", "requester")}
    for module in modules.values():
        monkeypatch.setitem(sys.modules, module.__name__, module)
    return modules


@pytest.fixture
def requester(sdk: Sdk, sandbox: Sandbox) -> Iterator[Requester]:
    requester = sdk["requester"].Requester(sandbox.url, apikey=sandbox.refresh_token)
    yield requester
    requester.session.close()


def request(sdk: Sdk, method: str, uri: str, **rest: object) -> object:
    return sdk["requester"].HttpRequest(method=sdk["requester"].HttpMethods[method], uri=uri, **rest)


def test_it_authenticates_and_lists_accounts(
    sdk: Sdk,
    requester: Requester,
    sandbox: Sandbox,
    connect: Connect,
) -> None:
    account = connect(sandbox).post(ACCOUNTS, json=ACCOUNT).json()
    response = requester.execute(request(sdk, "GET", ACCOUNTS))
    assert requester.authenticated
    assert (response.success, response.status.value, response.json) == (True, "success", [account])


def test_it_authenticates_with_user_name_and_password(sdk: Sdk, sandbox: Sandbox) -> None:
    requester = sdk["requester"].Requester(sandbox.url, username="admin", password="sandbox")
    assert requester.execute(request(sdk, "GET", ACCOUNTS)).json == []
    requester.session.close()


def test_it_reports_a_wrong_key(sdk: Sdk, sandbox: Sandbox) -> None:
    requester = sdk["requester"].Requester(sandbox.url, apikey="wrong")
    with pytest.raises(sdk["errors"].AuthenticationError):
        requester.execute(request(sdk, "GET", ACCOUNTS))
    requester.session.close()


def test_it_treats_a_delete_as_a_success(sdk: Sdk, requester: Requester, sandbox: Sandbox) -> None:
    sandbox.seed([ACCOUNT])
    response = requester.execute(request(sdk, "DELETE", f"{ACCOUNTS}/1"))
    assert (response.success, response.json) == (True, None)


@pytest.mark.parametrize(
    ("method", "uri", "status", "error"),
    [
        ("GET", f"{ACCOUNTS}/7", "not_found_error", ("id", "not_found", "Conta de email não encontrada")),
        ("POST", ACCOUNTS, "client_error", ("name", "required", "Campo obrigatório")),
    ],
)
def test_it_decodes_the_errors(
    sdk: Sdk, requester: Requester, method: str, uri: str, status: str, error: tuple[str, str, str]
) -> None:
    body = {key: value for key, value in ACCOUNT.items() if key != "name"}
    response = requester.execute(request(sdk, method, uri, json=body))
    assert response.status.value == status
    decoded = sdk["errors"].decode_errors(response.json)
    assert [(one.field, one.type.value, one.msg) for one in decoded] == [error]
