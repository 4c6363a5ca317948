"""``reconciler sandbox``: the local server as a process of its own."""

from __future__ import annotations

import json
import signal
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from reconciler.commands.options import DURATION, FILE_NAME
from reconciler.errors import Kind, ReconcilerError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconciler.sandbox import Sandbox

_EXPOSED = (
    "warning: other machines can reach this sandbox at {host}. Its key is public, so whoever can connect can read and"
    " change the accounts, passwords included, and send test mails. Use it only in a network that you trust, or"
    " leave out --host."
)
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command(
    short_help="Run a local server with the API, for trying and for tests.",
    epilog="""\b
Examples:
  reconciler sandbox
  reconciler sandbox --port 8025 --db sandbox.sqlite3
  reconciler sandbox --passwords mask --single-default --latency 0.2""",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Port of the API; default: a free one.")
@click.option(
    "--allow-host",
    "allowed_hosts",
    multiple=True,
    metavar="NAME",
    help="Accept requests to this host name too, besides loopback's; may be repeated.",
)
@click.option(
    "--db",
    type=FILE_NAME,
    metavar="FILE",
    default=":memory:",
    help="Keep the accounts in this SQLite file; default: in memory.",
)
@click.option(
    "--auth-field",
    type=click.Choice(["hash_auth", "has_auth", "both"]),
    default="hash_auth",
    show_default=True,
    help="How answers spell it.",
)
@click.option(
    "--passwords",
    type=click.Choice(["shown", "absent", "null", "empty", "mask"]),
    default="shown",
    show_default=True,
    help="How answers show passwords.",
)
@click.option("--unique-names", is_flag=True, help="Refuse a name that another account has.")
@click.option("--unique-emails", is_flag=True, help="Refuse an address that another account has.")
@click.option("--single-default", is_flag=True, help="A new default account clears the flag of the former one.")
@click.option("--keep-default", is_flag=True, help="Refuse to delete the default account or to clear its flag.")
@click.option("--latency", type=DURATION, help="Add this to every answer: 0.2, 2s.")
@click.option(
    "--token-lifetime",
    metavar="SECONDS",
    type=click.IntRange(min=0),
    default=900,
    show_default=True,
    help="How long an access token is good for.",
)
@click.option("--rotate-refresh-tokens", is_flag=True, help="Take each refresh token once, and give the next one.")
@click.option("--mailboxes", type=_FILE, help="JSON object of address to right password; default: any login will do.")
@click.option("--real-smtp", is_flag=True, help="Take SMTP settings literally: tests really send mail!")
@click.option("--seed", type=_FILE, help="JSON list of accounts to start with, where there are none yet.")
def sandbox(
    db: str,
    latency: float | None,
    mailboxes: Path | None,
    seed: Path | None,
    **options: Any,  # noqa: ANN401 - SandboxOptions has their types
) -> None:
    """Run a local server with the email accounts API.

    Test mails go to a built-in SMTP server, whatever host the settings name, and are listed at /sandbox/mails. Ctrl-C
    ends it.
    """
    from reconciler.sandbox import Sandbox, SandboxOptions

    logins = _read_mailboxes(mailboxes) if mailboxes else None
    accounts = _read_seed(seed) if seed else []
    behaviour = SandboxOptions(database=db, latency=latency or 0.0, mailboxes=logins, **options)
    with _until_signal() as ended, Sandbox(behaviour) as server:
        server.seed(accounts)
        _announce(server)
        ended.wait()


def _announce(server: Sandbox) -> None:
    """Says where it is; the whole text can be pasted into a shell."""
    if server.is_exposed:
        click.echo(_EXPOSED.format(host=server.options.host), err=True)
    click.echo(f"# Sandbox at {server.url}, mails at {server.url}/sandbox/mails; Ctrl-C ends it")
    click.echo(f"export RECONCILER_URL={server.url} RECONCILER_REFRESH_TOKEN={server.refresh_token}")


@contextmanager
def _until_signal() -> Iterator[threading.Event]:
    """An event that Ctrl-C and SIGTERM set; both are the way to end a sandbox, and no failure."""
    ended = threading.Event()
    former = {
        number: signal.signal(number, lambda _number, _frame: ended.set()) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield ended
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def _read_mailboxes(path: Path) -> dict[str, str]:
    content = _read_json(path)
    if not isinstance(content, dict) or not all(isinstance(password, str) for password in content.values()):
        raise _unfit(path, "a JSON object of address to password")
    return content


def _read_seed(path: Path) -> list[object]:
    content = _read_json(path)
    if not isinstance(content, list):
        raise _unfit(path, "a JSON list of accounts")
    return content


def _read_json(path: Path) -> object:
    try:
        content: object = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        # The reason is left out: it could quote the file, which may hold passwords.
        raise _unfit(path, "readable JSON") from None
    return content


def _unfit(path: Path, expected: str) -> ReconcilerError:
    return ReconcilerError.of(
        f"{path} is not {expected}", kind=Kind.SANDBOX_FILE, hint="see `reconciler sandbox --help`"
    )
