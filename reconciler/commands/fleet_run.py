"""What ``plan``, ``apply``, ``test`` and ``export`` do with a fleet: select, run side by side, report."""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from reconciler import reconcile
from reconciler.commands import saved_plan
from reconciler.commands.engine_run import engine_for
from reconciler.commands.inputs import files_named_by, refuse_overwriting_inputs
from reconciler.commands.invocation import file_exists
from reconciler.commands.output import (
    fleet_exit_code,
    plan_exit_code,
    print_remarks,
    show_plans,
    show_plans_first,
    show_reports,
)
from reconciler.commands.process import CrashReporter, handle_interrupts
from reconciler.commands.progress import fleet_progress, open_journal
from reconciler.errors import ExitCode, Kind, Problem, ReconcilerError
from reconciler.fleet.runner import FleetRun
from reconciler.fleet.selection import Selection, select
from reconciler.fleet.server_run import ServerRunOptions
from reconciler.model.display import display_sentence
from reconciler.model.fleet import ALL_AT_ONCE
from reconciler.planning.checks import undeclared_only_warning, unused_recipient_warning
from reconciler.planning.planner import PlanOptions
from reconciler.report.fleet_text import fleet_problems_text
from reconciler.report.formats import Format, PlanInput, ReportInput
from reconciler.report.server_names import count_phrase

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from reconciler.commands.engine_options import EngineFlags
    from reconciler.commands.inputs import RunRequest
    from reconciler.commands.invocation import Invocation
    from reconciler.commands.options import ApplyFlags
    from reconciler.fleet.remote import RemoteEngine
    from reconciler.model.desired import Desired
    from reconciler.model.outcome import Report
    from reconciler.model.plan import Plan
    from reconciler.model.server import Server

_MOST_NAMES: Final = 3
_FILE_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def plan_fleet(
    request: RunRequest,
    engine: EngineFlags,
    *,
    save: str | None = None,
    detailed_exitcode: bool = False,
) -> ExitCode:
    """Plans every selected server, and shows the plans."""
    invocation, servers = request.invocation, _servers(request)
    with engine_for(request, servers, engine) as workers:
        run = _run(request, servers, _options(request, engine), workers)
        with fleet_progress(invocation, run.size) as observer:
            plans = run.plan(observer)
    subject = PlanInput(plans=plans, of_fleet=True)
    show_plans(invocation, subject, save)
    if invocation.format is not Format.TEXT or invocation.output:
        _print_problems(invocation, ((plan.server, plan.warnings) for plan in plans), "warning")
    invocation.print_warnings(tuple(unused_recipient_warning(request.planning.test.to_email, plans)))
    _print_problems(invocation, ((plan.server, (*plan.refusals, *plan.errors)) for plan in plans))
    return plan_exit_code(plans, detailed=detailed_exitcode)


def apply_fleet(request: RunRequest, running: ApplyFlags, engine: EngineFlags) -> ExitCode:
    """Plans every selected server, shows the plans, asks, and applies them in the order of the rollout."""
    invocation, servers = request.invocation, _servers(request)
    saved = saved_plan.read(running.plan_file) if running.plan_file is not None else None
    rollout = ALL_AT_ONCE if running.no_rollout else request.fleet.rollout
    with (
        engine_for(request, servers, engine, running) as workers,
        open_journal(running.journal, invocation, of_fleet=True) as journal,
    ):
        run = _run(
            request,
            servers,
            replace(
                _options(request, engine),
                parallelism=running.parallelism,
                lock_timeout=running.lock_timeout,
                on_failure=running.on_failure,
                observer=journal,
            ),
            workers,
        )
        with fleet_progress(invocation, run.size) as observer:
            plans = run.plan(observer)
        show_plans_first(invocation, PlanInput(plans=plans, of_fleet=True))
        unused = tuple(unused_recipient_warning(running.to_email, plans))
        invocation.print_warnings(unused)
        changing = sum(plan.applicable and bool(plan.changes) for plan in plans)
        if changing and not running.auto_approve and saved is None:
            invocation.ask(count_phrase(changing))
        with handle_interrupts(run.gate, invocation) as interrupt:
            invocation.acted = True
            with fleet_progress(invocation, run.size) as observer:
                reports = run.apply(rollout, saved, observer=observer)
            interrupt.run_ended()
            warnings = (*(one for plan in plans for one in plan.warnings), *unused)
            return _reported(invocation, reports, warnings, interrupted=interrupt.asked)


def test_fleet(request: RunRequest, engine: EngineFlags, *, parallelism: int) -> ExitCode:
    """Runs the delivery tests of every selected server."""
    invocation, servers = request.invocation, _servers(request)
    warnings = tuple(undeclared_only_warning(request.planning.only, servers))
    invocation.print_warnings(warnings)
    with engine_for(request, servers, engine, parallelism=parallelism) as workers:
        run = _run(request, servers, replace(_options(request, engine), parallelism=parallelism), workers)
        with handle_interrupts(run.gate, invocation) as interrupt:
            invocation.acted = True
            with fleet_progress(invocation, run.size) as observer:
                reports = run.test(observer)
            interrupt.run_ended()
            return _reported(invocation, reports, warnings, interrupted=interrupt.asked)


def export_fleet(request: RunRequest, folder: str) -> ExitCode:
    """Writes a file for each selected server. A server that cannot be exported does not stop the others.

    Raises:
        ReconcilerError: A server's name cannot be that of a file, or a file exists. Nothing was sent or written.
        OutputError: A file cannot be written.
    """
    invocation, only = request.invocation, request.planning.only.patterns
    options = replace(_options(request), planning=PlanOptions(no_secrets=True), keep_unchanged=True)
    run = _run(request, _servers(request), options)
    files = {server.name: _file_for(server.name, folder) for server in run.servers}
    existing = [file for file in files.values() if file.exists()]
    if existing and not invocation.overwrite:
        raise file_exists(str(existing[0]))
    refuse_overwriting_inputs(
        invocation, files_named_by(request.fleet), [("--output-dir", str(file)) for file in existing]
    )
    with fleet_progress(invocation, run.size) as observer:
        plans = run.plan(observer)
    Path(folder).mkdir(parents=True, exist_ok=True)
    failed: list[Plan] = []
    for plan in plans:
        # The declared accounts do not matter: with errors about them, there is still what the server has.
        if plan.errors and not plan.current:
            failed.append(plan)
            continue
        accounts = sorted(plan.current, key=lambda account: account.id or 0)
        exported = reconcile.exported(accounts, plan.server, only)
        invocation.write_file(str(files[plan.server.name]), exported.text, overwrite=invocation.overwrite)
        print_remarks(invocation, exported)
    _print_problems(invocation, ((plan.server, plan.errors) for plan in failed))
    return ExitCode.ERROR if failed else ExitCode.OK


def _file_for(name: str, folder: str) -> Path:
    if not _FILE_NAME.fullmatch(name):
        message = f"the server's name {display_sentence(name)} cannot be the name of a file"
        raise ReconcilerError.of(message, kind=Kind.OUTPUT, hint="use letters, digits and hyphens in server.name")
    return Path(folder) / f"{name}.yaml"


def _servers(request: RunRequest) -> tuple[Desired, ...]:
    """The selected servers.

    Raises:
        GuardError: The fleet declares fewer servers than it must.
        ReconcilerError: The selector matches no server, or a URL is given for all of them.
    """
    fleet, flags = request.fleet, request.flags
    reconcile.check_single_url(fleet, request.context)
    names = None if flags.only_failed is None else saved_plan.read_unfinished(flags.only_failed)
    if unknown := (names or frozenset()) - {one.named_server.name for one in fleet.servers}:
        listed = ", ".join(display_sentence(name) for name in sorted(unknown)[:_MOST_NAMES]) + (
            ", …" if len(unknown) > _MOST_NAMES else ""
        )
        message = f"{flags.only_failed} has servers that did not succeed and that no file declares: {listed}"
        hint = "name the files that were applied then; a server whose file is gone is not managed any more"
        request.invocation.print_warnings([Problem(kind=Kind.UNKNOWN_SERVER, message=message, hint=hint)])
    return select(fleet, Selection(selector=flags.select, shard=flags.shard, names=names))


def _run(
    request: RunRequest, servers: Sequence[Desired], options: ServerRunOptions, engine: RemoteEngine | None = None
) -> FleetRun:
    """A run on the selected servers."""
    run = FleetRun(servers, options, server_parallelism=request.flags.server_parallelism, engine=engine)
    request.invocation.servers, request.invocation.of_fleet = run.servers, True
    request.invocation.print_warnings(request.fleet.warnings)
    return run


def _options(request: RunRequest, engine: EngineFlags | None = None) -> ServerRunOptions:
    """What the runs on all servers have in common. A single server is no fleet, although an option selects it."""
    shows_all = request.invocation.verbose or request.invocation.format is Format.TFPLAN
    return ServerRunOptions(
        context=request.context,
        paths=request.paths,
        planning=request.planning,
        keep_unchanged=shows_all,
        in_fleet=bool(engine and engine.url) or len(request.fleet.servers) > 1,
        explain_bug=lambda redactor: CrashReporter(redactor).explain,
    )


def _reported(
    invocation: Invocation, reports: Sequence[Report], warnings: tuple[Problem, ...], *, interrupted: bool
) -> ExitCode:
    """Shows the reports; returns the exit code."""
    if interrupted:
        reports = tuple(report if report.complete else replace(report, interrupted=True) for report in reports)
    code = ExitCode.INTERRUPTED if interrupted else fleet_exit_code(reports)
    show_reports(invocation, ReportInput(tuple(reports), of_fleet=True, warnings=warnings), code)
    if invocation.format is not Format.TEXT or invocation.output:
        _print_problems(invocation, ((report.server, report.errors) for report in reports))
    return code


def _print_problems(
    invocation: Invocation, problems: Iterable[tuple[Server, Sequence[Problem]]], word: str = "error"
) -> None:
    """Prints the problems of servers to standard error, unless they were already shown there."""
    if word == "warning" and invocation.quiet:
        return
    problems = list(problems)
    if word == "error":
        invocation.failures += (problem.kind for _server, of in problems for problem in of)
    unseen = [(server, [one for one in of if not invocation.has_shown(one)]) for server, of in problems]
    invocation.print_error_text(fleet_problems_text(unseen, word, invocation.style_of(sys.stderr)))
