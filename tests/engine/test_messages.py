"""What a worker accepts from a broker that anyone may have written to."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.errors import InvalidValueError
from reconciler.fleet.broker import BrokerAddress
from reconciler.fleet.messages import InvalidMessageError, Limits, Message, Mode
from reconciler.model.on_failure import OnFailure
from reconciler.model.redaction import Redactor

MESSAGE = Message(
    run="a" * 32,
    server="b001",
    mode=Mode.APPLY,
    commit="",
    manifest_digest="b" * 64,
    plan_digest="c" * 64,
    options=Limits(only=("*@example.com",), addresses=("a@example.com",), on_failure=OnFailure.STOP),
)


def as_received(**changes: Any) -> dict[str, Any]:  # noqa: ANN401 - any value may arrive
    import json

    document: dict[str, Any] = json.loads(json.dumps(MESSAGE.document()))
    return {**document, **changes}


def test_a_message_survives_the_broker() -> None:
    assert Message.parse(as_received()) == MESSAGE


@pytest.mark.parametrize(
    "changes",
    [
        {"trust": "/etc/other.yaml"},
        {"mode": "export"},
        {"run": ""},
        {"run": "../etc"},
        {"server": "b001\n"},
        {"server": 1},
        {"plan_digest": ""},
        {"manifest_digest": "x" * 64},
        {"options": None},
        {"options": {**as_received()["options"], "allow_commands": True}},
        {"options": {**as_received()["options"], "max_deletes": "100%"}},
        {"options": {**as_received()["options"], "on_failure": "delete"}},
        {"options": {**as_received()["options"], "parallelism": 0}},
        {"options": {**as_received()["options"], "parallelism": True}},
        {"options": {**as_received()["options"], "timeout": float("inf")}},
        {"options": {**as_received()["options"], "timeout": "30s"}},
        {"options": {**as_received()["options"], "no_prune": "yes"}},
        {"options": {**as_received()["options"], "only": "*"}},
        {"options": {**as_received()["options"], "only": ["x"] * 1_001}},
        {"options": {**as_received()["options"], "addresses": ["x" * 1_100_000]}},
        {"options": {**as_received()["options"], "addresses": [None]}},
        {"options": {**as_received()["options"], "needs_client": 0}},
    ],
)
def test_a_message_with_anything_else_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidMessageError):
        Message.parse(as_received(**changes))


@pytest.mark.parametrize("value", [None, [], "text", {}, {"run": "a"}])
def test_what_is_no_message_is_refused(value: object) -> None:
    with pytest.raises(InvalidMessageError):
        Message.parse(value)


def test_the_shown_address_has_no_login() -> None:
    address = BrokerAddress.parse("rediss://user:can%40ary@broker.example.com/3")
    assert address.shown == "rediss://broker.example.com:6379/3"
    redactor = Redactor()
    address.remember(redactor)
    assert "can" not in redactor.redact("failed: can@ary")


@pytest.mark.parametrize(
    "url",
    ["http://a", "redis://", "redis:///0", "redis://a/x", "redis://a/0?ssl_cert_reqs=none", "redis://a:99999/0", "a"],
)
def test_what_is_no_broker_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(InvalidValueError) as caught:
        BrokerAddress.parse(url)
    assert "ssl_cert_reqs" not in str(caught.value)
