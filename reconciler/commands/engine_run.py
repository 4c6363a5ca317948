"""Connects a command to the workers of an engine, for the time of one run."""

from __future__ import annotations

import os
import re
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from reconciler.commands.engine_options import refuse_wider_options
from reconciler.report.formats import Format

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from reconciler.commands.engine_options import EngineFlags
    from reconciler.commands.inputs import RunRequest
    from reconciler.commands.options import ApplyFlags
    from reconciler.fleet.broker import BrokerAddress
    from reconciler.fleet.dispatch import DispatchOptions, Holds
    from reconciler.fleet.remote import EngineOptions, RemoteEngine, Workers
    from reconciler.fleet.server_run import ServerRunOptions
    from reconciler.model.desired import Desired
    from reconciler.planning.planner import PlanOptions
    from reconciler.reconcile import RunContext

_IN_FLIGHT: Final = 64
_LEASE_MARGIN: Final = 5.0
"""Seconds for which a worker waits for a lease in addition to the time after which that of a dead worker expires."""


def _check_usage(request: RunRequest, running: ApplyFlags | None) -> None:
    """Refuses what an engine does not do.

    Raises:
        click.UsageError: An option cannot be used with an engine.
    """
    refuse_wider_options(
        {
            **_wider_options(request.context, request.planning),
            "--no-secrets": request.planning.no_secrets,
            "--verbose": request.invocation.verbose,
            "--format tfplan": request.invocation.format is Format.TFPLAN,
            "--test": request.planning.test.when is not None,
            "--to-email": request.planning.test.to_email is not None,
            "--journal": running is not None and running.journal is not None,
        }
    )


def _wider_options(context: RunContext, planning: PlanOptions) -> dict[str, bool]:
    """What could send something elsewhere, or delete more, and whether it was given."""
    server = context.server
    return {
        "--trust": context.trust is not None,
        "--allow-commands": context.allow_commands,
        "--url": server.url is not None,
        "--token-file": server.token_file is not None,
        "--refresh-token-file": server.refresh_token_file is not None,
        "--ca-file": server.ca_file is not None,
        "--client-cert": server.client_cert is not None,
        "--insecure-http": server.insecure_http,
        "--max-deletes": planning.max_deletes is not None,
        "--allow-empty": planning.allow_empty,
        "--rotate-passwords": planning.rotate_passwords,
    }


@contextmanager
def engine_for(
    request: RunRequest,
    servers: Sequence[Desired],
    flags: EngineFlags,
    running: ApplyFlags | None = None,
    *,
    parallelism: int | None = None,
) -> Iterator[RemoteEngine | None]:
    """The engine of a run, which is connected as long as this is active; ``None`` if the run does without.

    Raises:
        click.UsageError: An option cannot be used with an engine.
        ReconcilerError: The manifests leave the URL of a server to the command line or the environment.
        UnreachableError: The broker does not respond.
        MissingExtraError: The extra ``celery`` is not installed.
    """
    address = flags.address(request.invocation.redactor)
    if address is None:
        yield None
        return
    _check_usage(request, running)
    with (
        workers(address, _options(request, flags, running, parallelism)) as connected,
        connected.engine(servers, _commit()) as engine,
    ):
        yield engine


@contextmanager
def workers(address: BrokerAddress, options: EngineOptions) -> Iterator[Workers]:
    """A connection to workers, as long as this is active.

    Raises:
        MissingExtraError: The extra ``celery`` is not installed.
    """
    from reconciler.fleet.engine import CeleryTransport
    from reconciler.fleet.leases import Coordination
    from reconciler.fleet.remote import Workers

    transport = CeleryTransport(address)
    coordination = Coordination(address)
    try:
        yield Workers(transport, coordination, options)
    finally:
        transport.close()
        coordination.close()


def _options(
    request: RunRequest, flags: EngineFlags, running: ApplyFlags | None, parallelism: int | None
) -> EngineOptions:
    from reconciler.fleet.messages import Limits
    from reconciler.fleet.remote import EngineOptions

    planning = request.planning
    limits = Limits(
        only=planning.only.patterns, no_prune=planning.prune is False, timeout=request.context.server.timeout
    )
    if running:
        limits = replace(
            limits,
            on_failure=running.on_failure,
            parallelism=running.parallelism,
            lock_timeout=running.lock_timeout,
        )
    if parallelism is not None:
        limits = replace(limits, parallelism=parallelism)
    return EngineOptions(limits=limits, dispatch=_dispatch_options(flags, request.flags.server_parallelism))


@contextmanager
def workers_of_watcher(
    address: BrokerAddress | None,
    flags: EngineFlags,
    run: ServerRunOptions,
    server_parallelism: int,
    holds: Holds,
) -> Iterator[Workers | None]:
    """The workers of a watcher, which are connected as long as this is active; ``None`` if it does without.

    Args:
        address: The broker; ``None`` without an engine.
        flags: How servers are dispatched.
        run: How each server would be processed in this process.
        server_parallelism: Servers side by side.
        holds: Tells which servers must not be written any more.

    Raises:
        click.UsageError: An option cannot be used with an engine.
        MissingExtraError: The extra ``celery`` is not installed.
    """
    if address is None:
        yield None
        return
    refuse_wider_options(_wider_options(run.context, run.planning))
    from reconciler.fleet.leases import LEASE_SECONDS
    from reconciler.fleet.messages import Limits
    from reconciler.fleet.remote import EngineOptions

    limits = Limits(
        only=run.planning.only.patterns,
        no_prune=run.planning.prune is False,
        parallelism=run.parallelism,
        timeout=run.context.server.timeout,
        lock_timeout=LEASE_SECONDS + _LEASE_MARGIN,
        needs_client=True,
        lists_accounts=True,
    )
    options = EngineOptions(limits=limits, dispatch=_dispatch_options(flags, server_parallelism), holds=holds)
    with workers(address, options) as connected:
        yield connected


def _dispatch_options(flags: EngineFlags, server_parallelism: int) -> DispatchOptions:
    """How messages are sent."""
    from reconciler.fleet.dispatch import DispatchOptions

    return DispatchOptions(in_flight=max(_IN_FLIGHT, server_parallelism), patience=flags.queue_timeout)


def _commit() -> str:
    """The commit of the manifests, which messages name; empty if it is not known."""
    commit = os.environ.get("GITHUB_SHA") or os.environ.get("CI_COMMIT_SHA") or ""
    return commit if re.fullmatch(r"[0-9a-f]{40,64}", commit) else ""
