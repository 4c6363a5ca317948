"""YAML files to the desired set."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.errors import Kind, ManifestError, Problem
from reconciler.manifest import merge
from reconciler.manifest.accounts import AccountBuilder, Declared, declares_default
from reconciler.manifest.comments import cut_off
from reconciler.manifest.grouping import IssueLog, shortened
from reconciler.manifest.issues import Issue
from reconciler.manifest.locations import no_manifests, read_files
from reconciler.manifest.places import counted
from reconciler.manifest.rules import check_rules, duplicate_name_warnings, unusual
from reconciler.manifest.sheet import ParsedFile, parse_file
from reconciler.model.desired import Desired
from reconciler.model.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from reconciler.manifest.files import Source


def read_manifests(paths: Sequence[str]) -> Desired:
    """Reads YAML files, and folders of them, as one set.

    Secrets stay references; a literal one becomes a ``Secret`` and earns a warning.

    Args:
        paths: Files and folders, as the user named them.

    Raises:
        ManifestError: With every problem of all files, sorted by file, line and column.
    """
    if not paths:
        raise ManifestError.of("no YAML file is named", kind=Kind.NO_YAML_FILES, hint="name files or folders")
    sources, problems, warnings = read_files(paths)
    outcomes = [parse_file(source) for source in sources]
    sheets = [one for one in outcomes if isinstance(one, ParsedFile)]
    problems += [one for one in outcomes if isinstance(one, Problem)]
    problems += _without_manifests(sources, outcomes)
    return _combined(sheets, problems, warnings)


def _without_manifests(sources: Sequence[Source], outcomes: Sequence[object]) -> Iterator[Problem]:
    """A problem for each folder that holds nothing but our own documents: to all appearances, an empty set."""
    used = {source.given for source, outcome in zip(sources, outcomes, strict=True) if outcome is not None}
    for folder in dict.fromkeys(source.given for source in sources):
        if folder is not None and folder not in used:
            yield no_manifests(folder)


def _combined(sheets: Sequence[ParsedFile], problems: list[Problem], warnings: Sequence[Problem]) -> Desired:
    settings, conflicts = merge.merged(sheets)
    one_is_default = any(map(declares_default, sheets))
    accounts = [account for sheet in sheets for account in AccountBuilder(sheet, one_is_default=one_is_default).build()]
    policy = merge.policy(settings)
    log = IssueLog()
    for sheet in sheets:
        log.add_all(sheet.issues)
    log.extend(filter(None, map(merge.auth_error, sheets)))
    log.extend(conflicts)
    if not any(issue.kind == Kind.SEVERAL_SERVERS for issue in conflicts):
        log.extend(check_rules(accounts, policy.ignore))
    irregular = [sheet.source for sheet in sheets if sheet.irregular]
    if problems or log or irregular:
        found = [*((problem, 1) for problem in problems), *counted(log, irregular)]
        raise ManifestError(*shortened(found, log.uncounted))
    positions = merge.positions_of(sheets)
    return Desired(
        tuple(account.desired for account in accounts),
        policy,
        merge.server(settings, positions),
        tuple(_warnings(sheets, accounts, warnings)),
        positions,
    )


def _warnings(
    sheets: Sequence[ParsedFile], accounts: Sequence[Declared], skipped: Sequence[Problem]
) -> Sequence[Problem]:
    log = IssueLog(issue for sheet in sheets for issue in _header_warnings(sheet))
    log.extend(duplicate_name_warnings(accounts))
    log.extend(unusual(accounts))
    log.extend(cut_off(sheets))
    log.extend(map(_literal, (one for one in accounts if isinstance(one.row.given.get("password"), Secret))))
    found = [*((problem, 1) for problem in skipped), *counted(log, ())]
    return shortened(found, log.uncounted)


def _literal(account: Declared) -> Issue:
    message, address = _LITERAL.format("password"), account.desired.account.email
    return Issue(kind=Kind.LITERAL_SECRET, message=message, hint=_REFERENCES, spot=account.spot(), address=address)


_LITERAL = "the {} of this entry is written into the file itself"
_REFERENCES = "refer to it with {env: NAME}, {file: path} or {command: [program, argument]}"


def _header_warnings(sheet: ParsedFile) -> Iterator[Issue]:
    lone = merge.unused_auth_warning(sheet)
    if lone:
        yield lone
    blocks = {
        ("defaults",): sheet.block("defaults"),
        ("server", "auth"): sheet.block("server", "auth"),
    }
    for path, values in blocks.items():
        for name, value in values.items():
            if isinstance(value, Secret) and name != "username":
                spot = sheet.spot(*path, name, key=True)
                yield Issue(kind=Kind.LITERAL_SECRET, message=_LITERAL.format(name), hint=_REFERENCES, spot=spot)
