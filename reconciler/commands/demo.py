"""``reconciler demo``: the whole workflow, run as commands against a sandbox in this process."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from reconciler.commands.parameters import FILE_NAME
from reconciler.commands.sample import SAMPLE, initial_accounts, password_of, password_variables
from reconciler.errors import ExitCode, Kind, ReconcilerError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from reconciler.commands.invocation import Invocation
    from reconciler.model.desired import DesiredAccount
    from reconciler.sandbox import Sandbox


@click.command(
    short_help="See the whole workflow, in a sandbox on this machine.",
    epilog="""\b
Examples:
  reconciler demo
  reconciler demo accounts.yaml""",
)
@click.argument("path", required=False, type=FILE_NAME, metavar="[PATH]")
@click.pass_obj
def demo(invocation: Invocation, *, path: str | None) -> None:
    """See the whole workflow in one command, in a sandbox on this machine.

    With PATH, the demo uses your own YAML, but neither its server nor its secrets.
    """
    import os
    import secrets

    from reconciler.manifest.reader import read_manifests
    from reconciler.sandbox import Sandbox, SandboxOptions

    path = path or str(SAMPLE)
    declared = read_manifests([path]).accounts
    passwords = {name: secrets.token_urlsafe(12) for name in password_variables(declared)}
    with Sandbox(SandboxOptions(mailboxes=_mailboxes(declared, passwords))) as sandbox:
        sandbox.seed(initial_accounts(declared, passwords))
        environ = {
            **{name: value for name, value in os.environ.items() if not name.startswith("RECONCILER_")},
            **passwords,
            "RECONCILER_URL": sandbox.url,
            "RECONCILER_REFRESH_TOKEN": sandbox.refresh_token,
        }
        Demo(path, environ, lambda line: invocation.write_document(f"{line}\n", for_people=True)).run(sandbox)


@dataclass(frozen=True, slots=True)
class Demo:
    """Explains and runs one command after the other, each in a process of its own.

    Attributes:
        path: The YAML.
        environ: The environment of each command.
        say: Prints a line.
    """

    path: str
    environ: Mapping[str, str]
    say: Callable[[str], None]

    def run(self, sandbox: Sandbox) -> None:
        """Runs every command.

        Raises:
            ReconcilerError: A command did not end as it should.
        """
        plan = ("plan", self.path, "--detailed-exitcode")
        apply = ("apply", self.path, "--auto-approve", "--test", "before", "--to-email", "ops@example.com")
        self.say("In this demo, the server is a sandbox: a process on this machine with the same API and its own mail")
        self.say(
            "server. It already has a few accounts that were created by hand. The commands below connect to it with:"
        )
        self.say("")
        self.say(f"  export RECONCILER_URL={sandbox.url} RECONCILER_REFRESH_TOKEN={sandbox.refresh_token}")
        self._run("Check the YAML. This needs no server and no secrets.", "validate", self.path)
        self._run("Show what would change. A plan cannot write.", "plan", self.path)
        self._run("Apply. Before an account is written, its new settings have to send a test mail.", *apply)
        self._run("Plan again: the server matches the YAML.", *plan)
        self._explain("Now somebody edits an account in the server's own interface:")
        self.say(_simulate_drift(sandbox))
        self._run("The next plan shows the drift, and ends with exit code 2.", *plan, expected=ExitCode.CHANGES)
        self._run("The next apply repairs it.", *apply)
        self._run("The server matches the YAML again.", *plan)
        self._explain("The test mails, as the sandbox's mail server received them:")
        for mail in sandbox.mails():
            security = f"{'TLS' if mail.tls else 'no TLS'}, {mail.mechanism or 'no login'}"
            self.say(f"  {mail.sender} → {', '.join(mail.recipients)}  ({security})  {mail.subject}")
        self.say("")
        self.say("To start with your own server: reconciler export --url https://YOUR-SERVER -o accounts.yaml")

    def _run(self, explanation: str, *arguments: str, expected: ExitCode = ExitCode.OK) -> None:
        import subprocess
        import sys

        self._explain(explanation)
        self.say(f"$ reconciler {' '.join(arguments)}")
        command = [sys.executable, "-m", "reconciler", *arguments]
        code = subprocess.run(command, env=self.environ, check=False).returncode  # noqa: S603 - our own program
        if code != expected:
            message = f"`reconciler {' '.join(arguments)}` ended with exit code {code} instead of {int(expected)}"
            raise ReconcilerError.of(message, kind=Kind.DEMO, hint="its own error message is above")

    def _explain(self, text: str) -> None:
        self.say("")
        self.say(f"# {text}")


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
    return f"  {account['email']}: " + ", ".join(f"{name} = {value}" for name, value in changed.items())
