"""Writes manifests: a server's accounts as YAML that declares exactly what is there."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Final, NamedTuple

from reconciler.errors import InvalidValueError
from reconciler.manifest.scalars import resolve
from reconciler.manifest.values import is_placeholder, is_unicode
from reconciler.manifest.variables import escaped
from reconciler.model.account import Globs, identity
from reconciler.model.display import escape_character, shorten
from reconciler.model.fields import FIELDS
from reconciler.model.secret import UNKNOWN, Secret
from reconciler.model.server import normal_url

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from pydantic_core import SchemaValidator

    from reconciler.model.account import Account
    from reconciler.model.server import Server

_HEADER: Final = (
    "# yaml-language-server: $schema=manifest.schema.json",
    "# `reconciler schema manifest` prints the schema that the line above refers to.",
    "# Passwords are not exported. Without the line for its password, an account keeps the one on the server. Or set",
    "# the variable that the line names, or name another source: {file: path} or {command: [program, argument]}.",
    "version: 1",
)
_NO_PRUNE: Final = "  prune: false"
_PLAIN: Final = re.compile(r"[^\W\d_](?:[\w .@/+()-]*[\w.@/+()-])?")
_WORDS_OF_YAML_1_1: Final = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})
_ESCAPES: Final = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r", "\0": "\\0"}


@dataclass(slots=True)
class ExportedAccount:
    """One account as the export writes it.

    Attributes:
        fields: Keys and values, without the password.
        remarks: The fields that are left out, without their values.
    """

    account: Account
    fields: dict[str, str | int | bool] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)


class Export(NamedTuple):
    """A server's accounts as a YAML file.

    Attributes:
        text: The file.
        passwords: How many variables for passwords it names.
        remarks: What it leaves out, a sentence each; comments in the file say the same.
    """

    text: str
    passwords: int
    remarks: tuple[str, ...]


def export_manifest(accounts: Sequence[Account], *, server: Server, partial: bool = False) -> Export:
    """A server's accounts as a YAML file.

    A plan of the file against the same server changes nothing. Fields that the server did not show are left out. So is
    anything that the format does not allow, with a comment. If it does not allow an account at all, the account is
    listed under ``policy.ignore``.

    Args:
        accounts: As the server lists them.
        server: The server.
        partial: Whether the server has more accounts, so that the file must not delete any.
    """
    counts = Counter(account.key for account in accounts)
    kept: list[ExportedAccount] = []
    left_out: list[tuple[Account, str]] = []
    pins: set[int | None] = {None}
    for account in accounts:
        outcome = _exported(account)
        if isinstance(outcome, ExportedAccount) and counts[account.key] > 1 and account.id in pins:
            outcome = "the server has its address twice, and it has no id of its own"
        if isinstance(outcome, ExportedAccount):
            kept.append(outcome)
            pins.add(account.id)
        else:
            left_out.append((account, outcome))
    about_server, policy = _server(server), _policy(left_out, kept, partial=partial)
    lines = [*_HEADER, *about_server, *policy]
    default = _default(kept)
    remarks = [line.removeprefix("# ") for line in about_server if line.startswith("# ")]
    if isinstance(default, str):
        lines += ["", _comment(default)]
        remarks.append(default)
    remarks += [f"{account.email} is left out and left alone: {reason}" for account, reason in left_out]
    remarks += [f"{entry.account.email}: {remark}" for entry in kept for remark in entry.remarks]
    if _NO_PRUNE in policy:
        reason = "the server has more accounts than these" if partial else "the file cannot name every account"
        remarks.append(f"prune is off, because {reason}: nothing that the file does not declare is deleted")
    lines += ["", "accounts:" if kept else "accounts: []"]
    variables: set[str] = set()
    for entry in kept:
        lines += _entry(entry, variables, pin=counts[entry.account.key] > 1, default=entry is default)
    return Export("\n".join(lines) + "\n", len(variables), tuple(shorten(remark, 200) for remark in remarks))


def _exported(account: Account) -> ExportedAccount | str:
    """The parts of an account that the format allows; the reason if it does not allow the account."""
    fields = account.fields
    server = fields.get("smtp_server")
    if isinstance(server, str) and not server.isascii():
        fields = {**fields, "smtp_server": identity(server)}  # the same host, in the form that the format allows
    for name in ("email", "name", "service"):
        if not _is_valid(name, fields.get(name)):
            return f"its {name} is not one that this format has"
    if fields["service"] == "other" and not (server and _is_valid("smtp_server", fields["smtp_server"])):
        return "service other needs an smtp_server, and it has none that this format has"
    result = ExportedAccount(account)
    for name, about in FIELDS.items():
        value = fields.get(name)
        if not about.exported or value is None or value == "":
            continue
        if isinstance(value, str | int) and _is_valid(name, value):
            result.fields[name] = value
        else:
            result.remarks.append(f"{name} is left out: the server's value is not one that this format has")
    return result


def _is_valid(name: str, value: object) -> bool:
    """Whether the format accepts a field's value without changing it."""
    from pydantic_core import ValidationError

    if isinstance(value, str) and not is_unicode(value):
        return False
    try:
        return bool(_validator(name).validate_python(value) == value)
    except ValidationError:
        return False


@cache
def _validator(name: str) -> SchemaValidator:
    from reconciler.manifest.blocks import validator
    from reconciler.manifest.schema import field_type

    return validator(field_type(name))


def _default(accounts: Sequence[ExportedAccount]) -> ExportedAccount | str | None:
    """The default account; the reason if that cannot be declared.

    One ``default: true`` declares that every other account is not the default. That must be true on the server.
    """
    flags = [entry.account.fields.get("default") for entry in accounts]
    chosen = [entry for entry, flag in zip(accounts, flags, strict=True) if flag is True]
    if len(chosen) > 1:
        return "default is left out: the server has more than one default account"
    if chosen and not all(isinstance(flag, bool) for flag in flags):
        return "default is left out: the server does not say it of every account"
    return chosen[0] if chosen else None


def _server(server: Server) -> list[str]:
    try:
        url = normal_url(server.url)
    except InvalidValueError:
        return ["", _comment(f"server is left out: {server.url} is not a URL that this format has")]
    name = [f"  name: {quoted(escaped(server.name))}"] if _is_valid("name", server.name) else []
    return ["", "server:", *name, f"  url: {url}"]


def _policy(left_out: Sequence[tuple[Account, str]], kept: Sequence[ExportedAccount], *, partial: bool) -> list[str]:
    """Keeps accounts that are not in the file from being deleted."""
    if partial:
        comment = "  # The export was narrowed: the server has more accounts than these."
        return ["", "policy:", comment, _NO_PRUNE]
    if not left_out:
        return []
    lines = ["", "policy:", "  # These accounts cannot be written here, and are left alone:"]
    patterns = {_exact_glob(account.email): reason for account, reason in left_out}
    globs = Globs(tuple(patterns))
    if "" in patterns or any(entry.account.email in globs for entry in kept):
        reasons = ["  " + _comment(f"{account.email}: {reason}") for account, reason in left_out]
        return [*lines, *reasons, _NO_PRUNE]
    lines.append("  ignore:")
    for pattern, reason in patterns.items():
        lines += ["    " + _comment(reason), f"    - {quoted(escaped(pattern))}"]
    return lines


def _entry(entry: ExportedAccount, variables: set[str], *, pin: bool, default: bool) -> list[str]:
    lines = []
    for name, value in entry.fields.items():
        lines.append(f"{name}: {quoted(escaped(value)) if isinstance(value, str) else str(value).lower()}")
        if name == "email" and pin:
            lines.append(f"id: {entry.account.id}")
        if name == "name" and default:
            lines.append("default: true")
    if _has_password(entry.account):
        name = variable_name(entry.account.email, variables)
        variables.add(name)
        lines.append(f"password: {{env: {name}}}")
    lines += map(_comment, entry.remarks)
    return [("  - " if number == 0 else "    ") + line for number, line in enumerate(lines)]


def _has_password(account: Account) -> bool:
    """Whether a reference changes nothing: a declared password implies ``has_auth: true`` if that is left out."""
    password, has_auth = account.fields.get("password"), account.fields.get("has_auth")
    if password is UNKNOWN:
        return has_auth is True
    return isinstance(password, Secret) and bool(password) and isinstance(has_auth, bool)


def variable_name(address: str, taken: Collection[str]) -> str:
    """The environment variable for an account's password; not one of those ``taken``."""
    base = re.sub(r"[^A-Z0-9]", "_", address.upper(), flags=re.ASCII) + "_PASSWORD"
    base = f"_{base}" if base[0].isdigit() else base
    name, number = base, 1
    while name in taken:
        number += 1
        name = f"{base}_{number}"
    return name


def _exact_glob(address: str) -> str:
    """A pattern that matches this address alone, apart from characters that have no encoding: ``?`` matches any."""
    glob = re.sub(r"([*?[])", r"[\1]", address)
    if is_placeholder(glob):
        glob = f"[{glob[0]}]{glob[1:]}"
    return "".join(character if is_unicode(character) else "?" for character in glob)


def _comment(text: str) -> str:
    """A comment on one line, whatever the server's string contains."""
    return "# " + shorten(text, 200)


def quoted(text: str) -> str:
    """A string as a YAML scalar: plain if no parser could read anything else, otherwise in double quotes."""
    is_string = text.casefold() not in _WORDS_OF_YAML_1_1 and isinstance(resolve(text), str)
    if is_string and text.isprintable() and _PLAIN.fullmatch(text):
        return text
    return '"' + "".join(map(_escaped, text)) + '"'


def _escaped(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    return character if character.isprintable() else escape_character(character)
