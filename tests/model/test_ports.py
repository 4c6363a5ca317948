from __future__ import annotations

import inspect

import pytest

from reconciler.model.ports import AccountReader, AccountWriter
from tests.support.fake_server import FakeServer


@pytest.mark.parametrize("port", [AccountReader, AccountWriter])
def test_the_server_in_memory_has_the_ports_methods_with_the_same_parameters(port: type) -> None:
    methods = inspect.getmembers(port, lambda member: inspect.isfunction(member) and member.__name__[0] != "_")
    assert methods
    for name, method in methods:
        assert list(inspect.signature(getattr(FakeServer, name)).parameters) == list(
            inspect.signature(method).parameters
        )
