"""Reads the desired set from YAML files."""

from __future__ import annotations

import re
from collections import ChainMap
from dataclasses import replace
from itertools import chain, repeat
from typing import TYPE_CHECKING, Any, Final, cast

from reconciler.errors import Kind, ManifestError, Problem
from reconciler.manifest import settings
from reconciler.manifest.bases import Bases
from reconciler.manifest.discovery import no_manifests, read_files
from reconciler.manifest.grouping import group_by_server
from reconciler.manifest.issues import Issue, IssueLog, shortened
from reconciler.manifest.parsed_file import ParsedFile, parse_file, unextended_issues
from reconciler.manifest.rules import check_rules, duplicate_name_warnings, unusual_setting_warnings
from reconciler.model.account import Account, Globs, Value
from reconciler.model.desired import Desired, DesiredAccount
from reconciler.model.fields import FIELDS
from reconciler.model.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from reconciler.manifest.files import Source
    from reconciler.manifest.grouping import Group
    from reconciler.manifest.issues import Path
    from reconciler.manifest.parsed_file import Entry
    from reconciler.model.fleet import Fleet

_LITERAL: Final = "the {} of this entry is written into the file itself"
_REFERENCES: Final = "refer to it with {env: NAME}, {file: path} or {command: [program, argument]}"

_FEWEST_BYTES: Final = 500_000
"""Smaller sets are parsed before other processes have started."""

_COMMENT: Final = rb"[ \t]#"
_NAME_WITH_COMMENT: Final = rb"name[\"']?:[^\n]*[^\s][ \t]+#[^\s#]"


def read_manifests(paths: Sequence[str], within: str | None = None) -> Desired:
    """Reads YAML files, and folders of them, that declare one server; as ``read_fleet``.

    Raises:
        ManifestError: Also if they declare several servers.
    """
    servers = read_fleet(paths, within).servers
    if len(servers) == 1:
        return servers[0]
    first, second = (desired.server.position for desired in servers[:2])
    message = f"these files declare {len(servers)} servers, and this takes one (the other is at {first and first.full})"
    hint = "name the files of one server"
    raise ManifestError(Problem(kind=Kind.SEVERAL_SERVERS, message=message, hint=hint, position=second))


def read_fleet(paths: Sequence[str], within: str | None = None) -> Fleet:
    """Reads YAML files, and folders of them, as one set for each server that they declare.

    Secrets stay references; a literal one becomes a ``Secret``, with a warning.

    Args:
        paths: Files and folders, as the user named them.
        within: The folder that no file may be outside of; ``None`` for the paths and the working directory.

    Raises:
        ManifestError: With every problem of all files, sorted by file, line and column.
    """
    fleet, groups = read_groups(paths, within)
    for file in chain.from_iterable(groups):
        file.entries.clear()  # they refer to the file: without them, it is freed at once
    return fleet


def read_groups(paths: Sequence[str], within: str | None = None) -> tuple[Fleet, list[Group]]:
    """As ``read_fleet``, with the files of each server."""
    if not paths:
        raise ManifestError.of("no YAML file is named", kind=Kind.NO_YAML_FILES, hint="name files or folders")
    sources, problems, warnings, _ = read_files(paths, within)
    bases = Bases(paths, within)
    bases.add(sources)
    parsed = _parsed(sources, bases)
    files = [file for file in parsed if isinstance(file, ParsedFile)]
    problems += [problem for problem in parsed if isinstance(problem, Problem)]
    unextended = unextended_issues(bases)
    problems += bases.problems
    problems += _folders_without_manifests(sources, parsed)
    fleet, groups = _combined(files, problems, warnings, unextended)
    return replace(fleet, bases=frozenset(bases.names)), groups


def _parsed(sources: Sequence[Source], bases: Bases) -> list[ParsedFile | Problem | None]:
    """As ``parse_file``, for each file."""
    sizes = [len(source.data) for source in sources]
    if sum(sizes) >= max(_FEWEST_BYTES, 2 * max(sizes, default=0)):  # a single large file cannot be shared out
        from reconciler.manifest.processes import parse_in_processes

        if (parsed := parse_in_processes(sources, bases)) is not None:
            return parsed
    return [parse_file(source, bases) for source in sources]


def _folders_without_manifests(sources: Sequence[Source], parsed: Sequence[object]) -> Iterator[Problem]:
    """A problem for each folder that holds only our own documents: it would look like an empty set."""
    used = {source.given for source, outcome in zip(sources, parsed, strict=True) if outcome is not None}
    for folder in dict.fromkeys(source.given for source in sources):
        if folder is not None and folder not in used:
            yield no_manifests(folder)


def _combined(
    files: Sequence[ParsedFile], problems: Sequence[Problem], skipped: Sequence[Problem], log: IssueLog
) -> tuple[Fleet, list[Group]]:
    fleet, conflicts = settings.fleet(files)
    groups, unclear = group_by_server([file for file in files if file.declares_server])
    for file in files:
        if file.issues:
            log.add_all(file.issues)
    log.extend(filter(None, map(settings.auth_error, files)))
    log.extend(conflicts)
    log.extend(unclear)
    merged = [_merged(group, log) for group in groups]
    irregular = [file.source for file in files if file.irregular]
    if not groups and not problems and not log and files:
        hint = "name the files of the servers too: a base declares none, and neither does a file with fleet alone"
        log.extend([Issue(kind=Kind.NO_SERVER, message="no server is declared", hint=hint, node=files[0].node())])
    if problems or log or irregular:
        from reconciler.manifest.positions import locate_counted

        found = [*((problem, 1) for problem in problems), *locate_counted(log, irregular)]
        raise ManifestError(*shortened(_distinct(found), log.uncounted))
    if len(groups) == 1:
        return replace(fleet, servers=(_desired(groups[0], merged[0], skipped),)), groups
    servers = tuple(map(_desired, groups, merged, repeat(())))
    fleet = replace(fleet, servers=servers)
    return replace(fleet, warnings=(*skipped, *_canary_warnings(fleet, files))), groups


def _canary_warnings(fleet: Fleet, files: Sequence[ParsedFile]) -> Iterator[Problem]:
    """A warning if no server is a canary: a typo in the selector would skip the first batch."""
    canary = fleet.rollout.canary
    if canary is None or any(canary.matches(one.named_server) for one in fleet.servers):
        return
    from reconciler.manifest.positions import locate

    file = next(file for file in files if "fleet" in file.header)
    message, hint = f"canary: {canary} matches no server", "check the spelling, and the labels of the servers"
    issue = Issue(kind=Kind.NO_CANARY, message=message, hint=hint, node=file.node("fleet", "rollout", "canary"))
    yield from locate([issue], ())


def _distinct(found: Iterable[tuple[Problem, int]]) -> Iterable[tuple[Problem, int]]:
    """The problems without those of bases that were named as files too: one also says where the base is extended."""
    distinct: dict[tuple[object, ...], tuple[Problem, int]] = {}
    for problem, count in found:
        message = problem.message.partition(" (extended at ")[0]
        key = (problem.kind, problem.position, message, problem.hint)
        if key not in distinct or len(problem.message) > len(message):
            distinct[key] = (problem, count)
    return distinct.values()


def _merged(group: Group, log: IssueLog) -> settings.Settings:
    """Merges the files of one server, and checks them against each other."""
    merged, conflicts = settings.merged(group)
    one_is_default = any(map(_declares_default, group))
    for file in group:
        _set_desired(file, one_is_default=one_is_default)
    log.extend(conflicts)
    log.extend(check_rules(_entries(group), Globs(tuple(merged.get(("policy", "ignore"), ())))))
    return merged


def _desired(group: Group, merged: settings.Settings, skipped: Sequence[Problem]) -> Desired:
    entries = _entries(group)
    positions = settings.positions_of(group, merged)
    return Desired(
        tuple(entry.desired for entry in entries),
        settings.policy(merged, settings.own(group)),
        settings.server(merged, positions, settings.variables(group)),
        tuple(_warnings(group, entries, skipped)),
        positions,
    )


def _entries(group: Group) -> list[Entry]:
    return [entry for file in group for entry in file.entries]


def _declares_default(file: ParsedFile) -> bool:
    """Whether any account of the file becomes the default account."""
    by_default = file.block("defaults").get("default", False)
    return any(entry.given.get("default", by_default) is True for entry in file.entries)


def _set_desired(file: ParsedFile, *, one_is_default: bool) -> None:
    """Merges each entry of a file with the file's defaults.

    Args:
        file: The file.
        one_is_default: Some account of the whole set is the default account, so the others are not.
    """
    defaults = file.block("defaults")
    default_test = settings.delivery_test(defaults.get("test", {}))
    base: dict[str, Any] = {"default": False, **defaults} if one_is_default else defaults
    base_positions = {**file.positions_of("defaults"), **file.positions_of("defaults", "test")}
    for entry in file.entries:
        merged = {**base, **entry.given}
        if "has_auth" not in merged and merged.get("password") is not None:
            merged["has_auth"] = True
        fields: dict[str, Value] = {name: merged[name] for name in FIELDS if name in merged}
        positions = entry.positions
        if base_positions:  # neither is looked at unless something is refused
            positions = ChainMap(cast("Any", positions), base_positions) if positions else base_positions
        test = entry.given.get("test")
        entry.desired = DesiredAccount(
            Account(fields, entry.given.get("id")),
            entry.position,
            entry.given.get("renamed_from"),
            default_test if test is None else settings.delivery_test(test).over(default_test),
            positions,
        )


def _warnings(files: Sequence[ParsedFile], entries: Sequence[Entry], skipped: Sequence[Problem]) -> list[Problem]:
    issues = [issue for file in files for issue in _header_warnings(file)]
    issues += duplicate_name_warnings(entries)
    issues += unusual_setting_warnings(entries)
    issues += [issue for file in files for issue in _cut_off_warnings(file)]
    issues += [_literal(entry) for entry in entries if isinstance(entry.given.get("password"), Secret)]
    if not issues:
        return shortened(((problem, 1) for problem in skipped), {}) if skipped else []
    # Without the file that extends the base: reports show a warning once that all servers of a base have.
    log = IssueLog(map(_of_base, issues))
    found = [(problem, 1) for problem in skipped]
    from reconciler.manifest.positions import locate_counted

    found += locate_counted(log, ())
    return shortened(found, log.uncounted)


def _of_base(issue: Issue) -> Issue:
    """A warning about a base, the same for all files that extend it, so that it is shown once."""
    if issue.node.via is None:
        return issue
    return replace(issue, node=replace(issue.node, via=None), address=None, count=1)


def _literal(entry: Entry) -> Issue:
    message, address = _LITERAL.format("password"), entry.desired.account.email
    return Issue(kind=Kind.LITERAL_SECRET, message=message, hint=_REFERENCES, node=entry.node(), address=address)


def _header_warnings(file: ParsedFile) -> Iterator[Issue]:
    if warning := settings.unused_auth_warning(file):
        yield warning
    for path in (("defaults",), ("server", "auth")):
        for name, value in file.block(*path).items():
            if isinstance(value, Secret) and name != "username":
                node = file.node(*path, name, key=True)
                yield Issue(kind=Kind.LITERAL_SECRET, message=_LITERAL.format(name), hint=_REFERENCES, node=node)


def _cut_off_warnings(file: ParsedFile) -> Iterator[Issue]:
    """Warnings about literal secrets and names that end at a ``#``: it begins a comment, which is rarely intended.

    The comment is not shown.
    """
    sources = [source for source in file.sources if b"#" in source.data and re.search(_COMMENT, source.data)]
    if not sources:
        return
    nodes = [file.node(*path) for path in _paths_before_comments(file)]
    for source in sources:
        paths = frozenset(node.path for node in nodes if node.source is source)
        comments = _comments(source, paths) if paths else {}
        for node in nodes:
            comment = comments.get(node.path) if node.source is source else None
            if comment and (node.path[-1] != "name" or comment[1:2].strip()):
                message = f"the {node.path[-1]} ends before the #: what was cut off there is a comment"
                hint = "put the value in quotes if the # belongs to it"
                yield Issue(kind=Kind.CUT_OFF, message=message, hint=hint, node=node)


def _comments(source: Source, paths: frozenset[Path]) -> Mapping[Path, str]:
    """The comments that end the values at the paths."""
    from reconciler.manifest.positions import build_source_map

    return build_source_map(source, paths, thorough=False).comments


def _paths_before_comments(file: ParsedFile) -> Iterator[Path]:
    """The paths of the values that a comment may cut off."""
    names = any(re.search(_NAME_WITH_COMMENT, source.data) for source in file.sources)
    blocks: list[tuple[Path, dict[str, object]]] = [
        (path, file.block(*path)) for path in (("server", "auth"), ("server",), ("defaults",))
    ]
    blocks += [(("accounts", entry.index), entry.given) for entry in file.entries]
    for path, block in blocks:
        yield from ((*path, key) for key, value in block.items() if isinstance(value, Secret))
        if names and "name" in block:
            yield (*path, "name")
