"""``reconciler watch``: reconciles repeatedly, and shows the state of the fleet."""

from __future__ import annotations

import os
import signal
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Final

import click

from reconciler.commands.engine_options import watch_engine_options
from reconciler.commands.engine_run import workers_of_watcher
from reconciler.commands.inputs import CommandFiles, logging_context
from reconciler.commands.manifest_source import check_source_usage, git_options, manifest_source
from reconciler.commands.options import (
    allow_commands_option,
    parallelism_option,
    repeated_plan_options,
    server_options,
    state_dir_option,
    trust_option,
)
from reconciler.commands.parameters import FILE_NAME
from reconciler.commands.process import CrashReporter, handling_signals, share_memory_arenas
from reconciler.commands.watch_options import NOT_SERVED, loop_options, show_options
from reconciler.errors import ExitCode, InvalidValueError, Kind, MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from reconciler.commands.engine_options import EngineFlags
    from reconciler.commands.invocation import Invocation
    from reconciler.commands.manifest_source import GitFlags
    from reconciler.commands.watch_options import LoopFlags, ShowFlags
    from reconciler.credentials import ServerOptions
    from reconciler.model.outcome import Report
    from reconciler.model.redaction import Redactor
    from reconciler.planning.planner import PlanOptions
    from reconciler.source.revision import Source
    from reconciler.watch.log import EventLog
    from reconciler.watch.loop import Watcher
    from reconciler.watch.notify import Notifier as Notifications
    from reconciler.watch.page_server import PageServer
    from reconciler.watch.records import Overview
    from reconciler.watch.round import ServerResult
    from reconciler.watch.state import WatchState

_LOCK_TIMEOUT: Final = 5.0
"""Seconds to wait for another run on a server; the next round comes soon."""

_LAST_DELIVERIES: Final = 10.0
"""Seconds that notifications may take when the watcher ends."""

_POLL_PATHS: Final = 1.0
"""Seconds between two looks at paths, which cost little."""


@click.command(
    epilog="""\b
Examples:
  reconciler watch fleet/ --interval 10m
  reconciler watch --git https://git.example.com/mail.git --path fleet \\
    --on-drift report
  reconciler watch fleet/ --once
  reconciler watch fleet/ --engine rediss://broker.example.com:6379/0"""
)
@click.argument("paths", nargs=-1, type=FILE_NAME, metavar="[PATH]...")
@git_options
@loop_options
@click.option("--once", is_flag=True, help="Run one round, and exit with the codes of `apply`; for cron.")
@state_dir_option
@show_options
@watch_engine_options
@repeated_plan_options
@allow_commands_option
@trust_option
@parallelism_option
@server_options
@click.pass_obj
def watch(  # noqa: PLR0913 - one for each group of options
    invocation: Invocation,
    *,
    paths: tuple[str, ...],
    git: GitFlags,
    watching: LoopFlags,
    once: bool,
    state_dir: Path,
    showing: ShowFlags,
    engine: EngineFlags,
    planning: PlanOptions,
    allow_commands: bool,
    trust: str | None,
    parallelism: int,
    server: ServerOptions,
) -> ExitCode:
    """Reconcile repeatedly: pull, plan, apply, and show the state.

    PATH is a YAML file, or a folder of them; with --git, they come from a repository. Stop it with SIGTERM or Ctrl-C:
    writes in flight finish. SIGHUP begins a round.
    """
    check_source_usage(paths, git)
    with ExitStack() as held:
        if not once:  # a signal that comes before there is a watcher ends it as any other
            held.enter_context(suppress(KeyboardInterrupt))
            held.enter_context(handling_signals({signal.SIGHUP: lambda *_received: None}))
        from reconciler.fleet.server_run import ServerRunOptions
        from reconciler.watch.fleet_status import FleetStatus
        from reconciler.watch.intake import Intake
        from reconciler.watch.log import EventLog, LogFormat
        from reconciler.watch.loop import Watcher
        from reconciler.watch.rounds import WatchOptions
        from reconciler.watch.server_check import Switches
        from reconciler.watch.state import WatchState

        address = engine.address(invocation.redactor)
        share_memory_arenas()
        log = EventLog(LogFormat(showing.log_format), invocation.redactor.redact)
        state = WatchState(state_dir)
        held.callback(state.close)
        held.enter_context(state.lock())
        source = manifest_source(paths, git, folder=state.folder / "git", last_good=state.commit(), trust=trust)
        files = CommandFiles(server=server, trust=trust)
        context = logging_context(invocation, files, log, allow_commands=allow_commands)
        run_options = ServerRunOptions(
            paths=(),
            context=context,
            planning=planning,
            parallelism=parallelism,
            lock_timeout=_LOCK_TIMEOUT,
            explain_bug=lambda redactor: CrashReporter(redactor).explain,
        )
        status = FleetStatus(state, source.name, log)
        page = None if once or showing.listen == NOT_SERVED else _Page(showing, invocation.redactor)
        notifier = held.enter_context(_notifications(showing, state, source, log))
        listener = _Listener(page, notifier)
        workers = workers_of_watcher(address, engine, run_options, watching.server_parallelism, status.unwritable)
        options = WatchOptions(
            run=run_options,
            interval=watching.interval,
            poll=watching.interval if git.url else min(watching.interval, _POLL_PATHS),
            switches=Switches(commits=watching.on_commit == "apply", drift=watching.on_drift == "apply"),
            heal_limit=watching.heal_limit,
            server_parallelism=watching.server_parallelism,
            workers=held.enter_context(workers),
        )
        watcher = Watcher(Intake(source, context, trust), status, options, log, listener)
        ending, asking = (lambda *_received: watcher.stop()), (lambda *_received: watcher.trigger("signal"))
        with handling_signals({signal.SIGINT: ending, signal.SIGTERM: ending, signal.SIGHUP: asking}):
            if once:
                return _run_once(watcher)
            if page:
                explain = CrashReporter(invocation.redactor).explain
                served = page.serve(watcher, lambda bug: log.event("page_failed", explain(bug), level="error"))
                log.event("listening", f"the page is at {held.enter_context(served).url}")
            watcher.run()
    return ExitCode.OK


def _run_once(watcher: Watcher) -> ExitCode:
    """One round; returns the exit code of ``apply``. A source with a problem is an error even if the round succeeds."""
    from reconciler.commands.output import fleet_exit_code

    results = watcher.run_once()
    if watcher.is_stopping:
        return ExitCode.INTERRUPTED
    reports = [one.report or _unwritten(one) for one in results]
    code = fleet_exit_code(reports)
    return ExitCode.ERROR if code is ExitCode.OK and (watcher.status.notices or not results) else code


def _unwritten(result: ServerResult) -> Report:
    """The report of a server that was not written to. A suspension is an error only if there was something to write."""
    from reconciler.errors import Problem
    from reconciler.model.outcome import Report, ServerStatus
    from reconciler.model.server import Server
    from reconciler.watch.records import SuspendedBy

    record, suspension = result.record, result.record.suspended
    server = Server(record.name, record.url)
    if suspension is None or not record.changes:
        return Report.of_no_changes(server)
    kind = Kind.HEAL_LIMIT if suspension.by is SuspendedBy.HEAL_LIMIT else Kind.SUSPENDED
    problem = Problem(kind=kind, message=suspension.reason)
    return Report.of_failure(server, ServerStatus.REFUSED, (problem,))


class _Page:
    """The page with its metrics; ``MissingExtraError`` if the extra ``watch`` is not installed."""

    def __init__(self, showing: ShowFlags, redactor: Redactor) -> None:
        """Reads the options and the secrets, from their files or from the environment."""
        try:
            from reconciler.watch.metrics import Metrics
            from reconciler.watch.page_options import page_options
        except ImportError as error:
            message = f"the page needs {error.name}, which the extra `watch` installs"
            hint = "pip install 'email-account-reconciler[watch]', or leave the page out with --listen off"
            raise MissingExtraError.of(message, kind=Kind.MISSING_EXTRA, hint=hint) from None
        try:
            self._options = page_options(
                showing.listen,
                showing.host,
                os.environ,
                token_file=showing.page_token_file,
                hook_secret_file=showing.hook_secret_file,
            )
        except InvalidValueError as error:
            raise click.UsageError(f"--listen or --host: {error.message}; {error.hint}.") from None
        for secret in self._options.secrets:
            redactor.add(secret)
        self.metrics = Metrics()

    def serve(self, watcher: Watcher, report_bug: Callable[[Exception], None]) -> PageServer:
        """The server, which runs while it is entered."""
        from reconciler.watch.page_server import PageServer

        return PageServer(watcher, self.metrics, self._options, report_bug)


class _Listener:
    """Passes on what happens: to the metrics and to the people who want to be notified."""

    def __init__(self, page: _Page | None, notifier: Notifications | None) -> None:
        self._page = page
        self._notifier = notifier

    def server_done(self, result: str, seconds: float) -> None:
        """A server was processed."""
        if self._page:
            self._page.metrics.count_run(result, seconds)

    def round_ended(self, overview: Overview, results: Sequence[ServerResult]) -> None:
        """A round has ended."""
        if self._notifier:
            from reconciler.watch.conditions import fleet_conditions

            runs = {one.record.name: one.run for one in results}
            self._notifier.notify(fleet_conditions(overview, runs), overview.at)


@contextmanager
def _notifications(
    showing: ShowFlags, state: WatchState, source: Source, log: EventLog
) -> Iterator[Notifications | None]:
    """Notifies the receivers in the notify file, if there is one. At the end, deliveries have a moment to finish."""
    if showing.notify_file is None:
        yield None
        return
    from reconciler.watch.notify import Notifier, read_receivers

    notifier = Notifier(read_receivers(showing.notify_file), state.outbox, source=source.name, warn=log.warn)
    try:
        yield notifier
    finally:
        notifier.close(_LAST_DELIVERIES)
