"""A fleet of real sandboxes, with a file for each."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from reconciler import reconcile
from reconciler.fleet.gate import FleetGate
from reconciler.fleet.runner import FleetRun
from reconciler.fleet.server_run import ServerRunOptions
from tests.support.scenarios import ShortPausesGroup

if TYPE_CHECKING:
    from pathlib import Path

    from reconciler.model.fleet import Fleet
    from reconciler.sandbox import Sandbox
    from tests.conftest import MakeSandbox

DOWN = "http://127.0.0.1:9"
"""A URL where nothing listens."""

KEY = "sandbox-refresh-token"


@dataclass
class FleetOfSandboxes:
    """Sandboxes by name, and the folder with their manifests."""

    folder: Path
    make_sandbox: MakeSandbox
    boxes: dict[str, Sandbox] = field(default_factory=dict)

    def add(self, *names: str, more: str = "", url: str | None = None, key: str = "{env: KEY}", **options: Any) -> None:  # noqa: ANN401 - SandboxOptions has their types
        """Adds servers with two accounts each; with a ``url``, no sandbox is started."""
        for name in names:
            if url is None:
                self.boxes[name] = self.make_sandbox(**options)
            here = url or self.boxes[name].url
            (self.folder / f"{name}.yaml").write_text(
                "version: 1\n"
                f"server: {{name: {name}, url: '{here}', auth: {{refresh_token: {key}}}{more}}}\n"
                "accounts:\n"
                f"  - {{email: alerts@{name}.example.com, name: Alerts, service: other, smtp_server: mx.example.com}}\n"
                "  - {email: fax@example.com, name: Fax, service: other, smtp_server: mx.example.com}\n"
            )

    @property
    def context(self) -> reconcile.RunContext:
        environ = {"KEY": KEY, "XDG_STATE_HOME": str(self.folder / ".state")}
        return reconcile.RunContext(environ=environ)

    def read(self) -> Fleet:
        return reconcile.read_fleet(str(self.folder))

    def run(self, *, parallelism: int = 16, **options: Any) -> FleetRun:  # noqa: ANN401 - those of ServerRunOptions
        given = ServerRunOptions(**{"context": self.context, "paths": [str(self.folder)], **options})
        gate = FleetGate(ShortPausesGroup(50))
        return FleetRun(self.read().servers, given, server_parallelism=parallelism, gate=gate)

    def held(self) -> dict[str, list[str]]:
        """The addresses on each server."""
        return {name: sorted(one["email"] for one in box.accounts()) for name, box in self.boxes.items()}


@pytest.fixture
def fleet(tmp_path: Path, make_sandbox: MakeSandbox) -> FleetOfSandboxes:
    return FleetOfSandboxes(tmp_path, make_sandbox)
