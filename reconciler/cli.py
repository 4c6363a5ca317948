"""The command line: the group of commands, and the one boundary through which errors reach the user."""

from __future__ import annotations

import gc
import importlib
import os
import signal
import sys
from functools import cache
from typing import TYPE_CHECKING, Any, Final, NoReturn

import click

from reconciler.commands.process import end_on_signals, reopen_closed_streams, restore_default_signals
from reconciler.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from reconciler.commands.invocation import Invocation
    from reconciler.errors import Problem, ReconcilerError

COMMANDS: Final = {
    "validate": "Check the YAML.",
    "plan": "Show what would change.",
    "apply": "Plan, show, ask, write, verify, report.",
    "test": "Send each declared account's settings through the test endpoint.",
    "export": "Write the server's accounts as YAML, with secrets as references.",
    "show": "Print what the YAML comes to for one server of a fleet.",
    "trust": "Print a trust file that allows exactly what the YAML uses now.",
    "watch": "Reconcile repeatedly: pull, plan, apply, and show the state.",
    "worker": "Process servers for `apply` or `watch --engine` elsewhere.",
    "status": "Show the state of the servers that a watcher watches.",
    "suspend": "Stop the watcher from writing to a server.",
    "resume": "Allow the watcher to write to a server again.",
    "schema": "Print the JSON Schema of a document.",
    "sandbox": "Run a local server with the API, for tests and experiments.",
    "demo": "See the whole workflow, in a sandbox on this machine.",
}
"""What ``--help`` shows for each command, repeated here so that it need not import them all."""

_INTERRUPTED: Final = 130
"""``ExitCode.INTERRUPTED``, here because ``--help`` does without that module."""


class _Commands(click.Group):
    """Commands that are imported when they are needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's interface
        return list(COMMANDS)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - as above
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's interface
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(importlib.import_module(f"reconciler.commands.{cmd_name}"), cmd_name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        # While a shell completes a command line, the command may be incomplete.
        if args and args[0] not in COMMANDS and not args[0].startswith("-") and not ctx.resilient_parsing:
            from reconciler.commands.habits import command_hint

            hint = command_hint(args[0], COMMANDS)
            ctx.fail(f"No such command {args[0]!r}." + (f" {hint}" if hint else ""))
        invocation: Any = ctx.obj
        if callable(invocation):
            ctx.obj = invocation()
        return super().resolve_command(ctx, args)


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80},
    epilog="""\b
Start here:
  reconciler demo                  see the whole workflow in a sandbox
  reconciler export -o accounts.yaml
  reconciler plan accounts.yaml
  reconciler apply accounts.yaml""",
)
@click.version_option(VERSION, prog_name="reconciler", message="%(prog)s %(version)s")
def cli() -> None:
    """Keep a server's email accounts in Git: declare them in YAML, review the plan, apply it safely."""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Runs the command line and ends the process with an exit code, one of those in docs/exit-codes.md."""
    reopen_closed_streams()
    try:
        code = _run(cache(_begin), arguments)
    except KeyboardInterrupt:  # a second one, while the first was being reported
        code = _INTERRUPTED
    restore_default_signals()
    gc.freeze()  # Python searches for cyclic garbage once more as it exits
    sys.exit(code)


def _begin() -> Invocation:
    """Prepares the process for a command. ``--help`` and ``--version`` do without."""
    from reconciler.commands.invocation import Invocation

    end_on_signals()
    os.environ["PYDANTIC_DISABLE_PLUGINS"] = "__all__"  # a plugin would see what the sandbox is sent
    return Invocation()


def _run(invocation: Callable[[], Invocation], arguments: Sequence[str] | None) -> int:
    try:
        code: Any = cli.main(args=arguments, prog_name="reconciler", standalone_mode=False, obj=invocation)
    except (KeyboardInterrupt, Exception) as error:  # noqa: BLE001 - the boundary: a traceback may contain secrets
        code = _explain(invocation(), error, sys.argv[1:] if arguments is None else arguments)
    if code and code != _INTERRUPTED:  # whoever interrupts a command knows why it ended
        invocation().print_help()
    return int(code or 0)


def _explain(invocation: Invocation, error: BaseException, arguments: Sequence[str]) -> int:
    from reconciler.commands.invocation import unwritten
    from reconciler.errors import ExitCode, Kind, Problem, ReconcilerError

    if isinstance(error, click.ClickException):
        return _refuse(invocation, error, arguments)
    if _misses_a_file(error) and not _has_working_directory():
        message, hint = "the working directory no longer exists", "change to a folder that exists"
        return _fail(invocation, ReconcilerError(Problem(kind=Kind.NO_WORKING_DIRECTORY, message=message, hint=hint)))
    if isinstance(error, ReconcilerError):
        return _fail(invocation, error)
    if isinstance(error, OSError) and _is_of_output(error):
        return _fail(invocation, unwritten(error))
    if isinstance(error, KeyboardInterrupt | click.Abort):
        what = "the run had ended, but its report may not be complete" if invocation.acted else "nothing was written"
        problem = Problem(kind=Kind.INTERRUPTED, message=f"interrupted; {what}")
        if not invocation.acted:
            _document(invocation, [problem], error)
        invocation.print_problems([problem])
        return ExitCode.INTERRUPTED
    return _report_bug(invocation, error)


def _refuse(invocation: Invocation, error: click.ClickException, arguments: Sequence[str]) -> int:
    """Reports incorrect usage; in a document too, for a program that expects one."""
    from reconciler.commands.habits import explain
    from reconciler.commands.usage_errors import add_usage, recover_output_options
    from reconciler.errors import ExitCode, Kind, Problem

    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        _show(error)
        return ExitCode.USAGE
    error = explain(error, arguments)
    if isinstance(error, click.UsageError):
        add_usage(error, cli, arguments)
    recover_output_options(invocation, cli, arguments)
    problem = Problem(kind=Kind.USAGE, message=error.format_message())
    _document(invocation, [problem], error)
    if not invocation.has_shown(problem):
        _show(error)
    return ExitCode.USAGE


def _show(error: click.ClickException) -> None:
    """Prints incorrect usage. If standard error is closed, only the exit code reports it."""
    from reconciler.commands.invocation import silence

    try:
        error.show()
    except OSError:
        silence(sys.stderr)


def _misses_a_file(error: BaseException) -> bool:
    from reconciler.errors import Kind, ReconcilerError

    if isinstance(error, ReconcilerError):
        return any(problem.kind == Kind.NO_SUCH_FILE for problem in error.problems)
    return isinstance(error, FileNotFoundError)


def _has_working_directory() -> bool:
    """Whether the folder that relative paths start from still exists."""
    try:
        os.getcwd()  # noqa: PTH109 - Path.cwd() is the same, and would have to be imported
    except FileNotFoundError:
        return False
    return True


def _is_of_output(error: OSError) -> bool:
    """Whether click itself failed to print, as it does for help, the version and completions."""
    import traceback

    *_, (innermost, _line) = traceback.walk_tb(error.__traceback__)
    return innermost.f_code is click.echo.__code__


def _fail(invocation: Invocation, error: ReconcilerError) -> int:
    from reconciler.errors import BrokenOutputPipeError, OutputError

    if isinstance(error, BrokenOutputPipeError):
        return 128 + signal.SIGPIPE
    if not isinstance(error, OutputError):
        _document(invocation, error.problems, error)
    invocation.print_problems(error.problems)
    return error.exit_code


def _document(invocation: Invocation, problems: Sequence[Problem], cause: BaseException) -> None:
    """Writes a document that reports the failure, if that is possible; the exit code reports it in any case."""
    from reconciler.commands.output import show_failure
    from reconciler.errors import OutputError

    try:
        show_failure(invocation, problems, cause)
    except OutputError as unwritten:
        invocation.print_problems(unwritten.problems)


def _report_bug(invocation: Invocation, bug: BaseException) -> int:
    from reconciler.commands.process import write_crash_log
    from reconciler.errors import ExitCode, Kind, Problem

    where = write_crash_log(bug, invocation.redactor)
    problem = Problem(
        kind=Kind.BUG,
        message=f"this is a bug in reconciler, sorry ({type(bug).__name__})",
        hint=f"please report it with {where}, after looking through it",
    )
    _document(invocation, [problem], bug)
    invocation.print_problems([problem])
    return ExitCode.ERROR
