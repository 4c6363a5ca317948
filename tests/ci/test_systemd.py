"""The units for systemd: checked by systemd-analyze, and run as systemd would run them."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support import plain_http
from tests.support.deployed_watcher import GIT_CREDENTIALS, TRUST, Machine
from tests.support.linters import lint
from tests.support.workflow_runner import ROOT, tool

if TYPE_CHECKING:
    from tests.conftest import MakeSandbox
    from tests.support.cli_runner import CliProcess

SYSTEMD = ROOT / "examples" / "systemd"
UNITS = [SYSTEMD / name for name in ("reconciler-watch.service", "reconciler-once.service", "reconciler-once.timer")]


@pytest.fixture
def machine(user: CliProcess, make_sandbox: MakeSandbox) -> Machine:
    return Machine(user, make_sandbox)


def settings(*files: Path) -> dict[str, list[str]]:
    """The settings of units, by name."""
    found = defaultdict(list)
    for file in files:
        for line in file.read_text(encoding="utf-8").splitlines():
            name, equals, value = line.partition("=")
            if equals and not line.startswith("#"):
                found[name].append(value)
    return found


def add_drop_in(folder: Path) -> Path:
    """The drop-in that the documentation shows, in a folder of units."""
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    (text,) = re.findall(
        r"```ini\n# /etc/systemd/system/reconciler-watch.service.d/options.conf\n(.*?)```", page, re.DOTALL
    )
    path = folder / "reconciler-watch.service.d" / "options.conf"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    return path


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """A copy of the units whose program exists."""
    if not shutil.which("systemd-analyze"):
        pytest.skip("no systemd-analyze")
    folder = tmp_path / "units"
    shutil.copytree(SYSTEMD, folder)
    for path in folder.glob("*.service"):
        path.write_text(path.read_text().replace("/opt/reconciler/bin/reconciler", tool("reconciler")))
    return folder


def test_systemd_accepts_the_units(units: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add_drop_in(units)
    monkeypatch.setenv("SYSTEMD_UNIT_PATH", f"{units}:")
    assert lint("systemd-analyze", "verify", *(units / one.name for one in UNITS)) == ""


@pytest.mark.parametrize("unit", UNITS[:2], ids=lambda unit: unit.name)
def test_systemd_calls_the_services_safe(units: Path, unit: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYSTEMD_UNIT_PATH", f"{units}:")
    check = ["systemd-analyze", "security", "--offline=true", "--no-pager"]
    assert lint(*check, "--threshold=15", units / unit.name) == ""
    assert "exposure level" in lint(*check, "--threshold=5", units / unit.name)


class Service:
    """A service with its drop-in: what systemd would run, and the files and folders that it would prepare."""

    def __init__(self, machine: Machine, *units: Path) -> None:
        self._machine = machine
        self._settings = settings(SYSTEMD / "reconciler-.service.d" / "common.conf", *units)
        self._folders = {"%d": machine.at("/credentials"), "%S": machine.at("/var/lib"), "%t": machine.at("/run")}
        for folder in self._folders.values():
            Path(folder).mkdir(parents=True)
        for path in ("/var/lib/reconciler", "/run/reconciler"):
            Path(machine.at(path)).mkdir(mode=0o700)
        machine.declare("/run/reconciler/secrets/key_{}", "/run/reconciler/secrets/password_{}")
        machine.user.write(
            "root/etc/reconciler/trust.yaml", TRUST.format(files=machine.at("/run/reconciler/secrets/*_${name}"))
        )
        machine.secret("/etc/reconciler/git-credentials", GIT_CREDENTIALS)
        for name, box in machine.boxes.items():
            machine.secret(f"/etc/reconciler/keys/{name}", box.refresh_token)
            machine.secret(f"/etc/reconciler/passwords/{name}", "password-canary")
        self._load_credentials()

    def _load_credentials(self) -> None:
        """What systemd.exec(5) says of LoadCredential=: files of a folder get its name and an underscore in front."""
        for credential in self._settings["LoadCredential"]:
            name, _, path = credential.partition(":")
            source = self._machine.root / path.removeprefix("/")
            files = {f"{name}_{one.name}": one for one in source.iterdir()} if source.is_dir() else {name: source}
            for target, file in files.items():
                shutil.copy(file, f"{self._folders['%d']}/{target}")

    def _words(self, value: str) -> list[str]:
        for specifier, folder in self._folders.items():
            value = value.replace(specifier, folder)
        return shlex.split(value)

    @property
    def environ(self) -> dict[str, str]:
        given = [word.partition("=") for value in self._settings["Environment"] for word in self._words(value)]
        return {name: value for name, _, value in given} | {"CREDENTIALS_DIRECTORY": self._folders["%d"]}

    def prepare(self) -> list[str]:
        """Runs the preparation, and returns the arguments of the program."""
        for command in self._settings["ExecStartPre"]:
            subprocess.run(self._words(command), check=True)
        words = self._settings["ExecStart"][0].replace("$OPTIONS", self.environ.get("OPTIONS", ""))
        program, *arguments = self._machine.arguments(self._words(words), ["/etc/reconciler"])
        assert program == "/opt/reconciler/bin/reconciler"
        return arguments


def test_the_systemd_service_reconciles_reloads_and_stops(machine: Machine) -> None:
    service = Service(machine, SYSTEMD / "reconciler-watch.service")
    with machine.watching([*service.prepare(), "--listen", "127.0.0.1:0"], service.environ) as url:
        machine.check_git(service.environ)
        assert machine.counts() == [1, 1]
        assert [one["state"] for one in plain_http.get(f"{url}/api/v1/servers").json()] == ["synced", "synced"]
    status = machine.user.run("status", "--state-dir", machine.at("/var/lib/reconciler"), "--format", "json")
    assert [one["state"] for one in json.loads(status.out)["servers"]] == ["synced", "synced"]


def test_the_drop_in_shown_adds_a_token_hooks_and_notifications(machine: Machine, tmp_path: Path) -> None:
    for name in ("page-token", "hook-secret"):
        machine.secret(f"/etc/reconciler/{name}", "token-canary-0123456789")
    machine.secret("/etc/reconciler/notify", "json://127.0.0.1:1")
    service = Service(machine, SYSTEMD / "reconciler-watch.service", add_drop_in(tmp_path / "units"))
    with machine.watching([*service.prepare(), "--listen", "127.0.0.1:0"], service.environ) as url:
        assert plain_http.get(url).status_code == 401
        headers = {"Host": "watch.example.com", "X-Gitlab-Token": "token-canary-0123456789"}
        assert plain_http.post(f"{url}/hook", headers=headers).status_code == 202


def test_the_systemd_timer_runs_one_round(machine: Machine) -> None:
    service = Service(machine, SYSTEMD / "reconciler-once.service")
    arguments = service.prepare()
    done = machine.user.run(*arguments, environ=service.environ)
    assert (done.code, machine.counts()) == (0, [1, 1]), done.err
    (machine.root / "credentials" / "key_b002").write_text("revoked")
    assert machine.user.run(*arguments, environ=service.environ).code == 3
    assert "canary" not in done.out + done.err
