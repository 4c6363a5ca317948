"""The API's description, and whether the API conforms to it."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
from pydantic import TypeAdapter

from reconciler.watch.api_models import NoticeModel, ServerDetailsModel, ServerModel
from tests.support import plain_http
from tests.support.conformance import check_conformance
from tests.watch.fleets import hostile, large, small
from tests.watch.page_client import TOKEN

if TYPE_CHECKING:
    from pathlib import Path

    from tests.watch.conftest import Serve
    from tests.watch.fleets import SampleView


@pytest.mark.parametrize("view", [small(), large(40), hostile()], ids=["small", "large", "hostile"])
def test_every_document_has_the_described_type(serve: Serve, view: SampleView) -> None:
    url = serve(view).url
    servers = TypeAdapter(list[ServerModel]).validate_json(plain_http.get(f"{url}/api/v1/servers").content)
    assert [one.name for one in servers] == [one.name.encode("utf-8", "replace").decode() for one in view.shown.servers]
    notices = TypeAdapter(list[NoticeModel]).validate_json(plain_http.get(f"{url}/api/v1/notices").content)
    assert [one.about for one in notices] == list(view.shown.notices)
    for one in view.shown.servers:
        # Neither a slash nor a line break can be in the name of a server.
        if one.name.isprintable() and "/" not in one.name and len(one.name) < 1_000:
            response = plain_http.get(f"{url}/api/v1/servers/{quote(one.name)}")
            assert ServerDetailsModel.model_validate_json(response.content).state == one.state


def test_the_document_lists_every_call_with_every_status(serve: Serve) -> None:
    document = plain_http.get(f"{serve().url}/openapi.json").json()
    assert {
        (method, path): sorted(operation["responses"])
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    } == {
        ("get", "/api/v1/servers"): ["200", "401"],
        ("get", "/api/v1/servers/{name}"): ["200", "401", "404"],
        ("get", "/api/v1/notices"): ["200", "401"],
    }
    assert sorted(document["components"]["schemas"]) == [
        "ChangeModel",
        "ErrorModel",
        "FieldModel",
        "NoticeModel",
        "Origin",
        "RunModel",
        "ServerDetailsModel",
        "ServerModel",
        "ServerState",
        "SuspendedBy",
        "SuspensionModel",
    ]


@pytest.mark.hypothesis
def test_schemathesis_finds_no_server_error_and_no_undocumented_response(serve: Serve, tmp_path: Path) -> None:
    url = serve(RECONCILER_PAGE_TOKEN=TOKEN).url
    assert "Tested: 3" in check_conformance(url, TOKEN, tmp_path, "--phases=fuzzing", "--max-examples=10")
