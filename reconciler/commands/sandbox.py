"""``reconciler sandbox``: the local server in its own process."""

from __future__ import annotations

import json
import os
import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from reconciler.commands.parameters import DURATION, OWN_FILES
from reconciler.commands.process import handling_signals
from reconciler.errors import Kind, ReconcilerError

if TYPE_CHECKING:
    from reconciler.sandbox import Sandbox

_EXPOSED = (
    "warning: other machines can reach this sandbox at {host}. Its key is public, so anybody who can connect can read"
    " and change the accounts, passwords included, and send test mails. Use it only in a network that you trust, or"
    " leave out --host."
)
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command(
    short_help="Run a local server with the API, for tests and experiments.",
    epilog="""\b
Examples:
  reconciler sandbox
  reconciler sandbox --empty --port 8025 --db sandbox.sqlite3
  reconciler sandbox --passwords mask --single-default --latency 0.2""",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Port of the API; default: any free port.")
@click.option(
    "--allow-host",
    "allowed_hosts",
    multiple=True,
    metavar="NAME",
    help="Accept requests to this host name too, besides loopback's; may be repeated.",
)
@click.option(
    "--db",
    type=OWN_FILES,
    metavar="FILE",
    default=":memory:",
    help="Keep the accounts in this SQLite file; default: in memory.",
)
@click.option(
    "--auth-field",
    type=click.Choice(["hash_auth", "has_auth", "both"]),
    default="hash_auth",
    show_default=True,
    help="How responses spell has_auth.",
)
@click.option(
    "--passwords",
    type=click.Choice(["shown", "absent", "null", "empty", "mask"]),
    default="shown",
    show_default=True,
    help="How responses show passwords.",
)
@click.option("--unique-names", is_flag=True, help="Refuse the name of another account.")
@click.option("--unique-emails", is_flag=True, help="Refuse the address of another account.")
@click.option("--single-default", is_flag=True, help="Setting default on one account clears it on the others.")
@click.option("--keep-default", is_flag=True, help="Refuse to delete the default account or to clear its flag.")
@click.option("--latency", type=DURATION, help="Wait before each response: 0.2, 2s.")
@click.option(
    "--token-lifetime",
    metavar="SECONDS",
    type=click.IntRange(min=0),
    default=900,
    show_default=True,
    help="Lifetime of an access token.",
)
@click.option("--rotate-refresh-tokens", is_flag=True, help="Replace the refresh token at each exchange.")
@click.option("--mailboxes", type=_FILE, help="JSON object of address to password; default: accept any login.")
@click.option("--real-smtp", is_flag=True, help="Really send test mails, to the SMTP server in the settings!")
@click.option("--seed", type=_FILE, help="JSON list of accounts to start with; default: sample accounts.")
@click.option("--empty", is_flag=True, help="Start without accounts.")
def sandbox(
    *,
    db: str,
    latency: float | None,
    mailboxes: Path | None,
    seed: Path | None,
    empty: bool,
    **options: Any,  # noqa: ANN401 - SandboxOptions has their types
) -> None:
    """Run a local server with the email accounts API.

    It starts with a few sample accounts, unless the file of --db exists. Test mails go to a built-in SMTP server,
    whatever host the settings name, and are listed at /sandbox/mails. Press Ctrl-C to stop it.
    """
    from reconciler.sandbox import Sandbox, SandboxOptions

    if empty and seed:
        raise click.UsageError("--empty and --seed exclude each other. Leave one out.")
    passwords = _read_mailboxes(mailboxes) if mailboxes else None
    accounts = _read_seed(seed) if seed else _sample(db) if not empty else []
    sandbox_options = SandboxOptions(database=db, latency=latency or 0.0, mailboxes=passwords, **options)
    stopped = threading.Event()
    # Both are the normal way to stop a sandbox.
    stopping = dict.fromkeys((signal.SIGINT, signal.SIGTERM), lambda *_received: stopped.set())
    with handling_signals(stopping), Sandbox(sandbox_options) as server:
        server.seed(accounts)
        _announce(server)
        stopped.wait()


def _sample(database: str) -> list[dict[str, Any]]:
    """The sample accounts; none if the database was used before: it may be empty on purpose."""
    from reconciler.commands.sample import sample_accounts

    return [] if os.path.isfile(database) else sample_accounts()  # noqa: PTH113 - Path fails for a name too long


def _announce(server: Sandbox) -> None:
    """Prints where the sandbox is, as lines for a shell."""
    from reconciler.sandbox.api import ACCOUNTS_PATH

    if server.is_exposed:
        click.echo(_EXPOSED.format(host=server.options.host), err=True)
    click.echo(f"# Sandbox at {server.url}, mails at {server.url}/sandbox/mails; Ctrl-C ends it")
    click.echo(f"export RECONCILER_URL={server.url} RECONCILER_REFRESH_TOKEN={server.refresh_token}")
    lifetime = server.options.token_lifetime
    # A comment, so that `eval` does not run it.
    click.echo(
        f"# curl -H 'Authorization: Bearer {server.token}' {server.url}{ACCOUNTS_PATH}  # the token lasts {lifetime} s"
    )


def _read_mailboxes(path: Path) -> dict[str, str]:
    content = _read_json(path)
    if not isinstance(content, dict) or not all(isinstance(password, str) for password in content.values()):
        raise _wrong_file(path, "a JSON object of address to password")
    return content


def _read_seed(path: Path) -> list[object]:
    content = _read_json(path)
    if not isinstance(content, list):
        raise _wrong_file(path, "a JSON list of accounts")
    return content


def _read_json(path: Path) -> object:
    try:
        content: object = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        # Without the reason, which could quote the file: it may contain passwords.
        raise _wrong_file(path, "readable JSON") from None
    return content


def _wrong_file(path: Path, expected: str) -> ReconcilerError:
    return ReconcilerError.of(
        f"{path} is not {expected}", kind=Kind.SANDBOX_FILE, hint="see `reconciler sandbox --help`"
    )
