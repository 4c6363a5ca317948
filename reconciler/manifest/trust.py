"""Trust files: reads them, and writes one that allows exactly what the manifests use."""

from __future__ import annotations

import json
import os
import re
import shlex
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from reconciler.errors import InvalidValueError, Kind, ManifestError, Problem, file_order
from reconciler.manifest.blocks import STRING, BlockType, Key, checked, list_of, nullable, shape_of
from reconciler.manifest.events import YamlError
from reconciler.manifest.files import read_file
from reconciler.manifest.issues import Issue, NodeRef
from reconciler.manifest.loader import load
from reconciler.manifest.parsed_file import validate
from reconciler.manifest.schema import MAX_DELETES, TEXT, VERSION
from reconciler.manifest.trust_check import references_of
from reconciler.manifest.values import argument
from reconciler.model.account import Globs, identity
from reconciler.model.display import display_path
from reconciler.model.trust import (
    Limits,
    Trust,
    TrustedServer,
    escaped_pattern,
    has_name,
    is_url_pattern,
    smtp_servers_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from reconciler.manifest.issues import Path
    from reconciler.model.desired import Desired, Policy
    from reconciler.model.secret import SecretReference

# ruff: noqa: PTH100, PTH118, PTH120 - links are followed only when paths are compared

_LARGEST: Final = 1024 * 1024


def _matching(is_valid: Callable[[str], object], message: str, hint: str) -> Callable[[str], str]:
    def check(text: str) -> str:
        if is_valid(text):
            return text
        raise InvalidValueError(message, hint)

    return check


def _is_command_line(text: str) -> bool:
    try:
        return bool(shlex.split(text))
    except ValueError:
        return False


_URL: Final = checked(
    STRING,
    _matching(
        is_url_pattern,
        "this is not a pattern of a server's URL",
        "write scheme, host and port, such as https://${name}.fw.example.com; * stays within the host, or the port",
    ),
)
_VARIABLE: Final = checked(
    STRING,
    _matching(
        re.compile(r"(?:[A-Za-z0-9_*?]|\$\{(?:name|NAME)\})+").fullmatch,
        "this is not a pattern of a variable's name",
        "letters, digits, _, * and ? only; ${name} and ${NAME} are the server's name",
    ),
)
_FILE: Final = checked(
    TEXT,
    _matching(
        re.compile(r"(?:(?!\$\{(?!name\})).)*", re.DOTALL).fullmatch,
        "a pattern of files takes no variable but ${name}",
        "write ${name} for the server's name",
    ),
    _matching(
        lambda text: ".." not in text.split("/") and not text.startswith("~"),
        "a pattern of files takes neither .. nor ~",
        "write the path from / on",
    ),
    argument,
)
_COMMAND_LINE: Final = checked(
    STRING,
    _matching(_is_command_line, "this is not a command line", "write it as for a shell, with every quote closed"),
    argument,
)
_HOST: Final = checked(
    STRING,
    _matching(
        re.compile(r"[A-Za-z0-9_.:*?-]+").fullmatch,
        "this is not a pattern of a host",
        "write it as smtp.example.com, without scheme and path",
    ),
)
_ADDRESS: Final = checked(
    STRING,
    _matching(
        lambda text: "@" in text or text == "*", "a pattern of addresses has an @-sign", "write it as *@example.com"
    ),
)

_SERVER: Final = BlockType(
    "TrustedServerBlock",
    "A server that credentials and passwords may be sent to.",
    {
        "url": Key(_URL, required=True),
        "env": Key(list_of(_VARIABLE)),
        "files": Key(list_of(_FILE)),
    },
)

_LIMITS: Final = BlockType(
    "LimitsBlock",
    "What the manifests' policy cannot exceed.",
    {
        "max_deletes": Key(nullable(MAX_DELETES)),
        "protect": Key(list_of(_ADDRESS)),
    },
)

TRUST_SHAPE: Final = shape_of(
    BlockType(
        "TrustDocument",
        "What the manifests may do with secrets; an omitted key allows nothing, apart from limits.",
        {
            "version": Key(VERSION, required=True),
            "servers": Key(list_of(_SERVER.type)),
            "commands": Key(list_of(_COMMAND_LINE)),
            "smtp_servers": Key(list_of(_HOST)),
            "recipients": Key(list_of(_ADDRESS)),
            "limits": Key(_LIMITS.type),
        },
    )
)


def read_trust(name: str) -> Trust:
    """Reads a trust file.

    Raises:
        ManifestError: With every problem in it, by line and column.
    """
    source = read_file(name, largest=_LARGEST)
    if isinstance(source, Problem):
        raise ManifestError(_without_content(source, name))
    try:
        loaded = load(source.data, name)
    except YamlError as error:
        raise ManifestError(error.problem(name)) from None
    document, errors = validate(loaded.value, TRUST_SHAPE)
    trust = None if document is None else _trust(document, name)
    unbound = [] if trust is None else [_unbound_name(NodeRef(source, path)) for path in _unbound_paths(trust)]
    if trust is None or unbound or loaded.irregular:
        from reconciler.manifest.messages import issue_from, misspelled, without_consequences
        from reconciler.manifest.positions import locate

        causes = without_consequences(errors, misspelled(errors, TRUST_SHAPE))
        issues = [*unbound, *(issue_from(error, source, shape=TRUST_SHAPE) for error in causes)]
        problems = locate(issues, [source] if loaded.irregular else [])
        raise ManifestError(*sorted(problems, key=file_order))
    return trust


def _unbound_paths(trust: Trust) -> Iterator[Path]:
    """Where a server's name is to be inserted although a pull request can change it to that of another server."""
    for place, server in enumerate(trust.servers):
        if not server.binds_name:
            yield from (("servers", place, "env", index) for index, one in enumerate(server.env) if has_name(one))
    if not any(server.binds_name for server in trust.servers):
        yield from (("commands", index) for index, one in enumerate(trust.commands) if has_name(one))


def _unbound_name(node: NodeRef) -> Issue:
    *_, key, index = node.path
    message = f"{key}[{index}]: the server's name is not bound to its URL: a pull request could write another one"
    hint = "write ${name} in the url, too, without * or ? beside it, or list each server by itself"
    return Issue(kind=Kind.WRONG_VALUE, message=message, hint=hint, node=node)


def _without_content(problem: Problem, name: str) -> Problem:
    """The problem of a file that cannot be read, without its name if that seems to be the file's content."""
    shown = display_path(name)
    if shown == name:
        return problem
    message = f"the trust file {shown}: {problem.message}"
    hint = "--trust and RECONCILER_TRUST take the path of a file, not its content"
    return replace(problem, message=message, hint=hint, position=None)


def _trust(document: Mapping[str, Any], name: str) -> Trust:
    folder = os.path.dirname(os.path.abspath(name))
    limits = document.get("limits", {})
    return Trust(
        servers=tuple(
            TrustedServer(
                server["url"],
                tuple(server.get("env", ())),
                tuple(os.path.join(folder, pattern) for pattern in server.get("files", ())),
            )
            for server in document.get("servers", ())
        ),
        commands=tuple(document.get("commands", ())),
        smtp_servers=tuple(document.get("smtp_servers", ())),
        recipients=Globs(tuple(document.get("recipients", ()))),
        limits=Limits(limits.get("max_deletes"), Globs(tuple(limits.get("protect", ())))),
        file=name,
    )


def trust_yaml(servers: Sequence[tuple[Desired, str]]) -> str:
    """A trust file that allows exactly what the manifests use.

    Args:
        servers: The manifests of each server, with their references, and the URL that their secrets go to.
    """
    commands: set[str] = set()
    blocks: list[str] = []
    for desired, url in servers:
        found: dict[str, set[str]] = {"env": set(), "file": set(), "command": commands}
        for reference, _ in references_of(desired):
            found[reference.kind].add(_used(reference))
        # Without ${name}: an entry for one URL must not follow a name that a pull request can change.
        blocks.append(f"  - url: {json.dumps(url)}")
        used = (("env", _exact(found["env"])), ("files", _exact(found["file"])))
        blocks += [f"    {key}: {value}" for key, value in used if value]
    everything = [desired for desired, _ in servers]
    tests = (test for one in everything for test in (one.policy.test, *(entry.test for entry in one.accounts)))
    others = {
        "commands": commands,
        "smtp_servers": {host for one in everything for host in _smtp_servers(one)},
        "recipients": {test.to_email for test in tests if test.to_email},
    }
    return "\n".join(
        [
            "# What the manifests may do with secrets: made by `reconciler trust` from what they use now.",
            "# Read it, and keep it where a pull request cannot change it. See docs/trust.md.",
            "version: 1",
            "servers:",
            *blocks,
            *(f"{key}: {_exact(values)}" for key, values in others.items() if values),
            *_limits([one.policy for one in everything]),
            "",
        ]
    )


def _used(reference: SecretReference) -> str:
    """What a trust file lists for a reference."""
    if reference.kind == "command":
        return shlex.join(reference.target)
    return os.path.abspath(reference.path) if reference.kind == "file" else reference.target[0]


def _limits(policies: Sequence[Policy]) -> Iterator[str]:
    """The limits that no policy exceeds: the highest one of deletes, and what all of them protect."""
    first, *others = (policy.protect.patterns for policy in policies)
    protect = [pattern for pattern in first if all(pattern in patterns for patterns in others)]
    limits = [f"protect: {_list(protect)}"] if protect else []
    if len({policy.max_deletes.percent for policy in policies}) == 1:
        highest = max((policy.max_deletes for policy in policies), key=lambda limit: limit.amount)
        limits.insert(0, f"max_deletes: {highest}")
    else:
        yield "# Without limits.max_deletes: some policies have a number, others a percentage; no limit covers both."
        yield "# A pull request can raise the limits of the manifests, so add one here that suits every server."
    if limits:
        yield f"limits: {{{', '.join(limits)}}}"


def _smtp_servers(desired: Desired) -> set[str]:
    """The hosts where the accounts log in. An account without a declared password may have one on the server."""
    accounts = [entry.account.fields for entry in desired.accounts]
    hosts = (
        host
        for fields in accounts
        if fields.get("password") or fields.get("has_auth") is not False
        for _, host in smtp_servers_of(fields)
    )
    return set(map(identity, hosts))


def _exact(values: Collection[str]) -> str:
    """Patterns that match these values alone; empty if there are none."""
    return _list(map(escaped_pattern, sorted(values))) if values else ""


def _list(values: Iterable[str]) -> str:
    """A list of strings in double quotes, which JSON and YAML read the same way."""
    return f"[{', '.join(json.dumps(value, ensure_ascii=False) for value in values)}]"
