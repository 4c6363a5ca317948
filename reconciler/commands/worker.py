"""``reconciler worker``: processes servers for a client that runs elsewhere."""

from __future__ import annotations

import logging
import signal
import tempfile
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from reconciler.commands.engine_options import VARIABLE, broker_options
from reconciler.commands.inputs import CommandFiles, logging_context, refuse_overwriting_inputs
from reconciler.commands.manifest_source import check_source_usage, git_options, manifest_source
from reconciler.commands.options import (
    allow_commands_option,
    insecure_http_option,
    journal_option,
    log_format_option,
    parallelism_option,
    timeout_option,
    trust_option,
)
from reconciler.commands.output import quiet_option
from reconciler.commands.parameters import FILE_NAME
from reconciler.commands.process import CrashReporter, handling_signals
from reconciler.credentials import ServerOptions
from reconciler.errors import ExitCode

if TYPE_CHECKING:
    from reconciler.commands.engine_options import EngineFlags
    from reconciler.commands.invocation import Invocation
    from reconciler.commands.manifest_source import GitFlags


@click.command(
    epilog="""\b
Examples:
  reconciler worker --engine redis://broker.example.com:6379/0 fleet/
  reconciler worker --git https://git.example.com/mail.git --path fleet \\
    --queue south --concurrency 16 --trust /etc/reconciler/trust.yaml"""
)
@click.argument("paths", nargs=-1, type=FILE_NAME, metavar="[PATH]...")
@broker_options
@git_options
@click.option(
    "--queue",
    "queues",
    multiple=True,
    metavar="NAME",
    help="Process the servers of this queue; may be repeated.  [default: reconciler]",
)
@click.option(
    "--concurrency",
    type=click.IntRange(1, 256),
    default=8,
    show_default=True,
    metavar="N",
    help="Servers at a time.",
)
@trust_option
@allow_commands_option
@parallelism_option
@timeout_option
@insecure_http_option
@journal_option
@log_format_option
@quiet_option
@click.pass_obj
def worker(  # noqa: PLR0913 - one for each group of options
    invocation: Invocation,
    *,
    paths: tuple[str, ...],
    engine: EngineFlags,
    git: GitFlags,
    queues: tuple[str, ...],
    concurrency: int,
    trust: str | None,
    allow_commands: bool,
    parallelism: int,
    timeout: float,
    insecure_http: bool,
    journal: str | None,
    log_format: str,
) -> ExitCode:
    """Process servers for `apply` or `watch --engine` elsewhere.

    PATH is a YAML file, or a folder of them; with --git, they come from a repository. What is done, and with which
    secrets, follows from these manifests and the trust file. Stop it with SIGTERM or Ctrl-C: servers in progress are
    finished.
    """
    refuse_overwriting_inputs(invocation)
    check_source_usage(paths, git)
    files = CommandFiles(server=ServerOptions(timeout=timeout, insecure_http=insecure_http), trust=trust)
    address = engine.address(invocation.redactor)
    if address is None:
        raise click.UsageError(f"Missing option '--engine'. Name the broker, or set {VARIABLE}.")
    from reconciler.commands.progress import open_journal
    from reconciler.commands.worker_manifests import WorkerManifests
    from reconciler.fleet.engine import CeleryWorker
    from reconciler.fleet.leases import Coordination
    from reconciler.fleet.remote import DEFAULT_QUEUE
    from reconciler.fleet.server_run import ServerRunOptions
    from reconciler.fleet.worker import Worker
    from reconciler.watch.log import EventLog, LogFormat

    log = EventLog(LogFormat(log_format), invocation.redactor.redact)
    names = queues or (DEFAULT_QUEUE,)
    with ExitStack() as held:
        held.enter_context(suppress(KeyboardInterrupt))  # a signal that comes before it takes messages
        coordination = Coordination(address)
        held.callback(coordination.close)
        coordination.check()
        folder = Path(held.enter_context(tempfile.TemporaryDirectory(prefix="reconciler-worker-")))
        source = manifest_source(paths, git, folder=folder / "git", trust=trust)
        context = logging_context(invocation, files, log, allow_commands=allow_commands)
        manifests = WorkerManifests(source, context, trust, log)
        manifests.load()
        refuse_overwriting_inputs(invocation, manifests.files)
        options = ServerRunOptions(
            paths=(),
            context=context,
            parallelism=parallelism,
            explain_bug=lambda redactor: CrashReporter(redactor).explain,
            observer=held.enter_context(open_journal(journal, invocation, of_fleet=True)),
        )
        processing = Worker(coordination, manifests, options, log)
        celery = CeleryWorker(
            address,
            names,
            concurrency,
            processing.process,
            lambda text, level: log.event("engine", text, level="error" if level >= logging.ERROR else "warning"),
        )
        processing.start()
        held.callback(processing.end)
        numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        with handling_signals(dict.fromkeys(numbers, lambda *_received: celery.stop())):
            log.event("started", f"takes servers of {', '.join(names)} from {address.shown}", concurrency=concurrency)
            celery.run()
        log.event("stopped")
    return ExitCode.OK
