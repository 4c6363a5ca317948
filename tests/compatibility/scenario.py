"""What each version does once, so that its documents can be compared: a small fleet is planned, applied and watched."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import click
from packaging.version import Version

import reconciler
from reconciler.cli import cli
from reconciler.errors import ExitCode, Kind
from reconciler.manifest.blocks import json_schema
from reconciler.manifest.schema import manifest_schema
from reconciler.manifest.trust import TRUST_SHAPE
from reconciler.sandbox import Sandbox, SandboxOptions
from reconciler.watch.api_models import NoticeModel, ServerDetailsModel, ServerModel
from tests.support.accounts_api import account_json
from tests.support.cli_runner import CliProcess
from tests.support.named_network import NamedNetwork

if TYPE_CHECKING:
    from pydantic import BaseModel

    from tests.support.run_result import RunResult

VERSIONS: Final = sorted(
    (path for path in Path(__file__).parent.iterdir() if (path / "trust.yaml").exists()),
    key=lambda path: Version(path.name),
)
"""A folder for each version whose formats are promised."""

WRITTEN: Final = (
    *("plan.json", "result.json", "schemas.json", "status.json", "surface.json", "validate.json"),
    *("export.yaml", "journal.jsonl", "shown-north.yaml", "shown-south.yaml", "state.sql"),
)
"""What a version writes there; the other files are written by hand."""

NAMES: Final = ("north", "south")
_CREATED: Final = "2026-01-01T00:00:00+00:00"
REPORT: Final = Path(reconciler.__file__).parent / "report"
METRICS: Final = Path(__file__).parents[2] / "docs" / "metrics.md"


@dataclass
class Scenario:
    """Two servers as they were before a version's fleet was applied, and the command in a folder with its files.

    Attributes:
        files: The folder of the version: its manifests, and the documents that it wrote.
        user: Runs the command.
        boxes: The servers, by name.
    """

    files: Path
    folder: Path
    user: CliProcess = field(init=False)
    boxes: dict[str, Sandbox] = field(init=False)

    def __enter__(self) -> Self:
        shutil.copytree(self.files, self.folder, dirs_exist_ok=True)
        self.user = CliProcess(self.folder)
        databases = {name: self.folder / f"{name}.sqlite" for name in NAMES}
        self.boxes = {
            name: Sandbox(SandboxOptions(database=str(database), allowed_hosts=(_host(name),)))
            for name, database in databases.items()
        }
        for name, box in self.boxes.items():
            box.__enter__()
            box.seed(
                [
                    account_json(f"alerts@{name}.example.com", default=True, smtp_port=25, smtp_crypt="none"),
                    account_json(f"intern@{name}.example.com"),
                    account_json("legacy-scanner@example.com"),
                    *([account_json("old-certs@north.example.com")] if name == "north" else ()),
                ]
            )
            # A saved plan is bound to the times of the accounts.
            with closing(sqlite3.connect(databases[name], isolation_level=None)) as accounts:
                accounts.execute("UPDATE accounts SET created_at = :time, updated_at = :time", {"time": _CREATED})
            self.user.environ[f"{name.upper()}_KEY"] = box.refresh_token
            self.user.environ[f"{name.upper()}_CERTS"] = "right"
        self._ports = {_host(name): int(box.url.rpartition(":")[2]) for name, box in self.boxes.items()}
        self._network = NamedNetwork(self._ports, self.folder / "ca.pem")
        self.user.environ |= self._network.__enter__().environ
        return self

    def __exit__(self, *_: object) -> None:
        self._network.__exit__()
        for box in self.boxes.values():
            box.__exit__(None, None, None)

    def run(self, *arguments: str, code: int = 0) -> RunResult:
        """Runs the command, which must end with this code."""
        done = self.user.run(*arguments)
        assert done.code == code, done.out + done.err
        return done

    def disconnect(self, name: str) -> None:
        """Makes a server unreachable."""
        del self._ports[_host(name)]

    def write_documents(self) -> None:
        """Writes everything that a version promises to read later, or to write in the same form."""
        for name in WRITTEN:
            (self.folder / name).unlink(missing_ok=True)
        trust = ("--trust", "trust.yaml")
        hold = ("--on-commit", "plan", "--on-drift", "report")
        self.run("validate", "fleet", *trust, "-f", "json", "-o", "validate.json")
        self.run("plan", "fleet", *trust, "--save", "plan.json")
        self.run("watch", "fleet", *trust, "--once", *hold, "--state-dir", "state")
        self.run("status", "--state-dir", "state", "-f", "json", "-o", "status.json")
        for name in NAMES:
            (self.folder / f"shown-{name}.yaml").write_text(self.run("show", name, "fleet").out, encoding="utf-8")
        self.disconnect("south")
        journal = ("--journal", "journal.jsonl")
        self.run("apply", "fleet", *trust, *journal, "--plan", "plan.json", "-f", "json", "-o", "result.json", code=3)
        url = ("--url", f"https://{_host('north')}")
        self.user.environ["RECONCILER_REFRESH_TOKEN"] = self.boxes["north"].refresh_token
        self.run("export", *url, "-o", "export.yaml")
        del self.user.environ["RECONCILER_REFRESH_TOKEN"]
        self._cut_journal()
        with sqlite3.connect(self.folder / "state" / "state.sqlite") as state:
            (self.folder / "state.sql").write_text(_dump(state), encoding="utf-8")
        state.close()
        (self.folder / "surface.json").write_text(f"{json.dumps(surface(), indent=2)}\n", encoding="utf-8")
        (self.folder / "schemas.json").write_text(f"{json.dumps(schemas(), indent=1)}\n", encoding="utf-8")

    def restore_state(self) -> None:
        """Makes the watcher's state directory as the version left it."""
        (self.folder / "state").mkdir()
        with sqlite3.connect(self.folder / "state" / "state.sqlite") as state:
            state.executescript((self.files / "state.sql").read_text(encoding="utf-8"))
        state.close()

    def _cut_journal(self) -> None:
        """Leaves the last write without an outcome, as after a crash."""
        path = self.folder / "journal.jsonl"
        path.write_text("".join(path.read_text(encoding="utf-8").splitlines(keepends=True)[:-1]), encoding="utf-8")


def surface() -> dict[str, Any]:
    """The names that programs and scripts use."""
    context = click.Context(cli)
    commands = {name: cli.get_command(context, name) for name in cli.list_commands(context)}
    return {
        "exit_codes": {code.name: int(code) for code in ExitCode},
        "kinds": sorted(str(kind) for kind in Kind),
        "commands": {name: sorted(_options(command)) for name, command in commands.items() if command},
        "library": sorted(reconciler.__all__),
        "metrics": sorted(set(re.findall(r"^- `(reconciler_\w+)", METRICS.read_text(encoding="utf-8"), re.MULTILINE))),
    }


def schemas() -> dict[str, Any]:
    """The JSON Schemas of manifests, trust files and documents."""
    api: dict[str, type[BaseModel]] = {
        "server": ServerModel,
        "server_details": ServerDetailsModel,
        "notice": NoticeModel,
    }
    documents = {"manifest": manifest_schema(), "trust": json_schema(TRUST_SHAPE)}
    for name in ("plan", "result"):
        documents[name] = json.loads((REPORT / f"{name}.schema.json").read_text(encoding="utf-8"))
    return documents | {name: model.model_json_schema() for name, model in api.items()}


def _options(command: click.Command) -> set[str]:
    return {
        name for one in command.params if isinstance(one, click.Option) for name in (*one.opts, *one.secondary_opts)
    }


def _host(name: str) -> str:
    return f"{name}.fw.example.com"


def _dump(state: sqlite3.Connection) -> str:
    """The state as statements; ``iterdump`` leaves out what says whose file it is."""
    pragmas = [(name, *state.execute(f"PRAGMA {name}").fetchone()) for name in ("application_id", "user_version")]
    return "".join(f"PRAGMA {name} = {value};\n" for name, value in pragmas) + "\n".join(state.iterdump()) + "\n"
