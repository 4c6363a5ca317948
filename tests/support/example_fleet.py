"""Runs ``examples/fleet`` as it is: twelve sandboxes, behind a network that knows their names."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Self

from tests.support.cli_runner import CliProcess
from tests.support.named_network import NamedNetwork

if TYPE_CHECKING:
    from reconciler.sandbox import Sandbox
    from tests.conftest import MakeSandbox

EXAMPLES = Path(__file__).parents[2] / "examples"
NAMES = [f"b{number:03}" for number in range(1, 13)]
HOST = "{}.fw.example.com"


class ExampleFleet:
    """A copy of the example, and the command in its folder. Only the folder of the secrets is another one.

    Attributes:
        user: Runs the command.
        boxes: The servers, by name.
        secrets: The folder that takes the place of ``/run/secrets``.
    """

    def __init__(self, folder: Path, make_sandbox: MakeSandbox) -> None:
        self.boxes: dict[str, Sandbox] = {name: make_sandbox(allowed_hosts=(HOST.format(name),)) for name in NAMES}
        ports = {HOST.format(name): int(box.url.rpartition(":")[2]) for name, box in self.boxes.items()}
        self.network = NamedNetwork(ports, folder / "ca.pem")
        self.user = CliProcess(folder)
        self.secrets = folder / "secrets"
        self.secrets.mkdir()
        for name, box in self.boxes.items():
            (self.secrets / f"{name}.key").write_text(box.refresh_token)
            (self.secrets / f"{name}.scans").write_text(f"password of {name}")
        for source in (EXAMPLES / "fleet").rglob("*.yaml"):
            self.write(source.relative_to(EXAMPLES.parent), source.read_text(encoding="utf-8"))

    def write(self, name: Path | str, text: str) -> None:
        """Writes a file, with the secrets where they are here."""
        self.user.write(str(name), text.replace("/run/secrets", str(self.secrets)))

    def __enter__(self) -> Self:
        self.network.__enter__()
        self.user.environ |= self.network.environ
        return self

    def __exit__(self, *_: object) -> None:
        self.network.__exit__()
        shutil.rmtree(self.secrets)
