"""The options of ``watch``, in groups: what is written when, and what is shown where."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import click

from reconciler.commands.options import log_format_option, packed, server_parallelism_option
from reconciler.commands.parameters import DURATION, FILE_NAME, Parsed

if TYPE_CHECKING:
    from reconciler.watch.heal import HealLimit

NOT_SERVED: Final = "off"
"""The value of ``--listen`` for no page."""


def _heal_limit(text: str) -> HealLimit:
    from reconciler.watch.heal import HealLimit

    return HealLimit.parse(text)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopFlags:
    """What is written when.

    Attributes:
        interval: Seconds between two rounds.
    """

    interval: float
    on_commit: str
    on_drift: str
    heal_limit: HealLimit
    server_parallelism: int


loop_options = packed(
    "watching",
    LoopFlags,
    click.option(
        "--interval", type=DURATION, default="5m", show_default=True, metavar="DURATION", help="Time between rounds."
    ),
    click.option(
        "--on-commit",
        type=click.Choice(["plan", "apply"]),
        default="apply",
        show_default=True,
        help="What to do when the declaration has changed.",
    ),
    click.option(
        "--on-drift",
        type=click.Choice(["report", "apply"]),
        default="apply",
        show_default=True,
        help="What to do when a server has changed.",
    ),
    click.option(
        "--heal-limit",
        type=Parsed("limit", _heal_limit),
        default="3/1h",
        show_default=True,
        metavar="N/DURATION",
        help="So many corrections of one field within this time stop the server.",
    ),
    server_parallelism_option,
)
"""What is written when; they arrive as ``watching: LoopFlags``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShowFlags:
    """What is shown where.

    Attributes:
        listen: Address and port of the page; ``off`` for none.
        host: Names under which the page is reached.
        page_token_file: The file with the page's token, in place of ``RECONCILER_PAGE_TOKEN``.
        hook_secret_file: The file with the secret of hooks, in place of ``RECONCILER_HOOK_SECRET``.
        notify_file: The file with the receivers of notifications.
    """

    listen: str
    host: tuple[str, ...]
    page_token_file: str | None
    hook_secret_file: str | None
    notify_file: str | None
    log_format: str


show_options = packed(
    "showing",
    ShowFlags,
    click.option(
        "--listen",
        default="127.0.0.1:8080",
        show_default=True,
        metavar="ADDRESS:PORT",
        help=f"Where to serve the page, the metrics and the hook; `{NOT_SERVED}` for nowhere.",
    ),
    click.option(
        "--host", multiple=True, metavar="NAME", help="A host name that the page is reached by; may be repeated."
    ),
    click.option(
        "--page-token-file",
        type=FILE_NAME,
        metavar="FILE",
        help="File with the token that readers of the page need; or RECONCILER_PAGE_TOKEN.",
    ),
    click.option(
        "--hook-secret-file",
        type=FILE_NAME,
        metavar="FILE",
        help="File with the secret that hooks are signed with; or RECONCILER_HOOK_SECRET.",
    ),
    click.option("--notify-file", type=FILE_NAME, metavar="FILE", help="A file with one notification URL per line."),
    log_format_option,
)
"""What is shown where; they arrive as ``showing: ShowFlags``."""
