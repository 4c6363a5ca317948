"""The export: a server's accounts as YAML that asks for exactly what is there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from reconciler.errors import InvalidValueError
from reconciler.manifest.exported import ExportedAccount, comment, default_keys, exact_glob, exported, is_name, variable
from reconciler.manifest.quoting import quoted
from reconciler.model.account import Globs
from reconciler.model.server import normal_url

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconciler.model.account import Account
    from reconciler.model.server import Server

SCHEMA_URL: Final = "manifest.schema.json"

_HEADER: Final = (
    f"# yaml-language-server: $schema={SCHEMA_URL}",
    "# `reconciler schema manifest` prints the schema that the line above refers to.",
    "# Passwords are not exported. Put each into the environment variable that is named here, or say where else it is:",
    "# {file: path} or {command: [program, argument]}.",
    "version: 1",
)


def export_yaml(accounts: Sequence[Account], *, server: Server, partial: bool = False) -> str:
    """A server's accounts as a YAML file.

    Planned against the same server, it changes nothing: fields that the server did not show are left out, and so is,
    with a comment, what this format cannot say. An account that it cannot hold is put under ``policy.ignore``.

    Args:
        accounts: As the server lists them.
        server: Whose accounts these are.
        partial: Whether the server has more accounts, which the file must not be read as a wish to delete.
    """
    kept, left_out = _sorted_out(accounts)
    lines = [*_HEADER, *_server(server), *_policy(left_out, kept, partial=partial)]
    defaults = default_keys(kept)
    if isinstance(defaults, str):
        lines += ["", comment(defaults)]
        defaults = {}
    lines += ["", "accounts:" if kept else "accounts: []"]
    doubled = _doubled(accounts)
    taken: set[str] = set()
    for index, entry in enumerate(kept):
        lines += _entry(entry, taken, pin=entry.account.key in doubled, default=index in defaults)
    return "\n".join(lines) + "\n"


def _sorted_out(accounts: Sequence[Account]) -> tuple[list[ExportedAccount], list[tuple[Account, str]]]:
    kept: list[ExportedAccount] = []
    left_out: list[tuple[Account, str]] = []
    doubled, pins = _doubled(accounts), set[int]()
    for account in accounts:
        outcome = exported(account)
        if (
            isinstance(outcome, ExportedAccount)
            and account.key in doubled
            and (account.id is None or account.id in pins)
        ):
            outcome = "the server holds its address twice, and it has no id of its own"
        if isinstance(outcome, ExportedAccount):
            kept.append(outcome)
            pins.update(() if account.id is None else (account.id,))
        else:
            left_out.append((account, outcome))
    return kept, left_out


def _doubled(accounts: Sequence[Account]) -> set[str]:
    keys = [account.key for account in accounts]
    seen: set[str] = set()
    return {key for key in keys if key in seen or seen.add(key)}  # type: ignore[func-returns-value]


def _server(server: Server) -> list[str]:
    try:
        url = normal_url(server.url)
    except InvalidValueError:
        return ["", comment(f"server is left out: {server.url} is not a URL that this format has")]
    name = [f"  name: {quoted(server.name)}"] if is_name(server.name) else []
    return ["", "server:", *name, f"  url: {url}"]


def _policy(left_out: Sequence[tuple[Account, str]], kept: Sequence[ExportedAccount], *, partial: bool) -> list[str]:
    """Keeps accounts that are not in the file from being deleted because of that."""
    if partial:
        return [
            "",
            "policy:",
            "  # The export was narrowed: the server has more accounts than these.",
            "  prune: false",
        ]
    if not left_out:
        return []
    lines = ["", "policy:", "  # These accounts cannot be written here, and are left alone:"]
    patterns = {exact_glob(account.email): reason for account, reason in left_out}
    globs = Globs(tuple(patterns))
    if "" in patterns or any(entry.account.email in globs for entry in kept):
        reasons = ["  " + comment(f"{account.email}: {reason}") for account, reason in left_out]
        return [*lines, *reasons, "  prune: false"]
    lines.append("  ignore:")
    for pattern, reason in patterns.items():
        lines += ["    " + comment(reason), f"    - {quoted(pattern)}"]
    return lines


def _entry(entry: ExportedAccount, taken: set[str], *, pin: bool, default: bool) -> list[str]:
    lines = []
    for name, value in entry.fields.items():
        lines.append(f"{name}: {_scalar(value)}")
        if name == "email" and pin:
            lines.append(f"id: {entry.account.id}")
        if name == "name" and default:
            lines.append("default: true")
    if entry.secret:
        name = variable(entry.account.email, taken)
        taken.add(name)
        lines.append(f"password: {{env: {name}}}")
    lines += [comment(remark) for remark in entry.remarks]
    return [("  - " if number == 0 else "    ") + line for number, line in enumerate(lines)]


def _scalar(value: str | int | bool) -> str:  # noqa: FBT001 - a value, not a switch
    if isinstance(value, bool):
        return "true" if value else "false"
    return quoted(value) if isinstance(value, str) else str(value)
