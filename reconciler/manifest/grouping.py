"""Which files declare which server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias
from urllib.parse import urlsplit

from reconciler.errors import Kind
from reconciler.manifest.issues import Issue
from reconciler.manifest.suggestions import suggestion
from reconciler.model.display import shorten

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from reconciler.manifest.parsed_file import ParsedFile

Group: TypeAlias = "list[ParsedFile]"
"""The files of one server, in the order in which they were read."""

_WHICH: Final = "write server.name, or server.url, in every file of a fleet"


def group_by_server(files: Sequence[ParsedFile]) -> tuple[list[Group], list[Issue]]:
    """The files of each server, sorted by the server's name, and an issue for each file whose server is unclear.

    Files with the same URL belong together. A file that only has a name belongs to the server of that name. Up to one
    URL, all files are about one server, whose settings may then conflict.
    """
    by_url: dict[str, Group] = {}
    others: list[ParsedFile] = []
    for file in files:
        url = _url(file)
        if url is None:
            others.append(file)
        else:
            by_url.setdefault(url, []).append(file)
    if len(by_url) < 2:  # noqa: PLR2004 - a fleet
        groups = [list(files)] if files else []
        return groups, _declared_twice(groups)
    issues: list[Issue] = []
    by_name: dict[str, Group] = {}
    for group in by_url.values():
        first = by_name.setdefault(_name(group), group)
        if first is not group and not any(map(_has_wrong_url, (*first, *group))):
            issues.append(_same_name(group, first))
    for file in others:
        name = file.block("server").get("name")
        if name in by_name:
            by_name[name].append(file)
        else:
            issues.append(_unclear(file, name, by_name))
    groups = [group for _, group in sorted(by_name.items())]
    return groups, issues + _declared_twice(groups)


def _has_wrong_url(file: ParsedFile) -> bool:
    """Whether the file's URL is reported as wrong. Inherited credentials are reported there, too."""
    issues = (issue for issue in file.issues if issue.kind != Kind.AUTH_INHERITED)
    return any(issue.node.path[:2] == ("server", "url") for issue in issues)


def _url(file: ParsedFile) -> str | None:
    """The URL of the file's server. A wrong one is the server's own, so that it causes no further issues."""
    server = file.block("server")
    if file.issues and _has_wrong_url(file):
        return str(server.get("name") or file.source.name)
    url: str | None = server.get("url")
    return url


def _declared_twice(groups: Iterable[Group]) -> list[Issue]:
    """An issue for each file that extends a base for the same server name as another one: a copy with the old name.

    The copies are removed from their groups. A second file for one server, such as that of another team, has
    ``policy.own``.
    """
    issues = []
    for group in groups:
        if len(group) == 1:  # its document need not be looked at, which may have to be made again
            continue
        extending = [file for file in group if _names_server(file) and not file.block("policy").get("own")]
        copies = extending[1:]
        for file in copies:
            message = f"another file declares the server {shorten(_name([file]), 60)} too"
            hint = "give each server a name of its own; a second file for one server needs policy.own"
            node, other = (one.node("server", "name") for one in (file, extending[0]))
            issues.append(Issue(kind=Kind.DUPLICATE_SERVER, message=message, hint=hint, node=node, other=other))
        if copies:
            # What they inherit from a base is not compared with itself.
            group[:] = [file for file in group if all(file is not copy for copy in copies)]
    return issues


def _names_server(file: ParsedFile) -> bool:
    """Whether the file extends a base, and gives the server's name itself."""
    server = file.document.child.value.get("server") if file.document else None
    return "extends" in file.header and isinstance(server, dict) and "name" in server


def _named(group: Iterable[ParsedFile]) -> ParsedFile | None:
    """The first file that gives the server's name."""
    return next((file for file in group if "name" in file.block("server")), None)


def _name(group: Group) -> str:
    """The server's name: the one that is given, else the URL's host."""
    named = _named(group)
    if named is not None:
        return str(named.block("server")["name"])
    url = _url(group[0]) or ""
    return urlsplit(url).hostname or url


def _same_name(group: Group, first: Group) -> Issue:
    file, other = (_named(one) or one[0] for one in (group, first))
    node, other_node = (one.node("server", "name" if "name" in one.block("server") else "url") for one in (file, other))
    message = f"two servers are called {shorten(_name(group), 60)}"
    hint = "one name belongs to one URL: give each server a name of its own, or both the same URL"
    return Issue(kind=Kind.DUPLICATE_SERVER, message=message, hint=hint, node=node, other=other_node)


def _unclear(file: ParsedFile, name: str | None, known: Iterable[str]) -> Issue:
    if name is None:
        message = "it is not clear which server this file is about: the files name several"
        return Issue(kind=Kind.SEVERAL_SERVERS, message=message, hint=_WHICH, node=file.node())
    message = f"no file gives the URL of the server {shorten(name, 60)}"
    hint = suggestion(name, known) or _WHICH
    return Issue(kind=Kind.NO_SERVER, message=message, hint=hint, node=file.node("server", "name"))
