"""Makes ``docs/plan.svg``, the README's picture, from a real run against a sandbox (``make picture``)."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.text import Text

from reconciler.sandbox import Sandbox

FILE = """\
version: 1
server: {name: headquarters}
policy: {protect: [root@*]}
defaults: {service: other, smtp_server: smtp.example.com, smtp_crypt: starttls, smtp_port: 587}
accounts:
  - {email: certs@example.com, name: Certificates, default: true, password: {env: CERTS_PASSWORD}}
  - {email: alerts@example.com, renamed_from: noc@example.com, name: Alerts, password: {env: ALERTS_PASSWORD}}
  - {email: backup@example.com, name: Backup jobs, password: {env: BACKUP_PASSWORD}, smtp_auth_mechanism: cram-md5}
"""

ON_SERVER = [
    {"email": "noc@example.com", "name": "NOC", "default": True, "password": "alerts", "hash_auth": True},
    {"email": "certs@example.com", "name": "Certificates", "default": False, "password": "old", "hash_auth": True},
    {"email": "intern@example.com", "name": "Intern's test", "default": False, "hash_auth": False},
    {"email": "root@example.com", "name": "System", "default": False, "hash_auth": False},
]
SETTINGS = {"service": "other", "smtp_server": "smtp.example.com", "smtp_crypt": "starttls", "smtp_port": 587}


def main() -> None:
    """Runs the plan and draws what it printed."""
    command = "reconciler plan accounts.yaml"
    with Sandbox() as sandbox, tempfile.TemporaryDirectory() as folder:
        sandbox.seed([{**SETTINGS, **account} for account in ON_SERVER])
        Path(folder, "accounts.yaml").write_text(FILE)
        environ = {
            "PATH": os.environ["PATH"],
            "FORCE_COLOR": "1",
            "COLUMNS": "100",
            "RECONCILER_URL": sandbox.url,
            "RECONCILER_REFRESH_TOKEN": sandbox.refresh_token,
            **{f"{name}_PASSWORD": name.lower() for name in ("CERTS", "ALERTS", "BACKUP")},
        }
        done = subprocess.run(
            [sys.executable, "-m", *command.split()],
            cwd=folder,
            env=environ,
            capture_output=True,
            text=True,
            check=True,
        )
        printed = done.stdout.replace(sandbox.url, "https://fw.example.com")
    console = Console(record=True, width=100, file=io.StringIO(), force_terminal=True)
    console.print(f"[bold green]$[/] {command}")
    console.print(Text.from_ansi(printed))
    console.save_svg(str(Path(__file__).with_name("plan.svg")), title="reconciler", unique_id="plan")


if __name__ == "__main__":
    main()
