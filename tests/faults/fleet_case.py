"""A fleet of three fault servers: the accounts of each before a run, and what must hold after it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import deepdiff  # noqa: F401 - importing it later, on a busy machine, takes longer than a request may

from reconciler import reconcile
from reconciler.credentials import ServerOptions
from reconciler.fleet.gate import FleetGate
from reconciler.fleet.runner import FleetRun
from reconciler.fleet.server_run import ServerRunOptions
from reconciler.model.outcome import ServerStatus
from tests.support.scenarios import PLAIN, SECRETS, Case, Result, ShortPausesGroup

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path

    from reconciler.model.outcome import Report
    from tests.support.fault_control import FaultServerControl
    from tests.support.scenarios import Row

KEY = {"KEY": "sandbox-refresh-token"}
DONE = {ServerStatus.APPLIED, ServerStatus.UNCHANGED}
ONE_BY_ONE = "version: 1\nfleet: {rollout: {batches: [1, 2, 3]}}\n"


class FleetCase:
    """The same scenario on every server of a fleet, with faults on some."""

    def __init__(
        self,
        servers: Mapping[str, FaultServerControl],
        folder: Path,
        faults: Mapping[str, Sequence[Row]],
        settings: str = "",
    ) -> None:
        self.servers = servers
        self.folder = folder
        self.manifests = folder / "fleet"
        self.manifests.mkdir(exist_ok=True)
        if settings:
            (self.manifests / "fleet.yaml").write_text(settings)
        self.cases: dict[str, Case] = {}
        for name, server in servers.items():
            own = folder / name
            own.mkdir(exist_ok=True)
            case = self.cases[name] = Case(server, PLAIN, own, faults.get(name, ()))
            head = f"version: 1\nserver: {{name: {name}, url: '{case.url}', auth: {{refresh_token: {{env: KEY}}}}}}\n"
            (self.manifests / f"{name}.yaml").write_text(PLAIN.text.replace("version: 1\n", head))

    def run(self, *, parallelism: int = 1, timeout: float = 1.0) -> dict[str, Report]:
        """Plans and applies, with short pauses; the report of each server."""
        environ = {**KEY, **SECRETS, "XDG_STATE_HOME": str(self.folder / "state")}
        context = reconcile.RunContext(server=ServerOptions(timeout=timeout), environ=environ)
        paths = [str(self.manifests)]
        options = ServerRunOptions(context=context, paths=paths, parallelism=parallelism)
        gate = FleetGate(ShortPausesGroup(8))
        fleet = reconcile.read_fleet(*paths)
        with FleetRun(fleet.servers, options, gate=gate) as run:
            run.plan()
            return {report.server.name: report for report in run.apply(fleet.rollout)}

    def check(self, reports: Mapping[str, Report], faulty: Collection[str]) -> None:
        """The report of every server is true; on those without a fault, everything is done."""
        for name, case in self.cases.items():
            report = reports[name]
            planned = None if report.not_started and not report.outcomes else case.plan
            case.check(case.violations(Result(0 if report.complete else 3, planned, report.outcomes)))
            if name not in faulty:
                assert (report.status, report.complete) == (ServerStatus.APPLIED, True), (name, report)
                case.check(case.unfinished())

    def check_next_run(self) -> None:
        """The next run makes everything as declared; after it, nothing is left to do."""
        for server in self.servers.values():
            server.arm()
        following = self.run()
        assert {report.status for report in following.values()} <= DONE, following
        for case in self.cases.values():
            case.check(case.unfinished())
        again = self.run()
        assert {report.status for report in again.values()} == {ServerStatus.UNCHANGED}, again
