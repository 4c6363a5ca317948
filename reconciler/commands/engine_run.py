"""Connects a command to the workers of an engine, for the time of one run."""

from __future__ import annotations

import os
import re
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from reconciler.commands.engine_options import refuse_wider_options
from reconciler.errors import Kind, ReconcilerError
from reconciler.report.formats import Format

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from reconciler.commands.engine_options import EngineFlags
    from reconciler.commands.inputs import RunRequest
    from reconciler.commands.options import ApplyFlags
    from reconciler.fleet.broker import BrokerAddress
    from reconciler.fleet.remote import RemoteEngine
    from reconciler.model.desired import Desired

_IN_FLIGHT: Final = 64


def check_engine_usage(request: RunRequest, running: ApplyFlags | None = None, *, no_secrets: bool = False) -> None:
    """Refuses what an engine does not do.

    Raises:
        click.UsageError: An option cannot be used with an engine.
    """
    server, planning = request.context.server, request.planning
    refuse_wider_options(
        {
            "--trust": request.context.trust is not None,
            "--allow-commands": request.context.allow_commands,
            "--url": server.url is not None,
            "--token-file": server.token_file is not None,
            "--refresh-token-file": server.refresh_token_file is not None,
            "--ca-file": server.ca_file is not None,
            "--client-cert": server.client_cert is not None,
            "--insecure-http": server.insecure_http,
            "--max-deletes": planning.max_deletes is not None,
            "--allow-empty": planning.allow_empty,
            "--rotate-passwords": planning.rotate_passwords,
            "--no-secrets": no_secrets,
            "--verbose": request.invocation.verbose,
            "--format tfplan": request.invocation.format is Format.TFPLAN,
            "--test": running is not None and running.test_when is not None,
            "--to-email": running is not None and running.to_email is not None,
            "--journal": running is not None and running.journal is not None,
        }
    )


@contextmanager
def engine_for(
    request: RunRequest, servers: Sequence[Desired], flags: EngineFlags, running: ApplyFlags | None = None
) -> Iterator[RemoteEngine | None]:
    """The engine of a run, which is connected as long as this is active; ``None`` if the run does without.

    Raises:
        UnreachableError: The broker does not respond.
        MissingExtraError: The extra ``celery`` is not installed.
    """
    address = flags.address(request.invocation.redactor)
    if address is None:
        yield None
        return
    unnamed = [one for one in servers if one.server.url is None]
    if unnamed:
        message = "with --engine, the manifests must name the URL of each server"
        raise ReconcilerError.of(message, kind=Kind.NO_SERVER, hint="set server.url")
    with _connected(address, request, servers, flags, running) as engine:
        yield engine


@contextmanager
def _connected(
    address: BrokerAddress,
    request: RunRequest,
    servers: Sequence[Desired],
    flags: EngineFlags,
    running: ApplyFlags | None,
) -> Iterator[RemoteEngine]:
    from reconciler.fleet.dispatch import DispatchOptions
    from reconciler.fleet.engine import CeleryTransport
    from reconciler.fleet.leases import Coordination
    from reconciler.fleet.messages import Limits, OnFailure
    from reconciler.fleet.remote import EngineOptions, RemoteEngine

    planning = request.planning
    limits = Limits(
        only=planning.only.patterns, no_prune=planning.prune is False, timeout=request.context.server.timeout
    )
    if running:
        limits = replace(
            limits,
            on_failure=OnFailure(running.on_failure),
            parallelism=running.parallelism,
            lock_timeout=running.lock_timeout,
        )
    options = EngineOptions(
        limits=limits,
        commit=_commit(),
        dispatch=DispatchOptions(
            in_flight=max(_IN_FLIGHT, request.flags.server_parallelism), patience=flags.queue_timeout
        ),
    )
    coordination = Coordination(address)
    transport = CeleryTransport(address)
    try:
        with RemoteEngine(servers, transport, coordination, options) as engine:
            yield engine
    finally:
        transport.close()
        coordination.close()


def _commit() -> str:
    """The commit of the manifests, for the workers' logs; empty if it is not known."""
    commit = os.environ.get("GITHUB_SHA") or os.environ.get("CI_COMMIT_SHA") or ""
    return commit if re.fullmatch(r"[0-9a-f]{40,64}", commit) else ""
