"""The options that commands share, as decorators; related ones arrive in the command as one value."""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar

import click

from reconciler.commands.invocation import DocumentKind, Invocation
from reconciler.commands.types import ADDRESS, DELETE_LIMIT, DURATION, FILE_NAME, OUTPUT_FILE, WAIT, OutputFile
from reconciler.credentials import ServerOptions
from reconciler.model.account import Globs
from reconciler.model.desired import DeleteLimit, DeliveryTestSettings, DeliveryTestWhen
from reconciler.reconcile import LoadOptions
from reconciler.report.formats import Format

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from reconciler.model.trust import Trust
    from reconciler.planning.builder import PlanOptions

Command = TypeVar("Command", bound="Callable[..., Any]")

paths_argument = click.argument("paths", nargs=-1, required=True, type=FILE_NAME, metavar="PATH...")

parallelism_option = click.option(
    "--parallelism", type=click.IntRange(1, 256), default=10, show_default=True, metavar="N", help="Requests in flight."
)


def _to_invocation(name: str) -> Callable[[click.Context, click.Parameter, Any], None]:
    def store(context: click.Context, _parameter: click.Parameter, value: Any) -> None:  # noqa: ANN401 - click's
        setattr(context.ensure_object(Invocation), name, value)

    return store


_QUIET = click.option(
    *("-q", "--quiet"),
    is_flag=True,
    expose_value=False,
    callback=_to_invocation("quiet"),
    help="Only the document and errors.",
)
_VERBOSE = click.option(
    *("-v", "--verbose"),
    is_flag=True,
    expose_value=False,
    callback=_to_invocation("verbose"),
    help="Show what stays unchanged too.",
)
_NO_COLOR = click.option(
    "--no-color",
    "plain",
    is_flag=True,
    expose_value=False,
    callback=_to_invocation("plain"),
    help="No colours (so does NO_COLOR=1).",
)
_OUTPUT = click.option(
    *("-o", "--output"),
    type=OutputFile(dir_okay=False, readable=False),
    expose_value=False,
    is_eager=True,
    callback=_to_invocation("output"),
    metavar="FILE",
    help="Write the document to FILE.",
)


def output_options(formats: Sequence[Format], document: DocumentKind | None = None) -> Callable[[Command], Command]:
    """``--format``, ``--output``, ``--no-color``, ``-v`` and ``-q``; they land in the ``Invocation``.

    Args:
        formats: Which formats the command's document comes in; with text alone there is no ``--format``.
        document: What the document is, so that a program gets one on failure too, even on wrong usage.
    """

    def choose(context: click.Context, _parameter: click.Parameter, value: str) -> None:
        invocation = context.ensure_object(Invocation)
        invocation.format = Format(value)
        invocation.document = document

    chosen = click.option(
        *("-f", "--format"),
        type=click.Choice([one.value for one in formats]),
        default="text",
        show_default=True,
        expose_value=False,
        is_eager=True,
        callback=choose,
        help="How the document is written.",
    )

    def decorate(command: Command) -> Command:
        for option in (_QUIET, _VERBOSE, _NO_COLOR, _OUTPUT, *([chosen] if len(formats) > 1 else [])):
            command = option(command)
        return command

    return decorate


def _one_token_file(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """Refuses two tokens: one of them would be passed over."""
    if value is not None:
        others = {"token_file", "refresh_token_file"} - {parameter.name}
        if any(context.params.get(name) is not None for name in others):
            raise click.UsageError("--token-file and --refresh-token-file exclude each other. Name one.")
    return value


def server_options(command: Command) -> Command:
    """Where the server is and how to get in; arrives as ``server: ServerOptions``."""
    return _packed(
        "server",
        ServerOptions,
        [
            click.option("--url", metavar="URL", help="The server; wins over RECONCILER_URL and the YAML."),
            click.option(
                "--token-file",
                type=FILE_NAME,
                callback=_one_token_file,
                metavar="FILE",
                help="File with an access token.",
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
            click.option(
                "--timeout",
                type=DURATION,
                default="30s",
                show_default=True,
                metavar="SECONDS",
                help="Limit for one request.",
            ),
            click.option("--insecure-http", is_flag=True, help="Allow http:// to other machines."),
        ],
    )(command)


@dataclass(frozen=True, slots=True)
class PlanFlags:
    """The options that shape a plan, as they come from the command line."""

    only: tuple[str, ...]
    no_prune: bool
    max_deletes: DeleteLimit | None
    allow_empty: bool
    allow_commands: bool
    rotate_passwords: bool
    trust: str | None

    def loading(self, server: ServerOptions, to_email: str | None = None) -> LoadOptions:
        """What of them is about the YAML."""
        return LoadOptions(
            only=Globs(self.only),
            allow_commands=self.allow_commands,
            url=server.url,
            to_email=to_email,
            own_files=server.own_files(os.environ),
        )

    def options(self, trust: Trust | None = None, test: str | None = None, to_email: str | None = None) -> PlanOptions:
        """The same, as the planner takes it."""
        from reconciler.planning.builder import PlanOptions

        return PlanOptions(
            prune=False if self.no_prune else None,
            max_deletes=self.max_deletes,
            allow_empty=self.allow_empty,
            only=Globs(self.only),
            rotate_passwords=self.rotate_passwords,
            test=DeliveryTestSettings(DeliveryTestWhen(test) if test else None, to_email),
            trust=trust,
        )


only_option = click.option(
    "--only", multiple=True, metavar="GLOB", help="Narrow everything to these addresses; may be repeated."
)
allow_commands_option = click.option("--allow-commands", is_flag=True, help="Run the commands of {command: …} secrets.")


def _trust_file(context: click.Context, _parameter: click.Parameter, name: str | None) -> str | None:
    if context.resilient_parsing:
        return None
    if name is None:
        name = os.environ.get("RECONCILER_TRUST")
        if name is None:
            return None
    if not name:
        # Whoever sets it wants it: a secret that is missing in CI must not switch trust off.
        raise click.UsageError("--trust, or RECONCILER_TRUST, is empty. Name a trust file, or leave it out.")
    return name


trust_option = click.option(
    "--trust",
    type=FILE_NAME,
    callback=_trust_file,
    metavar="FILE",
    help="What the YAML may use, and where secrets may go; or RECONCILER_TRUST.",
)


def plan_options(command: Command) -> Command:
    """What shapes a plan; arrives as ``planning: PlanFlags``."""
    return _packed(
        "planning",
        PlanFlags,
        [
            only_option,
            click.option("--no-prune", is_flag=True, help="Delete nothing."),
            click.option(
                "--max-deletes",
                type=DELETE_LIMIT,
                metavar="N|P%",
                help="Most accounts to delete; wins over the YAML's policy (30%).",
            ),
            click.option("--allow-empty", is_flag=True, help="Allow deleting every account."),
            allow_commands_option,
            click.option(
                "--rotate-passwords",
                is_flag=True,
                help="Send declared passwords where the server hides the current ones.",
            ),
            trust_option,
        ],
    )(command)


to_email_option = click.option(
    "--to-email", type=ADDRESS, metavar="ADDRESS", help="Where test mails go; wins over the YAML."
)


@dataclass(frozen=True, slots=True)
class ApplyFlags:
    """The options that say how a plan is applied.

    Attributes:
        plan_file: A reviewed plan; nothing but its changes may be made.
        journal: The file to note each write in.
        lock_timeout: Seconds to wait for another run on the server.
    """

    plan_file: str | None
    auto_approve: bool
    test_when: str | None
    to_email: str | None
    on_failure: str
    journal: str | None
    lock_timeout: float
    parallelism: int


def apply_options(command: Command) -> Command:
    """How a plan is applied; arrives as ``running: ApplyFlags``."""
    return _packed(
        "running",
        ApplyFlags,
        [
            click.option(
                "--plan",
                "plan_file",
                type=FILE_NAME,
                metavar="FILE",
                help="Apply only what was reviewed in this saved plan; does not ask.",
            ),
            click.option("--auto-approve", is_flag=True, help="Do not ask; for CI."),
            click.option(
                "--test",
                "test_when",
                type=click.Choice([one.value for one in DeliveryTestWhen]),
                help="Try changed settings through the test endpoint; wins over the YAML.",
            ),
            to_email_option,
            click.option(
                "--on-failure",
                type=click.Choice(["continue", "stop", "rollback"]),
                default="continue",
                show_default=True,
                help="After a failure; `rollback` undoes what fails its test after the write.",
            ),
            click.option(
                "--journal",
                type=OUTPUT_FILE,
                metavar="FILE",
                help="Append intent and outcome of each write to FILE, as JSON lines.",
            ),
            click.option(
                "--lock-timeout",
                type=WAIT,
                default="60s",
                show_default=True,
                metavar="DURATION",
                help="How long to wait for another apply to this server.",
            ),
            parallelism_option,
        ],
    )(command)


def _packed(name: str, kind: type[Any], options: Sequence[Callable[[Any], Any]]) -> Callable[[Command], Command]:
    """Adds options whose values arrive as one ``kind``, in the argument ``name``."""
    members = [one.name for one in fields(kind)]

    def decorate(command: Command) -> Command:
        @wraps(command)
        def wrapper(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - passes on whatever click gives
            bundle = kind(**{member: kwargs.pop(member) for member in members})
            return command(*args, **{name: bundle}, **kwargs)

        decorated: Any = wrapper
        for option in reversed(options):
            decorated = option(decorated)
        return decorated  # type: ignore[no-any-return]

    return decorate
