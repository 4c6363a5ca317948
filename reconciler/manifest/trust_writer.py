"""Writes a trust file that allows what the manifests use."""

from __future__ import annotations

import json
import os
import shlex
from typing import TYPE_CHECKING, Final

from reconciler.manifest.approval import references_of
from reconciler.model.account import identity
from reconciler.model.trust import escaped_pattern, smtp_servers_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from reconciler.model.desired import Desired

_HEAD: Final = """\
# What the manifests may do with secrets: made by `reconciler trust` from what they use now.
# Read it, and keep it where a pull request cannot change it. See docs/trust.md.
version: 1
"""


def trust_yaml(desired: Desired, url: str) -> str:
    """The trust file as text.

    Args:
        desired: The manifests, with their references.
        url: The server that credentials and passwords go to.
    """
    found: dict[str, set[str]] = {"env": set(), "file": set(), "command": set()}
    for reference, _ in references_of(desired):
        if reference.kind == "env":
            found["env"].add(reference.target[0])
        elif reference.kind == "file":
            found["file"].add(os.path.abspath(reference.path))  # noqa: PTH100 - links stay
        else:
            found["command"].add(shlex.join(reference.target))
    limits = [f"max_deletes: {_text(str(desired.policy.max_deletes))}"]
    if protect := desired.policy.protect.patterns:
        limits.append(f"protect: [{', '.join(map(_text, protect))}]")
    return (
        f"{_HEAD}servers:\n  - url: {_text(url)}\n"
        f"{_list('    env', found['env'])}{_list('    files', found['file'])}"
        f"{_list('commands', found['command'])}"
        f"{_list('smtp_servers', _smtp_servers(desired))}{_list('recipients', _recipients(desired))}"
        f"limits: {{{', '.join(limits)}}}\n"
    )


def _smtp_servers(desired: Desired) -> set[str]:
    """Where the accounts log in; one without a declared password may have one on the server."""
    accounts = [one.account.fields for one in desired.accounts]
    hosts = (
        host
        for fields in accounts
        if fields.get("password") or fields.get("has_auth") is not False
        for _, host in smtp_servers_of(fields)
    )
    return set(map(identity, hosts))


def _recipients(desired: Desired) -> set[str]:
    tests = (desired.policy.test, *(one.test for one in desired.accounts))
    return {test.to_email for test in tests if test.to_email}


def _list(key: str, values: Iterable[str]) -> str:
    listed = ", ".join(_text(escaped_pattern(value)) for value in sorted(values))
    return f"{key}: [{listed}]\n" if listed else ""


def _text(text: str) -> str:
    """A string in double quotes, which means the same in JSON and in YAML."""
    return json.dumps(text, ensure_ascii=False)
