"""Commands and options that other tools have, and what does the same here."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

import click

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_CLOSE: Final = 0.72
"""How similar a misspelled word has to be to a real one, on difflib's scale. click's 0.6 takes `--yes` for `--test`."""

_SHOW: Final = "`reconciler plan PATH` shows what would change."
_WRITE: Final = "`reconciler apply PATH` makes the server match the YAML; `reconciler watch PATH` keeps doing so."
_READ: Final = "`reconciler export -o accounts.yaml` writes the server's accounts as YAML."
_VALIDATE: Final = "`reconciler validate PATH` checks the YAML."
_DELETE: Final = "To delete an account, remove it from the YAML and run `reconciler apply PATH`."
_NO_STATE: Final = "There is no state file: `reconciler plan PATH` compares the YAML with the server."
_SHOW_STATUS: Final = "`reconciler export` prints the server's accounts; `reconciler status` shows what a watcher does."

COMMANDS: Final = {
    **dict.fromkeys(("diff", "preview", "drift", "dry-run", "what-if", "noop"), _SHOW),
    **dict.fromkeys(("sync", "deploy", "up", "push", "run", "converge", "reconcile", "create", "update"), _WRITE),
    **dict.fromkeys(("dump", "import", "pull", "fetch", "backup", "download"), _READ),
    **dict.fromkeys(("get", "list", "ls", "describe"), _SHOW_STATUS),
    **dict.fromkeys(("lint", "check", "verify"), _VALIDATE),
    **dict.fromkeys(("destroy", "delete", "remove", "rm", "down"), _DELETE),
    **dict.fromkeys(("state", "refresh", "taint"), _NO_STATE),
    "init": f"There is nothing to set up. {_READ}",
    "rollback": "To undo an apply, restore the former YAML, for example with `git revert`, and apply that.",
    "undo": "To undo an apply, restore the former YAML, for example with `git revert`, and apply that.",
    "login": "Each command logs in by itself: set RECONCILER_URL and RECONCILER_REFRESH_TOKEN.",
    "pause": "`reconciler suspend SERVER --reason TEXT` stops the watcher from writing to a server.",
    "daemon": "`reconciler watch PATH` reconciles repeatedly.",
    "serve": "`reconciler sandbox` runs a local server; `reconciler watch PATH --listen ADDRESS` shows a page.",
    "help": "`reconciler --help` lists the commands, `reconciler COMMAND --help` the options of one.",
    "version": "`reconciler --version` prints it.",
}
"""A command of another tool, and what to run instead."""


class _Hint(NamedTuple):
    """What to write instead, if the command has the option ``needs`` (``None``: in any case)."""

    needs: str | None
    text: str


_JSON: Final = (
    _Hint("--format", "`--format json` writes JSON."),
    _Hint(None, "This command writes no JSON; `validate`, `plan`, `apply`, `test` and `status` do, with `-f json`."),
)
_APPROVE: Final = (
    _Hint("--auto-approve", "`--auto-approve` applies without asking."),
    _Hint(None, "This command asks nothing. `reconciler apply PATH --auto-approve` applies without asking."),
)
_FORCE: Final = (
    _Hint(
        "--auto-approve",
        "`--auto-approve` applies without asking; `--max-deletes` and `--allow-empty` lift a guard for one run.",
    ),
    _Hint("--max-deletes", "`--max-deletes` and `--allow-empty` lift a guard for one run."),
    _Hint(None, "There is nothing to force: only `export` has `--force`, to replace a file."),
)
_DRY_RUN: Final = (
    _Hint("--dry-run", "`--dry-run` shows what would change, and writes nothing."),
    _Hint("--detailed-exitcode", "A plan is always a dry run: it writes nothing."),
    _Hint("--on-drift", "`--on-commit plan --on-drift report` shows what would change, and writes nothing."),
    _Hint(None, "`reconciler plan PATH` shows what would change, and writes nothing."),
)
_FILES: Final = (
    _Hint("--reason", "Name the server, without an option."),
    _Hint(None, "Name files and folders without an option, as in `reconciler plan accounts.yaml`."),
)
_ONE_ACCOUNT: Final = (_Hint("--only", "`--only ADDRESS` narrows the command to some accounts."),)
_DEBUG: Final = (_Hint("--verbose", "`--verbose` shows what stays unchanged, too."),)
_SAVE: Final = (
    _Hint("--save", "`--save plan.json` saves the plan for `reconciler apply --plan`; `-o FILE` writes the document."),
    _Hint("--output", "`-o FILE` writes the document to a file."),
)

OPTIONS: Final[dict[str, Sequence[_Hint]]] = {
    "--json": _JSON,
    **dict.fromkeys(("--yes", "-y", "--auto-approve", "--no-confirm", "--assume-yes", "--approve"), _APPROVE),
    "--force": _FORCE,
    **dict.fromkeys(
        ("-n", "--dry-run", "--dryrun", "--check", "--diff", "--noop", "--preview", "--what-if"),
        _DRY_RUN,
    ),
    **dict.fromkeys(("-f", "--file", "--filename", "--config", "-c", "-i", "--inventory", "--var-file"), _FILES),
    **dict.fromkeys(("--target", "--limit", "-l", "--account", "--email"), _ONE_ACCOUNT),
    **dict.fromkeys(("--debug", "--trace"), _DEBUG),
    "--out": _SAVE,
    "--detailed-exitcode": (
        _Hint(None, "`reconciler plan PATH --detailed-exitcode` ends with 2 if changes are needed."),
    ),
}
"""An option of another tool, and what to write instead: the first hint whose option the command has."""

_FORMATS: Final = frozenset({"json", "yaml", "text", "table", "wide", "html", "markdown", "github", "gitlab", "junit"})
_AFTER_COMMAND: Final = "Options follow the command, as in `reconciler plan accounts.yaml --format json`."


def command_hint(word: str, commands: Iterable[str]) -> str | None:
    """What to run instead of a command that does not exist, if the word is known or a misspelling."""
    if known := COMMANDS.get(word.lower()):
        return known
    return _closest(word, commands)


def output_hint(name: str) -> str | None:
    """What to write instead of ``-o json``, as kubectl has it, or ``-out=FILE``, as Terraform has it."""
    if name in _FORMATS:
        return f"`-o` names a file here, and `-f` the format. For a file of that name, write `-o ./{name}`."
    return "Long options have two dashes: `--output FILE`, or `--save FILE` for a plan." if name[:3] == "ut=" else None


def explain(error: click.ClickException, arguments: Sequence[str]) -> click.ClickException:
    """Incorrect usage with a hint that names the right option, if another tool has what was written."""
    if isinstance(error, click.NoSuchOption) and error.ctx:
        hint = _option_hint(error.option_name, error.ctx, arguments)
    elif isinstance(error, click.BadParameter) and error.param and error.param.name == "format":
        hint = _format_hint(arguments)
    else:
        return error
    message = error.message if isinstance(error, click.NoSuchOption) else error.format_message()
    return click.UsageError(f"{message} {hint}" if hint else message, error.ctx)


def _option_hint(name: str, context: click.Context, arguments: Sequence[str]) -> str | None:
    if isinstance(context.command, click.Group):
        return _AFTER_COMMAND
    known = [option for parameter in context.command.params for option in parameter.opts]
    for long in _with_one_dash(name, arguments):
        if long in known:
            return f"Long options have two dashes: `{long}`."
        if hint := _hint_of(long, known):
            return hint
    return _hint_of(name, known) or _closest(name, [option for option in known if option.startswith("--")])


def _closest(word: str, known: Iterable[str]) -> str | None:
    """The hint for a misspelled word."""
    from difflib import get_close_matches

    close = get_close_matches(word, known, n=1, cutoff=_CLOSE)
    return f"Did you mean {close[0]!r}?" if close else None


def _hint_of(name: str, known: Sequence[str]) -> str | None:
    return next((hint.text for hint in OPTIONS.get(name, ()) if hint.needs is None or hint.needs in known), None)


def _with_one_dash(name: str, arguments: Sequence[str]) -> list[str]:
    """Long options with one dash, as Terraform has them; click reads each letter as an option."""
    words = [word.partition("=")[0] for word in arguments if re.match(r"-[a-z][a-z-]{2,}", word)]
    return [f"-{word}" for word in words if not name.startswith("--") and name[1] in word]


def _format_hint(arguments: Sequence[str]) -> str | None:
    """The hint for ``-f accounts.yaml``, as kubectl has it."""
    for option, value in zip(arguments, [*arguments[1:], ""], strict=True):
        value = option[2:] if option.startswith("-f") and len(option) > 2 else value  # noqa: PLR2004, PLW2901 - -fFILE
        if option.startswith("-f") and re.search(r"\.(ya?ml|json)$|[/\\]|^\.$", value, re.IGNORECASE):
            return f"`-f` is `--format` here. {_FILES[-1].text}"
    return None
