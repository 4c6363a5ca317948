"""The GitLab pipeline and the Kubernetes job for fleets, run on ``examples/fleet`` as their systems would run them.

The shells and the secrets of the jobs are real; their containers, schedulers and the installation are not there.
"""

from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.ci.test_linters import GITLAB_FLEET, KUBERNETES
from tests.support.workflow_runner import TOOLS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.support.example_fleet import ExampleFleet
    from tests.support.run_result import RunResult

TRUST = """\
version: 1
servers:
  - url: "https://${{name}}.fw.example.com"
    files: ["{secrets}/${{name}}.*"]
smtp_servers: ["smtp.*.example.com"]
recipients: []
"""
COUNTS = {**{f"b{number:03}": 3 for number in range(1, 13)}, "b003": 4, "b004": 4, "b009": 2}


@pytest.fixture
def fleet(example_fleet: ExampleFleet) -> ExampleFleet:
    example_fleet.write("trust.yaml", TRUST.format(secrets=example_fleet.secrets))
    return example_fleet


def counts(fleet: ExampleFleet) -> dict[str, int]:
    return {name: len(box.accounts()) for name, box in fleet.boxes.items()}


class Pipeline:
    """Runs jobs of the pipeline, one after the other, in one checkout."""

    def __init__(self, fleet: ExampleFleet) -> None:
        self.jobs: dict[str, Any] = yaml.safe_load(GITLAB_FLEET.read_text(encoding="utf-8"))
        self._fleet = fleet
        self._secrets: dict[str, dict[str, str]] = {"FLEET_KEYS": {}, "FLEET_PASSWORDS": {}}
        for path in fleet.secrets.iterdir():
            variable = "FLEET_KEYS" if path.suffix == ".key" else "FLEET_PASSWORDS"
            self._secrets[variable][path.name] = path.read_text()

    def run(self, name: str, environ: Mapping[str, str] = {}) -> RunResult:
        """Runs a job, with the secrets of its environment."""
        job = {**self.jobs[".apply"], **self.jobs[name]} if "extends" in self.jobs[name] else self.jobs[name]
        variables = {"FLEET": "examples/fleet", **job.get("variables", {}), **environ, "FLEET_PASSWORDS": ""}
        for variable, secrets in self._secrets.items():
            if variable == "FLEET_KEYS" or job.get("environment") == "production":
                variables[variable] = str(self._fleet.user.write(variable, json.dumps(secrets)))
        if job.get("environment") == "production":
            variables["RECONCILER_TRUST"] = "trust.yaml"
        for path in self._fleet.secrets.iterdir():
            path.unlink()
        lines = [line for line in self.jobs["default"]["before_script"] if not re.search("venv|pip|PATH", line)]
        script = "\n".join([*lines, *job["script"]]).replace("/run/secrets", str(self._fleet.secrets))
        variables["PATH"] = f"{TOOLS}{os.pathsep}{os.environ['PATH']}"
        return self._fleet.user.run_program(["bash", "-e", "-o", "pipefail", "-c", script], environ=variables)


def test_the_gitlab_pipeline_applies_the_canaries_then_every_shard(fleet: ExampleFleet) -> None:
    (fleet.secrets / "b005.key").write_text("revoked")
    pipeline = Pipeline(fleet)
    planned = pipeline.run("plan")
    assert planned.code == 0, planned.err  # although a server refuses the key
    assert (fleet.user.folder / "plan.html").read_text().startswith("<!doctype html>")
    assert counts(fleet) == dict.fromkeys(COUNTS, 0)
    canaries = pipeline.run("canaries")
    assert canaries.code == 0, canaries.err
    assert {name for name, count in counts(fleet).items() if count} == {"b001", "b007"}
    total = 2  # four would take longer
    nodes = [{"CI_NODE_INDEX": str(index), "CI_NODE_TOTAL": str(total)} for index in range(1, total + 1)]
    assert sorted(pipeline.run("shards", node).code for node in nodes) == [0] * (total - 1) + [3]
    assert counts(fleet) == {**COUNTS, "b005": 0}


def test_the_pods_of_the_kubernetes_job_apply_the_whole_fleet(fleet: ExampleFleet) -> None:
    spec = yaml.safe_load(KUBERNETES.read_text(encoding="utf-8"))["spec"]
    (container,) = spec["template"]["spec"]["containers"]
    arguments = [
        {"fleet": "examples/fleet", "/etc/reconciler/trust.yaml": "trust.yaml"}.get(word, word)
        for word in container["command"][1:]
    ]
    environ = {one["name"]: one["value"] for one in container["env"]}
    environ |= {"XDG_STATE_HOME": str(fleet.user.folder), "JOB_COMPLETIONS": "3"}  # sixteen would take longer
    for index in range(3):
        pod = fleet.user.run(*arguments, environ={**environ, "JOB_COMPLETION_INDEX": str(index)})
        assert pod.code == 0, pod.err
    assert counts(fleet) == COUNTS
