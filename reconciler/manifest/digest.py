"""A digest of what is declared for one server, by which two copies of the manifests can be compared.

It covers what is declared after inheritance and substitution. It does not cover secrets: a reference counts, a literal
does not. It does not depend on where the manifests are: positions are left out, a relative path is taken as it is
written, and of other files that a server needs only their names count.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import fields, is_dataclass, replace
from typing import TYPE_CHECKING

from reconciler.model.account import Account
from reconciler.model.desired import Desired, DesiredAccount
from reconciler.model.secret import Secret, SecretReference
from reconciler.model.server import ClientCertificate, ServerConfig

if TYPE_CHECKING:
    from typing import Any

_LOCAL = {(ServerConfig, "ca_file"), (ClientCertificate, "cert"), (ClientCertificate, "key")}
"""Paths that are resolved against the folder of the manifest."""

_LEFT_OUT = {(Desired, "warnings"), (Desired, "settings"), (ServerConfig, "position")}


def manifest_digest(desired: Desired) -> str:
    """The SHA-256 of what is declared for a server, before its secrets are resolved."""
    named = replace(desired, server=replace(desired.server, name=desired.named_server.name))
    canonical = json.dumps(_canonical(named), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def _canonical(value: object) -> Any:  # noqa: ANN401 - a value for JSON
    if isinstance(value, Secret):
        return {"secret": "literal"}
    if isinstance(value, SecretReference):
        return {"secret": value.kind, "target": [] if value.kind == "literal" else list(value.target)}
    if isinstance(value, DesiredAccount):
        return [_canonical(value.account), value.renamed_from, _canonical(value.test)]
    if isinstance(value, Account):
        return {"id": value.id, "fields": _canonical(dict(value.fields))}
    return _canonical_container(value)


def _canonical_container(value: object) -> Any:  # noqa: ANN401 - as above
    if is_dataclass(value) and not isinstance(value, type):
        kind = type(value)
        members = [one.name for one in fields(value) if (kind, one.name) not in _LEFT_OUT]
        named = {name: getattr(value, name) for name in members}
        return {
            "is": kind.__name__,
            **{
                name: os.path.basename(part) if part and (kind, name) in _LOCAL else _canonical(part)  # noqa: PTH119
                for name, part in named.items()
            },
        }
    if hasattr(value, "items"):
        return {str(name): _canonical(part) for name, part in value.items()}
    if isinstance(value, tuple | list):
        return [_canonical(part) for part in value]
    return value
