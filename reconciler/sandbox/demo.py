"""The whole story in one go: validate, plan, apply, drift and repair, against a sandbox in this process.

Each step runs the real command in a process of its own, as a user would.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

from reconciler.client.connect import Connection, open_writer
from reconciler.errors import ExitCode, Kind, ReconcilerError
from reconciler.manifest.desired import read_manifests
from reconciler.model.account import Account
from reconciler.model.redaction import Redactor
from reconciler.model.secret import Secret, SecretReference
from reconciler.model.server import RefreshToken
from reconciler.sandbox import Sandbox, SandboxOptions

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from reconciler.model.desired import Desired

_PACKAGED = Path(__file__).with_name("accounts.yaml")
_IN_CHECKOUT = Path(__file__).parents[2] / "examples" / "accounts.yaml"


def example() -> str:
    """The path of the example, as short as it can be said: in a checkout, or shipped in the package."""
    path = _PACKAGED if _PACKAGED.exists() else _IN_CHECKOUT
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


@dataclass(frozen=True, slots=True)
class Demo:
    """Tells the story.

    Attributes:
        path: The YAML to tell it with; its secrets are replaced by throw-away ones.
        say: Prints one line.
    """

    path: str
    say: Callable[[str], None]

    def tell(self) -> ExitCode:
        """Runs every step; stops with an error at the first that does not come out as it should."""
        desired = read_manifests([self.path])
        passwords = _throw_away_passwords(desired)
        with Sandbox(SandboxOptions(mailboxes=_mailboxes(desired, passwords))) as sandbox:
            sandbox.seed(_initial_accounts(desired, passwords))
            self._introduce(sandbox)
            environ = {
                **{name: value for name, value in os.environ.items() if not name.startswith("RECONCILER_")},
                **passwords,
                "RECONCILER_URL": sandbox.url,
                "RECONCILER_REFRESH_TOKEN": sandbox.refresh_token,
            }
            self._steps(sandbox, environ)
            self._mails(sandbox)
        return ExitCode.OK

    def _introduce(self, sandbox: Sandbox) -> None:
        self.say("A sandbox stands in for your server: the same API, in this process, with a mail server of its own.")
        self.say("Some accounts have been clicked together on it already. These variables lead to it:")
        self.say("")
        self.say(f"  export RECONCILER_URL={sandbox.url} RECONCILER_REFRESH_TOKEN={sandbox.refresh_token}")

    def _steps(self, sandbox: Sandbox, environ: Mapping[str, str]) -> None:
        path = self.path
        test = ("--test", "before", "--to-email", "ops@example.com")
        self._run("The YAML is checked without a server and without secrets.", environ, "validate", path)
        self._run("The plan shows what would change. It cannot write.", environ, "plan", path)
        self._run(
            "Apply: each changed account first sends a test mail with its new settings, and is then written.",
            environ,
            *("apply", path, "--auto-approve", *test),
        )
        self._run("A second plan: the server matches the YAML.", environ, "plan", path, "--detailed-exitcode")
        self._explain("Somebody clicks in the server's interface:")
        self.say(f"  {_simulate_drift(sandbox)}")
        self._run(
            "The next plan shows the drift (exit code 2 says so to a script).",
            environ,
            *("plan", path, "--detailed-exitcode"),
            expected=ExitCode.CHANGES,
        )
        self._run("The next apply mends it.", environ, "apply", path, "--auto-approve", *test)
        self._run("And all is as declared again.", environ, "plan", path, "--detailed-exitcode")

    def _run(
        self, explanation: str, environ: Mapping[str, str], *arguments: str, expected: ExitCode = ExitCode.OK
    ) -> None:
        self._explain(explanation)
        self.say(f"$ reconciler {' '.join(arguments)}")
        code = subprocess.run([sys.executable, "-m", "reconciler", *arguments], env=environ, check=False).returncode  # noqa: S603 - our own program
        if code != expected:
            message = f"`reconciler {' '.join(arguments)}` ended with {code}, not with {int(expected)}"
            hint = "what it printed above says why"
            raise ReconcilerError.of(message, kind=Kind.DEMO, hint=hint)

    def _explain(self, text: str) -> None:
        self.say("")
        self.say(f"# {text}")

    def _mails(self, sandbox: Sandbox) -> None:
        self._explain("The mails that the test endpoint delivered, as the sandbox's mail server got them:")
        for mail in sandbox.mails():
            way = f"{'TLS' if mail.tls else 'no TLS'}, {mail.mechanism or 'no login'}"
            self.say(f"  {mail.sender} → {', '.join(mail.recipients)}  ({way})  {mail.subject}")
        self.say("")
        self.say("That was everything. Next: reconciler export --url https://YOUR-SERVER -o accounts.yaml")


def _throw_away_passwords(desired: Desired) -> dict[str, str]:
    """A made-up value for each variable that the YAML refers to."""
    references = [one.account.fields.get("password") for one in desired.accounts]
    return {
        one.target[0]: secrets.token_urlsafe(12)
        for one in references
        if isinstance(one, SecretReference) and one.kind == "env"
    }


def _password(account: Account, passwords: Mapping[str, str]) -> str | None:
    reference = account.fields.get("password")
    if isinstance(reference, Secret):
        return reference.reveal()
    return passwords.get(reference.target[0]) if isinstance(reference, SecretReference) else None


def _mailboxes(desired: Desired, passwords: Mapping[str, str]) -> dict[str, str] | None:
    """What the mail server takes for right: the passwords that the YAML will resolve to, if it can know them all."""
    known = {one.account.email: _password(one.account, passwords) for one in desired.accounts}
    missing = [one for one in desired.accounts if one.account.fields.get("password") and not known[one.account.email]]
    return None if missing else {email: password for email, password in known.items() if password}


def _initial_accounts(desired: Desired, passwords: Mapping[str, str]) -> Sequence[dict[str, object]]:
    """What is on the server before: of everything that a plan can show, one."""
    accounts: list[dict[str, object]] = []
    renamed = next((one for one in desired.accounts if one.renamed_from), None)
    if renamed is not None:
        accounts.append({**_as_json(renamed.account, passwords), "email": renamed.renamed_from})
    others = [one.account for one in desired.accounts if one is not renamed and one.account.id is None]
    accounts += [{**_as_json(one, passwords), "name": f"{one.name} (old)"} for one in others[:1]]
    accounts += [_as_json(one, passwords) for one in others[1:4]]
    accounts.append({**_as_json(Account({"email": "intern@example.org", "name": "Intern's test"}), passwords)})
    return accounts


def _as_json(account: Account, passwords: Mapping[str, str]) -> dict[str, object]:
    fields: dict[str, object] = {"default": False, "service": "other", "has_auth": False, **account.fields}
    password = _password(account, passwords)
    del fields["default"]
    return {**fields, "default": False, "password": password, "hash_auth": fields["has_auth"] and password is not None}


def _simulate_drift(sandbox: Sandbox) -> str:
    """Changes one account by hand, and says what."""
    with open_writer(
        Connection(
            url=sandbox.url,
            credentials=RefreshToken(Secret(sandbox.refresh_token)),
            redactor=Redactor(),
            stop=Event(),
        )
    ) as server:
        account = server.list_accounts()[0]
        # A port that nobody declares would stay, and may not fit the encryption.
        port = {"smtp_port": 2525} if account.fields.get("smtp_port") else {}
        server.update_account(account.with_fields({"name": "Clicked by hand", **port}))
    return f"{account.email} is now named 'Clicked by hand'{' and uses port 2525' if port else ''}"
