"""The objects of the watcher for Kubernetes: checked by its schemas, and run without a cluster."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import yaml

from tests.support.deployed_watcher import GIT_CREDENTIALS, TRUST, Machine
from tests.support.linters import lint_kubernetes
from tests.support.workflow_runner import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import MakeSandbox
    from tests.support.cli_runner import CliProcess

KUBERNETES = ROOT / "examples" / "kubernetes" / "watch"
TOKEN = "page-token-canary-0123456789"


@pytest.fixture
def machine(user: CliProcess, make_sandbox: MakeSandbox) -> Machine:
    return Machine(user, make_sandbox)


def objects(kind: str) -> Iterator[dict[str, Any]]:
    for path in sorted(KUBERNETES.glob("*.yaml")):
        for one in yaml.safe_load_all(path.read_text(encoding="utf-8")):
            if one["kind"] == kind:
                yield one


def pods() -> list[dict[str, Any]]:
    (deployment,), (job,) = objects("Deployment"), objects("CronJob")
    return [deployment["spec"]["template"], job["spec"]["jobTemplate"]["spec"]["template"]]


def test_the_objects_match_the_schemas_of_their_version() -> None:
    assert lint_kubernetes(*sorted(KUBERNETES.glob("*.yaml"))) == ""


def test_only_one_watcher_runs_at_a_time() -> None:
    (deployment,), (job,), (volume,) = objects("Deployment"), objects("CronJob"), objects("PersistentVolumeClaim")
    assert (deployment["spec"]["replicas"], deployment["spec"]["strategy"]) == (1, {"type": "Recreate"})
    assert job["spec"]["concurrencyPolicy"] == "Forbid"
    assert job["spec"]["jobTemplate"]["spec"]["backoffLimit"] == 0
    assert volume["spec"]["accessModes"] == ["ReadWriteOncePod"]


@pytest.mark.parametrize("pod", pods(), ids=["deployment", "cronjob"])
def test_pods_have_no_rights_and_take_secrets_as_files(pod: dict[str, Any]) -> None:
    spec = pod["spec"]
    (container,) = spec["containers"]
    assert (spec["automountServiceAccountToken"], spec["enableServiceLinks"]) == (False, False)
    assert spec["securityContext"]["runAsNonRoot"]
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert "secretKeyRef" not in json.dumps(container)
    assert "envFrom" not in container
    assert {one["name"] for one in container["volumeMounts"]} == {one["name"] for one in spec["volumes"]}
    assert {one["name"] for one in container["volumeMounts"] if not one.get("readOnly")} == {"state", "tmp"}


def test_policy_and_service_select_the_watcher() -> None:
    (policy,), (service,) = objects("NetworkPolicy"), objects("Service")
    deployment, job = (pod["metadata"]["labels"].items() for pod in pods())
    assert policy["spec"]["podSelector"]["matchLabels"].items() <= deployment & job
    assert service["spec"]["selector"].items() <= deployment
    assert not service["spec"]["selector"].items() <= job
    assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]


def test_the_pods_reconcile_and_their_probes_pass(machine: Machine) -> None:
    machine.declare("/run/secrets/{}.key", "/run/secrets/{}.password")
    trust = TRUST.format(files=machine.at("/run/secrets/${name}.*"))
    machine.user.write("root/etc/reconciler/trust/trust.yaml", trust)
    for name, box in machine.boxes.items():
        machine.secret(f"/run/secrets/{name}.key", box.refresh_token)
        machine.secret(f"/run/secrets/{name}.password", "password-canary")
    for name in ("page-token", "hook-secret"):
        machine.secret(f"/etc/reconciler/secrets/{name}", TOKEN)
    machine.secret("/etc/reconciler/secrets/git-credentials", GIT_CREDENTIALS)
    watch, once = (pod["spec"]["containers"][0] for pod in pods())
    paths = [one["mountPath"] for one in watch["volumeMounts"]]
    for path in paths:
        Path(machine.at(path)).mkdir(parents=True, exist_ok=True)

    def environ(container: dict[str, Any]) -> dict[str, str]:
        given = {one["name"]: one.get("value", "mail") for one in container["env"]}
        return dict(zip(given, machine.arguments(list(given.values()), paths), strict=True))

    arguments = [word.replace("$(NAMESPACE)", "mail") for word in watch["args"]]
    with machine.watching(machine.arguments(arguments, paths), environ(watch)) as url:
        machine.check_git(environ(watch))
        assert machine.counts() == [1, 1]
        for probe in ("livenessProbe", "readinessProbe"):
            assert httpx.get(f"{url}{watch[probe]['httpGet']['path']}").status_code == 200
        headers = {"Host": "reconciler-watch.mail.svc:8080", "Authorization": f"Bearer {TOKEN}"}
        assert "reconciler_server_state" in httpx.get(f"{url}/metrics", headers=headers).text
    done = machine.user.run(*machine.arguments(once["args"], paths), environ=environ(once))
    assert done.code == 0, done.err
    machine.check_git(environ(once))
