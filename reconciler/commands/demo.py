"""``reconciler demo``: the whole workflow, run as commands against a sandbox in this process."""

from __future__ import annotations

import json
import os
import re
import select
import subprocess
import sys
import textwrap
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from reconciler.commands.parameters import FILE_NAME
from reconciler.commands.sample import SAMPLE, initial_accounts, password_of, password_variables
from reconciler.errors import ExitCode, Kind, ReconcilerError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from reconciler.commands.invocation import Invocation
    from reconciler.model.desired import DesiredAccount
    from reconciler.sandbox import Sandbox

_WIDTH: Final = 88
"""Columns for explanations; fewer on a narrow terminal."""

_BASE: Final = """\
version: 1
base: true
defaults: {service: other, smtp_server: smtp.example.com, smtp_port: 587}
accounts:
  - {email: alerts@example.com, name: Alerts}
"""
_BRANCHES: Final = ("lisbon", "porto", "recife")
_BRANCH: Final = """\
version: 1
extends: common.yaml
server: {{name: {name}, url: "{url}", auth: {{refresh_token: {{env: BRANCH_KEY}}}}}}
"""

_NEXT_COMMANDS: Final = """\
  reconciler export | grep -v password: > accounts.yaml  # the passwords stay
  reconciler plan accounts.yaml                          # no changes: edit it
  reconciler apply accounts.yaml                         # asks, then writes
  reconciler watch accounts.yaml --once                  # repairs drift, once
  reconciler export --url https://YOUR-SERVER            # your own server"""


@click.command(
    short_help="See the whole workflow, in a sandbox on this machine.",
    epilog="""\b
Examples:
  reconciler demo
  reconciler demo --no-pause
  reconciler demo accounts.yaml""",
)
@click.argument("path", required=False, type=FILE_NAME, metavar="[PATH]")
@click.option("--no-pause", is_flag=True, help="Do not wait for Enter after each scene.")
@click.pass_obj
def demo(invocation: Invocation, *, path: str | None, no_pause: bool) -> None:
    """See the whole workflow in one command, in a sandbox on this machine.

    With PATH, the demo uses your own YAML, but neither its server nor its secrets.
    """
    import secrets
    import tempfile

    from reconciler.manifest.reader import read_manifests
    from reconciler.sandbox import Sandbox, SandboxOptions

    declared = read_manifests([path or str(SAMPLE)]).accounts
    passwords = {name: secrets.token_urlsafe(12) for name in password_variables(declared)}
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("RECONCILER_")}
    with ExitStack() as opened:
        folder = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="reconciler-demo-")))
        (folder / "accounts.yaml").write_bytes(SAMPLE.read_bytes())
        sandbox = opened.enter_context(Sandbox(SandboxOptions(mailboxes=_mailboxes(declared, passwords))))
        sandbox.seed(initial_accounts(declared, passwords))
        connection = {"RECONCILER_URL": sandbox.url, "RECONCILER_REFRESH_TOKEN": sandbox.refresh_token}
        pauses = not no_pause and sys.stdin.isatty() and sys.stdout.isatty()
        stage = Stage(invocation, Path() if path else folder, {**inherited, **passwords, **connection}, pauses=pauses)
        _workflow(stage, path or "accounts.yaml", sandbox)
        branches = [opened.enter_context(Sandbox()) for _ in _BRANCHES]
        _write_fleet(folder / "fleet", branches)
        _fleet(replace(stage, folder=folder, environ={**inherited, "BRANCH_KEY": sandbox.refresh_token}))
    _end(stage)


def _workflow(stage: Stage, path: str, sandbox: Sandbox) -> None:
    """One server, from the first plan to a repaired drift."""
    plan = ("plan", path, "--detailed-exitcode")
    apply = ("apply", path, "--auto-approve", "--test", "before", "--to-email", "ops@example.com")
    stage.comment(
        f"The server here is a sandbox on this machine, with accounts that were made by hand. {path} declares what"
        " should be there. A check needs no server and no secrets."
    )
    stage.run("validate", path)
    stage.scene("Show what would change. A plan cannot write.")
    stage.run("plan", path)
    stage.scene("Apply. Each account's new settings send a test mail first. (Its plan is cut.)")
    stage.run(*apply, cut=True)
    if mails := sandbox.mails():
        mail = min(mails, key=lambda mail: mail.sender)
        security = f"{'TLS' if mail.tls else 'no TLS'}, {mail.mechanism or 'no login'}"
        stage.explain("One of the test mails, as the sandbox's mail server received it:")
        stage.say(f"  {mail.sender} → {', '.join(mail.recipients)}  ({security})  {mail.subject}")
    stage.explain("Plan again: the server matches the YAML.")
    stage.run(*plan, cut=True)
    stage.scene(
        f"Now somebody edits {_simulate_drift(sandbox)} in the server's own interface. The next plan shows the drift,"
        " and ends with exit code 2."
    )
    stage.run(*plan, expected=ExitCode.CHANGES)
    stage.explain("The next apply repairs it.")
    stage.run(*apply, cut=True)


def _fleet(stage: Stage) -> None:
    """Three servers with one declaration."""
    stage.scene(
        "A fleet of three: a file for each server, and common.yaml with what they share. The same change on all three"
        " is shown once, and a server that fails stops no other."
    )
    stage.run("apply", "fleet", "--auto-approve")


def _end(stage: Stage) -> None:
    stage.scene("The demo's servers are gone. For one that stays, with the same accounts, run:")
    stage.command("reconciler sandbox")
    stage.explain("It prints an `export` line. Paste that into a second terminal, and go on there:")
    stage.say(_NEXT_COMMANDS)
    stage.comment("Without --once, `watch` goes on and has a page; it needs an extra: see docs/watch.md")


@dataclass(frozen=True, slots=True)
class Stage:
    """Explains and runs one command after the other, each in a process of its own.

    Attributes:
        folder: The working directory of each command.
        environ: The environment of each command.
        pauses: Whether to wait for Enter between scenes.
    """

    invocation: Invocation
    folder: Path
    environ: Mapping[str, str]
    pauses: bool

    def say(self, line: str) -> None:
        """Prints a line."""
        self.invocation.write_document(f"{line}\n", for_people=True)

    def scene(self, text: str) -> None:
        """Begins a scene: after a pause, if there are any."""
        if self.pauses:
            self.invocation.print_error_text("\n[Enter] goes on, [Ctrl-C] ends the demo ")
            while not select.select([sys.stdin], [], [], 0.5)[0]:
                pass
            sys.stdin.readline()
        self.explain(text)

    def explain(self, text: str) -> None:
        """Prints a comment after an empty line."""
        self.say("")
        self.comment(text)

    def comment(self, text: str) -> None:
        """Prints a comment, wrapped at words."""
        style = self.invocation.document_style()
        for line in textwrap.wrap(text, min(style.width or _WIDTH, _WIDTH) - 2, break_on_hyphens=False):
            self.say(style.paint(f"# {line}", "cyan"))

    def command(self, line: str) -> None:
        """Prints a command line."""
        self.say(f"$ {self.invocation.document_style().paint(line, 'bold')}")

    def run(self, *arguments: str, expected: ExitCode = ExitCode.OK, cut: bool = False) -> None:
        """Runs a command.

        Args:
            arguments: The command and its arguments.
            expected: Its exit code.
            cut: Whether to leave out the plan that it shows first, except for the summary.

        Raises:
            ReconcilerError: The command did not end as it should.
        """
        self.command(f"reconciler {' '.join(arguments)}")
        command = [sys.executable, "-m", "reconciler", *arguments]
        code = self._run_cut(command) if cut else self._run_whole(command)
        if code != expected:
            message = f"`reconciler {' '.join(arguments)}` ended with exit code {code} instead of {int(expected)}"
            raise ReconcilerError.of(message, kind=Kind.DEMO, hint="its own error message is above")

    def _run_whole(self, command: Sequence[str]) -> int:
        return subprocess.run(command, cwd=self.folder, env=self.environ, check=False).returncode  # noqa: S603 - our own program

    def _run_cut(self, command: Sequence[str]) -> int:
        colour = {"FORCE_COLOR": "1"} if self.invocation.document_style().colour else {}
        with subprocess.Popen(  # noqa: S603 - our own program
            command, cwd=self.folder, env={**self.environ, **colour}, stdout=subprocess.PIPE, encoding="utf-8"
        ) as process:
            assert process.stdout is not None  # noqa: S101 - it is a pipe
            begun = False
            for line in process.stdout:
                begun = begun or re.match(r"(\x1b\[\d+m)?(Plan: |No changes)", line) is not None
                if begun:
                    self.say(line.rstrip("\n"))
        return process.returncode


def _write_fleet(folder: Path, branches: Sequence[Sandbox]) -> None:
    folder.mkdir()
    (folder / "common.yaml").write_text(_BASE, encoding="utf-8")
    for name, sandbox in zip(_BRANCHES, branches, strict=True):
        (folder / f"{name}.yaml").write_text(_BRANCH.format(name=name, url=sandbox.url), encoding="utf-8")


def _mailboxes(declared: Sequence[DesiredAccount], passwords: Mapping[str, str]) -> dict[str, str] | None:
    """The passwords that the mail server accepts; ``None``, which is any, if the demo does not know them all."""
    accounts = [entry.account for entry in declared if entry.account.fields.get("password")]
    known = {account.email: password for account in accounts if (password := password_of(account, passwords))}
    return known if len(known) == len(accounts) else None


def _simulate_drift(sandbox: Sandbox) -> str:
    """Changes the first account on the server, and describes the change."""
    account = sandbox.accounts()[0]
    # Drift only in fields that the YAML declares, and a port only if the account has one: any YAML has to work.
    changed: dict[str, Any] = {"name": "Edited by hand"} | ({"smtp_port": 2525} if account["smtp_port"] else {})
    sandbox.change_account(account["id"], **changed)
    return f"{account['email']} ({', '.join(f'{name} {json.dumps(value)}' for name, value in changed.items())})"
