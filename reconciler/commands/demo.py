"""``reconciler demo``: the whole workflow, run as commands against a sandbox in this process."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from reconciler.commands.parameters import FILE_NAME
from reconciler.errors import ExitCode, Kind, ReconcilerError
from reconciler.model.account import ACCOUNT_DEFAULTS, Account
from reconciler.model.secret import Secret, SecretReference

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from reconciler.commands.invocation import Invocation
    from reconciler.model.desired import DesiredAccount
    from reconciler.sandbox import Sandbox

_PACKAGED = Path(__file__).with_name("accounts.yaml")
_IN_CHECKOUT = Path(__file__).parents[2] / "examples" / "accounts.yaml"


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

    from reconciler.manifest.reader import read_manifests
    from reconciler.sandbox import Sandbox, SandboxOptions

    path = path or _example()
    declared = read_manifests([path]).accounts
    passwords = _random_passwords(declared)
    with Sandbox(SandboxOptions(mailboxes=_mailboxes(declared, passwords))) as sandbox:
        sandbox.seed(_initial_accounts(declared, passwords))
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


def _example() -> str:
    """The shortest path of the example: in the installed package, or in a checkout."""
    path = _PACKAGED if _PACKAGED.exists() else _IN_CHECKOUT
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def _random_passwords(declared: Sequence[DesiredAccount]) -> dict[str, str]:
    """A random value for each environment variable that the YAML names as a password."""
    import secrets

    references = [entry.account.fields.get("password") for entry in declared]
    return {
        reference.target[0]: secrets.token_urlsafe(12)
        for reference in references
        if isinstance(reference, SecretReference) and reference.kind == "env"
    }


def _password(account: Account, passwords: Mapping[str, str]) -> str | None:
    """An account's password; ``None`` if it has none, or the demo does not know it."""
    password = account.fields.get("password")
    if isinstance(password, Secret):
        return password.reveal()
    return passwords.get(password.target[0]) if isinstance(password, SecretReference) else None


def _mailboxes(declared: Sequence[DesiredAccount], passwords: Mapping[str, str]) -> dict[str, str] | None:
    """The passwords that the mail server accepts; ``None``, which is any, if the demo does not know them all."""
    accounts = [entry.account for entry in declared if entry.account.fields.get("password")]
    known = {account.email: password for account in accounts if (password := _password(account, passwords))}
    return known if len(known) == len(accounts) else None


def _initial_accounts(declared: Sequence[DesiredAccount], passwords: Mapping[str, str]) -> list[dict[str, Any]]:
    """Accounts for the server to start with, so that the plan has creates, updates, a rename and a delete."""
    renamed = next((entry for entry in declared if entry.renamed_from), None)
    others = [entry.account for entry in declared if entry is not renamed and entry.account.id is None]
    accounts = [account.with_fields({"name": f"{account.name} (old)"}) for account in others[:1]]
    accounts += [*others[1:4], Account({"email": "intern@example.org", "name": "Intern's test", "service": "other"})]
    if renamed:
        accounts.insert(0, renamed.account.with_fields({"email": renamed.renamed_from}))
    return [_on_server(account, passwords) for account in accounts]


def _on_server(account: Account, passwords: Mapping[str, str]) -> dict[str, Any]:
    """An account as the server's JSON has it."""
    password = _password(account, passwords)
    fields: dict[str, Any] = {"service": "other", **ACCOUNT_DEFAULTS.fields, **account.fields}
    return {**fields, "default": False, "has_auth": fields["has_auth"] and bool(password), "password": password}


def _simulate_drift(sandbox: Sandbox) -> str:
    """Changes the first account on the server, and describes the change."""
    account = sandbox.accounts()[0]
    # Drift only in fields that the YAML declares, and a port only if the account has one: any YAML has to work.
    changed: dict[str, Any] = {"name": "Edited by hand"} | ({"smtp_port": 2525} if account["smtp_port"] else {})
    sandbox.change_account(account["id"], **changed)
    return f"  {account['email']}: " + ", ".join(f"{name} = {value}" for name, value in changed.items())
