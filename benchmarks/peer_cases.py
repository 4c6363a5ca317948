"""Other programs for the same job: their command lines and input data."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from cases import FIELDS, HERE, SIZES, TOOL, Case, entry, floor
from server import ACCOUNTS, account

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PEERS = HERE / "peers"
BIN = HERE / ".peers" / "bin"
SIZE = 10_000

_OCTODNS = """manager: {{max_workers: 1}}
providers:
  file: {{class: octodns.provider.yaml.YamlProvider, directory: {folder}, enforce_order: false}}
  server: {{class: octodns_accounts.AccountsProvider, url: {url}}}
zones:
  accounts.example.: {{sources: [file], targets: [server]}}
"""
_TERRAFORM = 'provider_installation {{ dev_overrides {{ "local.test/peers/mail" = "{0}" }} }}\n'
_PROVIDER = "#!/bin/sh\nexec {python} {program}\n"


def write_data(folder: Path, url: str) -> None:
    """Writes the same accounts for each program, in its own format."""
    for size in SIZES:
        entries = "".join(entry(one, one["password"]) for one in map(account, range(1, size + 1)))
        (folder / f"peer-{size}.yaml").write_text("accounts:\n" + entries)
    _write_octodns(folder, url + ACCOUNTS)
    _write_terraform(folder / "terraform")


def at_sizes(folder: Path, url: str) -> list[Case]:
    """A plan without changes at every size: floor, tool and script."""
    listed = url + ACCOUNTS
    return [
        Case(
            name=f"{size}",
            runs={
                "floor": floor("plan", folder / f"{size}.yaml", listed),
                "tool": [TOOL, "plan", str(folder / f"{size}.yaml")],
                "script": script("httpx", folder, size, listed),
            },
            accounts=size,
        )
        for size in SIZES[1:]
    ]


def against_peers(folder: Path, url: str) -> tuple[Case, list[str]]:
    """The tool compared with the other programs, and the names of those that are not installed."""
    listed, file = url + ACCOUNTS, folder / f"peer-{SIZE}.yaml"
    terraform = folder / "terraform"
    said = (f"file={file}", f"url={listed}")
    found = {
        "script with CSafeLoader and httpx": script("httpx", folder, SIZE, listed),
        "script with CSafeLoader and requests": script("requests", folder, SIZE, listed),
        "script with CSafeLoader and aiohttp": script("aiohttp", folder, SIZE, listed),
        "octoDNS": _program("octodns-sync", "--config-file", folder / "octodns.yaml", "--quiet"),
        "pyinfra": _program("pyinfra", "@local", PEERS / "pyinfra_deploy.py", *_each("--data", said), "--dry", "-y"),
        "Ansible": _program(
            "ansible-playbook", "-i", "localhost,", PEERS / "ansible.yml", *_each("-e", said), "--check"
        ),
        "Terraform": _program(
            "terraform", f"-chdir={terraform}", "plan", "-input=false", "-detailed-exitcode", f"-var=file={file}"
        ),
    }
    case = Case(
        name="plan, 10,000 accounts, nothing to change",
        runs={
            "reconciler": [TOOL, "plan", str(folder / f"{SIZE}.yaml")],
            **{name: run for name, run in found.items() if run},
        },
        goals={"script with CSafeLoader and httpx": 2.5, "octoDNS": 5, "Ansible": 60, "Terraform": 100},
        accounts=SIZE,
        environment={
            "PYTHONPATH": str(PEERS),
            "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
            "TF_CLI_CONFIG_FILE": str(terraform / "settings"),
            "CHECKPOINT_DISABLE": "1",
            "ACCOUNTS_URL": listed,
        },
    )
    return case, [name for name, run in found.items() if not run]


def script(library: str, folder: Path, size: int, listed: str) -> list[str]:
    """The command line of the hand-written script."""
    return [sys.executable, str(PEERS / "script.py"), library, str(folder / f"peer-{size}.yaml"), listed]


def _program(name: str, *arguments: object) -> list[str]:
    path = BIN / name
    return [str(path), *map(str, arguments)] if path.exists() and shutil.which("curl") else []


def _each(option: str, values: Sequence[str]) -> list[str]:
    return [word for value in values for word in (option, value)]


def _write_octodns(folder: Path, listed: str) -> None:
    fields = [name for name in FIELDS if name not in {"name", "password"}]
    records = ["---\n"]
    for one in map(account, range(1, SIZE + 1)):
        value = json.dumps({name: one[name] for name in fields}, separators=(",", ":"))
        records.append(f"{one['name']}: {{type: TXT, ttl: 300, value: {json.dumps(value)}}}\n")
    zone = folder / "octodns"
    zone.mkdir()
    (zone / "accounts.example.yaml").write_text("".join(records))
    (folder / "octodns.yaml").write_text(_OCTODNS.format(folder=zone, url=listed))


def _write_terraform(where: Path) -> None:
    """Writes a Terraform folder with the provider, and with every account in its state."""
    where.mkdir()
    shutil.copy(PEERS / "accounts.tf", where)
    (where / "settings").write_text(_TERRAFORM.format(where))
    provider = where / "terraform-provider-mail"
    provider.write_text(_PROVIDER.format(python=BIN / "python", program=PEERS / "terraform_provider.py"))
    provider.chmod(0o755)
    resource = {
        "mode": "managed",
        "type": "mail_account",
        "name": "accounts",
        "provider": 'provider["local.test/peers/mail"]',
        "instances": [_instance(one) for one in map(account, range(1, SIZE + 1))],
    }
    state = {"version": 4, "terraform_version": "1.0.3", "serial": 1, "lineage": "accounts", "resources": [resource]}
    (where / "terraform.tfstate").write_text(json.dumps(state))


def _instance(one: Mapping[str, object]) -> dict[str, object]:
    attributes = {"id": str(one["id"]), **{name: one[name] for name in FIELDS}}
    return {"index_key": one["email"], "schema_version": 0, "attributes": attributes}


if __name__ == "__main__":
    write_data(Path(sys.argv[1]), sys.argv[2])
