"""Writes what a server's manifests come to, as one manifest that declares the same."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from reconciler.manifest.export import quoted, variable_name
from reconciler.manifest.merging import COMBINED
from reconciler.manifest.positions import build_source_map
from reconciler.manifest.settings import responsible_for_all
from reconciler.manifest.variables import NAME, escaped
from reconciler.model.display import shorten
from reconciler.model.secret import Secret, SecretReference
from reconciler.model.server import AccessToken, parts_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from reconciler.manifest.files import Source
    from reconciler.manifest.grouping import Group
    from reconciler.manifest.issues import NodeRef, Path
    from reconciler.manifest.parsed_file import Entry
    from reconciler.model.desired import DeliveryTestSettings, Desired, Policy
    from reconciler.model.server import Credentials


def show_yaml(desired: Desired, group: Group, *, explain: bool = False) -> str:
    """The manifest of one server, without bases, variables and defaults. It is valid, and declares the same.

    References stay references, with absolute paths. In place of a literal secret there is a reference to a variable.

    Args:
        desired: What the files declare.
        group: The files.
        explain: Whether to add where each value is written.
    """
    writer = _Writer(desired, group)
    writer.write()
    if explain:
        return "\n".join(_explained(writer.lines)) + "\n"
    return "\n".join(text + (f"  # {note}" if note else "") for text, note, _ in writer.lines) + "\n"


def _explained(lines: Sequence[tuple[str, str, NodeRef | None]]) -> Iterator[str]:
    """The lines with where each comes from."""
    wanted: dict[Source, set[Path]] = {}
    for _, _, node in lines:
        if node is not None:
            wanted.setdefault(node.source, set()).add(node.path)
    maps = {source: build_source_map(source, frozenset(paths), thorough=False) for source, paths in wanted.items()}
    for text, note, node in lines:
        place = "" if node is None else shorten(str(maps[node.source].position(node)), 200)
        notes = ", ".join(part for part in (place, note) if part)
        yield f"{text}  # {notes}" if notes else text


class _Writer:
    """Collects lines, each with a remark and with the node where its value is written."""

    def __init__(self, desired: Desired, group: Group) -> None:
        self.lines: list[tuple[str, str, NodeRef | None]] = []
        self._desired = desired
        self._group = group
        self._variables: set[str] = set()

    def write(self) -> None:
        self._line("version: 1")
        self._server()
        self._policy(self._desired.policy)
        variables = {key: value for key, value in self._desired.server.variables.items() if key != NAME}
        if variables:
            self._line("vars:")
        for key, value in sorted(variables.items()):
            self._line(f"  {key}: {_text(value)}", self._node("vars", key))
        entries = [entry for file in self._group for entry in file.entries]
        self._line("accounts:" if entries else "accounts: []")
        for entry in entries:
            self._account(entry)

    def _line(self, text: str, node: NodeRef | None = None, note: str = "") -> None:
        self.lines.append((text, note, node))

    def _node(self, *path: str | int) -> NodeRef | None:
        """Where a setting is written: in the first file that has it."""
        for file in self._group:
            block = file.block(*map(str, path[:-1]))
            if path[-1] in block:
                return file.node(*path)
        return None

    def _server(self) -> None:
        server = self._desired.server
        found = [(key, getattr(server, key)) for key in ("name", "url", "ca_file", "suspended", "queue")]
        given = [(key, value) for key, value in found if value is not None]
        if not (given or server.auth or server.client_cert or server.labels):
            return
        self._line("server:")
        for key, value in given:
            self._line(f"  {key}: {_text(value)}", self._node("server", key))
        if server.client_cert:
            files = {"cert": server.client_cert.cert, "key": server.client_cert.key}
            self._block("client_cert", {key: value for key, value in files.items() if value})
        if server.labels:
            self._block("labels", server.labels)
        if server.auth:
            self._auth(server.auth)

    def _block(self, name: str, values: Mapping[str, str]) -> None:
        self._line(f"  {name}:")
        for key, value in values.items():
            self._line(f"    {_text(key)}: {_text(value)}", self._node("server", name, key))

    def _auth(self, credentials: Credentials) -> None:
        self._line("  auth:", self._node("server", "auth"))
        token = "access_token" if isinstance(credentials, AccessToken) else "refresh_token"
        for key, value in parts_of(credentials).items():
            name = token if key == "token" else key
            self._secret(f"    {name}", value, f"server_{name}", self._node("server", "auth", name))

    def _policy(self, policy: Policy) -> None:
        given = {path[1:] for path in self._desired.settings if path[0] == "policy"}
        start = len(self.lines)
        switches: dict[str, object] = {"prune": policy.prune, "max_deletes": policy.max_deletes}
        switches["passwords"] = self._desired.server.passwords
        for name, value in switches.items():
            if (name,) in given:
                self._line(f"  {name}: {str(value).lower()}", self._node("policy", name))
        for name in COMBINED:
            self._patterns(name, getattr(policy, name).patterns)
        if test := _test(policy.test):
            self._line("  test:")
            for key, value in test.items():
                self._line(f"    {key}: {_text(value)}", self._node("policy", "test", key))
        if len(self.lines) > start:
            self.lines.insert(start, ("policy:", "", None))
        if ("own",) in given and (file := responsible_for_all(self._group)):
            self._line(f"# policy.own has no effect: {shorten(file.source.name, 200)} declares accounts without it")

    def _patterns(self, name: str, patterns: Sequence[str]) -> None:
        """A list of patterns, each with the first file that has it: those of ``own`` may be in several."""
        if not patterns:
            return
        nodes: dict[str, NodeRef] = {}
        for file in self._group:
            for index, pattern in enumerate(file.block("policy").get(name, ())):
                nodes.setdefault(pattern, file.node("policy", name, index))
        self._line(f"  {name}:")
        for pattern in patterns:
            self._line(f"    - {_text(pattern)}", nodes[pattern])

    def _account(self, entry: Entry) -> None:
        desired = entry.desired
        account = desired.account
        self._line(f"  - email: {_text(account.email)}", entry.node("email"))
        if account.id is not None:
            self._line(f"    id: {account.id}", entry.node("id"))
        if desired.renamed_from is not None:
            self._line(f"    renamed_from: {_text(desired.renamed_from)}", entry.node("renamed_from"))
        for name, value in account.fields.items():
            node = entry.node(name)
            if isinstance(value, Secret | SecretReference):
                self._secret(f"    {name}", value, account.email, node)
            elif name != "email":
                shown = "null" if value is None else _text(value) if isinstance(value, str) else str(value).lower()
                self._line(f"    {name}: {shown}", node)
        if test := _test(desired.test):
            self._line("    test:")
            for key, value in test.items():
                self._line(f"      {key}: {_text(value)}", entry.node("test", key))

    def _secret(self, key: str, value: Secret | SecretReference, owner: str, node: NodeRef | None) -> None:
        if isinstance(value, Secret):
            name = variable_name(owner, self._variables)
            self._variables.add(name)
            self._line(f"{key}: {{env: {name}}}", node, "in place of a literal secret")
            return
        if value.kind == "command":
            target = "[" + ", ".join(map(_text, value.target)) + "]"
            note = "" if value.folder == os.getcwd() else f"runs in {shorten(value.folder, 200)}"  # noqa: PTH109
            self._line(f"{key}: {{command: {target}}}", node, note)
            return
        target = os.path.normpath(value.path) if value.kind == "file" else value.target[0]
        self._line(f"{key}: {{{value.kind}: {_text(target)}}}", node)


def _test(settings: DeliveryTestSettings) -> dict[str, str]:
    given = {"when": settings.when, "to_email": settings.to_email}
    return {key: str(value) for key, value in given.items() if value is not None}


def _text(value: object) -> str:
    """A string as a YAML scalar in which nothing is substituted."""
    return quoted(escaped(str(value)))
