"""The options that commands share. Related ones arrive in a command as one value."""

from __future__ import annotations

import os
from functools import wraps
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import click

from reconciler.commands.parameters import (
    DURATION,
    FILE_NAME,
    OUTPUT_FILE,
    OWN_FILES,
    SELECTOR,
    SHARD,
    Address,
    Duration,
    Limit,
)
from reconciler.credentials import ServerOptions
from reconciler.model.account import Globs
from reconciler.model.desired import DeleteLimit, DeliveryTestSettings, DeliveryTestWhen
from reconciler.model.on_failure import OnFailure

if TYPE_CHECKING:
    from collections.abc import Callable

    from reconciler.fleet.selection import Shard
    from reconciler.model.fleet import Selector
    from reconciler.planning.planner import PlanOptions

Command = TypeVar("Command", bound="Callable[..., Any]")


paths_argument = click.argument("paths", nargs=-1, required=True, type=FILE_NAME, metavar="PATH...")
parallelism_option = click.option(
    "--parallelism",
    type=click.IntRange(1, 256),
    default=10,
    show_default=True,
    metavar="N",
    help="Requests to a server at a time.",
)
server_parallelism_option = click.option(
    "--server-parallelism",
    type=click.IntRange(1, 256),
    default=16,
    show_default=True,
    metavar="N",
    help="Servers of a fleet side by side.",
)
timeout_option = click.option(
    "--timeout", type=DURATION, default="30s", show_default=True, metavar="SECONDS", help="Limit for one request."
)
insecure_http_option = click.option("--insecure-http", is_flag=True, help="Allow http:// to other machines.")
journal_option = click.option(
    "--journal",
    type=OUTPUT_FILE,
    metavar="FILE",
    help="Append intent and outcome of each write to FILE, as JSON lines.",
)
log_format_option = click.option(
    "--log-format", type=click.Choice(["text", "json"]), default="text", show_default=True, help="Form of the log."
)
only_option = click.option(
    "--only", multiple=True, metavar="GLOB", help="Only accounts with these addresses; may be repeated."
)
allow_commands_option = click.option("--allow-commands", is_flag=True, help="Run the commands of {command: …} secrets.")


def _to_email_option(condition: str = "") -> Callable[[Command], Command]:
    help_text = f"Where test mails go; wins over the YAML.{condition}"
    return click.option("--to-email", type=Address(), metavar="ADDRESS", help=help_text)


to_email_option = _to_email_option()


def _trust_file(context: click.Context, _parameter: click.Parameter, name: str | None) -> str | None:
    if context.resilient_parsing:
        return None
    name = os.environ.get("RECONCILER_TRUST") if name is None else name
    if name == "":
        # A variable that is missing in CI must not switch trust off.
        raise click.UsageError("--trust, or RECONCILER_TRUST, is empty. Name a trust file, or leave it out.")
    return name


trust_option = click.option(
    "--trust",
    type=FILE_NAME,
    callback=_trust_file,
    metavar="FILE",
    help="What the YAML may use, and where secrets may go; or RECONCILER_TRUST.",
)


def _state_dir(context: click.Context, _parameter: click.Parameter, name: str | None) -> Path | None:
    """The state directory of the watcher: the option, the variable, or a folder of this user."""
    if context.resilient_parsing:
        return None
    from reconciler.applying.lock import UnsafeFolderError, state_home

    name = name or os.environ.get("RECONCILER_STATE_DIR")
    try:
        return Path(name) if name else state_home(os.environ) / "watch"
    except UnsafeFolderError as error:
        raise click.UsageError(f"{error}. Name a folder with --state-dir, or in RECONCILER_STATE_DIR.") from None


state_dir_option = click.option(
    "--state-dir",
    type=OWN_FILES,
    callback=_state_dir,
    metavar="DIR",
    help=(
        "The watcher's state; or RECONCILER_STATE_DIR. Without either, reconciler/watch in XDG_STATE_HOME or"
        " ~/.local/state. Each watcher needs one of its own."
    ),
)
"""Where a watcher keeps its state; it arrives as ``state_dir: Path``."""


def _one_token_file(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """Refuses two token files: one of them would be ignored."""
    others = {"token_file", "refresh_token_file"} - {parameter.name}
    if value is not None and any(context.params.get(name) is not None for name in others):
        raise click.UsageError("--token-file and --refresh-token-file exclude each other. Name one.")
    return value


def packed(name: str, pack: Callable[..., Any], *options: Callable[[Any], Any]) -> Callable[[Command], Command]:
    """Adds options whose values ``pack`` combines into one, which is passed as the parameter ``name``."""
    members = list(signature(pack).parameters)

    def decorate(command: Command) -> Command:
        @wraps(command)
        def wrapper(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - passes on what click gives
            packed = pack(**{member: kwargs.pop(member) for member in members if member in kwargs})
            return command(*args, **{name: packed}, **kwargs)

        decorated: Any = wrapper
        for option in reversed(options):
            decorated = option(decorated)
        return decorated  # type: ignore[no-any-return]

    return decorate


server_options = packed(
    "server",
    ServerOptions,
    click.option("--url", metavar="URL", help="The server; wins over RECONCILER_URL and the YAML."),
    click.option(
        "--token-file", type=FILE_NAME, callback=_one_token_file, metavar="FILE", help="File with an access token."
    ),
    click.option(
        "--refresh-token-file",
        type=FILE_NAME,
        callback=_one_token_file,
        metavar="FILE",
        help="File with a refresh token (the server's API key); a new one from the server is written back.",
    ),
    click.option(
        "--ca-file",
        type=FILE_NAME,
        metavar="FILE",
        help="Private CA; or RECONCILER_CA_FILE. The YAML's own server takes server.ca_file.",
    ),
    click.option(
        "--client-cert",
        type=FILE_NAME,
        metavar="FILE",
        help="Client certificate with its key; or RECONCILER_CLIENT_CERT.",
    ),
    timeout_option,
    insecure_http_option,
)
"""Where the server is, and how to log in; they arrive as ``server: ServerOptions``."""


def _to_plan_options(
    *,
    only: tuple[str, ...],
    no_prune: bool,
    max_deletes: DeleteLimit | None,
    allow_empty: bool,
    rotate_passwords: bool = False,
) -> PlanOptions:
    from reconciler.planning.planner import PlanOptions

    return PlanOptions(
        prune=False if no_prune else None,
        max_deletes=max_deletes,
        allow_empty=allow_empty,
        only=Globs(only),
        rotate_passwords=rotate_passwords,
    )


_narrowing_options = (
    only_option,
    click.option("--no-prune", is_flag=True, help="Delete nothing."),
    click.option(
        "--max-deletes",
        type=Limit(),
        metavar="N|P%",
        help="Most accounts to delete; wins over the YAML's policy (30%). A percentage permits a single delete.",
    ),
    click.option("--allow-empty", is_flag=True, help="Allow deleting every account."),
)
repeated_plan_options = packed("planning", _to_plan_options, *_narrowing_options)
"""``plan_options`` for a command that plans again and again: it must not send passwords each time."""

plan_options = packed(
    "planning",
    _to_plan_options,
    *_narrowing_options,
    click.option(
        "--rotate-passwords", is_flag=True, help="Send declared passwords if the server hides the current ones."
    ),
)
"""Options that affect a plan; they arrive as ``planning: PlanOptions``."""


class FleetFlags(NamedTuple):
    """Which servers of a fleet a command is about, and how many at a time.

    Attributes:
        only_failed: The file with an earlier result; only servers that did not succeed there.
    """

    select: Selector | None
    shard: Shard | None
    only_failed: str | None
    server_parallelism: int

    @property
    def narrow(self) -> bool:
        """Whether the user narrows the fleet."""
        return (self.select, self.shard, self.only_failed) != (None, None, None)


fleet_options = packed(
    "fleet",
    FleetFlags,
    click.option(
        "--select",
        type=SELECTOR,
        metavar="TERMS",
        help="Servers of a fleet, as in region=south,ring!=canary,name=b0*.",
    ),
    click.option(
        "--shard",
        type=SHARD,
        metavar="K/N",
        help="One of N stable parts of a fleet; `auto` in a parallel CI job.",
    ),
    click.option(
        "--only-failed",
        type=FILE_NAME,
        metavar="RESULT",
        help="Servers that did not succeed in this earlier result (JSON).",
    ),
    server_parallelism_option,
)
"""Which servers of a fleet a command is about; they arrive as ``fleet: FleetFlags``."""


class ApplyFlags(NamedTuple):
    """How a plan is applied.

    Attributes:
        plan_file: A reviewed plan; only its changes may be made.
        journal: The file to record each write in.
        lock_timeout: Seconds to wait for another run on the server.
    """

    plan_file: str | None
    auto_approve: bool
    dry_run: bool
    test_when: str | None
    to_email: str | None
    on_failure: OnFailure
    journal: str | None
    lock_timeout: float
    no_rollout: bool
    parallelism: int

    @property
    def test(self) -> DeliveryTestSettings:
        """The command line's setting for delivery tests; it overrides the manifests."""
        return DeliveryTestSettings(DeliveryTestWhen(self.test_when) if self.test_when else None, self.to_email)


apply_options = packed(
    "running",
    ApplyFlags,
    click.option(
        "--plan",
        "plan_file",
        type=FILE_NAME,
        metavar="FILE",
        help="Apply only what was reviewed in this saved plan; does not ask.",
    ),
    click.option("--auto-approve", is_flag=True, help="Do not ask; for CI."),
    click.option("--dry-run", is_flag=True, help="Only plan, as `reconciler plan` does."),
    click.option(
        "--test",
        "test_when",
        type=click.Choice([one.value for one in DeliveryTestWhen]),
        help="Test changed settings through the test endpoint; wins over the YAML.",
    ),
    _to_email_option(" Needs --test, or a test in the YAML."),
    click.option(
        "--on-failure",
        type=click.Choice([one.value for one in OnFailure]),
        default=OnFailure.CONTINUE.value,
        callback=lambda _context, _option, value: OnFailure(value),
        show_default=True,
        help="After a failure; `rollback` undoes what fails its test after the write.",
    ),
    journal_option,
    click.option(
        "--lock-timeout",
        type=Duration(allow_zero=True),
        default="60s",
        show_default=True,
        metavar="DURATION",
        help="How long to wait for another apply to this server.",
    ),
    click.option("--no-rollout", is_flag=True, help="Apply to all servers of a fleet at once."),
    parallelism_option,
)
"""How a plan is applied; they arrive as ``running: ApplyFlags``."""
